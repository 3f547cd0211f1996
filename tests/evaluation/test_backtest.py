"""The reference work comes to what three other engines made of it, compiled, stepped and swept alike."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.evaluation.markets import MINUTE_NS, START_NS, Scripted, desk, market, rules

from promethean.app import backtesting, benching, sweeping
from promethean.config.layers import load_settings
from promethean.domain.candles import CandleSeries
from promethean.domain.orders import OrderType, Protection
from promethean.domain.sizing import Sizing
from promethean.engine.decide import Aggregation
from promethean.engine.desk import Desk, Seat
from promethean.evaluation.backtest import backtest, find_path
from promethean.evaluation.ledger import Part
from promethean.evaluation.rules import FILL
from promethean.evaluation.stepped import SteppedBacktest
from promethean.exchanges.paper.venue import PaperTerms
from promethean.indicators.momentum.rsi import rsi
from promethean.risk.check import RESEARCH, Controls
from promethean.risk.limits import Limits
from promethean.strategies.frame import Frame

D = Decimal
CASH = D(1_000_000)
TRADES, EQUITY, SWEPT_TRADES = 2_488, 954_776.86, 317_187
SWEPT = ("period=6:24:2", "low=20:40:5", "high=65,75")


def options(path: Path) -> backtesting.BacktestOptions:
    return backtesting.BacktestOptions("reference_rsi", str(path), cash=CASH)


class Plain(NamedTuple):
    entered: int
    left: int
    reason: str
    profit: float


def plain_reference(path: Path) -> list[Plain]:
    """The reference strategy as its description reads, one candle after the other, in floats."""
    table = pq.read_table(path)
    opened, high, low, close = (table[name].to_pylist() for name in ("open", "high", "low", "close"))
    values = [float("nan"), *rsi(np.array(close), 14).tolist()]  # values[i] is the one before close i
    fee, trades = 0.001, []
    entered, entry, order = -1, 0.0, ""
    for i in range(len(close)):
        leave, price = "", 0.0
        if order == "buy":
            entered, entry = i, opened[i]
        elif order == "sell":
            leave, price = "signal", opened[i]
        order = ""
        if entered >= 0:
            stop, target = entry * 0.99, entry * 1.02
            if i > entered and opened[i] <= stop:
                leave, price = "stop", opened[i]
            elif not leave and i > entered and opened[i] > target:
                leave, price = "target", opened[i]
            elif not leave and low[i] <= stop:
                leave, price = "stop", stop
            elif not leave and high[i] > target:
                leave, price = "target", target
            elif not leave and i == len(close) - 1:
                leave, price = "end", close[i]
        if leave:
            quantity = 10_000 / close[entered - 1]
            profit = quantity * (price - entry) - fee * quantity * (price + entry)
            trades.append(Plain(entered, i, leave, profit))
            entered = -1
        before, now = values[i], values[i + 1]
        if entered < 0 and before >= 30 and now < 30:
            order = "buy"
        elif entered >= 0 and before <= 70 and now > 70:
            order = "sell"
    return trades


# -- the reference work -----------------------------------------------------------------------------------------------


def test_the_reference_backtest_gives_the_golden_result(reference_candles: Path) -> None:
    report = backtesting.run_backtest(load_settings({"app.home": "home"}, {}, Path.cwd()), options(reference_candles))
    books = report.result.books
    assert len(report.bench.candles) == 525_600
    assert (len(books.trades), report.metrics.trades) == (TRADES, TRADES)
    assert float(books.cash) == pytest.approx(EQUITY, abs=0.02)
    assert report.result.stepped is None


def test_the_engines_own_steps_give_the_golden_result_and_the_same_parts(reference_candles: Path) -> None:
    bench = backtesting.prepare(load_settings({"app.home": "home"}, {}, Path.cwd()), options(reference_candles))
    desk_ = backtesting.desk_of(bench, bench.candles)
    stepped = SteppedBacktest(desk_, bench.terms, bench.candles, CASH)
    books = stepped.run()
    compiled = backtesting.run(bench).books
    assert len(books.trades) == TRADES
    assert float(books.cash) == pytest.approx(EQUITY, abs=0.02)
    assert (books.parts, books.trades, books.cash, books.fees) == (
        compiled.parts,
        compiled.trades,
        compiled.cash,
        compiled.fees,
    )
    assert stepped.steps < 25_000, "most candles are passed over"


def test_a_strategy_that_is_told_candle_by_candle_gives_the_golden_result(reference_candles: Path) -> None:
    bench = backtesting.prepare(load_settings({"app.home": "home"}, {}, Path.cwd()), options(reference_candles))
    result = benching.run_on_candle(bench)
    assert (len(result.books.trades), round(result.books.cash, 2)) == (TRADES, Decimal(str(EQUITY)))
    assert result.books.parts == backtesting.run(bench).books.parts


def test_every_trade_is_that_of_a_plain_loop_over_the_candles(reference_candles: Path) -> None:
    bench = backtesting.prepare(load_settings({"app.home": "home"}, {}, Path.cwd()), options(reference_candles))
    books = backtesting.run(bench).books
    expected = plain_reference(reference_candles)
    assert [(trade.opened, trade.closed, trade.reason) for trade in books.trades] == [one[:3] for one in expected]
    assert [float(trade.pnl) for trade in books.trades] == pytest.approx([one.profit for one in expected], abs=2e-4)


def test_the_sweep_of_a_hundred_combinations_makes_the_golden_number_of_trades(reference_candles: Path) -> None:
    settings = load_settings({"app.home": "home"}, {}, Path.cwd())
    report = sweeping.run_sweep(settings, options(reference_candles), SWEPT, lambda *_: None)
    assert len(report.outcomes) == 100
    assert sum(outcome.trades for outcome in report.outcomes) == SWEPT_TRADES
    assert report.confirmed is not None
    assert report.confirmed.trades == report.confirmed.best.trades
    assert float(report.confirmed.final_equity) == pytest.approx(report.confirmed.best.final_equity, abs=0.01)


# -- which way it goes ------------------------------------------------------------------------------------------------


def seat_of(strategy: Scripted, order_type: OrderType = OrderType.MARKET, *, futures: bool = False) -> Seat:
    return Seat(
        strategy=strategy,  # type: ignore[arg-type]  # made one that listens where it is asked
        instrument=market("0.01", "0.001", futures=futures), timeframe_ns=MINUTE_NS, aggregation=Aggregation.WEIGHTED,
        threshold=0.0, sizing=Sizing(None, D(1000)), protection=Protection(D("0.05"), ()), order_type=order_type,
        slippage_tolerance=D(0), cooldown_ns=0, can_short=futures, limits=Limits(), attached_exits=True,
        controls=Controls.of(RESEARCH),
    )  # fmt: skip


def terms(participation: str = "1000000000", latency_ms: int = 0) -> PaperTerms:
    return PaperTerms(D(0), D(0), D(0), latency_ms, D(participation), False)


def rising(count: int, volume: float = 1000.0) -> CandleSeries:
    close = 100 + np.arange(count) / 10
    times = START_NS + MINUTE_NS * np.arange(count, dtype=np.int64)
    columns = (close, close + 0.05, close - 0.05, close, np.full(count, volume))
    return CandleSeries.from_columns(times, columns, keep=count)


def run(seat: Seat, strategy: Scripted, how: PaperTerms, candles: CandleSeries, **given: object) -> str | None:
    def make() -> Desk:
        return desk(seat, strategy, candles)

    found = given.get("rules", rules(seat, how, D(10_000)))
    result = backtest(strategy, Frame(candles, "1m"), make, how, D(10_000), rules=found)  # type: ignore[arg-type]
    assert [part.reason for part in result.books.parts] == ["signal"]
    assert len(result.equity) == len(candles)
    assert result.equity[-1] == pytest.approx(float(result.books.cash))
    return result.stepped


def test_the_compiled_loop_is_taken_where_it_knows_the_rules_and_the_reason_is_told_where_not() -> None:
    candles = rising(20)
    strategy = Scripted(market("0.01", "0.001", futures=False), [0, 1] + [0] * 18, [0] * 10 + [1] + [0] * 9)
    assert run(seat_of(strategy), strategy, terms(), candles) is None
    assert rules(seat_of(strategy, OrderType.LIMIT), terms(), D(1)).needs_steps() == "limit entries"
    held = msgspec.structs.replace(seat_of(strategy, futures=True), can_short=False)
    assert rules(held, terms(), D(1)).needs_steps() == "futures without shorts"
    assert rules(seat_of(strategy), terms(latency_ms=40_000), D(1)).needs_steps() == "a latency of a candle and more"
    assert run(seat_of(strategy), strategy, terms(), candles, rules=None) == (
        "limits that the compiled loop does not know"
    )


def test_a_candle_too_thin_to_fill_an_order_whole_is_left_to_the_engine() -> None:
    candles = rising(20, volume=12.0)
    strategy = Scripted(market("0.01", "0.001", futures=False), [0, 1] + [0] * 18, [0] * 10 + [1] + [0] * 9)
    seat = seat_of(strategy)
    how = terms("0.5")  # the order is for about ten, and six are to be had in each candle
    assert find_path(rules(seat, how, D(10_000)), strategy.said, candles) is None
    result = backtest(
        strategy, Frame(candles, "1m"), lambda: desk(seat, strategy, candles), how, D(10_000),
        rules=rules(seat, how, D(10_000)),
    )  # fmt: skip
    assert result.stepped is not None
    assert result.stepped.startswith("a candle too thin to fill an order whole")
    assert result.books.trades


def test_a_path_with_more_fills_than_there_is_room_for_is_found_whole() -> None:
    count = 200
    side = [1, 0] * (count // 2)
    strategy = Scripted(market("0.01", "0.001", futures=False), side, [1 - one for one in side])
    how, candles = terms(), rising(count)
    roomy = find_path(rules(seat_of(strategy), how, D(10_000)), strategy.said, candles)
    narrow = find_path(rules(seat_of(strategy), how, D(10_000)), strategy.said, candles, fills=np.empty((4, FILL)))
    assert roomy is not None and narrow is not None
    assert len(roomy.fills) > 150
    assert np.array_equal(roomy.fills, narrow.fills)


def test_a_backtest_without_a_word_of_the_strategy_keeps_its_cash() -> None:
    candles = rising(20)
    strategy = Scripted(market("0.01", "0.001", futures=False), [0] * 20, [0] * 20)
    seat, how = seat_of(strategy), terms()
    result = backtest(
        strategy, Frame(candles, "1m"), lambda: desk(seat, strategy, candles), how, D(10_000),
        rules=rules(seat, how, D(10_000)),
    )  # fmt: skip
    parts: list[Part] = result.books.parts
    assert (parts, result.books.cash, result.books.fees) == ([], D(10_000), D(0))
    assert result.equity.tolist() == [10_000.0] * 20


def test_an_entry_that_cash_does_not_reach_for_is_counted_as_refused() -> None:
    candles = rising(20)
    strategy = Scripted(market("0.01", "0.001", futures=False), [0, 1, 0, 1] + [0] * 16, [0] * 20)
    seat, how, cash = seat_of(strategy), terms(), D(10)
    compiled, stepped = (
        backtest(strategy, Frame(candles, "1m"), lambda: desk(seat, strategy, candles), how, cash, rules=given)
        for given in (rules(seat, how, cash), None)
    )
    assert (compiled.books.trades, compiled.refusals, compiled.stepped) == ([], {"insufficient_balance": 2}, None)
    assert (stepped.books.trades, set(stepped.refusals)) == ([], {"insufficient_balance"})
