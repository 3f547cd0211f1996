"""Strategy files: YAML read into a typed plan, every mistake named with its path and its remedy (SPEC 7.6)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from promethean.domain.candles import timeframe_ns
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.ids import StrategyId
from promethean.domain.instruments import MarketType, instrument_id, parse_symbol
from promethean.domain.money import plain
from promethean.domain.orders import OrderType, Protection, Tier
from promethean.domain.sizing import Sizing
from promethean.domain.yaml_text import load_yaml
from promethean.strategies.catalogue import STRATEGIES

T = TypeVar("T")
HUNDRED = Decimal(100)
_SIZE_KEYS = ("position_size_pct", "position_size_quote", "max_position_size")
_LATER_EXITS = ("trailing_stop_pct", "max_hold_time_minutes", "ml_reversal", "breakeven")
_LEVELS_EXAMPLE = "[{target_pct: 2, close_pct: 33}, ...]"
_SECTIONS = ("strategy", "market", "parameters", "technical", "exits", "risk_management", "execution")
_LATER_SECTIONS = ("ml", "orderbook", "schedule", "indicators", "entry", "exit", "risk")


@dataclass(frozen=True, slots=True)
class StrategyFile:
    """What a strategy file says, checked.

    aggregation, threshold, order_type, slippage_tolerance: None where the file leaves it to the settings.
    limits: what the file tightens, by limit code.  parameters: of the class, sizes taken out.
    content: the file as JSON values, numbers with a point as text.
    config_hash: SHA-256 of the file's content, independent of layout and comments.
    """

    id: str
    name: str
    class_name: str
    aggregation: str | None
    threshold: float | None
    exchange: str
    base: str
    quote: str
    market_type: MarketType
    timeframe: str
    parameters: Mapping[str, Decimal | bool]
    sizing: Sizing
    protection: Protection
    order_type: OrderType | None
    slippage_tolerance: Decimal | None
    cooldown_bars: int
    limits: Mapping[str, Decimal]
    content: Mapping[str, Any]
    config_hash: str


def parse_strategy(text: str, name: str) -> StrategyFile:
    """A strategy file from its text.  name: of the file, for messages.

    Raises ConfigError naming file, path, value, limit and remedy; for an unknown key or class with the closest name.
    """
    document = load_yaml(text, name)
    sections = _Section(name, "", document)
    for later in _LATER_SECTIONS:
        _refuse_enabled(sections, later)
    sections.only((*_SECTIONS, *_LATER_SECTIONS))
    head, market = sections.section("strategy"), sections.section("market")
    head.only(("id", "name", "class", "aggregation_mode", "signal_threshold"))
    class_name = head.text("class")
    if class_name not in STRATEGIES:
        raise head.error("class", f"names an {unknown_name('strategy', class_name, STRATEGIES)}")
    identity, exchange = _identity(head), market.text("exchange")
    base, quote, market_type, timeframe = _market(market)
    parameters = sections.section("parameters", optional=True)
    sizing = _sizing(parameters)
    values = _parameters(parameters)
    execution = sections.section("execution", optional=True)
    order_type, slippage = _execution(execution)
    limits, cooldown = _limits(sections.section("risk_management", optional=True))
    _technical(sections.section("technical", optional=True))
    sections.within(  # the class knows its parameters: a mistake in them is found now, with the file's name
        "",
        lambda: STRATEGIES.get(class_name)(
            id=StrategyId(identity),
            instrument=instrument_id(exchange, base, quote, market_type),
            timeframe=timeframe,
            parameters=values,
            can_short=market_type is MarketType.FUTURES,
        ),
    )
    content = json.loads(json.dumps(document, sort_keys=True, default=_plain_text))
    return StrategyFile(
        id=identity,
        name=head.text("name", default=identity),
        class_name=class_name,
        aggregation=head.choice("aggregation_mode", ("voting", "weighted", "unanimous", "threshold")),
        threshold=_as_float(head.number("signal_threshold", Decimal(0), Decimal(1))),
        exchange=exchange,
        base=base,
        quote=quote,
        market_type=market_type,
        timeframe=timeframe,
        parameters=values,
        sizing=sizing,
        protection=_protection(sections.section("exits")),
        order_type=order_type,
        slippage_tolerance=slippage,
        cooldown_bars=cooldown,
        limits=limits,
        content=content,
        config_hash=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
    )


def _plain_text(value: Any) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def _as_float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


# ---------------------------------------------------------------- sections


def _identity(head: _Section) -> str:
    name = head.text("id")
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name) is None:
        raise head.error("id", f"is {name!r}; write letters, digits, - and _, at most 64")
    return name


def _market(market: _Section) -> tuple[str, str, MarketType, str]:
    market.only(("exchange", "symbol", "market_type", "primary_timeframe", "timeframes"))
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
    return base, quote, market_type, timeframe


def _sizing(parameters: _Section) -> Sizing:
    share = parameters.number("position_size_pct", Decimal("0.01"), HUNDRED)
    amount = parameters.number("position_size_quote", Decimal("0.01"), Decimal(10) ** 12)
    largest = parameters.number("max_position_size", Decimal("1e-8"), Decimal(10) ** 12)
    if share is not None and amount is not None:
        raise parameters.error("position_size_quote", "stands beside position_size_pct; keep one of the two")
    if share is None and amount is None:
        raise parameters.error("position_size_pct", "is missing; write for example position_size_pct: 2.0")
    return Sizing(None if share is None else share / HUNDRED, amount, largest)


def _parameters(parameters: _Section) -> dict[str, Decimal | bool]:
    """What the class reads, as numbers and switches; sizes are taken out."""
    values: dict[str, Decimal | bool] = {}
    for key, value in parameters.values.items():
        if key in _SIZE_KEYS:
            continue
        if not isinstance(value, bool | int | Decimal):
            raise parameters.error(key, f"is {value!r}; write a number without a unit, or true or false")
        values[key] = value if isinstance(value, bool) else Decimal(value)
    return values


def _technical(technical: _Section) -> None:
    """The weight of the one source there is so far; other sources come with their parts."""
    technical.only(("enabled", "weight", "rsi", "macd"))
    technical.number("weight", Decimal("0.01"), Decimal(1000))
    if technical.values.get("enabled", True) is not True:
        raise technical.error("enabled", "is false, and the strategy has no other source; set it to true")


def _protection(exits: _Section) -> Protection:
    for key in _LATER_EXITS:
        if key in exits.values:
            raise exits.error(key, "names an exit that is not available yet; remove it")
    exits.only(("stop_loss_pct", "take_profit_levels", "on_opposite", *_LATER_EXITS))
    opposite = exits.values.get("on_opposite", "close")
    if opposite != "close":
        raise exits.error("on_opposite", f"is {opposite!r}; only 'close' is available yet")
    stop = exits.number("stop_loss_pct", Decimal("0.01"), Decimal("99.99"))
    if stop is None:
        raise exits.error("stop_loss_pct", "is missing; every entry needs a stop, for example stop_loss_pct: 1.0")
    levels = exits.values.get("take_profit_levels")
    if levels is not None and not isinstance(levels, list):
        raise exits.error("take_profit_levels", f"is {levels!r}, not a list; write {_LEVELS_EXAMPLE}")
    tiers: list[Tier] = []
    for number, level in enumerate(levels or ()):
        tier = _Section(exits.file, f"{exits.path}.take_profit_levels[{number}]", level)
        tier.only(("target_pct", "close_pct"))
        target = tier.number("target_pct", Decimal("0.01"), Decimal(1000), required=True)
        share = tier.number("close_pct", Decimal("0.01"), HUNDRED, required=True)
        assert target is not None and share is not None, "required numbers are there"
        if tiers and target / HUNDRED <= tiers[-1].target:
            raise tier.error("target_pct", f"is {target}, not above the level before it")
        tiers.append(Tier(target / HUNDRED, share / HUNDRED))
    total = sum((tier.share for tier in tiers), Decimal(0))
    if total > 1:
        raise exits.error(
            "take_profit_levels", f"close {plain(total * HUNDRED)} % together; at most 100 % can be closed"
        )
    return Protection(stop / HUNDRED, tuple(tiers))


def _execution(execution: _Section) -> tuple[OrderType | None, Decimal | None]:
    execution.only(("order_type", "slippage_tolerance_pct", "algorithm"))
    algorithm = execution.choice("algorithm", ("bracket",))
    assert algorithm in (None, "bracket"), "the one algorithm there is"
    kind = execution.choice("order_type", ("market", "limit"))
    slippage = execution.number("slippage_tolerance_pct", Decimal(0), Decimal(10))
    return None if kind is None else OrderType(kind), None if slippage is None else slippage / HUNDRED


def _limits(management: _Section) -> tuple[dict[str, Decimal], int]:
    management.only(("max_daily_trades", "max_daily_loss_pct", "cooldown_bars"))
    limits = {}
    trades = management.whole("max_daily_trades", 1, 100_000)
    loss = management.number("max_daily_loss_pct", Decimal("0.01"), HUNDRED)
    if trades is not None:
        limits["daily_trades"] = trades
    if loss is not None:
        limits["circuit_breaker_daily_loss"] = loss / HUNDRED
    cooldown = management.whole("cooldown_bars", 0, 10_000)
    return limits, int(cooldown) if cooldown is not None else 3


def _refuse_enabled(sections: _Section, name: str) -> None:
    value = sections.values.get(name)
    if value is None or (isinstance(value, dict) and value.get("enabled") is False):
        return
    raise sections.error(name, "is not available yet; remove it, or set enabled: false in it")


class _Section:
    """One mapping of the file, with the path that leads to it."""

    def __init__(self, file: str, path: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise ConfigError(f"{file}: {path or 'the file'} is not a mapping of keys to values")
        self.file = file
        self.path = path
        self.values: dict[str, Any] = values

    def error(self, key: str, what: str) -> ConfigError:
        path = ".".join(part for part in (self.path, key) if part)
        return ConfigError(f"{self.file}: {path} {what}".replace(":  ", ": "))

    def only(self, known: tuple[str, ...]) -> None:
        for key in self.values:
            if key not in known:
                place = f" in {self.path}" if self.path else ""
                raise ConfigError(f"{self.file}: {unknown_name('key', str(key), known)}{place}")

    def section(self, key: str, *, optional: bool = False) -> _Section:
        if key not in self.values and not optional:
            raise self.error(key, "is missing")
        return _Section(self.file, key, self.values.get(key, {}))

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if not isinstance(value, str) or not value:
            raise self.error(key, f"is {value!r}; write text")
        return value

    def choice(self, key: str, known: tuple[str, ...]) -> str | None:
        value = self.values.get(key)
        if value is not None and value not in known:
            raise self.error(key, f"is {value!r}: {unknown_name('value', str(value), known)}")
        return value

    def within(self, key: str, read: Callable[[], T]) -> T:
        """What `read` makes of the value; its ConfigError gets the place of the value."""
        try:
            return read()
        except ConfigError as error:
            path = ".".join(part for part in (self.path, key) if part)
            raise ConfigError(f"{self.file}: {path + ': ' if path else ''}{error}") from error

    def whole(self, key: str, smallest: int, largest: int) -> Decimal | None:
        number = self.number(key, Decimal(smallest), Decimal(largest))
        if number is not None and number != int(number):
            raise self.error(key, f"is {plain(number)}; write a whole number from {smallest} to {largest}")
        return number

    def number(self, key: str, smallest: Decimal, largest: Decimal, *, required: bool = False) -> Decimal | None:
        value = self.values.get(key)
        if value is None:
            if required or key in self.values:
                raise self.error(key, "is missing; write a number")
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self.error(key, f"is {value!r}; write a number without a unit")
        number = Decimal(value)
        if not smallest <= number <= largest:
            raise self.error(key, f"is {plain(number)}; it lies between {plain(smallest)} and {plain(largest)}")
        return number
