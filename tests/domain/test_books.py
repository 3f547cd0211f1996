"""Books beside candles: one row for each, and no row of another shape."""

from __future__ import annotations

import re

import numpy as np
import pytest
from msgspec.structs import replace

from promethean.domain.books import BookSeries


def series(rows: int) -> BookSeries:
    bids, asks = (np.arange(rows * 6.0).reshape(rows, 3, 2) + shift for shift in (0, 100))
    numbers = np.arange(rows, dtype=np.float64)
    return BookSeries(bids, asks, numbers + 0.5, numbers + 0.25, numbers.astype(np.int8))


def test_some_of_the_rows_are_those_of_every_column() -> None:
    some = series(5).rows(slice(1, 3))
    assert len(some) == 2
    assert some.bids[0, 0].tolist() == [6.0, 7.0]
    assert some.asks[0, 0].tolist() == [106.0, 107.0]
    assert (some.bought.tolist(), some.sold.tolist(), some.spoofed.tolist()) == ([1.5, 2.5], [1.25, 2.25], [1, 2])


@pytest.mark.parametrize("column", ["asks", "bought", "sold", "spoofed"])
def test_every_column_has_a_row_for_each_candle(column: str) -> None:
    with pytest.raises(ValueError, match="there are books for 5 candles and other columns for 4"):
        replace(series(5), **{column: getattr(series(4), column)})


@pytest.mark.parametrize("shape", [(5, 2), (5, 3, 3)])
def test_a_side_is_price_and_quantity_of_levels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"the shape \(candles, levels, 2\), not {re.escape(str(shape))}"):
        replace(series(5), bids=np.zeros(shape))
