"""Order book imbalance against hand-computed values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.indicators.order_flow.tapes import books

from promethean.indicators.order_flow.bands import Pressure
from promethean.indicators.order_flow.orderbook_imbalance import orderbook_imbalance


def test_145_5_against_68_2_is_a_share_of_0_68() -> None:
    _, bids, asks = books((0, [(100.0, 100.0), (99.0, 45.5)], [(101.0, 8.2), (102.0, 60.0)]))
    values = orderbook_imbalance(bids, asks)
    assert values.bid_quantity.tolist() == [145.5]
    assert values.ask_quantity.tolist() == [68.2]
    assert values.share[0] == pytest.approx(145.5 / 213.7, rel=1e-14)
    assert round(values.share[0], 2) == 0.68
    assert values.delta[0] == pytest.approx(2 * 145.5 / 213.7 - 1, rel=1e-14)
    assert Pressure(int(values.band[0])) is Pressure.STRONG_BUY


def test_only_the_best_levels_count() -> None:
    buyers = [(100.0 - level, 1.0 + level) for level in range(12)]
    _, bids, asks = books((0, buyers, [(101.0 + level, 2.0) for level in range(12)]))
    assert orderbook_imbalance(bids, asks, levels=1).bid_quantity.tolist() == [1.0]
    assert orderbook_imbalance(bids, asks).bid_quantity.tolist() == [55.0]
    assert orderbook_imbalance(bids, asks).ask_quantity.tolist() == [20.0]
    assert orderbook_imbalance(bids, asks, levels=500).bid_quantity.tolist() == [78.0]


@pytest.mark.parametrize(
    ("bid", "ask", "band"),
    [
        (55.0, 45.0, 0), (55.1, 44.9, 1), (65.0, 35.0, 1), (65.1, 34.9, 2),
        (45.0, 55.0, 0), (44.9, 55.1, -1), (35.0, 65.0, -1), (34.9, 65.1, -2),
        (0.55, 0.45, 0), (0.65, 0.35, 1),
    ],
)  # fmt: skip
def test_a_side_presses_beyond_a_tenth_and_hard_beyond_three(bid: float, ask: float, band: int) -> None:
    _, bids, asks = books((0, [(100.0, bid)], [(101.0, ask)]))
    assert orderbook_imbalance(bids, asks).band.tolist() == [band]


def test_every_snapshot_has_its_own_value_and_an_empty_book_has_none() -> None:
    full = ([(100.0, 3.0)], [(101.0, 1.0)])
    _, bids, asks = books((0, *full), (1, [], []), (2, full[1], full[0]), (3, [], full[1]))
    values = orderbook_imbalance(bids, asks)
    assert np.array_equal(values.share, [0.75, math.nan, 0.25, 0.0], equal_nan=True)
    assert np.array_equal(values.delta, [0.5, math.nan, -0.5, -1.0], equal_nan=True)
    assert np.array_equal(values.band, [2.0, math.nan, -2.0, -2.0], equal_nan=True)


def test_what_does_not_fit_is_refused() -> None:
    _, bids, asks = books((0, [(100.0, 3.0)], [(101.0, 1.0)]))
    with pytest.raises(ValueError, match="at least 1 level of a book counts, not 0"):
        orderbook_imbalance(bids, asks, levels=0)
    with pytest.raises(ValueError, match="1 sides of bids for 0 of asks"):
        orderbook_imbalance(bids, asks[:0])
    with pytest.raises(ValueError, match="has the shape"):
        orderbook_imbalance(bids[0], asks)
