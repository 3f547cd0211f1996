"""Strategy files: the shipped one parses, and every mistake is named with its file, path, value and remedy."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import promethean.strategies
from promethean.domain.errors import ConfigError
from promethean.domain.instants import NS_PER_MINUTE
from promethean.domain.instruments import MarketType
from promethean.domain.orders import Hold, OrderType, Protection, Tier, Trail
from promethean.domain.registry import scan
from promethean.domain.sizing import Sizing
from promethean.strategies.book_source import BookSource
from promethean.strategies.file import StrategyFile, parse_strategy
from promethean.strategies.sources.orderbook import BookSettings

scan(promethean.strategies)
D = Decimal
SHIPPED = Path(__file__).resolve().parents[2] / "config" / "strategies" / "rsi_reversion.yaml"
NAME = "mine.yaml"
REMOVE = type("Remove", (), {"__repr__": lambda self: "REMOVE"})()  # the same name in every test process
WHOLE: dict[str, Any] = {
    "strategy": {"id": "s", "class": "rsi_reversion"},
    "market": {"exchange": "binance", "symbol": "BTC/USDT", "primary_timeframe": "5m"},
    "parameters": {"position_size_pct": 2},
    "exits": {"stop_loss_pct": 1},
}


def text(changes: dict[str, Any]) -> str:
    """The smallest whole file with values at these dotted paths put in, or taken out."""
    document = copy.deepcopy(WHOLE)
    for path, value in changes.items():
        *sections, key = path.split(".")
        target = document
        for section in sections:
            target = target.setdefault(section, {})
        if value is REMOVE:
            del target[key]
        else:
            target[key] = value
    # JSON is YAML; numbers that a test writes as text stay bare.
    return yaml.safe_dump(document, sort_keys=False)


def parse(changes: dict[str, Any]) -> StrategyFile:
    return parse_strategy(text(changes), NAME)


# -- what a file says -------------------------------------------------------------------------------------------------


def test_the_shipped_file_says_what_it_says() -> None:
    file = parse_strategy(SHIPPED.read_text(), SHIPPED.name)
    assert (file.id, file.name, file.class_name) == ("rsi-btc-1m", "RSI reversion", "rsi_reversion")
    assert (file.exchange, file.base, file.quote, file.market_type) == ("binance", "BTC", "USDT", MarketType.SPOT)
    assert (file.timeframe, file.aggregation, file.threshold) == ("1m", "weighted", 0.6)
    assert file.parameters == {"rsi_period": D(14), "oversold": D(30), "overbought": D(70)}
    assert file.sizing == Sizing(D("0.02"), None, D("0.1"))
    tiers = (Tier(D("0.02"), D("0.33")), Tier(D("0.04"), D("0.33")), Tier(D("0.06"), D("0.34")))
    hour = Hold(60 * NS_PER_MINUTE)
    assert file.exits.protection == Protection(D("0.01"), tiers, Trail(D("0.005")), hold=hour)
    assert (file.order_type, file.slippage_tolerance) == (OrderType.LIMIT, D("0.001"))
    assert file.limits == {"daily_trades": D(20), "circuit_breaker_daily_loss": D("0.05")}
    assert file.cooldown_bars == 3
    assert file.content["parameters"]["position_size_pct"] == "2"


def test_what_a_file_leaves_out_is_left_to_the_settings() -> None:
    file = parse({})
    assert (file.name, file.aggregation, file.threshold) == ("s", None, None)
    assert (file.order_type, file.slippage_tolerance, file.limits, file.cooldown_bars) == (None, None, {}, 3)
    assert (file.parameters, file.exits.protection.tiers, file.sizing.quantity_max) == ({}, (), None)


def test_a_size_may_be_an_amount_of_quote_units() -> None:
    file = parse({"parameters.position_size_pct": REMOVE, "parameters.position_size_quote": 10_000})
    assert file.sizing == Sizing(None, D(10_000))


def test_a_perpetual_may_be_held_on_a_margin_and_in_a_larger_size() -> None:
    changes = {"market.market_type": "futures", "market.leverage": 3, "parameters.position_size_pct": 300}
    file = parse({**changes, "execution.maintenance_margin_pct": 1})
    assert (file.leverage, file.sizing.equity_share, file.simulation.maintenance) == (D(3), D(3), D("0.01"))
    assert (parse({}).leverage, parse({}).simulation.maintenance) == (D(1), None)


@pytest.mark.parametrize(
    ("symbol", "market_type", "kind"),
    [
        ("BTC/USDT", None, MarketType.SPOT),
        ("BTC/USDT-PERP", None, MarketType.FUTURES),
        ("BTC/USDT", "futures", MarketType.FUTURES),
        ("BTC/USDT-PERP", "futures", MarketType.FUTURES),
    ],
)
def test_the_symbol_or_the_market_type_names_the_perpetual(
    symbol: str, market_type: str | None, kind: MarketType
) -> None:
    changes = {"market.symbol": symbol} | ({} if market_type is None else {"market.market_type": market_type})
    assert parse(changes).market_type is kind


def test_what_comes_later_may_stand_there_switched_off() -> None:
    off: dict[str, Any] = {"enabled": False}
    file = parse({"ml": off, "orderbook": off, "technical": {"enabled": True, "weight": 1, "rsi": {"period": 14}}})
    assert file.class_name == "rsi_reversion"
    assert file.orderbook is None


@pytest.mark.parametrize(
    ("section", "found"),
    [
        ({}, None),
        ({"enabled": False, "weight": 2, "depth_levels": 5}, None),
        ({"enabled": True}, BookSource(1.0, BookSettings(levels=10, share_min=0.65))),
        ({"weight": 2.5}, BookSource(2.5, BookSettings(levels=10, share_min=0.65))),
        (
            {"enabled": True, "imbalance_threshold": 0.7, "depth_levels": 20, "weight": 0.5},
            BookSource(0.5, BookSettings(levels=20, share_min=0.7)),
        ),
    ],
)
def test_the_order_book_is_a_source_beside_a_class(section: dict[str, Any], found: BookSource | None) -> None:
    assert parse({"orderbook": section}).orderbook == found


def test_parameters_are_numbers_and_switches() -> None:
    file = parse({"parameters.confirm": True, "parameters.oversold": 25, "parameters.rsi_period": 21})
    assert file.parameters == {"confirm": True, "oversold": D(25), "rsi_period": D(21)}


# -- every mistake ----------------------------------------------------------------------------------------------------

TIERS = "exits.take_profit_levels"
MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    # what is changed, where it is, what is said
    ({"strategy.class": "rsi_revresion"}, "strategy.class", "did you mean 'rsi_reversion'"),
    ({"strategy.class": REMOVE}, "strategy.class", "is missing"),
    ({"strategy.class": 5}, "strategy.class", "is 5; write text"),
    ({"strategy.id": ""}, "strategy.id", "is ''; write text"),
    ({"strategy.id": "../x"}, "strategy.id", "is '../x'; write letters, digits, - and _"),
    ({"strategy": REMOVE}, "strategy", "is missing"),
    ({"strategy": "rsi"}, "strategy", "is not a mapping of keys to values"),
    ({"strategy.klass": "x"}, "strategy", "unknown key 'klass'; did you mean 'class'?"),
    ({"strategy.aggregation_mode": "wieghted"}, "strategy.aggregation_mode", "did you mean 'weighted'?"),
    ({"strategy.aggregation_mode": ["voting"]}, "strategy.aggregation_mode", "did you mean 'voting'?"),
    ({"strategy.signal_threshold": 1.01}, "strategy.signal_threshold", "is 1.01; it lies between 0 and 1"),
    ({"strategy.signal_threshold": "60%"}, "strategy.signal_threshold", "is '60%'; write a number without a unit"),
    ({"exit": {"mode": "ANY"}}, "exit", "does not belong to a class-based strategy"),
    ({"indicators": []}, "strategy", "unknown key 'class'; known: id, name"),
    ({"ml": {"enabled": True}}, "ml", "is not available yet; remove it, or set enabled: false"),
    ({"schedule": {}}, "schedule", "is empty; write for example {sessions: [europe, us]"),
    ({"schedule": {"session": ["us"]}}, "schedule", "unknown key 'session'; did you mean 'sessions'?"),
    ({"schedule": {"sessions": ["usa"]}}, "schedule.sessions", "unknown session 'usa'; did you mean 'us'"),
    ({"schedule": {"sessions": "us"}}, "schedule.sessions", "is 'us'; write a list, for example [asia, europe]"),
    ({"schedule": {"weekdays": []}}, "schedule.weekdays", "is []; write a list, for example [mon, tue]"),
    ({"schedule": {"weekdays": ["monday"]}}, "schedule.weekdays", "unknown weekday 'monday'; did you mean 'mon'?"),
    ({"marekt": {}}, "", "unknown key 'marekt'; did you mean 'market'"),
    ({"market": REMOVE}, "market", "is missing"),
    ({"market.symbol": REMOVE}, "market.symbol", "is missing"),
    ({"market.symbol": "BTCUSDT"}, "market.symbol", "'BTCUSDT' is not a symbol; write it as BTC/USDT"),
    ({"market.symbol": "\u0412\u0422\u0421/USDT"}, "market.symbol", "is not a symbol"),  # Cyrillic
    ({"market.exchange": REMOVE}, "market.exchange", "is missing"),
    ({"market.market_type": "spto"}, "market.market_type", "did you mean 'spot'?"),
    ({"market.symbol": "BTC/USDT-PERP", "market.market_type": "spot"}, "market.market_type", "remove -PERP"),
    ({"market.leverage": 3}, "market.leverage", "is for perpetuals; remove it, or say market_type: futures"),
    ({"market.market_type": "futures", "market.leverage": 126}, "market.leverage", "is 126; it lies between 1 and 125"),
    ({"market.market_type": "futures", "market.leverage": "3x"}, "market.leverage", "is '3x'; write a number"),
    (
        {"market.market_type": "futures", "market.leverage": 50, "execution.maintenance_margin_pct": 2},
        "execution.maintenance_margin_pct", "is 2, but an entry at 50 x begins with a margin of 2 %",
    ),
    (
        {"market.market_type": "futures", "market.leverage": 2, "parameters.position_size_pct": 201},
        "parameters.position_size_pct", "is 201; it lies between 0.01 and 200",
    ),
    ({"market.primary_timeframe": REMOVE}, "market.primary_timeframe", "is missing"),
    ({"market.primary_timeframe": "5min"}, "market.primary_timeframe", "did you mean '5m'"),
    ({"market.timeframes": ["5m", "1m"]}, "market.timeframes", "1m, finer than the primary timeframe 5m; remove it"),
    ({"market.timeframes": ["5m", "1 hour"]}, "market.timeframes", "unknown timeframe '1 hour'"),
    ({"market.timeframes": "5m"}, "market.timeframes", "is '5m', not a list; write for example"),
    ({"market.timeframes": 5}, "market.timeframes", "is 5, not a list"),
    ({"market.tiemframe": "5m"}, "market", "unknown key 'tiemframe'; did you mean 'timeframes'"),
    ({"parameters": REMOVE}, "parameters.position_size_pct", "is missing; write for example position_size_pct: 2.0"),
    ({"parameters.position_size_pct": "2%"}, "parameters.position_size_pct", "is '2%'; write a number without a unit"),
    ({"parameters.position_size_pct": 101}, "parameters.position_size_pct", "is 101; it lies between 0.01 and 100"),
    ({"parameters.position_size_pct": 0}, "parameters.position_size_pct", "is 0; it lies between 0.01 and 100"),
    ({"parameters.position_size_pct": None}, "parameters.position_size_pct", "is missing; write a number"),
    ({"parameters.position_size_pct": True}, "parameters.position_size_pct", "is True; write a number"),
    ({"parameters.position_size_quote": 5}, "parameters.position_size_quote", "keep one of the two"),
    ({"parameters.max_position_size": "0.1 BTC"}, "parameters.max_position_size", "write a number without a unit"),
    ({"parameters.max_position_size": 0}, "parameters.max_position_size", "it lies between 0.00000001 and"),
    ({"parameters.oversold": "30%"}, "parameters.oversold", "is '30%'; write a number without a unit"),
    ({"parameters.rsi_period": [14]}, "parameters.rsi_period", "is [14]; write a number"),
    ({"parameters.rsi_period": 1}, "parameters.rsi_period", "is 1; write a whole number from 2 to"),
    ({"parameters.overbougth": 70}, "", "unknown parameter of rsi_reversion 'overbougth'; did you mean 'overbought'"),
    ({"technical.enabled": "yes"}, "technical.enabled", "is 'yes'; write true or false"),
    ({"technical.rsi": {"period": 65}}, "technical.rsi.period", "is 65; it lies between 2 and 64"),
    ({"technical.macd": {"fast": 30}}, "technical.macd.fast", "is 30; it lies between 1 and 25"),
    ({"technical.rsi": {"perod": 5}}, "technical.rsi", "unknown key 'perod'; did you mean 'period'"),
    ({"orderbook": True}, "orderbook", "is not a mapping of keys to values"),
    ({"orderbook.enabled": "yes"}, "orderbook.enabled", "is 'yes'; write true or false"),
    ({"orderbook.imbalance_threshold": 0.49}, "orderbook.imbalance_threshold", "is 0.49; it lies between 0.5 and 1"),
    ({"orderbook.imbalance_threshold": "65%"}, "orderbook.imbalance_threshold", "is '65%'; write a number without"),
    ({"orderbook.depth_levels": 21}, "orderbook.depth_levels", "is 21; it lies between 1 and 20"),
    ({"orderbook.depth_levels": 2.5}, "orderbook.depth_levels", "is 2.5; write a whole number from 1 to 20"),
    ({"orderbook.weight": 0}, "orderbook.weight", "is 0; it lies between 0.01 and 1000"),
    ({"orderbook.depth_level": 5}, "orderbook", "unknown key 'depth_level'; did you mean 'depth_levels'"),
    ({"orderbook": {"enabled": False, "wieght": 1}}, "orderbook", "unknown key 'wieght'; did you mean 'weight'"),
    (
        {"strategy.class": "order_book_imbalance", "orderbook.enabled": True},
        "orderbook.enabled", "is true, but the class order_book_imbalance is that source; write its values under",
    ),
    ({"technical.weight": "heavy"}, "technical.weight", "is 'heavy'; write a number"),
    ({"technical.macdd": {}}, "technical", "unknown key 'macdd'; did you mean 'macd'"),
    ({"exits": REMOVE}, "exits", "is missing"),
    ({"exits.stop_loss_pct": REMOVE}, "exits.stop_loss_pct", "is missing; every entry needs a stop, for example"),
    ({"exits.stop_loss_pct": "1%"}, "exits.stop_loss_pct", "is '1%'; write a number without a unit"),
    ({"exits.stop_loss_pct": 100}, "exits.stop_loss_pct", "is 100; it lies between 0.01 and 99.99"),
    ({"exits.stop_loss": 1}, "exits", "unknown key 'stop_loss'; did you mean 'stop_loss_pct'"),
    ({"exits.trailing_stop_pct": 0}, "exits.trailing_stop_pct", "is 0; it lies between 0.01 and 99.99"),
    ({"exits.trailing_activation_pct": 1}, "exits.trailing_activation_pct", "stands alone; it belongs to"),
    ({"exits.max_hold_time_minutes": 0.5}, "exits.max_hold_time_minutes", "is 0.5; it lies between 1 and 527040"),
    ({"exits.max_hold_always": True}, "exits.max_hold_always", "stands alone; it belongs to max_hold_time_minutes"),
    ({"exits.ml_reversal": True}, "exits.ml_reversal", "needs a model, and this strategy has none"),
    ({"exits.breakeven": 1}, "exits.breakeven", "is 1; write true or false"),
    ({"exits.atr_period": 14}, "exits.atr_period", "stands alone; it belongs to stop_loss_atr"),
    ({"exits.stop_loss_atr": 101}, "exits.stop_loss_atr", "is 101; it lies between 0.1 and 100"),
    ({"exits.on_opposite": "keep"}, "exits.on_opposite", "unknown value 'keep'; known: close, flip, keep_and_tighten"),
    ({TIERS: 2}, TIERS, "is 2, not a list; write [{target_pct: 2, close_pct: 33}, ...]"),
    ({TIERS: ""}, TIERS, "is '', not a list"),
    ({TIERS: [2]}, f"{TIERS}[0]", "is not a mapping of keys to values"),
    ({TIERS: [{"target_pct": 2}]}, f"{TIERS}[0].close_pct", "is missing; write a number"),
    ({TIERS: [{"close_pct": 33}]}, f"{TIERS}[0].target_pct", "is missing; write a number"),
    ({TIERS: [{"target_pct": "2%", "close_pct": 33}]}, f"{TIERS}[0].target_pct", "write a number without a unit"),
    ({TIERS: [{"target_pct": 2, "close_pct": 33, "at": 1}]}, f"{TIERS}[0]", "unknown key 'at'"),
    (
        {TIERS: [{"target_pct": 2, "close_pct": 50}, {"target_pct": 2, "close_pct": 50}]},
        f"{TIERS}[1].target_pct",
        "is 2, not above the level before it",
    ),
    (
        {TIERS: [{"target_pct": 2, "close_pct": 50}, {"target_pct": 4, "close_pct": 50.5}]},
        TIERS,
        "close 100.5 % together; at most 100 % can be closed",
    ),
    ({"risk_management.max_daily_trades": 0}, "risk_management.max_daily_trades", "is 0; it lies between 1 and 100000"),
    ({"risk_management.max_daily_trades": 2.5}, "risk_management.max_daily_trades", "is 2.5; write a whole number"),
    ({"risk_management.max_daily_loss_pct": "5 %"}, "risk_management.max_daily_loss_pct", "write a number"),
    ({"risk_management.cooldown_bars": -1}, "risk_management.cooldown_bars", "is -1; it lies between 0 and 10000"),
    ({"risk_management.cooldown_bars": 2.5}, "risk_management.cooldown_bars", "is 2.5; write a whole number"),
    ({"risk_management.max_trades": 5}, "risk_management", "unknown key 'max_trades'; did you mean 'max_daily_trades'"),
    ({"execution.order_type": "limt"}, "execution.order_type", "did you mean 'limit'?"),
    ({"execution.algorithm": "twap"}, "execution.algorithm", "unknown value 'twap'; known: bracket"),
    ({"execution.slippage_tolerance_pct": 11}, "execution.slippage_tolerance_pct", "is 11; it lies between 0 and 10"),
    ({"execution.slipage": 1}, "execution", "unknown key 'slipage'; did you mean 'slippage_bps'"),
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


def test_a_key_given_twice_is_refused_with_both_lines() -> None:
    doubled = text({}) + "exits: {stop_loss_pct: 5}\n"
    with pytest.raises(ConfigError, match=r"mine.yaml:\d+: exits: given twice \(first on line \d+\); keep one"):
        parse_strategy(doubled, NAME)
    inner = "exits: {stop_loss_pct: 5, stop_loss_pct: 6}\n"
    with pytest.raises(ConfigError, match=r"mine.yaml:1: exits.stop_loss_pct: given twice"):
        parse_strategy(inner, NAME)


@pytest.mark.parametrize("nothing", ["", "# only a comment\n", "{}"])
def test_an_empty_file_says_what_is_missing(nothing: str) -> None:
    with pytest.raises(ConfigError, match=r"mine\.yaml: strategy is missing"):
        parse_strategy(nothing, NAME)


# -- the hash ---------------------------------------------------------------------------------------------------------


def layouts(document: dict[str, Any], order: list[str]) -> list[str]:
    """The same values in other orders and forms."""
    reordered = {key: dict(reversed(document[key].items())) for key in order}
    block = yaml.safe_dump(reordered, sort_keys=False)
    commented = "".join(f"{line}   # said on a line of its own\n" for line in block.splitlines())
    return [block, "# a comment\n\n" + commented, json.dumps(reordered, indent=7), yaml.safe_dump(reordered, width=20)]


@given(st.permutations(list(WHOLE)), st.integers(1, 9), st.integers(10, 40))
def test_the_hash_depends_on_the_values_and_on_nothing_else(order: list[str], stop: int, oversold: int) -> None:
    document = copy.deepcopy(WHOLE)
    document["exits"]["stop_loss_pct"] = stop
    document["parameters"]["oversold"] = oversold
    hashes = {parse_strategy(layout, NAME).config_hash for layout in layouts(document, order)}
    assert len(hashes) == 1
    document["exits"]["stop_loss_pct"] = stop + 1
    assert parse_strategy(yaml.safe_dump(document), NAME).config_hash not in hashes


def test_trailing_zeros_do_not_change_the_hash() -> None:
    shipped = SHIPPED.read_text()
    assert "stop_loss_pct: 1.0" in shipped
    longer = shipped.replace("stop_loss_pct: 1.0", "stop_loss_pct: 1.000")
    other = shipped.replace("stop_loss_pct: 1.0", "stop_loss_pct: 1.001")
    hashes = [parse_strategy(each, NAME).config_hash for each in (shipped, longer, other)]
    assert hashes[0] == hashes[1] != hashes[2]


# -- the command line's word ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [REMOVE, {"position_size_pct": 2}])
def test_an_override_reaches_a_parameter_of_the_class_that_the_file_leaves_out(parameters: Any) -> None:
    told = parse_strategy(text({"parameters": parameters}), NAME, {"oversold": "25", "position_size_pct": "2"})
    assert told == parse({"parameters.oversold": 25})


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("oversoldd", "unknown parameter of rsi_reversion 'oversoldd'; did you mean 'oversold'"),
        ("stop_loss_pct", "another key is set by its path, exits.stop_loss_pct"),
    ],
)
def test_an_override_that_the_class_does_not_know_is_named(path: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_strategy(text({}), NAME, {path: "2"})
    assert said in str(caught.value)
