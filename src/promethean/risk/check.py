"""The risk check: one pure function, one written order, stable codes (SPEC 8.2).

The first control that refuses decides.  Orders that only reduce meet the controls marked `reducing` alone, so that a
way out stays open.  The last control, the reservation, is an atomic compare-and-set in the intent's own transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from decimal import Decimal

from msgspec import Struct

from promethean.domain.accounts import AccountMode
from promethean.domain.instants import NS_PER_MS, NS_PER_S
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.market import Mark, Side
from promethean.domain.money import plain
from promethean.domain.orders import Intent
from promethean.domain.verdicts import Passed, Refused
from promethean.risk.limits import Limits


class Situation(Struct, frozen=True):
    """What the controls look at.  None means unknown, and unknown refuses.

    exposure, equity:  quote units; exposure counts open, pending and unknown notional.
    positions:         open or pending positions, the intent's own not counted.
    unknown_orders:    orders of this instrument whose outcome nobody knows.
    breaker:           why the breaker is tripped; "" when it is not.
    stop_price:        where the entry's stop will rest, quote units per base unit.
    liquidation_price: where the venue would take the entry away.
    """

    now_ns: int
    instrument: Instrument | None
    mark: Mark | None
    mode: AccountMode | None
    halts: frozenset[str] | None
    lease_held: bool | None
    store_healthy: bool | None
    breaker: str | None
    equity: Decimal | None
    exposure: Decimal | None
    positions: int | None
    entries_today: int | None
    unknown_orders: int | None
    cooldown_until_ns: int | None
    stop_price: Decimal | None
    liquidation_price: Decimal | None = None

    def summary(self) -> dict[str, str]:
        """What the controls saw, as text for the journal; what is unknown is left out."""
        known = {
            "mark": self.mark and repr(self.mark.price),
            "mark_at_ns": self.mark and str(self.mark.at_ns),
            "equity": self.equity is not None and plain(round(self.equity, 12)),
            "exposure": self.exposure is not None and plain(round(self.exposure, 12)),
            "positions": self.positions is not None and str(self.positions),
            "entries_today": self.entries_today is not None and str(self.entries_today),
            "mode": self.mode is not None and self.mode.value,
        }
        return {name: value for name, value in known.items() if value}


Rule = Callable[[Intent, Situation, Limits], Refused | None]


class Control(Struct, frozen=True):
    """One row of the table."""

    code: str
    rule: Rule
    reducing: bool = False


def _kill_switch(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    if now.halts is None:
        return Refused("kill_switch", "state unreadable", "readable and not set")
    if now.halts:
        return Refused("kill_switch", f"set for {', '.join(sorted(now.halts))}", "not set")
    return None


def _executor_lease(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    if not now.lease_held:
        return Refused("executor_lease", "not held", "held by this process")
    return None


def _store_health(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    if not now.store_healthy:
        return Refused("store_health", "the journal cannot commit", "commits")
    return None


def _circuit_breaker(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    if now.breaker is None:
        return Refused("circuit_breaker", "state missing", "known and not tripped")
    if limits.circuit_breaker_daily_loss is None or limits.circuit_breaker_losing_streak is None:
        return Refused("circuit_breaker", "limit missing", "a daily loss and a losing streak to trip at")
    if now.breaker:
        return Refused("circuit_breaker", f"tripped by {now.breaker}", "not tripped until 00:00 UTC")
    return None


def _unknown_orders(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    if now.unknown_orders is None or now.unknown_orders > 0:
        found = "unreadable" if now.unknown_orders is None else str(now.unknown_orders)
        return Refused("unknown_orders", found, "0 orders of unknown outcome")
    return None


def _reconciliation(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    if now.mode is not AccountMode.ACTIVE:
        return Refused("reconciliation", f"account is {now.mode or 'unknown'}", "ACTIVE")
    return None


def _price_fresh(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    if limits.price_fresh_s is None or now.mark is None:
        missing = "limit missing" if now.mark is not None else "no price"
        return Refused("price_fresh", missing, "a price and a limit")
    age_ns = now.now_ns - now.mark.at_ns
    if age_ns < 0 or age_ns > limits.price_fresh_s * NS_PER_S:
        age_ms = age_ns // NS_PER_MS
        return Refused("price_fresh", f"{age_ms} ms old", f"{plain(limits.price_fresh_s)} s", age_ms)
    return None


def _precision(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    instrument = now.instrument
    if instrument is None:
        return Refused("precision", "instrument unknown", "the venue's filters")
    if intent.quantity % instrument.quantity_increment:
        lot = plain(instrument.quantity_increment)
        return Refused("precision", f"quantity {plain(intent.quantity)}", f"a multiple of {lot} {instrument.base}")
    for price in (intent.limit_price, intent.stop_price):
        if price is not None and (price <= 0 or price % instrument.price_increment):
            tick = plain(instrument.price_increment)
            return Refused("precision", f"price {plain(price)}", f"a positive multiple of {tick} {instrument.quote}")
    if intent.quantity < instrument.quantity_min:
        smallest = plain(instrument.quantity_min)
        return Refused("precision", f"quantity {plain(intent.quantity)}", f"at least {smallest} {instrument.base}")
    if not intent.reduce_only and intent.notional < instrument.notional_min:
        smallest = plain(instrument.notional_min)
        return Refused("precision", f"notional {plain(intent.notional)}", f"at least {smallest} {instrument.quote}")
    return None


def _stop_required(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    if intent.protection is None or now.stop_price is None:
        return Refused("stop_required", "no stop", "a stop on the losing side of the entry")
    if now.mark is None:
        return Refused("stop_required", "no price", "a price to compare the stop with")
    # On the wrong side of the market it would trigger at once, whatever the entry's limit is.
    market = Decimal(repr(now.mark.price))
    for what, price in (("entry", intent.expected_price), ("market", market)):
        right_side = 0 < now.stop_price < price if intent.side is Side.BUY else now.stop_price > price
        if not right_side:
            where = "below" if intent.side is Side.BUY else "above"
            return Refused("stop_required", f"stop at {plain(now.stop_price)}", f"{where} the {what} at {plain(price)}")
    return None


def _liquidation_distance(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    buffer, liquidation, stop = limits.liquidation_distance, now.liquidation_price, now.stop_price
    if buffer is None or now.instrument is None or stop is None:
        return Refused("liquidation_distance", "limit, market or stop missing", "all known")
    if now.instrument.market_type is MarketType.SPOT:
        return None  # bought for its whole price: nobody takes it away
    if liquidation is None:
        return Refused("liquidation_distance", "liquidation price missing", "known")
    distance = abs(intent.expected_price - liquidation)
    nearest = liquidation + distance * buffer * intent.side.sign
    if (stop - nearest) * intent.side.sign < 0:
        where = "at or above" if intent.side is Side.BUY else "at or below"
        value = f"stop at {plain(stop)}, liquidation at {plain(liquidation)}"
        return Refused("liquidation_distance", value, f"{where} {plain(round(nearest, 8))}")
    return None


def _leverage_max(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    leverage = intent.leverage or Decimal(1)
    if limits.leverage_max is None:
        return Refused("leverage_max", "limit missing", "a limit")
    if leverage > limits.leverage_max:
        return Refused("leverage_max", f"{plain(leverage)} x", f"{plain(limits.leverage_max)} x")
    return None


def _order_notional(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    smallest, largest = limits.order_notional_min, limits.order_notional_max
    if smallest is None or largest is None:
        return Refused("order_notional", "limit missing", "a smallest and a largest notional")
    if not smallest <= intent.notional <= largest:
        return Refused("order_notional", plain(intent.notional), f"{plain(smallest)} to {plain(largest)}")
    return None


def _open_positions(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    if limits.open_positions is None or now.positions is None:
        return Refused("open_positions", "limit or count missing", "a count and a limit")
    if now.positions + 1 > limits.open_positions:
        return Refused("open_positions", str(now.positions + 1), plain(limits.open_positions))
    return None


def _total_exposure(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    cap, share = limits.total_exposure, limits.total_exposure_share
    if cap is None or share is None or now.exposure is None or now.equity is None:
        return Refused("total_exposure", "limit, exposure or equity missing", "all known")
    allowed = min(cap, share * now.equity)
    after = now.exposure + intent.notional
    if after > allowed:
        return Refused("total_exposure", plain(round(after, 8)), plain(round(allowed, 8)))
    return None


def _daily_trades(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    if limits.daily_trades is None or now.entries_today is None:
        return Refused("daily_trades", "limit or count missing", "a count and a limit")
    if now.entries_today + 1 > limits.daily_trades:
        return Refused("daily_trades", str(now.entries_today + 1), plain(limits.daily_trades))
    return None


def _cooldown(intent: Intent, now: Situation, limits: Limits) -> Refused | None:
    if now.cooldown_until_ns is None:
        return Refused("cooldown", "state missing", "known")
    if now.now_ns < now.cooldown_until_ns:
        left_s = (now.cooldown_until_ns - now.now_ns) // NS_PER_S
        return Refused("cooldown", f"{left_s} s left after a stop", "0 s")
    return None


CONTROLS = (
    Control("kill_switch", _kill_switch),
    Control("executor_lease", _executor_lease, reducing=True),
    Control("store_health", _store_health, reducing=True),
    Control("circuit_breaker", _circuit_breaker),
    Control("unknown_orders", _unknown_orders),
    Control("reconciliation", _reconciliation),
    Control("price_fresh", _price_fresh),
    Control("precision", _precision, reducing=True),
    Control("stop_required", _stop_required),
    Control("liquidation_distance", _liquidation_distance),
    Control("leverage_max", _leverage_max),
    Control("order_notional", _order_notional),
    Control("open_positions", _open_positions),
    Control("total_exposure", _total_exposure),
    Control("daily_trades", _daily_trades),
    Control("cooldown", _cooldown),
)
"""The written order.  `reservation`, the last control of SPEC 8.2, is made when the intent is committed."""

RESERVATION = "reservation"


class Controls(Struct, frozen=True):
    """The controls that are asked, in the written order.

    entering: of an order that increases risk.  reducing: of one that only reduces it.
    """

    entering: tuple[Control, ...]
    reducing: tuple[Control, ...]

    @classmethod
    def of(cls, codes: Collection[str]) -> Controls:
        """The controls with these codes."""
        chosen = tuple(control for control in CONTROLS if control.code in codes)
        return cls(chosen, tuple(control for control in chosen if control.reducing))


ALL = Controls.of([control.code for control in CONTROLS])
RESEARCH = ("precision", "stop_required", "cooldown")
"""What a backtest under `--limits research` asks beside what the strategy file limits; the venue asks for cash."""


def check(intent: Intent, now: Situation, limits: Limits, asked: Controls = ALL) -> Passed | Refused:
    """Whether the intent may become an order: the first control that refuses decides.

    Pure; the same arguments give the same answer.
    """
    controls = asked.reducing if intent.reduce_only else asked.entering
    for control in controls:
        refused = control.rule(intent, now, limits)
        if refused is not None:
            return refused
    return Passed(len(controls))


def explain(intent: Intent, now: Situation, limits: Limits) -> list[tuple[str, Refused | None]]:
    """Every control that applies with its own answer, in order; None where it lets the intent through."""
    controls = ALL.reducing if intent.reduce_only else ALL.entering
    return [(control.code, control.rule(intent, now, limits)) for control in controls]
