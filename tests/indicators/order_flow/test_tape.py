"""What is no trade and no book is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.indicators.order_flow.tapes import BOUGHT, NOW, SOLD, S, books, tape

from promethean.domain.market import Side
from promethean.indicators.order_flow.tape import Tape, books_of, tape_of

TRADES = tape((-3, 10.0, 1.0, BOUGHT), (-2, 11.0, 2.0, SOLD), (-1, 12.0, 3.0, BOUGHT))


def test_a_part_of_the_tape_is_after_its_beginning_and_up_to_its_end() -> None:
    assert tape_of(*TRADES).between(NOW - 3 * S, NOW - S).price.tolist() == [11.0, 12.0]
    assert tape_of(*TRADES).between(NOW - 3 * S - 1, NOW - S - 1).price.tolist() == [10.0, 11.0]


def test_a_side_is_what_it_took() -> None:
    assert TRADES.taken(Side.BUY).price.tolist() == [10.0, 12.0]
    assert TRADES.taken(Side.SELL).price.tolist() == [11.0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"price": np.ones(2)}, r"one length, not \[3, 2, 3, 3\]"),
        ({"at_ns": TRADES.at_ns[::-1]}, "trades come oldest first"),
        ({"price": np.array([1.0, 0.0, 1.0])}, "a price above 0, not 0.0"),
        ({"quantity": np.array([1.0, -2.0, 1.0])}, "a quantity above 0, not -2.0"),
        ({"quantity": np.array([1.0, math.nan, 1.0])}, "a quantity above 0, not nan"),
        ({"price": np.array([1.0, math.inf, 1.0])}, "a price above 0, not inf"),
        ({"aggressor": np.array([1, 0, -1])}, r"\+1 \(buyer\) or -1 \(seller\), not 0"),
    ],
)
def test_what_is_no_tape_is_refused(changed: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tape_of(*TRADES._replace(**changed))


def test_trades_of_one_instant_are_a_tape() -> None:
    same = Tape(np.full(3, NOW), *TRADES[1:])
    assert tape_of(*same).between(NOW - 1, NOW).price.tolist() == [10.0, 11.0, 12.0]


def test_what_is_no_book_is_refused() -> None:
    at_ns, bids, asks = books((-2, [(10.0, 1.0)], [(11.0, 1.0)]), (-1, [(10.0, 1.0)], [(11.0, 1.0)]))
    assert books_of(at_ns, bids, asks).levels(Side.BUY) is bids
    assert books_of(at_ns, bids, asks).levels(Side.SELL) is asks
    with pytest.raises(ValueError, match=r"shape \(snapshots, levels, 2\), not \(2, 12\)"):
        books_of(at_ns, bids[:, :, 0], asks)
    with pytest.raises(ValueError, match="2 instants for 2 sides of bids and 1 of asks"):
        books_of(at_ns, bids, asks[:1])
    with pytest.raises(ValueError, match="books come oldest first"):
        books_of(at_ns[::-1], bids, asks)
