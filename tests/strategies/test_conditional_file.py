"""Condition-driven files: what they say, every mistake with its place and remedy, and the command line's word."""

from __future__ import annotations

import copy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

import promethean.indicators
import promethean.strategies
from promethean.domain.errors import ConfigError
from promethean.domain.instruments import MarketType
from promethean.domain.market import Side
from promethean.domain.orders import OrderType, Protection, Tier
from promethean.domain.registry import scan
from promethean.domain.sizing import Sizing
from promethean.strategies.conditional import Conditions, Entry
from promethean.strategies.file import Simulation, StrategyFile, parse_strategy
from promethean.strategies.uses import Use

scan(promethean.strategies)
scan(promethean.indicators)
D = Decimal
SHIPPED = sorted((Path(__file__).resolve().parents[2] / "config" / "strategies").glob("*.yaml"))
NAME = "mine.yaml"
REMOVE = type("Remove", (), {"__repr__": lambda self: "REMOVE"})()  # the same name in every test process
WHOLE: dict[str, Any] = {
    "strategy": {"id": "s"},
    "market": {"exchange": "binance", "symbol": "BTC/USDT", "primary_timeframe": "1m"},
    "parameters": {"period": 14, "low": 30, "high": 70},
    "indicators": [{"name": "rsi", "as": "RSI", "params": {"period": "period"}, "timeframes": ["1m", "1h"]}],
    "entry": {"side": "buy", "conditions": ["RSI_1m < low", "RSI_1h > 40"]},
    "exit": {"conditions": ["RSI > high"]},
    "risk": {"position_size_pct": 2, "stop_loss_pct": 1, "take_profit_pct": 2},
}
BUY = {"side": "buy", "conditions": ["RSI < low"]}
SELL = {"side": "sell", "conditions": ["RSI > high"]}
VWAP = {"side": "buy", "conditions": ["PRICE > VWAP"]}
LEVELS = [{"target_pct": 2, "close_pct": 50}]


def text(changes: dict[str, Any]) -> str:
    """The smallest whole file with values at these dotted paths put in, or taken out; `indicators.0.name` is one."""
    document = copy.deepcopy(WHOLE)
    for path, value in changes.items():
        *sections, key = path.split(".")
        target: Any = document
        for section in sections:
            target = target[int(section)] if isinstance(target, list) else target.setdefault(section, {})
        if value is REMOVE:
            del target[key]
        else:
            target[int(key) if isinstance(target, list) else key] = value
    return yaml.safe_dump(document, sort_keys=False)


def parse(changes: dict[str, Any], overrides: dict[str, str] | None = None) -> StrategyFile:
    return parse_strategy(text(changes), NAME, overrides or {})


# -- what a file says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_file_that_is_shipped_loads(path: Path) -> None:
    file = parse_strategy(path.read_text(), path.name)
    assert (file.class_name is None) != (file.conditions is None)


def test_the_reference_strategy_says_what_the_reference_work_says() -> None:
    (path,) = [path for path in SHIPPED if path.stem == "reference_rsi"]
    file = parse_strategy(path.read_text(), path.name)
    assert file.conditions == Conditions(
        (Use("rsi", "RSI", {"period": "period"}, ()),),
        (Entry(Side.BUY, "ALL", ("crosses_below(RSI, low)",)),),
        "ANY",
        ("crosses_above(RSI, high)",),
    )
    assert file.parameters == {"period": D(14), "low": D(30), "high": D(70)}
    assert (file.sizing, file.cooldown_bars, file.limits) == (Sizing(None, D(10_000)), 0, {})
    assert file.exits.protection == Protection(D("0.01"), (Tier(D("0.02"), D(1)),))
    tick = D("0.00000001")
    assert file.simulation == Simulation(D("0.001"), D("0.001"), D(0), 0, D(10) ** 9, tick, tick, D(0))
    assert (file.order_type, file.market_type, file.timeframe) == (OrderType.MARKET, MarketType.SPOT, "1m")


def test_conditions_are_read_as_they_are_written() -> None:
    file = parse({"entry.mode": "ANY", "exit.mode": "AND"})
    assert file.conditions is not None
    assert file.conditions.entries == (Entry(Side.BUY, "ANY", ("RSI_1m < low", "RSI_1h > 40")),)
    assert (file.conditions.exit_mode, file.conditions.exits) == ("AND", ("RSI > high",))
    assert file.conditions.uses[0].timeframes == ("1m", "1h")
    assert (file.threshold, file.aggregation, file.class_name) == (0.0, None, None)


def test_what_a_file_leaves_out_has_its_usual_value() -> None:
    file = parse({"exit": REMOVE, "indicators.0": {"name": "macd"}, "entry": {**BUY, "conditions": ["MACD > 0"]}})
    assert file.conditions == Conditions(
        (Use("macd", "MACD", {}, ()),), (Entry(Side.BUY, "ALL", ("MACD > 0",)),), "ANY", ()
    )
    assert (file.cooldown_bars, file.simulation) == (3, Simulation())


def test_a_futures_file_may_enter_on_both_sides() -> None:
    file = parse({"market.market_type": "futures", "entry": [BUY, SELL]})
    assert file.conditions is not None
    assert [entry.side for entry in file.conditions.entries] == [Side.BUY, Side.SELL]


def test_exits_of_several_levels_stand_in_a_section_of_their_own() -> None:
    exits = {"stop_loss_pct": 3, "take_profit_levels": LEVELS}
    file = parse({"risk": {"position_size_quote": 10_000, "max_daily_trades": 5}, "exits": exits})
    assert file.exits.protection == Protection(D("0.03"), (Tier(D("0.02"), D("0.5")),))
    assert (file.sizing, file.limits) == (Sizing(None, D(10_000)), {"daily_trades": D(5)})


def test_an_indicator_that_takes_a_word_is_given_one() -> None:
    vwap = {"name": "vwap", "params": {"window": "rolling", "minutes": "period"}}
    file = parse({"indicators.0": vwap, "entry.conditions": ["PRICE > VWAP"], "exit": REMOVE})
    assert file.conditions is not None
    assert file.conditions.uses[0].parameters == {"window": "rolling", "minutes": "period"}


def test_a_section_that_comes_later_may_stand_there_switched_off() -> None:
    assert parse({"ml": {"enabled": False}, "orderbook": {"enabled": False}}).id == "s"


def test_an_indicator_without_a_timeframe_is_that_of_the_candles_there_are() -> None:
    """`--data` brings its own timeframe, so the file's may not be written into the name."""
    assert parse({"indicators.0.timeframes": REMOVE, "entry": BUY}).conditions.uses[0].timeframes == ()  # type: ignore[union-attr]


SPECIFIED = """
strategy: {id: specified}
market: {exchange: binance, symbol: BTC/USDT, market_type: spot, primary_timeframe: 1m}
parameters: {period: 14, low: 30, high: 70}      # usable by name in params and conditions
indicators: [{name: rsi, as: RSI, params: {period: period}, timeframes: [1m, 1h]}, {name: macd, timeframes: [5m]}]
entry: {side: buy, mode: ALL, conditions: ["RSI_1m < low", "RSI_1h > 40", "PRICE > VWAP * 1.003 OR MACD_5m.histogram > MACD_5m.histogram[1]"]}
exit:  {mode: ANY, conditions: ["RSI_1m > high", "PNL_PCT >= 3", "crosses_below(PRICE, EMA_21_1m)"]}
risk:  {position_size_pct: 2, stop_loss_pct: 1, take_profit_pct: 2, cooldown_bars: 3}   # or position_size_quote: 10000 (a fixed amount)
execution: {order_type: market, fee_maker_pct: 0.1, fee_taker_pct: 0.1, slippage_bps: 0, latency_ms: 0, participation_max: 0.1}
"""  # noqa: E501  SPEC 7.7, line by line


def test_the_example_of_the_specification_loads_as_it_is_written() -> None:
    file = parse_strategy(SPECIFIED, NAME)
    assert file.conditions is not None
    assert [use.alias for use in file.conditions.uses] == ["RSI", "MACD"]
    with pytest.raises(ConfigError, match=r"indicator EMA_0: .* at least 1, not 0"):
        parse_strategy(SPECIFIED.replace("EMA_21_1m", "EMA_0_1m"), NAME)


# -- every mistake ----------------------------------------------------------------------------------------------------

INDICATOR = "indicators[0]"
MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    # what is changed, where it is, what is said
    ({"orderbook": {"enabled": True}}, "orderbook", "stands beside a class, and this strategy is made of conditions"),
    # indicators
    ({"indicators": 5}, "indicators", "is 5, not a list; write [{name: rsi, as: RSI, params: {period: 14}}]"),
    ({"indicators": "rsi"}, "indicators", "is 'rsi', not a list"),
    ({"indicators": {"name": "rsi"}}, "indicators", "not a list"),
    ({"indicators": ["rsi"]}, INDICATOR, "is not a mapping of keys to values"),
    ({"indicators.0.name": "rsii"}, f"{INDICATOR}.name", "names an unknown indicator 'rsii'; did you mean 'rsi'"),
    ({"indicators.0.name": REMOVE}, f"{INDICATOR}.name", "is missing"),
    ({"indicators.0.name": 5}, f"{INDICATOR}.name", "is 5; write text"),
    ({"indicators.0.name": "delta_volume"}, f"{INDICATOR}.name", "needs taker_buy_volume, and candles do not carry it"),
    ({"indicators.0.alias": "X"}, INDICATOR, "unknown key 'alias'"),
    ({"indicators.0.as": ["RSI"]}, f"{INDICATOR}.as", "is ['RSI']; write text"),
    ({"indicators.0.as": "my rsi"}, "", "'my rsi' cannot be written in a condition"),
    ({"indicators.0.as": "AND"}, "", "'AND' is a word of the condition language"),
    ({"indicators.0.as": "PRICE", "entry": BUY}, "", "PRICE"),
    ({"indicators.0.as": "low"}, "", "parameter 'low' has the name of a series; rename one of them"),
    ({"indicators.0.params": [14]}, f"{INDICATOR}.params", "is not a mapping of keys to values"),
    ({"indicators.0.params": {"perod": 14}}, f"{INDICATOR}.params.perod", "did you mean 'period'? of rsi"),
    ({"indicators.0.params": {"period": True}}, f"{INDICATOR}.params.period", "is True; write a number or the name"),
    ({"indicators.0.params": {"period": [14]}}, f"{INDICATOR}.params.period", "is [14]; write a number or the name"),
    ({"indicators.0.params": {"period": None}}, f"{INDICATOR}.params.period", "is None; write a number or the name"),
    ({"indicators.0.params": {"period": "perod"}}, f"{INDICATOR}.params.period", "did you mean 'period'? of this file"),
    ({"indicators.0.params": {"period": 0}}, "indicator RSI", "the period of an RSI is at least 1, not 0"),
    ({"parameters.period": -1}, "indicator RSI", "the period of an RSI is at least 1, not -1"),
    ({"indicators.0": {"name": "vwap", "params": {"window": 5}}}, f"{INDICATOR}.params.window", "write a word, for"),
    (
        {"indicators.0": {"name": "vwap", "params": {"window": "weekly"}}, "exit": REMOVE, "entry": VWAP},
        "indicator VWAP",
        "one of session, rolling, anchored, not 'weekly'",
    ),
    ({"indicators.0.params": {"period": 14.5}}, "indicator RSI", "period is 14.5; write a whole number"),
    ({"parameters.period": 14.5}, "indicator RSI", "period is 14.5; write a whole number"),
    ({"indicators.0.timeframes": []}, f"{INDICATOR}.timeframes", "is [], not a list; write for example [1m]"),
    ({"indicators.0.timeframes": "1h"}, f"{INDICATOR}.timeframes", "is '1h', not a list"),
    ({"indicators.0.timeframes": ["1 h"]}, f"{INDICATOR}.timeframes", "unknown timeframe '1 h'; did you mean '1h'"),
    ({"indicators.0.timeframes": [60]}, f"{INDICATOR}.timeframes", "unknown timeframe '60'"),
    (
        {"market.primary_timeframe": "5m"},
        f"{INDICATOR}.timeframes",
        "names 1m, which cannot be built from candles of 5m",
    ),
    (
        {"market.primary_timeframe": "3m", "indicators.0.timeframes": ["5m"]},
        f"{INDICATOR}.timeframes",
        "names 5m, which cannot be built from candles of 3m",
    ),
    ({"indicators.0.timeframes": ["1m", "1m"]}, "", "two indicators are called RSI_1m; give one another name"),
    ({"indicators": [{"name": "rsi"}, {"name": "sma", "as": "RSI"}]}, "", "two indicators are called RSI_1m"),
    # conditions
    ({"entry": REMOVE}, "entry", "is missing; write for example {side: buy, conditions: [RSI < 30]}"),
    ({"entry": []}, "entry", "is missing; write for example"),
    ({"entry": "RSI < 30"}, "entry", "is not a mapping of keys to values"),
    ({"entry": [BUY, 5], "market.market_type": "futures"}, "entry[1]", "is not a mapping of keys to values"),
    ({"entry.side": REMOVE}, "entry.side", "is missing; write buy or sell"),
    ({"entry.side": "long"}, "entry.side", "is 'long'"),
    ({"entry.side": "buyy"}, "entry.side", "did you mean 'buy'"),
    ({"entry.side": "sell"}, "entry.side", "is sell, and a spot market has no shorts; use market_type: futures"),
    ({"entry": [BUY, SELL]}, "entry[1].side", "a spot market has no shorts"),
    ({"entry": [BUY, BUY]}, "entry", "has two parts for one side; join their conditions with OR"),
    ({"entry.mode": "ALLL"}, "entry (buy)", "unknown mode 'ALLL'; did you mean 'ALL'"),
    ({"entry.mode": "all"}, "entry (buy)", "did you mean 'ALL'? Capital letters count"),
    ({"entry.mode": 5}, "entry.mode", "is 5; write text"),
    ({"exit.mode": "SOME"}, "exit", "unknown mode 'SOME'; known: ALL, AND, ANY, OR"),
    ({"entry.conditions": REMOVE}, "entry.conditions", "is None; write a list of conditions"),
    ({"entry.conditions": []}, "entry.conditions", "is []; write a list of conditions, for example ['RSI < 30']"),
    ({"entry.conditions": "RSI < 30"}, "entry.conditions", "write a list of conditions"),
    ({"entry.conditions": [True]}, "entry.conditions", "is [True]; write a list of conditions"),
    ({"entry.conditions": ["RSI_1m < lo"]}, "entry (buy)", "unknown name 'lo'; did you mean 'low'"),
    ({"entry.conditions": ["RSI_1m < low", "rsi > 1"]}, "condition 2 of 2", "did you mean 'RSI'? Capital letters"),
    ({"entry.conditions": ["RSI.upper < low"]}, "entry (buy)", "unknown name 'RSI.upper'"),
    ({"entry.conditions": ["RSI_4h < low"]}, "entry (buy)", "unknown name 'RSI_4h'"),
    ({"entry.conditions": ["RSI_1m <"]}, "entry (buy)", "column"),
    ({"entry.conditions": [" "]}, "entry (buy)", "condition"),
    ({"entry.when": "always"}, "entry", "unknown key 'when'"),
    ({"exit": {"mode": "ANY"}}, "exit.conditions", "is None; write a list of conditions"),
    ({"exit": ["RSI > high"]}, "exit", "is not a mapping of keys to values"),
    ({"exit.side": "sell"}, "exit", "unknown key 'side'"),
    ({"exit.conditions": ["RSI > hgh"]}, "exit", "did you mean 'high'"),
    # risk and exits
    ({"risk": REMOVE}, "risk", "is missing"),
    ({"risk.stop_loss_pct": REMOVE}, "risk.stop_loss_pct", "is missing; every entry needs a stop"),
    ({"risk.stop_loss_pct": 0}, "risk.stop_loss_pct", "is 0; it lies between 0.01 and 99.99"),
    ({"risk.stop_loss_pct": "1%"}, "risk.stop_loss_pct", "is '1%'; write a number without a unit"),
    ({"risk.take_profit_pct": -2}, "risk.take_profit_pct", "is -2; it lies between 0.01 and 1000"),
    ({"risk.stop_los_pct": 1}, "risk", "unknown key 'stop_los_pct'; did you mean 'stop_loss_pct'"),
    ({"risk.position_size_pct": REMOVE}, "risk.position_size_pct", "is missing; write for example"),
    ({"risk.position_size_quote": 5}, "risk.position_size_quote", "stands beside position_size_pct; keep one"),
    ({"risk.cooldown_bars": 1.5}, "risk.cooldown_bars", "is 1.5; write a whole number from 0 to 10000"),
    ({"risk.max_daily_trades": "many"}, "risk.max_daily_trades", "is 'many'; write a number"),
    ({"exits": {"stop_loss_pct": 1}}, "risk.stop_loss_pct", "stands beside the section exits; keep one of the two"),
    (
        {"risk": {"position_size_pct": 2, "take_profit_pct": 1}, "exits": {"stop_loss_pct": 1}},
        "risk.take_profit_pct",
        "stands beside the section exits; keep one of the two",
    ),
    ({"risk": {"position_size_pct": 2}, "exits": {}}, "exits.stop_loss_pct", "is missing; every entry needs a stop"),
    # keys of the other kind of file
    ({"strategy.class": "rsi_reversion"}, "strategy", "unknown key 'class'; known: id, name"),
    ({"strategy.signal_threshold": 0.5}, "strategy", "unknown key 'signal_threshold'"),
    ({"technical": {"enabled": True}}, "technical", "does not belong to a condition-driven strategy; it has strategy,"),
    ({"risk_management": {}}, "risk_management", "does not belong to a condition-driven strategy"),
    ({"indicator": []}, "", "unknown key 'indicator'; did you mean 'indicators'"),
    ({"ml": {"enabled": True}}, "ml", "is not available yet; remove it, or set enabled: false in it"),
    # parameters
    ({"parameters": [14]}, "parameters", "is not a mapping of keys to values"),
    ({"parameters.low": "30%"}, "parameters.low", "is '30%'; write a number without a unit, or true or false"),
    ({"parameters.OR": 30}, "", "'OR' is a word of the condition language"),
    ({"parameters.PRICE": 30}, "", "parameter 'PRICE' has the name of a series"),
    # execution and the market's filters
    ({"execution.fee_maker_pct": -2}, "execution.fee_maker_pct", "is -2; it lies between -1 and 10"),
    ({"execution.fee_taker_pct": -0.1}, "execution.fee_taker_pct", "is -0.1; it lies between 0 and 10"),
    ({"execution.fee_taker_pct": "0.1%"}, "execution.fee_taker_pct", "is '0.1%'; write a number without a unit"),
    ({"execution.slippage_bps": 1001}, "execution.slippage_bps", "is 1001; it lies between 0 and 1000"),
    ({"execution.latency_ms": 0.5}, "execution.latency_ms", "is 0.5; write a whole number from 0 to 60000"),
    ({"execution.latency_ms": -1}, "execution.latency_ms", "is -1; it lies between 0 and 60000"),
    ({"execution.participation_max": 0}, "execution.participation_max", "is 0; it lies between 0.0001 and 1"),
    ({"execution.participation_max": 2}, "execution.participation_max", "is 2; it lies between 0.0001 and 1"),
    ({"execution.participation_max": "all"}, "execution.participation_max", "is 'all'; write a number"),
    ({"execution.order_type": "stop"}, "execution.order_type", "unknown value 'stop'; known: limit, market"),
    ({"execution.fee_pct": 1}, "execution", "unknown key 'fee_pct'"),
    ({"market.price_increment": 0}, "market.price_increment", "is 0; it lies between 0.000000000001 and 1000000"),
    ({"market.quantity_increment": -1}, "market.quantity_increment", "is -1; it lies between"),
    ({"market.quantity_increment": "tiny"}, "market.quantity_increment", "is 'tiny'; write a number"),
    ({"market.notional_min": -5}, "market.notional_min", "is -5; it lies between 0 and 1000000"),
    ({"market.lot": 1}, "market", "unknown key 'lot'"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "path", "said"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_named_with_file_path_value_and_remedy(changes: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(changes)
    message = str(caught.value)
    assert message.startswith(f"{NAME}: ")
    assert message.count(NAME) == 1
    assert path in message
    assert said in message


def test_keys_of_a_condition_driven_file_do_not_belong_to_a_class_based_one() -> None:
    head = {"strategy.class": "rsi_reversion", "entry": REMOVE, "indicators": REMOVE}
    for key in ("risk", "exit"):
        other = {"risk": "exit", "exit": "risk"}[key]
        with pytest.raises(ConfigError, match=f"{NAME}: {key} does not belong to a class-based strategy; it has"):
            parse({**head, other: REMOVE, "exits": {"stop_loss_pct": 1}})


# -- the command line's word ------------------------------------------------------------------------------------------


def test_an_override_names_a_parameter_or_the_path_of_any_other_key() -> None:
    told = {
        "low": "25.5", "risk.stop_loss_pct": "3", "market.symbol": "ETH/USDT", "entry.mode": "ANY",
        "entry.conditions": "[RSI < low]", "execution.slippage_bps": "2",
    }  # fmt: skip
    file = parse({}, told)
    assert file.parameters["low"] == D("25.5")
    assert (file.exits.protection.stop_loss, file.base, file.simulation.slippage_bps) == (D("0.03"), "ETH", D(2))
    assert file.conditions is not None
    assert file.conditions.entries == (Entry(Side.BUY, "ANY", ("RSI < low",)),)


def test_an_override_gives_the_file_that_somebody_would_have_written() -> None:
    written = parse({"parameters.low": 25, "risk.take_profit_pct": 4, "execution.latency_ms": 10})
    told = parse({}, {"low": "25", "risk.take_profit_pct": "4", "execution.latency_ms": "10"})
    assert told == written
    assert told.config_hash == written.config_hash != parse({}).config_hash


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("lwo", "25", "unknown parameter 'lwo'; did you mean 'low'"),
        ("stop_loss_pct", "1", "another key is set by its path, risk.stop_loss_pct"),
        ("stop_loss_atr", "1", "another key is set by its path, for example risk.stop_loss_pct"),
        ("risk.stop_los_pct", "1", "unknown key 'stop_los_pct'; did you mean 'stop_loss_pct'"),
        ("riks.stop_loss_pct", "1", "unknown key 'riks'; did you mean 'risk'"),
        ("risk.stop_loss_pct", "abc", "risk.stop_loss_pct is 'abc'; write a number"),
        ("risk.stop_loss_pct", "200", "risk.stop_loss_pct is 200; it lies between 0.01 and 99.99"),
        ("risk.stop_loss_pct.x", "1", "leads through something that is not a mapping"),
        ("indicators.name", "ema", "leads through something that is not a mapping"),
        ("low", "a lot", "parameters.low is 'a lot'; write a number"),
        ("low", "[", "--set low"),
        ("low", "1e3", "--set low"),
        ("low", "{a: b", "--set low"),
        ("period", "0.5", "period is 0.5; write a whole number"),
    ],
)
def test_a_wrong_override_is_named_with_its_remedy(path: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({}, {path: value})
    assert said in str(caught.value)
