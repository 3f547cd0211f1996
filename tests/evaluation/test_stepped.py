"""A backtest through the engine's steps: limits hold there, and strategies with a state of their own are asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.evaluation.markets import MINUTE_NS, Scripted, cases, desk, market
from tests.evaluation.test_backtest import seat_of, terms

from promethean.domain.candles import CandleSeries
from promethean.domain.events import CandleClosed, MarketEvent
from promethean.domain.ids import ShortNames, StrategyId
from promethean.domain.instants import DAY_NS
from promethean.domain.market import MarketView
from promethean.domain.orders import OrderType
from promethean.domain.signals import Signal, SignalSource, SignalType
from promethean.engine.desk import Desk, Seat
from promethean.evaluation.stepped import SteppedBacktest
from promethean.risk.check import RESEARCH, Controls
from promethean.risk.limits import Limits

D = Decimal
MIDNIGHT_NS = 1_700_006_400 * 10**9  # 2023-11-15
DAYS, PERIOD = 3, 10


def wavy(count: int, timeframe_ns: int = MINUTE_NS) -> CandleSeries:
    """Prices that fall and rise again every hour."""
    close = np.round(100 + 5 * np.sin(np.arange(count) / 60 * 2 * np.pi), 2)
    opened = np.concatenate((close[:1], close[:-1]))
    times = MIDNIGHT_NS + timeframe_ns * np.arange(count, dtype=np.int64)
    columns = (opened, np.maximum(opened, close), np.minimum(opened, close), close, np.full(count, 1e6))
    return CandleSeries.from_columns(times, columns, keep=count)


def often(instrument: Any, count: int) -> Scripted:
    """In and out again every few candles."""
    places = np.arange(count) % PERIOD
    return Scripted(instrument, places == 1, places == 5)


class Counting:
    """A strategy with a state of its own: it buys at every third candle that it is asked about, and closes after it."""

    id, timeframe, window = StrategyId("counting"), "1m", 1

    def __init__(self, instrument: Any) -> None:
        self.instrument = instrument.id
        self.asked = 0

    def on_event(self, event: MarketEvent, view: MarketView) -> Sequence[Signal]:
        if not isinstance(event, CandleClosed):
            return ()
        self.asked += 1
        kind = {1: SignalType.BUY, 2: SignalType.CLOSE}.get(self.asked % 3)
        if kind is None:
            return ()
        return (Signal(kind, SignalSource.TECHNICAL, 1.0, "so", self.instrument, "1m", event.at_ns, self.id),)

    def reading(self, view: MarketView) -> Mapping[str, float]:
        return {}


def stepped(seat: Seat, strategy: Scripted, candles: CandleSeries) -> SteppedBacktest:
    made = SteppedBacktest(desk(seat, strategy, candles), terms(), candles, D(10_000))
    made.run()
    return made


def limited(seat: Seat, limits: Limits, *codes: str) -> Seat:
    return replace(seat, limits=limits, controls=Controls.of([*RESEARCH, *codes]))


def test_no_day_has_more_entries_than_its_limit() -> None:
    candles = wavy(DAYS * 1440)
    strategy = often(market("0.01", "0.001", futures=False), len(candles))
    free = stepped(seat_of(strategy), strategy, candles)
    assert len(free.keeper.trades) == DAYS * 1440 // PERIOD
    seat = limited(seat_of(strategy), Limits(daily_trades=D(7)), "daily_trades")
    held = stepped(seat, strategy, candles)
    days = [int(candles.open_time_ns[trade.opened]) // DAY_NS for trade in held.keeper.trades]
    assert sorted(days.count(day) for day in set(days)) == [7] * DAYS
    assert held.refusals == {"daily_trades": DAYS}, "a refusal is told once a day"


def test_a_losing_streak_ends_the_entries() -> None:
    candles = wavy(DAYS * 1440)
    strategy = often(market("0.01", "0.001", futures=False), len(candles))
    limits = Limits(circuit_breaker_losing_streak=D(2), circuit_breaker_daily_loss=D(1))
    found = stepped(limited(seat_of(strategy), limits, "circuit_breaker"), strategy, candles)
    won = [trade.pnl > 0 for trade in found.keeper.trades]
    assert 0 < len(won) < DAYS * 1440 // PERIOD
    assert found.refusals["circuit_breaker"] > 0
    assert won[-2:] == [False, False]


def test_an_order_below_the_smallest_notional_of_the_account_is_refused() -> None:
    candles = wavy(200)
    strategy = often(market("0.01", "0.001", futures=False), 200)
    limits = Limits(order_notional_min=D(1_001), order_notional_max=D(10**9))
    found = stepped(limited(seat_of(strategy), limits, "order_notional"), strategy, candles)
    assert found.refusals["order_notional"] > 0
    assert found.keeper.trades == []


def test_a_strategy_with_a_state_of_its_own_is_asked_at_every_candle() -> None:
    candles = wavy(100)
    strategy = Counting(market("0.01", "0.001", futures=False))
    seat = seat_of(Scripted(market("0.01", "0.001", futures=False), [], []))
    made = SteppedBacktest(
        Desk((replace(seat, strategy=strategy),), seat.limits, ShortNames(), False), terms(), candles, D(10_000)
    )
    books = made.run()
    assert strategy.asked == made.steps == 100
    assert [(trade.opened, trade.closed) for trade in books.trades[:2]] == [(1, 2), (4, 5)]


def test_candles_at_which_nothing_can_happen_are_passed_over() -> None:
    candles = wavy(1440)
    side = [0] * 1440
    side[700] = 1
    strategy = Scripted(market("0.01", "0.001", futures=False), side, [0] * 1440)
    found = stepped(seat_of(strategy), strategy, candles)
    assert len(found.keeper.trades) == 1
    assert found.steps < 20


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(cases(candles=80), st.sampled_from([OrderType.MARKET, OrderType.LIMIT]), st.sampled_from([0, 3_000, 70_000]))
def test_passing_candles_over_changes_nothing(case: Any, order_type: OrderType, latency_ms: int) -> None:
    """Against a run in which every single candle is stepped through."""
    seat, strategy, how, series, cash = case
    seat, how = replace(seat, order_type=order_type), dataclasses.replace(how, latency_ms=latency_ms)
    quick = SteppedBacktest(desk(seat, strategy, series), how, series, cash)
    slow = SteppedBacktest(desk(seat, strategy, series), how, series, cash)
    slow._asked = lambda: np.arange(len(series))  # type: ignore[method-assign]
    one, other = quick.run(), slow.run()
    assert slow.steps == len(series) >= quick.steps
    assert (one.parts, one.trades, one.cash, one.fees) == (other.parts, other.trades, other.cash, other.fees)
    assert (one.funding, quick.refusals, quick.unknown) == (other.funding, slow.refusals, slow.unknown)
