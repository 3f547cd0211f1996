"""The whole family on recorded markets, and its promise that nothing after an instant is looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.order_flow.recorded import FEEDS, TRADES, recorded, recorded_trades
from tests.indicators.order_flow.tapes import MINUTE, NOW, S, some_books, some_trades

from promethean.indicators.order_flow.absorption import absorption_zones
from promethean.indicators.order_flow.cvd import cvd
from promethean.indicators.order_flow.iceberg import detect_iceberg
from promethean.indicators.order_flow.orderbook_imbalance import orderbook_imbalance
from promethean.indicators.order_flow.spoofing import detect_spoofing
from promethean.indicators.order_flow.tape import Books, Tape
from promethean.indicators.order_flow.tick_speed import tick_speed
from promethean.indicators.order_flow.trade_imbalance import trade_imbalance
from promethean.indicators.order_flow.whale_trades import whale_trades

Question = Callable[[Tape, Books, int], Any]

QUESTIONS: dict[str, Question] = {
    "trade imbalance": lambda trades, _, now_ns: trade_imbalance(*trades, now_ns, 1),
    "cvd": lambda trades, _, now_ns: cvd(*trades, now_ns, 2, 10),
    "whale trades": lambda trades, _, now_ns: whale_trades(*trades, now_ns, 1, 200.0),
    "tick speed": lambda trades, _, now_ns: tick_speed(trades.at_ns, now_ns, 1),
    "iceberg": lambda trades, books, now_ns: detect_iceberg(*trades, *books, now_ns, 1),
    "spoofing": lambda trades, books, now_ns: detect_spoofing(*trades, *books, now_ns, 1),
    "absorption": lambda trades, _, now_ns: absorption_zones(*trades, now_ns, 1),
}
every_question = pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))


def assert_nothing_later_counts(question: Question, trades: Tape, books: Books, now_ns: int) -> None:
    known = question(trades.between(0, now_ns), books.between(0, now_ns), now_ns)
    np.testing.assert_equal(question(trades, books, now_ns), known)


@every_question
@given(seed=st.integers(0, 2**32 - 1), back_ms=st.integers(0, 60_000))
def test_nothing_after_now_is_looked_at(question: Question, seed: int, back_ms: int) -> None:
    assert_nothing_later_counts(
        question, some_trades(seed, 80, 60), some_books(seed, 40, 60), NOW - back_ms * 1_000_000
    )


@every_question
@given(seed=st.integers(0, 2**32 - 1))
def test_nothing_long_before_the_window_matters_but_to_the_level_of_the_cvd(question: Question, seed: int) -> None:
    trades, books = some_trades(seed, 80, 180), some_books(seed, 90, 180)
    now, then = (
        question(trades, books, NOW),
        question(trades.between(NOW - 125 * S, NOW), books.between(NOW - 90 * S, NOW), NOW),
    )
    if question is QUESTIONS["cvd"]:
        level = now.cvd - then.cvd
        assert now.series - level == pytest.approx(then.series, abs=1e-9)
        assert (now.change, now.reading) == (pytest.approx(then.change, abs=1e-9), then.reading)
    else:
        np.testing.assert_equal(now, then)


@every_question
@pytest.mark.parametrize("name", FEEDS)
def test_recorded_markets_are_read_without_looking_ahead(question: Question, name: str, shared: Path) -> None:
    trades, books = recorded(shared, name)
    for now_ns in np.linspace(books.at_ns[0], books.at_ns[-1], 7).astype(np.int64).tolist():
        assert_nothing_later_counts(question, trades, books, now_ns)


@pytest.mark.parametrize("name", TRADES)
@pytest.mark.parametrize("place", [0.3, 0.7, 1.0])
def test_recorded_trades_add_up(name: str, place: float, shared: Path) -> None:
    whole = recorded_trades(shared, name)
    now_ns = int(whole.at_ns[int(place * (len(whole.at_ns) - 1))])
    trades = whole.between(0, now_ns)
    recent = trades.between(now_ns - 5 * MINUTE, now_ns)
    imbalance = trade_imbalance(*whole, now_ns, 5)
    assert imbalance.buy + imbalance.sell == pytest.approx(recent.quantity.sum(), rel=1e-12)
    flow = cvd(*whole, now_ns, 5)
    assert flow.change == pytest.approx(imbalance.buy - imbalance.sell, rel=1e-9, abs=1e-9)
    assert flow.cvd == pytest.approx((trades.quantity * trades.aggressor).sum(), rel=1e-9, abs=1e-9)
    assert flow.prices[-1] == trades.price[-1]
    assert tick_speed(whole.at_ns, now_ns, 5).per_minute == len(recent.at_ns) / 5
    worth = recent.price * recent.quantity
    limit = float(np.quantile(worth, 0.9))
    whales = whale_trades(*whole, now_ns, 5, limit)
    assert len(whales.trades.at_ns) == np.count_nonzero(worth >= limit)
    assert whales.buy_usd + whales.sell_usd == pytest.approx(worth[worth >= limit].sum(), rel=1e-12)
    for zone in absorption_zones(*whole, now_ns, 5):
        inside = (recent.price >= zone.price_low) & (recent.price < zone.price_high)
        taken = recent.quantity[inside & (recent.aggressor == zone.side.sign)].sum()
        assert zone.volume == pytest.approx(taken, rel=1e-12)
        assert abs(zone.price_change) < 0.0005


@pytest.mark.parametrize("name", FEEDS)
def test_recorded_books_have_shares(name: str, shared: Path) -> None:
    _, books = recorded(shared, name)
    assert (books.bids[:, 0, 0] < books.asks[:, 0, 0]).all()  # the replay of the recording itself is right
    values = orderbook_imbalance(books.bids, books.asks)
    assert ((values.share > 0) & (values.share < 1)).all()
    assert set(values.band.tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}
