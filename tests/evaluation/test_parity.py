"""The compiled loop, the engine's steps and the real runner come to the same trades."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.evaluation.markets import MINUTE_NS, START_NS, D, Scripted, cases, compiled_books, desk, market, rules

from promethean.domain.candles import CandleSeries
from promethean.domain.margin import Margin
from promethean.domain.orders import OrderType, Protection
from promethean.domain.sizing import Sizing
from promethean.engine.decide import Aggregation
from promethean.engine.desk import Seat
from promethean.evaluation.backtest import find_path
from promethean.evaluation.ledger import Part, keep_books
from promethean.evaluation.stepped import SteppedBacktest
from promethean.exchanges.paper.venue import PaperTerms
from promethean.risk.check import RESEARCH, Controls
from promethean.risk.limits import Limits
from promethean.strategies.arrays import Said

seen: Counter[str] = Counter()


def left_by_position(said: Said, part: Part) -> bool:
    """Whether a part was closed on a signal when nothing but a condition on the position had asked for it."""
    decided = (part.closed_at_ns - START_NS) // MINUTE_NS - 1
    return part.reason == "signal" and said.exit is not None and not said.side[decided] and not said.leave[decided]


@settings(max_examples=2_000, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(cases())
def test_the_compiled_loop_and_the_engine_come_to_the_same_trades(case: Any) -> None:
    seat, strategy, terms, series, cash = case
    found = find_path(rules(seat, terms, cash), strategy.said, series)
    if found is None:
        return  # too thin a candle: the engine alone may do it
    compiled = keep_books(rules(seat, terms, cash), strategy.said, series, found.fills)
    steps = SteppedBacktest(desk(seat, strategy, series), terms, series, cash)
    stepped = steps.run()
    seen.update(part.reason for part in compiled.parts)
    seen["unknown"] += found.unknown
    seen["condition"] += sum(left_by_position(strategy.said, part) for part in compiled.parts)
    seen.update("funded" for trade in compiled.trades if trade.funding)
    assert found.unknown == steps.unknown
    assert compiled.parts == stepped.parts
    assert compiled.trades == stepped.trades
    assert (compiled.cash, compiled.fees, compiled.funding) == (stepped.cash, stepped.fees, stepped.funding)


def test_the_cases_held_every_kind_of_exit() -> None:
    if not seen:
        pytest.skip("counts what the test before it saw, which was not run here")
    kinds = ("stop", "trailing", "breakeven", "tightened", "target", "time", "signal", "end")
    often = ("stop", "target", "signal", "trailing", "breakeven", "funded")
    assert all(seen[kind] > 50 for kind in often), seen  # the draws are new each time: less than half the fewest seen
    assert all(seen[kind] > 5 for kind in (*kinds, "unknown", "condition")), seen


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(cases())
def test_the_money_of_the_compiled_loop_is_that_of_the_books_within_a_cent(case: Any) -> None:
    seat, strategy, terms, series, cash = case
    found = find_path(rules(seat, terms, cash), strategy.said, series)
    books = compiled_books(rules(seat, terms, cash), strategy.said, series)
    if found is None or books is None:
        return
    fills = books.cash_after[np.diff(books.held, prepend=0.0) != 0.0]  # a payment of funding leaves what is held
    count = len(found.fills)
    assert found.fills[:, 4] == pytest.approx(fills[:count], abs=0.01)
    if not found.held:
        assert found.cash == pytest.approx(float(books.cash), abs=0.01)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(cases(futures=True), st.sampled_from([("50", "47"), ("50", "40"), ("3", "2.9"), ("1", "0.97")]))
def test_an_account_whose_cash_funding_uses_up_comes_to_the_same_trades(case: Any, lent: tuple[str, str]) -> None:
    """Nearly all of the cash is margin: funding and fees are taken from it, and the liquidation comes nearer."""
    seat, strategy, terms, series, cash = case
    margin = Margin(D(lent[0]), D("0.004"))
    seat = msgspec.structs.replace(seat, sizing=Sizing(D(lent[1])), margin=margin)
    terms = dataclasses.replace(terms, maintenance=margin.maintenance)
    compiled = compiled_books(rules(seat, terms, cash), strategy.said, series)
    if compiled is None:
        return
    steps = SteppedBacktest(desk(seat, strategy, series), terms, series, cash)
    stepped = steps.run()
    assert compiled.parts == stepped.parts
    assert (compiled.cash, compiled.funding) == (stepped.cash, stepped.funding)
    assert steps.venue.cash == steps.state.account.cash


def test_a_loss_of_the_day_that_recovers_still_trips_the_breaker() -> None:
    """The price dips inside a long position, far from its stop, and comes back: nothing is bought after it that day."""
    close = np.array([100.0] * 3 + [96.0] + [101.0] * 16)
    opened = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(opened, close) + 0.1, np.minimum(opened, close) - 0.1
    times = START_NS + MINUTE_NS * np.arange(20, dtype=np.int64)
    series = CandleSeries.from_columns(times, (opened, high, low, close, np.full(20, 100.0)), keep=20)
    instrument = market("0.01", "0.001", futures=False)
    side, leave = np.zeros(20), np.zeros(20)
    side[[0, 10]], leave[6] = 1, 1
    strategy = Scripted(instrument, side, leave)
    trades = {}
    for daily_loss in ("0.03", "0.05"):
        limits = Limits(circuit_breaker_daily_loss=D(daily_loss), circuit_breaker_losing_streak=D(9))
        seat = Seat(
            strategy=strategy,  # type: ignore[arg-type]  # made one that listens in `desk`
            instrument=instrument,
            timeframe_ns=MINUTE_NS,
            aggregation=Aggregation.WEIGHTED,
            threshold=0.0,
            sizing=Sizing(D("0.95")),
            protection=Protection(D("0.2")),
            order_type=OrderType.MARKET,
            slippage_tolerance=D(0),
            cooldown_ns=0,
            can_short=False,
            limits=limits,
            attached_exits=True,
            controls=Controls.of((*RESEARCH, "circuit_breaker")),
        )
        terms = PaperTerms(D(0), D(0), D(0), 0, D(10**9))
        books = SteppedBacktest(desk(seat, strategy, series), terms, series, D(10_000)).run()
        trades[daily_loss] = len(books.trades)
    assert trades == {"0.03": 1, "0.05": 2}
