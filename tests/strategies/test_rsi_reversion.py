"""rsi_reversion: candles in, signals out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promethean.domain.candles import Candle, CandleSeries
from promethean.domain.errors import ConfigError
from promethean.domain.events import CandleClosed, QuoteObserved
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.market import MarketView, Quote
from promethean.domain.signals import Signal, SignalSource, SignalType
from promethean.indicators.momentum.rsi import rsi, rsi_window
from promethean.strategies.arrays import Trailing
from promethean.strategies.catalogue import STRATEGIES
from promethean.strategies.rsi_reversion import PERIOD_MAX, RsiReversion

BTC, ETH = InstrumentId("binance:BTCUSDT"), InstrumentId("binance:ETHUSDT")
MINUTE_NS = 60 * 10**9
REAL = Path("data", "ohlcv", "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet")


def reversion(*, can_short: bool = False, **parameters: Any) -> RsiReversion:
    return RsiReversion(
        id=StrategyId("rsi-btc-1m"),
        instrument=BTC,
        timeframe="1m",
        parameters={name: value if isinstance(value, bool) else Decimal(value) for name, value in parameters.items()},
        can_short=can_short,
    )


def listening(**parameters: Any) -> Trailing:
    return Trailing(reversion(**parameters))


def candle(number: int, close: float, instrument: InstrumentId = BTC, timeframe: str = "1m") -> Candle:
    start = number * MINUTE_NS
    return Candle(instrument, timeframe, start, start + MINUTE_NS, close, close, close, close, 1.0)


def run(strategy: RsiReversion, closes: Iterable[float], view: MarketView | None = None) -> list[Sequence[Signal]]:
    """The signals raised at each of these closes."""
    view, raised, speaking = view or MarketView(), [], Trailing(strategy)
    for number, close in enumerate(closes):
        made = candle(number, close)
        view = view.with_candle(made)
        raised.append(speaking.on_event(CandleClosed(made, made.close_time_ns), view))
    return raised


def only(raised: Sequence[Signal]) -> Signal:
    assert len(raised) == 1
    return raised[0]


# RSI(2) of these closes, by hand: -, -, 66.7, 88.9, 61.5, 27.6, 10.4, 74.3
CLOSES = [10.0, 11.0, 10.5, 12.0, 11.5, 10.5, 9.0, 12.0]


def rsi2(place: int) -> float:
    return float(rsi(np.array(CLOSES), 2)[place])


# -- signals ----------------------------------------------------------------------------------------------------------


def test_it_buys_when_oversold_and_closes_when_overbought_on_spot() -> None:
    raised = run(reversion(rsi_period=2), CLOSES)
    kinds = [[signal.type for signal in signals] for signals in raised]
    # Nothing at the third close: two values are needed before the first decision.
    assert kinds == [[], [], [], [SignalType.CLOSE], [], [SignalType.BUY], [SignalType.BUY], [SignalType.CLOSE]]


def test_it_sells_when_overbought_on_futures() -> None:
    raised = run(reversion(rsi_period=2, can_short=True), CLOSES)
    kinds = [signal.type for signals in raised for signal in signals]
    assert kinds == [SignalType.SELL, SignalType.BUY, SignalType.BUY, SignalType.SELL]


def test_with_confirm_it_acts_when_the_rsi_comes_back_out_of_its_zone() -> None:
    raised = run(reversion(rsi_period=2, confirm=True), CLOSES)
    assert [[signal.type for signal in signals] for signals in raised[4:]] == [
        [SignalType.CLOSE],
        [],
        [],
        [SignalType.BUY],
    ]
    assert not any(raised[:4])
    back = only(raised[7])
    assert back.reason == f"RSI(2) came back to {rsi2(7):.2f} from {rsi2(6):.2f}, below 30"
    assert back.confidence == pytest.approx(
        0.6 + 0.4 * (30 - rsi2(6)) / 30, abs=1e-6
    )  # how far out it was, not where it is now


def test_the_confidence_grows_from_the_default_threshold_with_the_depth() -> None:
    raised = run(reversion(rsi_period=2), CLOSES)
    assert only(raised[6]).confidence == pytest.approx(0.6 + 0.4 * (30 - rsi2(6)) / 30, abs=1e-6)
    assert only(raised[3]).confidence == pytest.approx(0.6 + 0.4 * (rsi2(3) - 70) / 30, abs=1e-6)
    levels = run(reversion(rsi_period=2, oversold=20, overbought=60), CLOSES)
    assert only(levels[6]).confidence == pytest.approx(0.6 + 0.4 * (20 - rsi2(6)) / 20, abs=1e-6)
    assert only(levels[3]).confidence == pytest.approx(0.6 + 0.4 * (rsi2(3) - 60) / 40, abs=1e-6)


@pytest.mark.parametrize(("step", "kind"), [(-0.1, SignalType.BUY), (0.1, SignalType.CLOSE)])
def test_a_market_that_goes_one_way_alone_gives_full_confidence(step: float, kind: SignalType) -> None:
    last = only(run(reversion(), [100 + step * number for number in range(20)])[-1])
    assert (last.type, last.confidence) == (kind, 1.0)


def test_a_signal_says_where_it_comes_from_and_why() -> None:
    signal = only(run(reversion(rsi_period=2), CLOSES)[5])
    assert (signal.source, signal.strategy, signal.instrument) == (SignalSource.TECHNICAL, "rsi-btc-1m", BTC)
    assert (signal.timeframe, signal.at_ns) == ("1m", 6 * MINUTE_NS)
    assert signal.reason == f"RSI(2) is {rsi2(5):.2f}, below 30"
    assert dict(signal.metadata) == {"RSI(2)": f"{rsi2(5):.6f}"}


def test_the_level_itself_is_no_trigger() -> None:
    level = Decimal(repr(rsi2(6)))  # the lowest value there is
    kinds = [signal.type for signals in run(reversion(rsi_period=2, oversold=level), CLOSES) for signal in signals]
    assert SignalType.BUY not in kinds


def test_too_few_candles_say_nothing() -> None:
    falling = [100.0 - number for number in range(16)]
    raised = run(reversion(), falling)
    assert not any(raised[:15])
    assert only(raised[15]).type is SignalType.BUY
    assert run(reversion(), []) == []


def test_a_market_that_stands_still_says_nothing() -> None:
    assert not any(run(reversion(), [100.0] * 200))


@pytest.mark.parametrize(("instrument", "timeframe"), [(ETH, "1m"), (BTC, "5m")])
def test_another_instrument_or_timeframe_says_nothing(instrument: InstrumentId, timeframe: str) -> None:
    view = MarketView()
    for number in range(20):
        view = view.with_candle(candle(number, 100.0 - number))
    other = candle(30, 50.0, instrument, timeframe)
    assert not listening().on_event(CandleClosed(other, other.close_time_ns), view.with_candle(other))


def test_a_quote_says_nothing() -> None:
    view = MarketView()
    for number in range(20):
        view = view.with_candle(candle(number, 100.0 - number))
    quote = Quote(BTC, 79.0, 81.0, 80.0, 30 * MINUTE_NS)
    assert not listening().on_event(QuoteObserved(quote, quote.at_ns), view.with_quote(quote))


def test_people_read_the_rsi_it_looks_at() -> None:
    view = MarketView()
    assert listening(rsi_period=2).reading(view) == {}
    for number, close in enumerate(CLOSES):
        view = view.with_candle(candle(number, close))
    assert listening(rsi_period=2).reading(view) == {"RSI(2)": rsi2(-1)}


@given(st.lists(st.integers(1, 40), max_size=40), st.booleans(), st.booleans())
def test_the_same_candles_always_give_the_same_signals(ticks: list[int], confirm: bool, can_short: bool) -> None:
    closes = [tick * 0.5 for tick in ticks]
    first, again = (run(reversion(rsi_period=3, confirm=confirm, can_short=can_short), closes) for _ in range(2))
    assert first == again
    for signal in itertools.chain(*first):
        assert 0.6 <= signal.confidence <= 1.0


@pytest.mark.parametrize("confirm", [False, True])
def test_on_real_prices_the_trailing_window_gives_the_signals_of_the_whole_history(shared: Path, confirm: bool) -> None:
    table = pq.read_table(shared / REAL)
    closes = table["close"].to_numpy()[:20_000]
    raised = run(reversion(confirm=confirm), closes.tolist())
    value = rsi(closes)
    before = np.concatenate([[np.nan], value[:-1]])
    if confirm:
        buys, sells = (before < 30) & (value >= 30), (before > 70) & (value <= 70)
    else:
        buys, sells = value < 30, value > 70
    buys[:15] = sells[:15] = False  # two values are needed
    told = {place: only(signals).type for place, signals in enumerate(raised) if signals}
    expected = dict.fromkeys(np.flatnonzero(buys).tolist(), SignalType.BUY)
    expected |= dict.fromkeys(np.flatnonzero(sells).tolist(), SignalType.CLOSE)
    assert told == expected
    assert len(told) > 100
    assert all(0.6 <= signal.confidence <= 1.0 for signals in raised for signal in signals)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(st.integers(1, 40), st.integers(1, 4000)), max_size=4))
def test_what_it_says_does_not_depend_on_when_it_began_to_look(seed: int, gaps: list[tuple[int, int]]) -> None:
    """A process that starts in the middle, with the history in place, gives the same to the last bit."""
    random = np.random.default_rng(seed)
    closes = np.round(100 * np.exp(np.cumsum(random.normal(0, 1e-3, 400))), 2).tolist()
    missing = dict(gaps)
    number, view, going = int(random.integers(0, 5000)), MarketView(), listening(rsi_period=5)
    for place, close in enumerate(closes):
        number += 1 + missing.get(place, 0)
        made = candle(number, close)
        view = view.with_candle(made)
        event = CandleClosed(made, made.close_time_ns)
        said = going.on_event(event, view)
        if place % 7 == 0 or place < 60:
            fresh = listening(rsi_period=5)
            assert fresh.on_event(event, view) == said
            now, then = (each.reading(view)["RSI(5)"] for each in (going, fresh))
            assert now == then or (math.isnan(now) and math.isnan(then))


# -- parameters -------------------------------------------------------------------------------------------------------


def test_it_is_registered_under_the_name_that_files_use() -> None:
    assert STRATEGIES.get("rsi_reversion") is RsiReversion


def test_its_window_always_fits_into_the_candles_that_a_view_keeps() -> None:
    largest = reversion(rsi_period=PERIOD_MAX)
    assert rsi_window(PERIOD_MAX) < largest.window <= CandleSeries().keep < largest.window + rsi_window(1)


def test_an_unknown_parameter_answers_with_the_closest() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown parameter of rsi_reversion 'overbougth'; did you mean 'overbought'"
    ):
        reversion(overbougth=70)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rsi_period": "1"}, "rsi_period is 1; write a whole number from 2 to 78"),
        ({"rsi_period": "79"}, "rsi_period is 79; write a whole number from 2 to 78"),
        ({"rsi_period": "14.5"}, "rsi_period is 14.5; write a whole number"),
        ({"rsi_period": "NaN"}, "rsi_period is NaN; write a whole number"),
        ({"rsi_period": True}, "rsi_period is True; write a whole number"),
        ({"oversold": "0"}, "oversold is 0; an RSI level lies between 0 and 100"),
        ({"oversold": True}, "oversold is True; an RSI level lies between 0 and 100"),
        ({"overbought": "100"}, "overbought is 100; an RSI level lies between 0 and 100"),
        ({"oversold": "70", "overbought": "70"}, r"oversold is 70, not below parameters.overbought \(70\)"),
        ({"confirm": "1"}, "confirm is 1; write true or false"),
    ],
)  # fmt: skip
def test_a_parameter_out_of_range_is_refused_with_value_limit_and_remedy(parameters: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"parameters.{message}"):
        reversion(**parameters)


@pytest.mark.parametrize("name", ["rsi_period", "oversold", "confirm"])
def test_text_is_no_parameter(name: str) -> None:
    parameters: Any = {name: "14%"}
    with pytest.raises(ConfigError, match=f"parameters.{name} is 14%"):
        RsiReversion(id=StrategyId("s"), instrument=BTC, timeframe="1m", parameters=parameters, can_short=False)
