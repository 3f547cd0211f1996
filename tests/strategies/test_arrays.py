"""Array strategies at recorded and at live candles say the same."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies.recorded import COLUMNS, cut, invented, read

import promethean.indicators
from promethean.domain.candles import Candle, CandleSeries, timeframe_ns
from promethean.domain.events import CandleClosed, QuoteObserved
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.market import MarketView, Quote, Side
from promethean.domain.registry import scan
from promethean.domain.signals import Signal, SignalSource, SignalType
from promethean.strategies.arrays import ArrayStrategy, Prepared, Said, Trailing
from promethean.strategies.conditional import Conditions, ConditionStrategy, Entry
from promethean.strategies.frame import Frame
from promethean.strategies.held import Held
from promethean.strategies.rsi_reversion import RsiReversion
from promethean.strategies.uses import Use

scan(promethean.indicators)
D = Decimal
BTC, ETH = InstrumentId("binance:BTCUSDT"), InstrumentId("binance:ETHUSDT")
REAL = Path("data", "ohlcv", "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet")
HOLED = Path("data", "ohlcv", "binance_spot_XRPETH_1m_2019-10.parquet")


class Scripted:
    """Says what the test says, and remembers what it was asked."""

    id, instrument, timeframe = StrategyId("scripted"), BTC, "1m"

    def __init__(self, side: list[int], leave: list[int], window: int = 100) -> None:
        self.side, self.leave, self.window = side, leave, window
        self.asked: list[int] = []

    def say(self, frame: Frame) -> Said:
        self.asked.append(len(frame))
        count = len(frame)
        side, leave = np.array(self.side[:count], np.int8), np.array(self.leave[:count], np.int8)
        return Said(side, leave, np.full(count, 0.75), {"n": np.arange(count) / 3})

    def reason(self, said: Said, at: int) -> str:
        return f"side {said.side[at]}, leave {said.leave[at]}"


def closed(candles: CandleSeries, at: int, timeframe: str = "1m", instrument: InstrumentId = BTC) -> CandleClosed:
    opened = int(candles.open_time_ns[at])
    values = [float(getattr(candles, name)[at]) for name in COLUMNS]
    end = opened + timeframe_ns(timeframe)
    return CandleClosed(Candle(instrument, timeframe, opened, end, *values), end)


def view(candles: CandleSeries, at: int, timeframe: str = "1m") -> MarketView:
    """What is known when that candle has closed."""
    return MarketView().with_series(BTC, timeframe, cut(candles, 0, at + 1))


def conditional() -> ConditionStrategy:
    """Crosses, a larger timeframe, an average and a look back; both sides and an exit."""
    uses = (
        Use("rsi", "RSI", {"period": "period"}, ("1m", "5m")),
        Use("sma", "SMA", {"period": D(20)}, ()),
        Use("bollinger", "BB", {"period": D(10)}, ("15m",)),
    )
    entries = (
        Entry(Side.BUY, "ALL", ("crosses_below(RSI_1m, low)", "RSI_5m < 60")),
        Entry(Side.SELL, "ANY", ("PRICE > SMA * 1.002 AND SMA > SMA[30]", "crosses_above(PRICE, BB_15m.upper)")),
    )
    rules = Conditions(uses, entries, "ANY", ("crosses_above(RSI_1m, high)",))
    numbers: dict[str, Decimal | bool] = {"period": D(4), "low": D(35), "high": D(65)}
    return ConditionStrategy(rules, id=StrategyId("c"), instrument=BTC, timeframe="1m", parameters=numbers)


def reversion() -> RsiReversion:
    return RsiReversion(
        id=StrategyId("r"), instrument=BTC, timeframe="1m", parameters={"rsi_period": D(6)}, can_short=True
    )


# -- recorded and live ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [conditional, reversion])
@pytest.mark.parametrize("file", [REAL, HOLED], ids=lambda path: path.stem)
def test_live_says_at_every_candle_what_the_recording_says(shared: Path, file: Path, make: Any) -> None:
    candles = cut(read(shared / file), 0, 2_400)
    strategy: ArrayStrategy = make()
    prepared, trailing = Prepared(strategy, Frame(candles, "1m")), Trailing(make())
    said = 0
    for at in range(len(candles)):
        event, now = closed(candles, at), view(candles, at)
        recorded, live = prepared.on_event(event, now), trailing.on_event(event, now)
        assert live == recorded, f"candle {at}"
        said += len(live)
        one, other = prepared.reading(now), trailing.reading(now)
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert other[name] == pytest.approx(value, rel=1e-11, nan_ok=True), (name, at)
    assert said > 100
    assert strategy.window < len(candles) - 400, "the windows that live candles are judged from end before the past"


def test_live_judges_a_candle_from_the_trailing_window_alone() -> None:
    candles = invented(1, 3_000)
    trailing = Trailing(conditional())
    long, short = view(candles, 2_999), MarketView().with_series(BTC, "1m", candles.tail(trailing.window))
    event = closed(candles, 2_999)
    assert Trailing(conditional()).on_event(event, long) == trailing.on_event(event, short)


def test_live_asks_once_for_a_candle_however_often_it_is_read() -> None:
    candles = invented(1, 20)
    strategy = Scripted([0] * 20, [0] * 20, window=6)
    trailing, now = Trailing(strategy), view(candles, 9)
    for _ in range(3):
        trailing.on_event(closed(candles, 9), now)
        trailing.reading(now)
    assert strategy.asked == [6]
    trailing.reading(view(candles, 10))
    assert strategy.asked == [6, 6]


# -- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "leave", "kinds"),
    [
        (0, 0, []),
        (1, 0, [SignalType.BUY]),
        (-1, 0, [SignalType.SELL]),
        (0, 1, [SignalType.CLOSE]),
        (1, 1, [SignalType.CLOSE, SignalType.BUY]),
        (-1, 1, [SignalType.CLOSE, SignalType.SELL]),
    ],
)
def test_a_candle_raises_what_is_said_there_with_its_reason_and_its_readings(
    side: int, leave: int, kinds: list[SignalType]
) -> None:
    candles = invented(1, 3)
    strategy = Scripted([0, side, 0], [0, leave, 0])
    raised = Prepared(strategy, Frame(candles, "1m")).on_event(closed(candles, 1), view(candles, 1))
    end = int(candles.open_time_ns[1]) + 60 * 10**9
    reason, values = f"side {side}, leave {leave}", {"n": "0.333333"}
    assert list(raised) == [
        Signal(kind, SignalSource.TECHNICAL, 0.75, reason, BTC, "1m", end, StrategyId("scripted"), values)
        for kind in kinds
    ]
    live = Scripted([0, side], [0, leave])
    assert list(Trailing(live).on_event(closed(candles, 1), view(candles, 1))) == list(raised)


def test_the_candles_at_which_something_is_said_are_numbered() -> None:
    prepared = Prepared(Scripted([0, 1, 0, 0, -1], [0, 0, 1, 0, 1]), Frame(invented(1, 5), "1m"))
    assert prepared.spoken.tolist() == [1, 2, 4]


def test_other_markets_other_timeframes_and_quotes_do_not_concern_it() -> None:
    candles = invented(1, 3)
    strategy = Scripted([1, 1, 1], [0, 0, 0])
    now = view(candles, 1)
    for speaking in (Prepared(strategy, Frame(candles, "1m")), Trailing(strategy)):
        assert not speaking.on_event(closed(candles, 1, instrument=ETH), now)
        assert not speaking.on_event(closed(candles, 1, timeframe="5m"), now)
        assert not speaking.on_event(QuoteObserved(Quote(BTC, 1.0, 2.0, 1.5, 5), 5), now)
        assert speaking.on_event(closed(candles, 1), now)


def test_a_candle_that_the_recording_does_not_have_says_nothing() -> None:
    candles = invented(1, 5)
    prepared = Prepared(Scripted([1] * 4, [0] * 4), Frame(cut(candles, 0, 4), "1m"))
    assert prepared.on_event(closed(candles, 4), view(candles, 4)) == ()


def test_before_the_first_candle_there_is_nothing_to_read() -> None:
    prepared = Prepared(Scripted([1, 1], [0, 0]), Frame(invented(1, 2), "1m"))
    assert np.isnan(prepared.reading(MarketView())["n"])
    assert Trailing(Scripted([], [])).reading(MarketView()) == {}


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_prepared_reads_at_every_candle_what_was_known_there(seed: int, count: int) -> None:
    candles = invented(seed, count, holes=0.3)
    prepared = Prepared(Scripted([0] * count, [0] * count), Frame(candles, "1m"))
    for at in range(len(candles)):
        assert prepared.reading(view(candles, at)) == {"n": at / 3}


def test_a_strategy_is_told_by_what_it_can_do() -> None:
    assert isinstance(conditional(), ArrayStrategy)
    assert isinstance(reversion(), ArrayStrategy)
    assert not isinstance(Prepared(conditional(), Frame(invented(1, 5), "1m")), ArrayStrategy)


# -- conditions on the open position ----------------------------------------------------------------------------------


def leaving() -> ConditionStrategy:
    uses = (Use("rsi", "RSI", {"period": D(4)}, ("1m", "5m")), Use("sma", "SMA", {"period": D(20)}, ()))
    exits = ("PNL_PCT > 0.2 AND RSI_5m > 50", "crosses_below(SMA, ENTRY_PRICE)", "PRICE[2] < SMA AND BARS_HELD > 3")
    rules = Conditions(uses, (Entry(Side.BUY, "ALL", ("RSI < 30",)),), "ANY", exits)
    return ConditionStrategy(rules, id=StrategyId("l"), instrument=BTC, timeframe="1m", parameters={})


@pytest.mark.parametrize("file", [REAL, HOLED], ids=lambda path: path.stem)
def test_live_leaves_a_position_at_every_candle_where_the_recording_does(shared: Path, file: Path) -> None:
    candles = cut(read(shared / file), 0, 1_500)
    prepared, trailing = Prepared(leaving(), Frame(candles, "1m")), Trailing(leaving())
    left = 0
    for at in range(len(candles)):
        event, now = closed(candles, at), view(candles, at)
        entry = float(candles.close[at - 7])
        for gain, bars in ((0.3, 1.0), (-0.3, 1.0), (-0.3, 4.0)):
            held = Held(entry, gain, bars)
            recorded = prepared.leaves(event, now, held)
            assert trailing.leaves(event, now, held) == recorded, f"candle {at}"
            left += recorded is not None
    assert 500 < left < 3_000
    assert prepared.unanswered > 0 and prepared.unknown > prepared.unanswered


def test_who_has_no_such_condition_leaves_nothing() -> None:
    candles, held = invented(1, 30), Held(1.0, 50.0, 9.0)
    for speaking in (Prepared(conditional(), Frame(candles, "1m")), Trailing(conditional())):
        assert speaking.leaves(closed(candles, 20), view(candles, 20), held) is None
    assert not Prepared(conditional(), Frame(candles, "1m")).reads_position


def test_candles_of_others_and_those_that_the_recording_lacks_leave_nothing() -> None:
    candles, held = invented(1, 30), Held(1.0, 50.0, 9.0)
    prepared = Prepared(leaving(), Frame(cut(candles, 0, 29), "1m"))
    assert prepared.leaves(closed(candles, 28), view(candles, 28), held) is not None
    assert prepared.leaves(closed(candles, 29), view(candles, 29), held) is None
    for speaking in (prepared, Trailing(leaving())):
        assert speaking.leaves(closed(candles, 28, instrument=ETH), view(candles, 28), held) is None
        assert speaking.leaves(closed(candles, 28, timeframe="5m"), view(candles, 28), held) is None
