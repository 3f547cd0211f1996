"""The part of a strategy file that says how its positions end (SPEC 7.6, 7.8)."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from promethean.domain.instants import NS_PER_MINUTE
from promethean.domain.money import plain
from promethean.domain.orders import Hold, Protection, Tier, Trail
from promethean.strategies.atr_stop import PERIOD_MAX, AtrStop
from promethean.strategies.sections import Section

HUNDRED = Decimal(100)
OPPOSITES = ("keep_and_tighten", "close", "flip")
FAR = Decimal("0.9999")  # where a stop is measured in ranges alone, the share of the price that it cannot exceed
_LEVELS_EXAMPLE = "[{target_pct: 2, close_pct: 33}, ...]"
_KEYS = (
    "stop_loss_pct", "stop_loss_atr", "atr_period", "take_profit_levels", "trailing_stop_pct",
    "trailing_activation_pct", "max_hold_time_minutes", "max_hold_always", "breakeven", "on_opposite", "ml_reversal",
)  # fmt: skip


class Exits(Struct, frozen=True):
    """How positions end.  atr_stop: a stop measured in ranges; on_opposite: what an opposite signal does, None where
    the file leaves it open.
    """

    protection: Protection
    atr_stop: AtrStop | None = None
    on_opposite: str | None = None


def read_exits(exits: Section) -> Exits:
    """The exits as the file writes them.  Raises ConfigError naming file, path, value, limit and remedy."""
    exits.only(_KEYS)
    if exits.values.get("ml_reversal", False) is not False:
        raise exits.error("ml_reversal", "needs a model, and this strategy has none; remove it, or set it to false")
    share, atr_stop = exits.number("stop_loss_pct", Decimal("0.01"), Decimal("99.99")), _atr_stop(exits)
    if share is None and atr_stop is None:
        raise exits.error("stop_loss_pct", "is missing; every entry needs a stop, for example stop_loss_pct: 1.0")
    protection = Protection(
        FAR if share is None else share / HUNDRED,
        _tiers(exits),
        _trail(exits),
        _hold(exits),
        exits.flag("breakeven", False),
    )
    return Exits(protection, atr_stop, exits.choice("on_opposite", OPPOSITES))


def _atr_stop(exits: Section) -> AtrStop | None:
    multiple = exits.number("stop_loss_atr", Decimal("0.1"), Decimal(100))
    period = exits.whole("atr_period", 2, PERIOD_MAX)
    if multiple is None:
        if period is not None:
            raise exits.error("atr_period", "stands alone; it belongs to stop_loss_atr")
        return None
    return AtrStop(float(multiple), 14 if period is None else int(period))


def _tiers(exits: Section) -> tuple[Tier, ...]:
    levels = exits.values.get("take_profit_levels")
    if levels is not None and not isinstance(levels, list):
        raise exits.error("take_profit_levels", f"is {levels!r}, not a list; write {_LEVELS_EXAMPLE}")
    tiers: list[Tier] = []
    for number, level in enumerate(levels or ()):
        tier = Section(exits.file, f"{exits.path}.take_profit_levels[{number}]", level)
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
    return tuple(tiers)


def _trail(exits: Section) -> Trail | None:
    distance = exits.number("trailing_stop_pct", Decimal("0.01"), Decimal("99.99"))
    activation = exits.number("trailing_activation_pct", Decimal(0), Decimal(1000))
    if distance is None:
        if activation is not None:
            raise exits.error("trailing_activation_pct", "stands alone; it belongs to trailing_stop_pct")
        return None
    return Trail(distance / HUNDRED, None if activation is None else activation / HUNDRED)


def _hold(exits: Section) -> Hold | None:
    minutes = exits.number("max_hold_time_minutes", Decimal(1), Decimal(527_040))
    always = exits.flag("max_hold_always", False)
    if minutes is None:
        if "max_hold_always" in exits.values:
            raise exits.error("max_hold_always", "stands alone; it belongs to max_hold_time_minutes")
        return None
    return Hold(int(minutes * NS_PER_MINUTE), always)
