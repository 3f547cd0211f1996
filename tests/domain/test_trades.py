"""Single trades: in order, of one length, and cut by instants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from promethean.domain.trades import TradeSeries

AT_NS = np.array([10, 20, 20, 30])


def trades(**changed: Any) -> TradeSeries:
    columns = {
        "at_ns": AT_NS,
        "price": np.array([1.0, 2.0, 3.0, 4.0]),
        "quantity": np.ones(4),
        "aggressor": np.array([1, -1, 1, -1], np.int8),
        "number": np.array([5, 6, 7, 8]),
    }
    return TradeSeries(**{**columns, **changed})


def test_trades_are_cut_from_one_instant_on_and_before_another() -> None:
    found = trades().between(20, 30)
    assert found.number is not None
    assert (found.price.tolist(), found.aggressor.tolist(), found.number.tolist()) == ([2.0, 3.0], [-1, 1], [6, 7])
    assert len(trades().between(31, 99)) == len(trades().between(20, 20)) == 0
    assert trades(number=None).between(0, 11).number is None


@pytest.mark.parametrize("name", ["price", "quantity", "aggressor", "number"])
def test_columns_of_another_length_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="there are 4 instants of trades and columns of another length"):
        trades(**{name: np.ones(3)})


def test_instants_that_fall_are_refused() -> None:
    with pytest.raises(ValueError, match="trades come oldest first"):
        trades(at_ns=AT_NS[::-1])
