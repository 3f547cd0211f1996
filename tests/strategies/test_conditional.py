"""Strategies made of conditions: what they say at every candle, why, and with which numbers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies.recorded import COLUMNS, MONDAY_NS, cut, invented, paths

import promethean.indicators
from promethean.domain.candles import KEPT, Candle, CandleSeries, FloatArray
from promethean.domain.errors import ConfigError
from promethean.domain.events import CandleClosed
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.market import MarketView, Side
from promethean.domain.registry import scan
from promethean.domain.signals import SignalType
from promethean.engine.combined import Alone, Combined, Part
from promethean.engine.decide import Aggregation
from promethean.indicators.catalogue import INDICATORS
from promethean.indicators.momentum.rsi import rsi
from promethean.indicators.trend.regime import REGIMES, regime
from promethean.indicators.volume.vwap import OF_CANDLES
from promethean.strategies.arrays import Prepared, Said, remarks_of
from promethean.strategies.atr_stop import AtrStop, WithAtrStop
from promethean.strategies.conditional import Conditions, ConditionStrategy, Entry
from promethean.strategies.frame import Frame
from promethean.strategies.held import Held
from promethean.strategies.schedule import Schedule, Scheduled
from promethean.strategies.uses import Use

scan(promethean.indicators)
D = Decimal
BTC = InstrumentId("binance:BTCUSDT")
RSI = Use("rsi", "RSI", {"period": "period"}, ())
NUMBERS = {"period": D(3), "low": D(30), "high": D(70)}
BUY, SELL = Entry(Side.BUY, "ALL", ("RSI < low",)), Entry(Side.SELL, "ALL", ("RSI > high",))


def made(
    entries: tuple[Entry, ...] = (BUY,),
    exits: tuple[str, ...] = (),
    uses: tuple[Use, ...] = (RSI,),
    parameters: Mapping[str, Decimal | bool] = NUMBERS,
    timeframe: str = "1m",
) -> ConditionStrategy:
    rules = Conditions(uses, entries, "ANY", exits)
    return ConditionStrategy(
        rules, id=StrategyId("s"), instrument=BTC, timeframe=timeframe, parameters=dict(parameters)
    )


def buying(*conditions: str, mode: str = "ALL", uses: tuple[Use, ...] = (), **parameters: int) -> ConditionStrategy:
    numbers = {name: D(value) for name, value in parameters.items()}
    return made((Entry(Side.BUY, mode, conditions),), uses=uses, parameters=numbers)


def of_closes(*closes: float) -> Frame:
    values = np.array(closes, np.float64)
    times = MONDAY_NS + 60 * 10**9 * np.arange(len(values))
    return Frame(CandleSeries.from_columns(times, (values, values, values, values, np.ones(len(values)))), "1m")


def assert_says_the_same(one: Said, other: Said) -> None:
    assert np.array_equal(one.side, other.side)
    assert np.array_equal(one.leave, other.leave)
    assert np.array_equal(one.confidence, other.confidence)
    assert one.unknown == other.unknown
    assert one.readings.keys() == other.readings.keys()
    assert all(np.array_equal(one.readings[name], other.readings[name], equal_nan=True) for name in one.readings)


# -- what it says -----------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(paths(), st.integers(2, 20), st.integers(20, 50), st.integers(50, 80))
def test_it_says_what_a_loop_over_the_candles_would_say(
    candles: CandleSeries, period: int, low: int, high: int
) -> None:
    entries = (Entry(Side.BUY, "ALL", ("crosses_below(RSI, low)",)),)
    strategy = made(
        entries, ("crosses_above(RSI, high)",), parameters={"period": D(period), "low": D(low), "high": D(high)}
    )
    said = strategy.say(Frame(candles, "1m"))
    values = rsi(candles.close, period)
    for at in range(len(candles)):
        before = values[at - 1] if at else np.nan
        assert said.side[at] == (before >= low and values[at] < low)
        assert said.leave[at] == (before <= high and values[at] > high)
    assert (said.confidence == 1.0).all()
    assert np.array_equal(said.readings["RSI"], values, equal_nan=True)


def test_two_entries_are_two_sides_and_both_at_once_are_neither() -> None:
    strategy = made(
        (Entry(Side.BUY, "ALL", ("PRICE > 10",)), Entry(Side.SELL, "ALL", ("PRICE > 20 OR PRICE < 5",))),
        uses=(), parameters={},
    )  # fmt: skip
    assert strategy.say(of_closes(8, 15, 25, 4)).side.tolist() == [0, 1, 0, -1]


def test_a_sell_alone_is_minus_one() -> None:
    strategy = made((Entry(Side.SELL, "ALL", ("PRICE > 10",)),), uses=(), parameters={})
    assert strategy.say(of_closes(8, 15)).side.tolist() == [0, -1]


@pytest.mark.parametrize(
    ("mode", "expected"), [("ALL", [0, 0, 1]), ("AND", [0, 0, 1]), ("ANY", [0, 1, 1]), ("OR", [0, 1, 1])]
)
def test_the_mode_joins_the_conditions(mode: str, expected: list[int]) -> None:
    strategy = buying("PRICE > 10", "PRICE > 20", mode=mode)
    assert strategy.say(of_closes(5, 15, 25)).side.tolist() == expected


def test_without_an_exit_nothing_is_asked_to_leave() -> None:
    assert made().say(Frame(invented(1, 50), "1m")).leave.tolist() == [0] * 50


def test_the_candle_itself_and_the_hour_are_names() -> None:
    candles = invented(2, 200, start_ns=MONDAY_NS + 59 * 60 * 10**9)
    for name, column in {"PRICE": "close", "OPEN": "open", "HIGH": "high", "LOW": "low", "VOLUME": "volume"}.items():
        said = buying(f"{name} > 0").say(Frame(candles, "1m"))
        assert np.array_equal(said.readings[name], getattr(candles, column))
    hours = buying("HOUR >= 1").say(Frame(candles, "1m")).readings["HOUR"]
    assert hours.tolist() == [0.0] + [1.0] * 60 + [2.0] * 60 + [3.0] * 60 + [4.0] * 19


def test_an_indicator_is_known_by_its_timeframe_its_fields_and_its_alias() -> None:
    uses = (Use("macd", "MACD", {"fast": D(3), "slow": D(6)}, ("1m", "5m")),)
    frame = Frame(invented(3, 300), "1m")
    names = ("MACD", "MACD_1m", "MACD_5m", "MACD.histogram", "MACD_1m.histogram", "MACD_5m.histogram")
    said = buying(*(f"{name} > 0" for name in names), uses=uses).say(frame)
    histogram = INDICATORS.get("macd").outputs.index("histogram")
    parameters = {"fast": 3, "slow": 6}
    for name in names:
        outputs = frame.indicator("macd", parameters, "5m" if "5m" in name else "1m")
        expected = outputs[histogram if "histogram" in name else 0]
        assert np.array_equal(said.readings[name], expected, equal_nan=True), name


def test_an_indicator_without_a_timeframe_follows_the_candles() -> None:
    strategy = made((Entry(Side.BUY, "ALL", ("RSI_5m < low", "RSI < 100")),), timeframe="5m")
    candles = invented(1, 60, "5m")
    assert np.array_equal(strategy.say(Frame(candles, "5m")).readings["RSI"], rsi(candles.close, 3), equal_nan=True)


def test_what_cannot_be_answered_is_not_met_and_counted() -> None:
    assert made(exits=("RSI > high",)).say(of_closes(10, 11, 12, 11, 10, 9)).unknown == 3 + 3
    said = buying("1 / (PRICE - 10) > 0").say(of_closes(10, 11, 10, 9))
    assert (said.side.tolist(), said.unknown) == ([0, 1, 0, 0], 2)


# -- why --------------------------------------------------------------------------------------------------------------


def test_the_reason_names_the_condition_with_the_values_that_it_read() -> None:
    strategy = made((BUY, SELL), ("PRICE > 100",))
    frame = of_closes(10, 11, 12, 13, 9, 8, 150)
    said = strategy.say(frame)
    values: FloatArray = said.readings["RSI"]
    assert said.side.tolist() == [0, 0, 0, -1, 0 if values[4] >= 30 else 1, 1, -1]
    assert strategy.reason(said, 3) == "RSI > high: RSI 100, high 70"
    assert strategy.reason(said, 5) == f"RSI < low: RSI {values[5]:.6g}, low 30"
    assert strategy.reason(said, 6) == "PRICE > 100: PRICE 150"


# -- no look-ahead ----------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(paths(), st.data())
def test_nothing_that_was_said_changes_when_later_candles_come(candles: CandleSeries, data: st.DataObject) -> None:
    uses = (
        Use("rsi", "RSI", {"period": "period"}, ("1m", "5m")),
        Use("macd", "MACD", {"fast": D(3), "slow": D(6)}, ("15m",)),
        Use("supertrend", "ST", {"period": D(4)}, ()),
    )
    strategy = made(
        (
            Entry(Side.BUY, "ANY", ("crosses_below(RSI_1m, low)", "MACD_15m.histogram > MACD_15m.histogram[15]")),
            Entry(Side.SELL, "ALL", ("RSI_5m > 50", "PRICE < ST")),
        ),
        ("RSI > high AND HOUR < 3",), uses,
    )  # fmt: skip
    whole = strategy.say(Frame(candles, "1m"))
    stop = data.draw(st.integers(0, len(candles)))
    early = strategy.say(Frame(cut(candles, 0, stop), "1m"))
    assert np.array_equal(whole.side[:stop], early.side)
    assert np.array_equal(whole.leave[:stop], early.leave)
    for name in early.readings:
        assert np.array_equal(whole.readings[name][:stop], early.readings[name], equal_nan=True), name


# -- other numbers ----------------------------------------------------------------------------------------------------

numbers = st.fixed_dictionaries(
    {"period": st.integers(2, 30).map(D), "low": st.integers(10, 50).map(D), "high": st.integers(50, 90).map(D)}
)


@settings(max_examples=60)
@given(paths(), st.lists(numbers, min_size=1, max_size=4))
def test_other_parameters_are_a_strategy_built_anew(candles: CandleSeries, several: list[dict[str, Decimal]]) -> None:
    """Over one frame, as a sweep does it: nothing that is kept belongs to other numbers."""
    entries = (Entry(Side.BUY, "ALL", ("crosses_below(RSI, low)", "RSI[1] > low / 2")), SELL)
    exits = ("crosses_above(RSI, high)", "RSI > 99")
    first, shared = made(entries, exits), Frame(candles, "1m")
    for one in several:
        changed, anew = first.at(one), made(entries, exits, parameters=one)
        assert_says_the_same(changed.say(shared), anew.say(Frame(candles, "1m")))
        assert changed.window == anew.window
    assert_says_the_same(first.say(shared), made(entries, exits).say(Frame(candles, "1m")))


def test_two_strategies_over_one_frame_keep_apart_what_they_call_the_same() -> None:
    frame = Frame(invented(5, 200), "1m")
    for name in ("rsi", "roc"):
        uses = (Use(name, "X", {"period": D(5)}, ()),)
        strategy = buying("X > 1", uses=uses)
        assert_says_the_same(strategy.say(frame), strategy.say(Frame(frame.candles, "1m")))


# -- what needs no declaration ----------------------------------------------------------------------------------------


def test_vwap_and_an_indicator_by_its_period_are_what_a_declaration_of_them_says() -> None:
    frame = Frame(invented(3, 4_000), "1m")
    uses = (
        Use("vwap", "V", {}, ()),
        Use("ema", "E", {"period": D(21)}, ()),
        Use("rsi", "R", {"period": D(9)}, ("5m",)),
        Use("adx", "A", {"period": D(14)}, ()),
    )
    short = "PRICE > VWAP.lower AND VWAP < VWAP[1] AND EMA_21_1m > EMA_21[2] AND RSI_9_5m > 40 AND ADX_14.plus_di > 10"
    long = "PRICE > V.lower AND V < V[1] AND E_1m > E[2] AND R_5m > 40 AND A.plus_di > 10"
    implied, declared = buying(short), buying(long, uses=uses)
    said = implied.say(frame)
    assert 0 < said.side.sum() < len(frame)
    assert np.array_equal(said.side, declared.say(frame).side)
    assert said.unknown == declared.say(frame).unknown
    assert implied.window == declared.window
    assert implied.unbounded == ()


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("VWAP > 1", Use("sma", "VWAP", {"period": D(2)}, ())),
        ("EMA_21 > 1", Use("sma", "EMA_21", {"period": D(2)}, ())),
        ("EMA_21_1m > 1", Use("sma", "EMA_21_1m", {"period": D(2)}, ())),
    ],
)
def test_a_declared_alias_goes_before_what_needs_no_declaration(text: str, use: Use) -> None:
    strategy, (name, _, _) = buying(text, uses=(use,)), text.split()
    said = strategy.say(of_closes(2, 4, 6))
    assert np.array_equal(said.readings[name], [np.nan, 3, 5], equal_nan=True)


def test_nothing_is_implied_beside_an_alias_that_means_something_else() -> None:
    with pytest.raises(ConfigError, match="unknown name 'EMA_21_1h'; did you mean 'EMA_21_1m'"):
        buying("EMA_21_1h > 1", uses=(Use("sma", "EMA_21", {"period": D(2)}, ()),))


def test_a_declared_indicator_may_be_read_on_another_timeframe_too() -> None:
    frame = Frame(invented(3, 400), "1m")
    hourly = (Use("ema", "EMA_5", {"period": D(5)}, ("1h",)), Use("vwap", "VWAP", {}, ("1h",)))
    said = buying("EMA_5_1h > 0 AND EMA_5 > 0 AND VWAP_1h > 0 AND VWAP > 0", uses=hourly).say(frame)
    assert np.array_equal(
        said.readings["EMA_5"], buying("EMA_5_1m > 0").say(frame).readings["EMA_5_1m"], equal_nan=True
    )
    assert not np.array_equal(said.readings["VWAP"], said.readings["VWAP_1h"], equal_nan=True)


def test_a_parameter_of_the_file_keeps_its_name() -> None:
    strategy = buying("PRICE > EMA_2 AND PRICE > VWAP", EMA_2=3, VWAP=5)
    assert strategy.say(of_closes(4, 6)).side.tolist() == [0, 1]


def test_only_what_is_read_without_declaration_counts_for_the_window() -> None:
    assert buying("PRICE > 1").window == 1
    assert buying("VWAP > 1").window == 1441
    assert buying("VWAP[3] > 1").window == 1444
    assert made((Entry(Side.BUY, "ALL", ("VWAP > 1",)),), uses=(), parameters={}, timeframe="1h").window == 25
    needed = INDICATORS.get("ema").window
    assert needed is not None
    assert buying("EMA_21_5m > 1").window == (needed(period=21) + 1) * 5


def test_a_trailing_window_says_what_the_whole_history_says_of_the_vwap_of_the_day() -> None:
    candles, strategy = invented(5, 5_000, holes=0.01), buying("PRICE > VWAP AND VWAP.position[2] < 0.6")
    whole = strategy.say(Frame(candles, "1m"))
    assert 0 < whole.side.sum() < len(candles)
    for at in range(strategy.window, len(candles), 61):
        said = strategy.say(Frame(cut(candles, at + 1 - strategy.window, at + 1), "1m"))
        assert said.side[-1] == whole.side[at]
        assert all(np.array_equal(said.readings[n][-1], whole.readings[n][at], equal_nan=True) for n in whole.readings)


def test_a_vwap_that_no_day_begins_anew_is_still_unbounded() -> None:
    anchored = Use("vwap", "VWAP", {"window": "anchored"}, ())
    assert buying("VWAP > 1", uses=(anchored,)).unbounded == ("VWAP",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SPREAD < 1", "SPREAD needs order books, which conditions do not read yet; remove it"),
        ("FUNDING[1] > 0", "FUNDING needs funding rates, which conditions do not read yet; remove it"),
        ("LSTM_PREDICTION > 0.6", "LSTM_PREDICTION needs a model, which conditions do not read yet; remove it"),
        ("VWPA > 1", "unknown name 'VWPA'; did you mean 'VWAP'"),
        ("VWAP.uper > 1", "unknown name 'VWAP.uper'; did you mean 'VWAP.upper'"),
        ("ADX_14.plus > 1", "unknown name 'ADX_14.plus'; did you mean 'ADX_14.plus_di'"),
        ("EMAA_21 > 1", "unknown name 'EMAA_21'"),
        ("MACD_21 > 1", "unknown name 'MACD_21'"),
        ("EMA_21_7m > 1", "unknown name 'EMA_21_7m'"),
        ("EMA_21_1s > 1", "indicator EMA_21 reads candles of 1s, which cannot be built from those of 1m"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_what_it_needs_or_the_closest(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        buying(text)
    assert said in str(caught.value)


# -- windows ----------------------------------------------------------------------------------------------------------


def test_the_window_holds_what_every_indicator_needs_and_what_is_looked_back_to() -> None:
    def window(period: int) -> int:
        needed = INDICATORS.get("sma").window
        assert needed is not None
        return needed(period=period)

    sma = Use("sma", "SMA", {"period": "n"}, ("1m",))
    assert buying("PRICE > 1").window == 1
    assert buying("PRICE > PRICE[7]").window == 8
    assert buying("SMA > SMA[7]", uses=(sma,), n=30).window >= window(30) + 7
    hourly = Use("sma", "SMA", {"period": "n"}, ("1h",))
    assert buying("SMA_1h > 1", uses=(hourly,), n=5).window >= window(5) * 60 + 59
    assert made(parameters={**NUMBERS, "period": D(20)}).window == made().at({**NUMBERS, "period": D(20)}).window


def test_an_indicator_that_continues_from_a_state_sees_all_that_is_kept() -> None:
    assert buying("PRICE > ST", uses=(Use("supertrend", "ST", {}, ()),)).window >= KEPT


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uses", "condition", "said"),
    [
        ((RSI,), "RSJ < low", "unknown name 'RSJ'; did you mean 'RSI'"),
        ((RSI, RSI), "RSI < low", "two indicators are called RSI_1m; give one another name with `as`"),
        ((Use("rsii", "RSI", {}, ()),), "RSI < low", "unknown indicator 'rsii'; did you mean 'rsi'"),
        ((Use("rsi", "low", {}, ()),), "low < 5", "parameter 'low' has the name of a series"),
        ((Use("rsi", "RSI", {"period": D("2.5")}, ()),), "RSI < low", "period is 2.5; write a whole number"),
    ],
)
def test_a_mistake_is_said_at_once(uses: Any, condition: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made((Entry(Side.BUY, "ALL", (condition,)),), uses=uses)


def test_numbers_that_an_indicator_refuses_are_a_mistake_of_the_set_up() -> None:
    with pytest.raises(ConfigError, match="indicator RSI: the period of an RSI is at least 1, not 0"):
        made().at({**NUMBERS, "period": D(0)}).say(Frame(invented(1, 5), "1m"))
    with pytest.raises(ConfigError, match="indicator RSI reads candles of 1m, which cannot be built from those of 5m"):
        finer = made(
            (Entry(Side.BUY, "ALL", ("RSI_1m < low",)),), uses=(Use("rsi", "RSI", {}, ("1m",)),), timeframe="5m"
        )
        finer.say(Frame(invented(1, 9, "5m"), "5m"))


def test_every_column_of_a_candle_has_a_name() -> None:
    assert set(COLUMNS) == {"open", "high", "low", "close", "volume"}
    assert buying("PRICE > LOW", "VOLUME > 0", "OPEN <= HIGH").say(Frame(invented(1, 9), "1m")).unknown == 0


# -- the regime -------------------------------------------------------------------------------------------------------


def test_a_regime_is_compared_with_its_name() -> None:
    candles = invented(5, 4000, "1h")
    codes = regime(candles.open_time_ns, candles.high, candles.low, candles.close, candles.volume)
    frame = Frame(candles, "1h")
    is_trend = (codes == REGIMES.index("trend_up")) | (codes == REGIMES.index("trend_down"))
    strategy = made(
        (Entry(Side.BUY, "ANY", ("REGIME == trend_up", "REGIME == trend_down")),),
        uses=(),
        parameters={},
        timeframe="1h",
    )
    said = strategy.say(frame)
    assert np.array_equal(said.side == 1, is_trend)
    assert said.unknown == np.count_nonzero(np.isnan(codes))
    changed = made((Entry(Side.BUY, "ALL", ("REGIME != REGIME[1]",)),), uses=(), parameters={}, timeframe="1h").say(
        frame
    )
    steps = np.diff(codes)
    assert np.array_equal(np.flatnonzero(changed.side), np.flatnonzero((steps != 0) & ~np.isnan(steps)) + 1)


def test_a_regime_is_told_by_its_name() -> None:
    candles = invented(5, 1600)
    strategy = buying("REGIME == high_volatility")
    said = strategy.say(Frame(candles, "1m"))
    at = int(np.flatnonzero(said.side)[0])
    assert strategy.reason(said, at) == "REGIME == high_volatility: REGIME high_volatility"


def test_the_trailing_window_of_a_regime_says_what_the_whole_history_says() -> None:
    candles = invented(7, 2600)
    strategy = buying("REGIME == range OR REGIME[3] == high_volatility")
    assert strategy.window < KEPT
    whole = strategy.say(Frame(candles, "1m")).side
    for at in range(strategy.window, len(candles), 97):
        tail = cut(candles, at + 1 - strategy.window, at + 1)
        assert strategy.say(Frame(tail, "1m")).side[-1] == whole[at]


def test_a_regime_of_a_larger_timeframe_is_an_indicator_like_others() -> None:
    use = Use("regime", "REGIME", {"lookback": D(20)}, ("1h",))
    said = made((Entry(Side.BUY, "ALL", ("REGIME_1h == high_volatility",)),), uses=(use,), parameters={}).say(
        Frame(invented(5, 6000), "1m")
    )
    assert said.side.any()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("REGIME == trendup", "unknown name 'trendup'; did you mean 'trend_up'"),
        ("REGIME == TREND_UP", "did you mean 'trend_up'? Capital letters count"),
        ("REGIM == trend_up", "did you mean 'REGIME'?"),
        ("REGIME > 2", "> takes numbers, and 'REGIME' is a name; write for example REGIME == trend_up"),
        ("REGIME == 2", "REGIME is a name, and '2' a number; write for example REGIME == trend_up"),
        ("PRICE == range", "range is a name, and 'PRICE' a number; write for example REGIME == range"),
        ("REGIME + 1 > 0", "+ takes numbers, and 'REGIME' is a name"),
        ("-REGIME > 0", "- takes numbers, and 'REGIME' is a name"),
        ("abs(REGIME) > 0", "abs takes numbers, and 'REGIME' is a name"),
        ("crosses_above(REGIME, range)", "crosses_above takes numbers, and 'REGIME' is a name"),
        ("REGIME", "'REGIME' is a name, not a condition; compare it, for example REGIME == trend_up"),
        ("NOT trend_up", "NOT takes conditions, and 'trend_up' is a name; compare it, for example REGIME == trend_up"),
        ("REGIME == trend_up[1]", "'trend_up' does not change from candle to candle"),
    ],
)
def test_a_regime_is_no_number(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        buying(text)
    assert said in str(caught.value)


def test_a_parameter_does_not_have_the_name_of_a_regime() -> None:
    with pytest.raises(ConfigError, match="'range' is a word of the condition language; rename the parameter"):
        buying("PRICE > 1", range=3)


@pytest.mark.parametrize("alias", ["PRICE", "HOUR", "REGIME"])
def test_an_indicator_does_not_take_a_name_of_the_language(alias: str) -> None:
    with pytest.raises(ConfigError, match=f"{alias} is a name of its own in conditions"):
        buying("PRICE > 1", uses=(Use("rsi", alias, {}, ()),))


# -- set-ups ----------------------------------------------------------------------------------------------------------


def test_the_parts_of_an_or_are_set_ups_of_their_own() -> None:
    strategy = made(
        (Entry(Side.BUY, "ANY", ("PRICE > 10", "PRICE < 5")), Entry(Side.SELL, "ALL", ("PRICE > 6", "PRICE < 9"))),
        uses=(), parameters={},
    )  # fmt: skip
    found = {setup.name: setup.holds.tolist() for setup in strategy.setups(of_closes(4, 7, 11))}
    assert found == {
        "long: PRICE > 10": [False, False, True],
        "long: PRICE < 5": [True, False, False],
        "short: PRICE > 6 AND PRICE < 9": [False, True, False],
    }


# -- the open position ------------------------------------------------------------------------------------------------


def left(strategy: ConditionStrategy, frame: Frame, at: int, *position: float) -> int:
    """What the condition on the position says at a candle: 1 leave, 0 stay, -1 unknown."""
    program = strategy.say(frame).exit
    assert program is not None
    return program.holds(at, *position)


def test_alternatives_that_any_history_answers_stay_what_they_were_and_the_rest_reads_the_position() -> None:
    frame = of_closes(10, 11, 12, 13, 9, 8, 150)
    alone, joined = (
        made(exits=("RSI > high",)),
        made(exits=("RSI > high", "PNL_PCT >= 3 OR BARS_HELD > 9", "PRICE > 100")),
    )
    plain = made(exits=("RSI > high", "PRICE > 100")).say(frame)
    assert alone.say(frame).exit is None
    said = joined.say(frame)
    assert np.array_equal(said.leave, plain.leave) and said.unknown == plain.unknown
    assert said.exit is not None and not len(said.exit.rows)
    assert [left(joined, frame, 6, 8.0, gain, 1.0) for gain in (2.9, 3.0, np.nan)] == [0, 1, -1]
    assert left(joined, frame, 0, 8.0, 0.0, 10.0) == 1


def test_where_all_have_to_hold_the_whole_exit_is_about_the_position() -> None:
    rules = Conditions((RSI,), (BUY,), "ALL", ("RSI > high", "PNL_PCT > 0"))
    strategy = ConditionStrategy(rules, id=StrategyId("s"), instrument=BTC, timeframe="1m", parameters=dict(NUMBERS))
    frame = of_closes(10, 11, 12, 13, 9, 8, 150)
    assert not strategy.say(frame).leave.any()
    assert [left(strategy, frame, at, 8.0, 1.0, 1.0) for at in range(7)] == [-1, -1, -1, 1, 0, 0, 1]
    assert left(strategy, frame, 3, 8.0, -1.0, 1.0) == 0


def test_the_reason_of_such_an_exit_names_the_condition_with_the_values_of_the_position() -> None:
    strategy = made(exits=("PRICE > 100", "PNL_PCT >= high AND PRICE > ENTRY_PRICE", "BARS_HELD > 5"))
    said = strategy.say(of_closes(10, 11, 12))
    assert strategy.exit_reason(said, 2, Held(7.0, 71.428571429, 2.0)) == (
        "PNL_PCT >= high AND PRICE > ENTRY_PRICE OR BARS_HELD > 5: "
        "PRICE 12, ENTRY_PRICE 7, PNL_PCT 71.4286, BARS_HELD 2, high 70"
    )


def test_an_entry_and_a_name_of_the_position_do_not_go_together() -> None:
    for name in ("ENTRY_PRICE", "PNL_PCT", "BARS_HELD"):
        with pytest.raises(ConfigError, match=rf"entry \(buy\): .*{name} is known only while a position is held"):
            buying(f"{name} > 1")
    with pytest.raises(ConfigError, match=r"'pnl_pct'; did you mean 'PNL_PCT'\? Capital letters count"):
        made(exits=("pnl_pct > 1",))
    with pytest.raises(ConfigError, match="'BARS_HELD' is a word of the condition language"):
        made(uses=(Use("rsi", "BARS_HELD", {}, ()),))


def test_other_parameters_bind_the_condition_anew_and_equal_ones_share_its_data() -> None:
    frame = of_closes(10, 11, 12, 13, 9, 8, 150)
    strategy = made(exits=("RSI > high AND PNL_PCT > low",))
    programs = [strategy.at({**NUMBERS, "low": D(low)}).say(frame).exit for low in (1, 2, 2)]
    assert [one and one.holds(3, 9.0, 1.5, 1.0) for one in programs] == [1, 0, 0]
    _, one, other = programs
    assert one is not None and other is not None
    assert one.rows is other.rows and one.stack is not other.stack


@pytest.mark.parametrize("wrap", [
    lambda inner: WithAtrStop(inner, AtrStop(2.0, 3), 0.5),
    lambda inner: Scheduled(inner, Schedule(("us",), ("mon",))),
    lambda inner: Alone(inner, Aggregation.WEIGHTED, 0.5),
    lambda inner: Combined((Part("one", inner, 1.0),), Aggregation.WEIGHTED, 0.5, can_short=True),
    lambda inner: Scheduled(WithAtrStop(inner, AtrStop(2.0, 3), 0.5), Schedule(("us",), ("mon",))),
])  # fmt: skip
def test_what_shapes_its_word_keeps_the_condition_and_its_reason(wrap: Any) -> None:
    candles = invented(4, 60)
    strategy = wrap(made(exits=("PNL_PCT >= 3",)))
    prepared = Prepared(strategy, Frame(candles, "1m"))
    assert prepared.reads_position
    opened = int(candles.open_time_ns[50])
    event = CandleClosed(Candle(BTC, "1m", opened, opened + 60 * 10**9, 1.0, 1.0, 1.0, 1.0, 1.0), opened + 60 * 10**9)
    assert prepared.leaves(event, MarketView(), Held(1.0, 2.0, 1.0)) is None
    closing = prepared.leaves(event, MarketView(), Held(1.0, 3.0, 1.0))
    assert closing is not None
    assert (closing.type, closing.at_ns) == (SignalType.CLOSE, opened + 60 * 10**9)
    assert closing.reason.endswith("PNL_PCT >= 3: PNL_PCT 3")
    assert closing.metadata["BARS_HELD"] == "1.000000"


@pytest.mark.parametrize(
    ("condition", "said"), [("V.upper > 1", (OF_CANDLES,)), ("V > 1", (OF_CANDLES,)), ("X > 1", ())]
)
def test_conditions_that_read_the_vwap_say_that_it_is_made_of_candles(condition: str, said: tuple[str, ...]) -> None:
    uses = (Use("vwap", "V", {}, ()), Use("sma", "X", {"period": D(3)}, ()))
    strategy = buying(condition, uses=uses)
    assert remarks_of(strategy) == remarks_of(Alone(strategy, Aggregation.WEIGHTED, 0.5)) == said
    parts = (Part("one", strategy, 1.0), Part("two", strategy, 1.0))
    assert remarks_of(Combined(parts, Aggregation.WEIGHTED, 0.5, can_short=True)) == said, "said once"
