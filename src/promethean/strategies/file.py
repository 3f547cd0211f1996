"""Strategy files: YAML read into a typed plan, every mistake named with its path and its remedy (SPEC 7.6)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from promethean.domain.candles import CandleSeries, timeframe_ns
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.instruments import MarketType, instrument_id, parse_symbol
from promethean.domain.margin import MAINTENANCE
from promethean.domain.money import plain
from promethean.domain.orders import OrderType, Protection, Tier
from promethean.domain.sizing import Sizing
from promethean.domain.yaml_text import load_yaml
from promethean.strategies.arrays import ArrayStrategy
from promethean.strategies.book_source import BookSource, read_orderbook
from promethean.strategies.by_candle import ByCandle
from promethean.strategies.candle_strategy import CandleStrategy
from promethean.strategies.catalogue import STRATEGIES, Strategy
from promethean.strategies.conditional import Conditions, ConditionStrategy
from promethean.strategies.conditional_file import read_conditions
from promethean.strategies.exits_section import Exits, read_exits
from promethean.strategies.frame import Frame
from promethean.strategies.schedule import Schedule, Scheduled, read_schedule
from promethean.strategies.sections import Section
from promethean.strategies.technical_score import TechnicalSource, read_technical

HUNDRED = Decimal(100)
_FILTER_KEYS = ("price_increment", "quantity_increment", "notional_min")
_LIMIT_KEYS = ("max_daily_trades", "max_daily_loss_pct", "cooldown_bars")
_RISK_EXITS = ("stop_loss_pct", "take_profit_pct")
_SIZE_KEYS = ("position_size_pct", "position_size_quote", "max_position_size")
_CLASS_SECTIONS = (
    "strategy", "market", "parameters", "technical", "orderbook", "exits", "risk_management", "execution", "schedule",
)  # fmt: skip
_CONDITION_SECTIONS = (
    "strategy", "market", "parameters", "indicators", "entry", "exit", "risk", "exits", "execution", "schedule",
)  # fmt: skip
_LATER_SECTIONS = ("ml",)
_UNLIMITED = "unlimited"
_LEVERAGE_MAX = Decimal(125)  # that any venue offers


@dataclass(frozen=True, slots=True)
class Simulation:
    """How a simulated venue treats the strategy's orders; None where the file leaves it to the settings.

    fee_maker, fee_taker: fractions of the notional.  participation_max: largest share of a candle's volume that one
    order takes; a number above 1 means that it is filled whole in any candle that has a volume.
    maintenance: share of a perpetual's notional that has to be left of its margin.
    price_increment, quantity_increment, notional_min: filters of the market, where a recording does not say them.
    """

    fee_maker: Decimal | None = None
    fee_taker: Decimal | None = None
    slippage_bps: Decimal | None = None
    latency_ms: int | None = None
    participation_max: Decimal | None = None
    price_increment: Decimal | None = None
    quantity_increment: Decimal | None = None
    notional_min: Decimal | None = None
    maintenance: Decimal | None = None


@dataclass(frozen=True, slots=True)
class StrategyFile:
    """What a strategy file says, checked.

    aggregation, threshold, order_type, slippage_tolerance: None where the file leaves it to the settings.
    class_name: of a class-based file; conditions: of a condition-driven one.  Exactly one of them is there.
    limits: what the file tightens, by limit code.  parameters: of the class or the conditions, sizes taken out.
    simulation: what the file says about the simulated venue.  schedule: when it may enter; None: at any time.
    technical, orderbook: the technical score and the order book as further sources beside the class; None without.
    leverage: notional of a position in times of its margin.
    content: the file as JSON values, numbers with a point as text.
    config_hash: SHA-256 of the file's content, independent of layout and comments.
    """

    id: str
    name: str
    class_name: str | None
    conditions: Conditions | None
    aggregation: str | None
    threshold: float | None
    exchange: str
    base: str
    quote: str
    market_type: MarketType
    timeframe: str
    parameters: Mapping[str, Decimal | bool]
    sizing: Sizing
    exits: Exits
    order_type: OrderType | None
    slippage_tolerance: Decimal | None
    cooldown_bars: int
    limits: Mapping[str, Decimal]
    simulation: Simulation
    content: Mapping[str, Any]
    config_hash: str
    schedule: Schedule | None = None
    technical: TechnicalSource | None = None
    orderbook: BookSource | None = None
    leverage: Decimal = Decimal(1)


def parse_strategy(text: str, name: str, overrides: Mapping[str, str] = MappingProxyType({})) -> StrategyFile:
    """A strategy file from its text.

    name:      of the file, for messages.
    overrides: values, as text, by the name of a parameter (`low`) or the path of another key (`risk.stop_loss_pct`).
    Raises ConfigError naming file, path, value, limit and remedy; for an unknown key or class with the closest name.
    """
    document = load_yaml(text, name)
    sections = Section(name, "", document)
    for path, value in overrides.items():
        _override(document, path, value, name)
    is_conditional = "entry" in sections.values or "indicators" in sections.values
    known = _CONDITION_SECTIONS if is_conditional else _CLASS_SECTIONS
    off = (*_LATER_SECTIONS, "orderbook") if is_conditional else _LATER_SECTIONS
    for key in off:
        _refuse_enabled(sections, key)
    for key in sections.values:
        if key in (*_CLASS_SECTIONS, *_CONDITION_SECTIONS) and key not in (*known, *off):
            kind = "condition-driven" if is_conditional else "class-based"
            raise ConfigError(f"{name}: {key} does not belong to a {kind} strategy; it has {', '.join(known)}")
    sections.only((*known, *off))
    content = json.loads(json.dumps(document, sort_keys=True, default=_plain_text))
    config_hash = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return _read(sections, _conditional if is_conditional else _class_based, content, config_hash)


def _override(document: Any, path: str, value: str, name: str) -> None:
    """Put a value into the document before it is read."""
    parameters = document.get("parameters") if isinstance(document, dict) else None
    if isinstance(parameters, dict) and path in parameters:
        keys = ["parameters", path]
    elif "." in path:
        keys = path.split(".")
    elif _has_class(document) and not _places(document, path):
        keys = ["parameters", path]  # one that the file leaves out: the class knows whether it has it
    else:
        known = [*(parameters or ())] if isinstance(parameters, dict) else []
        example = next(iter(_places(document, path)), "for example risk.stop_loss_pct")
        raise ConfigError(
            f"{name}: {unknown_name('parameter', path, known)}; another key is set by its path, {example}"
        )
    place = document
    for key in keys[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise ConfigError(f"{name}: {path} leads through something that is not a mapping")
    place[keys[-1]] = load_yaml(f"value: {value}", f"--set {path}")["value"]


def _has_class(document: Any) -> bool:
    head = document.get("strategy") if isinstance(document, dict) else None
    return isinstance(head, dict) and "class" in head


def _places(document: Any, key: str) -> list[str]:
    """The paths of a key in the sections of a file."""
    sections = document.items() if isinstance(document, dict) else ()
    return [f"{name}.{key}" for name, section in sections if isinstance(section, dict) and key in section]


class _At(NamedTuple):
    """Where a strategy trades, and with what: what it is made of, whatever its kind."""

    id: str
    exchange: str
    base: str
    quote: str
    market_type: MarketType
    timeframe: str
    leverage: Decimal
    parameters: Mapping[str, Decimal | bool]

    @property
    def instrument(self) -> InstrumentId:
        return instrument_id(self.exchange, self.base, self.quote, self.market_type)


class _Own(NamedTuple):
    """What each kind of file says in its own way.  made: the strategy, so that its mistakes are found now."""

    made: Strategy | ArrayStrategy | CandleStrategy
    sizing: Sizing
    exits: Exits
    limits: Mapping[str, Decimal]
    cooldown_bars: int
    class_name: str | None = None
    conditions: Conditions | None = None
    aggregation: str | None = None
    threshold: float | None = None
    technical: TechnicalSource | None = None
    orderbook: BookSource | None = None


def _read(
    sections: Section, own: Callable[[Section, Section, _At], _Own], content: Mapping[str, Any], config_hash: str
) -> StrategyFile:
    head, market = sections.section("strategy"), sections.section("market")
    at = _At(_identity(head), market.text("exchange"), *_market(market), _parameters(_parameter_section(sections)))
    order_type, slippage, simulation = _execution(sections.section("execution", optional=True), market, at.leverage)
    found = own(sections, head, at)
    return StrategyFile(
        id=at.id,
        name=head.text("name", default=at.id),
        class_name=found.class_name,
        conditions=found.conditions,
        aggregation=found.aggregation,
        threshold=found.threshold,
        exchange=at.exchange,
        base=at.base,
        quote=at.quote,
        market_type=at.market_type,
        timeframe=at.timeframe,
        parameters=at.parameters,
        sizing=found.sizing,
        exits=found.exits,
        order_type=order_type,
        slippage_tolerance=slippage,
        cooldown_bars=found.cooldown_bars,
        limits=found.limits,
        simulation=simulation,
        content=content,
        config_hash=config_hash,
        schedule=_schedule(sections, found.made),
        technical=found.technical,
        orderbook=found.orderbook,
        leverage=at.leverage,
    )


def _class_based(sections: Section, head: Section, at: _At) -> _Own:
    head.only(("id", "name", "class", "aggregation_mode", "signal_threshold"))
    class_name = head.text("class")
    if class_name not in STRATEGIES:
        raise head.error("class", f"names an {unknown_name('strategy', class_name, STRATEGIES)}")
    limits, cooldown = _limits(sections.section("risk_management", optional=True))
    technical = read_technical(sections.section("technical", optional=True), class_name)
    orderbook = read_orderbook(sections.section("orderbook", optional=True), class_name)
    made = sections.within(  # the class knows its parameters: a mistake in them is found now, with the file's name
        "",
        lambda: STRATEGIES.get(class_name)(
            id=StrategyId(at.id),
            instrument=at.instrument,
            timeframe=at.timeframe,
            parameters=at.parameters,
            can_short=at.market_type is MarketType.FUTURES,
        ),
    )
    return _Own(
        made,
        _sizing(_parameter_section(sections), at.leverage),
        read_exits(sections.section("exits")),
        limits,
        cooldown,
        class_name=class_name,
        aggregation=head.choice("aggregation_mode", ("voting", "weighted", "unanimous", "threshold")),
        threshold=_as_float(head.number("signal_threshold", Decimal(0), Decimal(1))),
        technical=technical,
        orderbook=orderbook,
    )


def _conditional(sections: Section, head: Section, at: _At) -> _Own:
    head.only(("id", "name"))
    risk = sections.section("risk")
    risk.only((*_SIZE_KEYS, *_RISK_EXITS, *_LIMIT_KEYS))
    limits, cooldown = _limits(risk, (*_SIZE_KEYS, *_RISK_EXITS))
    conditions = read_conditions(sections, at.timeframe, at.market_type)
    made = sections.within(  # a mistake in a condition is found now, with the file's name
        "",
        lambda: ConditionStrategy(
            conditions,
            id=StrategyId(at.id),
            instrument=at.instrument,
            timeframe=at.timeframe,
            parameters=at.parameters,
        ),
    )
    # Indicators refuse their parameters even over no candles at all.
    sections.within("", lambda: made.say(Frame(CandleSeries(1), at.timeframe)))
    no_threshold = 0.0  # conditions hold or do not
    return _Own(
        made,
        _sizing(risk, at.leverage),
        _exits(sections, risk),
        limits,
        cooldown,
        conditions=conditions,
        threshold=no_threshold,
    )


def _parameter_section(sections: Section) -> Section:
    return sections.section("parameters", optional=True)


def _schedule(sections: Section, made: Strategy | ArrayStrategy | CandleStrategy) -> Schedule | None:
    """When the strategy may enter, found to fit it."""
    schedule = read_schedule(sections)
    if schedule is None:
        return None
    strategy = ByCandle(lambda: made) if isinstance(made, CandleStrategy) else made
    if not isinstance(strategy, ArrayStrategy):
        raise sections.error("schedule", "is not available for a strategy that is asked at every event; remove it")
    sections.within("schedule", lambda: Scheduled(strategy, schedule))
    return schedule


def _exits(sections: Section, risk: Section) -> Exits:
    """Stop and target from `risk`, or all exits from `exits`."""
    if "exits" in sections.values:
        for key in _RISK_EXITS:
            if key in risk.values:
                raise risk.error(key, "stands beside the section exits; keep one of the two")
        return read_exits(sections.section("exits"))
    stop = risk.number("stop_loss_pct", Decimal("0.01"), Decimal("99.99"))
    if stop is None:
        raise risk.error("stop_loss_pct", "is missing; every entry needs a stop, for example stop_loss_pct: 1.0")
    target = risk.number("take_profit_pct", Decimal("0.01"), Decimal(1000))
    return Exits(Protection(stop / HUNDRED, () if target is None else (Tier(target / HUNDRED, Decimal(1)),)))


def _plain_text(value: Any) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def _as_float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


# ---------------------------------------------------------------- sections


def _identity(head: Section) -> str:
    name = head.text("id")
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name) is None:
        raise head.error("id", f"is {name!r}; write letters, digits, - and _, at most 64")
    return name


def _market(market: Section) -> tuple[str, str, MarketType, str, Decimal]:
    market.only(("exchange", "symbol", "market_type", "primary_timeframe", "timeframes", "leverage", *_FILTER_KEYS))
    symbol, timeframe = market.text("symbol"), market.text("primary_timeframe")
    base, quote, named_type = market.within("symbol", lambda: parse_symbol(symbol))
    shortest = market.within("primary_timeframe", lambda: timeframe_ns(timeframe))
    others = market.values.get("timeframes")
    if others is not None and not isinstance(others, list):
        raise market.error("timeframes", f"is {others!r}, not a list; write for example [1m, 5m]")
    for other in map(str, others or ()):
        if market.within("timeframes", partial(timeframe_ns, other)) < shortest:
            raise market.error(
                "timeframes",
                f"names {other}, finer than the primary timeframe {timeframe}; remove it or make it primary",
            )
    chosen = market.choice("market_type", ("spot", "futures"))
    market_type = MarketType(chosen) if chosen is not None else named_type
    if named_type is MarketType.FUTURES and market_type is MarketType.SPOT:
        raise market.error("market_type", "is spot, but the symbol names the perpetual; remove -PERP or say futures")
    leverage = market.number("leverage", Decimal(1), _LEVERAGE_MAX)
    if leverage is not None and market_type is MarketType.SPOT:
        raise market.error("leverage", "is for perpetuals; remove it, or say market_type: futures")
    return base, quote, market_type, timeframe, leverage or Decimal(1)


def _sizing(parameters: Section, leverage: Decimal) -> Sizing:
    share = parameters.number("position_size_pct", Decimal("0.01"), HUNDRED * leverage)
    amount = parameters.number("position_size_quote", Decimal("0.01"), Decimal(10) ** 12)
    largest = parameters.number("max_position_size", Decimal("1e-8"), Decimal(10) ** 12)
    if share is not None and amount is not None:
        raise parameters.error("position_size_quote", "stands beside position_size_pct; keep one of the two")
    if share is None and amount is None:
        raise parameters.error("position_size_pct", "is missing; write for example position_size_pct: 2.0")
    return Sizing(None if share is None else share / HUNDRED, amount, largest)


def _parameters(parameters: Section) -> dict[str, Decimal | bool]:
    """What the class reads, as numbers and switches; sizes are taken out."""
    values: dict[str, Decimal | bool] = {}
    for key, value in parameters.values.items():
        if key in _SIZE_KEYS:
            continue
        if not isinstance(value, bool | int | Decimal):
            raise parameters.error(key, f"is {value!r}; write a number without a unit, or true or false")
        values[key] = value if isinstance(value, bool) else Decimal(value)
    return values


def _execution(
    execution: Section, market: Section, leverage: Decimal
) -> tuple[OrderType | None, Decimal | None, Simulation]:
    simulated = (
        "fee_maker_pct", "fee_taker_pct", "slippage_bps", "latency_ms", "participation_max", "maintenance_margin_pct",
    )  # fmt: skip
    execution.only(("order_type", "slippage_tolerance_pct", "algorithm", *simulated))
    algorithm = execution.choice("algorithm", ("bracket",))
    assert algorithm in (None, "bracket"), "the one algorithm there is"
    kind = execution.choice("order_type", ("market", "limit"))
    slippage = execution.number("slippage_tolerance_pct", Decimal(0), Decimal(10))
    return (
        None if kind is None else OrderType(kind),
        None if slippage is None else slippage / HUNDRED,
        _simulation(execution, market, leverage),
    )


def _simulation(execution: Section, market: Section, leverage: Decimal) -> Simulation:
    maker = execution.number("fee_maker_pct", Decimal(-1), Decimal(10))
    taker = execution.number("fee_taker_pct", Decimal(0), Decimal(10))
    latency = execution.whole("latency_ms", 0, 60_000)
    if execution.values.get("participation_max") == _UNLIMITED:
        participation: Decimal | None = Decimal(10) ** 9
    else:
        participation = execution.number("participation_max", Decimal("0.0001"), Decimal(1))
    return Simulation(
        None if maker is None else maker / HUNDRED,
        None if taker is None else taker / HUNDRED,
        execution.number("slippage_bps", Decimal(0), Decimal(1000)),
        None if latency is None else int(latency),
        participation,
        market.number("price_increment", Decimal("1e-12"), Decimal(10) ** 6),
        market.number("quantity_increment", Decimal("1e-12"), Decimal(10) ** 6),
        market.number("notional_min", Decimal(0), Decimal(10) ** 6),
        _maintenance(execution, leverage),
    )


def _maintenance(execution: Section, leverage: Decimal) -> Decimal | None:
    """The maintenance margin, found to leave room below the margin that an entry begins with."""
    percent = execution.number("maintenance_margin_pct", Decimal(0), HUNDRED)
    share = MAINTENANCE if percent is None else percent / HUNDRED
    if share * leverage >= 1:
        raise execution.error(
            "maintenance_margin_pct",
            f"is {plain(share * HUNDRED)}, but an entry at {plain(leverage)} x begins with a margin of "
            f"{plain(round(HUNDRED / leverage, 4))} %: it would be liquidated at once; lower one of the two",
        )
    return None if percent is None else share


def _limits(management: Section, beside: tuple[str, ...] = ()) -> tuple[dict[str, Decimal], int]:
    """What tightens the user's limits, and the cooldown.  beside: other keys that the section may have."""
    management.only((*_LIMIT_KEYS, *beside))
    limits = {}
    trades = management.whole("max_daily_trades", 1, 100_000)
    loss = management.number("max_daily_loss_pct", Decimal("0.01"), HUNDRED)
    if trades is not None:
        limits["daily_trades"] = trades
    if loss is not None:
        limits["circuit_breaker_daily_loss"] = loss / HUNDRED
    cooldown = management.whole("cooldown_bars", 0, 10_000)
    return limits, int(cooldown) if cooldown is not None else 3


def _refuse_enabled(sections: Section, name: str) -> None:
    value = sections.values.get(name)
    if value is None or (isinstance(value, dict) and value.get("enabled") is False):
        return
    why = {"orderbook": "stands beside a class, and this strategy is made of conditions"}
    raise sections.error(name, f"{why.get(name, 'is not available yet')}; remove it, or set enabled: false in it")
