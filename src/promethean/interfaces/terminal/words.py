"""Facts of an account in plain words, one line each."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from promethean.domain.events import (
    AccountEvent,
    AccountOpened,
    BreakerTripped,
    DayStarted,
    FundingPaid,
    HaltLifted,
    HaltSet,
    IntentRefused,
    LeaseLost,
    OrderAdopted,
    OrderCancelled,
    OrderDropped,
    OrderExpired,
    OrderFilled,
    OrderFoundAbsent,
    OrderOutcomeUnknown,
    OrderPlanned,
    OrderRejected,
    PositionClosed,
    Reconciled,
    RecordingEnded,
    RunFinished,
    RunnerStarted,
    SignalRaised,
    StrategyKept,
    StrategyReloaded,
)
from promethean.domain.instants import format_instant
from promethean.domain.instruments import Instrument
from promethean.domain.market import Side
from promethean.domain.orders import Intent, OrderRole, OrderType
from promethean.engine.state import State

TIMES = "\N{MULTIPLICATION SIGN}"


class Tone(enum.Enum):
    """How a line feels; a colour where there are colours."""

    QUIET = "dim"
    PLAIN = ""
    NOTICE = "cyan"
    GOOD = "green"
    BAD = "red"
    ALARM = "bold red"


@dataclass(frozen=True, slots=True)
class Line:
    """One fact.  label: the kind in one word; times: how often it happened in a row."""

    at_ns: int
    label: str
    text: str
    tone: Tone
    times: int = 1

    @property
    def full_text(self) -> str:
        """The text, with the number of times when there were several."""
        return self.text if self.times == 1 else f"{self.text}  {TIMES}{self.times:,}"

    def __str__(self) -> str:
        return f"{format_instant(self.at_ns)}  {self.label:<8}  {self.full_text}"


class Numbers:
    """Numbers of one market as people read them: the venue's decimals, thousands apart."""

    def __init__(self, instrument: Instrument) -> None:
        self.base, self.quote = instrument.base, instrument.quote
        self._price_places = places(instrument.price_increment)
        self._lot_places = places(instrument.quantity_increment)

    def price(self, price: Decimal | float) -> str:
        """Quote units per base unit, on the venue's grid."""
        return f"{price:,.{self._price_places}f}"

    def quantity(self, quantity: Decimal) -> str:
        """Base units with their name."""
        return f"{abs(quantity):,.{self._lot_places}f} {self.base}"

    def money(self, amount: Decimal, *, signed: bool = False) -> str:
        """Quote units with their name."""
        return f"{money(amount, signed=signed)} {self.quote}"


def places(step: Decimal) -> int:
    """Decimal places of a grid: 0.01 has 2, 10 has none."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def money(amount: Decimal, *, signed: bool = False) -> str:
    """Two decimal places, thousands apart; no amount looks like minus nothing."""
    text = f"{amount:{'+' if signed else ''},.2f}"
    return text.replace("-", "") if text.strip("+-0.,") == "" else text


def percent(fraction: Decimal | float, *, signed: bool = False) -> str:
    """`1.25 %`."""
    return f"{fraction * 100:{'+' if signed else ''}.2f} %"


# ---------------------------------------------------------------- one fact


def line(fact: AccountEvent, state: State, numbers: Numbers) -> Line | None:
    """The fact for people; None for steps between that say nothing new to them."""
    written = _LINES.get(type(fact))
    if written is None:
        return None
    label, tone, text = written(fact, state, numbers)
    return Line(fact.at_ns, label, text, tone)


Written = tuple[str, Tone, str]


def _opened(fact: AccountOpened, state: State, numbers: Numbers) -> Written:
    return "account", Tone.NOTICE, f"opened with {money(fact.balance)} {fact.currency} on paper, {fact.provenance}"


def _started(fact: RunnerStarted, state: State, numbers: Numbers) -> Written:
    return "start", Tone.QUIET, f"start number {fact.epoch}; nothing new is bought before orders and positions agree"


def _reconciled(fact: Reconciled, state: State, numbers: Numbers) -> Written:
    resting = f"{fact.orders_open} resting" if fact.orders_open else "none resting"
    unknown = f", {fact.orders_unknown} of unknown outcome" if fact.orders_unknown else ""
    return "start", Tone.QUIET, f"orders ({resting}{unknown}) and positions agree with the venue"


def _over(fact: RecordingEnded, state: State, numbers: Numbers) -> Written:
    return "end", Tone.NOTICE, "the recording has ended; what is open is closed at its last close"


def _finished(fact: RunFinished, state: State, numbers: Numbers) -> Written:
    if state.account.closing:
        return "end", Tone.NOTICE, "the replay is over"
    return "end", Tone.NOTICE, "the recording has ended; what is open stays open"


def _day(fact: DayStarted, state: State, numbers: Numbers) -> Written:
    return "day", Tone.QUIET, f"a new day begins at {numbers.money(fact.equity)}"


def _breaker(fact: BreakerTripped, state: State, numbers: Numbers) -> Written:
    what = f"{fact.code}: {fact.value}, limit {fact.limit}"
    return "breaker", Tone.ALARM, f"circuit breaker tripped, {what}; no entries until 00:00 UTC"


def _halted(fact: HaltSet, state: State, numbers: Numbers) -> Written:
    closing = "; closing positions" if fact.close else ""
    return "KILL", Tone.ALARM, f"{fact.scope} kill switch set by {fact.by}: {fact.reason}{closing}"


def _lifted(fact: HaltLifted, state: State, numbers: Numbers) -> Written:
    return "unkill", Tone.NOTICE, f"{fact.scope} kill switch lifted by {fact.by}"


def _reloaded(fact: StrategyReloaded, state: State, numbers: Numbers) -> Written:
    return "strategy", Tone.NOTICE, f"{fact.strategy} follows its changed file, content {fact.config_hash[:12]}"


def _kept(fact: StrategyKept, state: State, numbers: Numbers) -> Written:
    return "strategy", Tone.ALARM, f"{fact.strategy} keeps its running version: {fact.reason}"


def _lease(fact: LeaseLost, state: State, numbers: Numbers) -> Written:
    return "lease", Tone.ALARM, "another process has taken this account; this one writes nothing any more"


def _signal(fact: SignalRaised, state: State, numbers: Numbers) -> Written:
    signal = fact.signal
    return "signal", Tone.NOTICE, f"{signal.type} {signal.confidence:.0%}  {signal.reason}"


def _refused(fact: IntentRefused, state: State, numbers: Numbers) -> Written:
    refused = fact.refused
    wish = f"{fact.intent.side} {numbers.quantity(fact.intent.quantity)}"
    return "refused", Tone.BAD, f"{wish}: {refused.code}, {refused.value} (limit: {refused.limit})"


def _planned(fact: OrderPlanned, state: State, numbers: Numbers) -> Written:
    intent = fact.intent
    what = f"{_name(intent)}: {intent.side} {numbers.quantity(intent.quantity)} {_terms(fact, numbers)}"
    passed = f", {fact.controls} controls passed" if intent.role is OrderRole.ENTRY else ""
    return "order", Tone.PLAIN if intent.role is OrderRole.ENTRY else Tone.QUIET, what + passed


def _name(intent: Intent) -> str:
    """What an order is for."""
    if intent.role is OrderRole.TARGET:
        return f"target {intent.leg}"
    return _PURPOSES.get(intent.role, str(intent.role))


def _terms(fact: OrderPlanned, numbers: Numbers) -> str:
    intent = fact.intent
    if intent.stop_price is not None:
        return f"when the price touches {numbers.price(intent.stop_price)}"
    if intent.limit_price is not None:
        return f"at {numbers.price(intent.limit_price)} or better"
    assert intent.type is OrderType.MARKET, "an order without prices is a market order"
    return f"at market, about {numbers.price(intent.reference_price)}"


_PURPOSES = {
    OrderRole.ENTRY: "entry",
    OrderRole.STOP: "stop",
    OrderRole.TRAILING: "trailing stop",
    OrderRole.BREAKEVEN: "stop at breakeven",
    OrderRole.TIGHTENED: "tightened stop",
    OrderRole.TIME: "exit after its time",
    OrderRole.SIGNAL: "exit on signal",
    OrderRole.LIQUIDATION: "liquidation",
    OrderRole.MANUAL: "exit by hand",
    OrderRole.BREAKER: "exit, breaker",
    OrderRole.KILL: "exit, kill switch",
    OrderRole.END: "exit at the end",
}


def _dropped(fact: OrderDropped, state: State, numbers: Numbers) -> Written:
    return "dropped", Tone.BAD, f"the order was given up before it was sent: {fact.code}"


def _rejected(fact: OrderRejected, state: State, numbers: Numbers) -> Written:
    return "rejected", Tone.BAD, f"the venue refused the order: {fact.code} {fact.message}".rstrip()


def _unknown(fact: OrderOutcomeUnknown, state: State, numbers: Numbers) -> Written:
    return "unknown", Tone.BAD, f"looking up what became of an order: {fact.reason}"


def _absent(fact: OrderFoundAbsent, state: State, numbers: Numbers) -> Written:
    return "absent", Tone.QUIET, "the order of unknown outcome never reached the venue"


def _cancelled(fact: OrderCancelled, state: State, numbers: Numbers) -> Written:
    order = state.account.ended.get(fact.order_id)
    which = "order" if order is None else _name(order.intent)
    why = "" if fact.reason == "requested" else f": {fact.reason}"
    return "cancel", Tone.QUIET, f"the {which} is off the book{why}"


def _adopted(fact: OrderAdopted, state: State, numbers: Numbers) -> Written:
    intent = fact.intent
    what = f"the venue takes {numbers.quantity(intent.quantity)} away at {numbers.price(intent.reference_price)}"
    return "liquid", Tone.ALARM, f"{what}: {intent.reason}"


def _expired(fact: OrderExpired, state: State, numbers: Numbers) -> Written:
    return "expired", Tone.QUIET, "the order's time ended before it was filled whole"


def _filled(fact: OrderFilled, state: State, numbers: Numbers) -> Written:
    fill = fact.fill
    verb = "bought" if fill.side is Side.BUY else "sold"
    kind = "maker" if fill.maker else "taker"
    fee = f"{fill.fee.amount:,.4f} {fill.fee.currency}"
    text = f"{verb} {numbers.quantity(fill.quantity)} at {numbers.price(fill.price)}, fee {fee} ({kind})"
    held = [h.position for h in state.account.holdings.values() if h.position.instrument == fill.instrument]
    now = ", ".join(f"{side_word(p.side)} {numbers.quantity(p.quantity)}" for p in held) or "flat"
    return "fill", Tone.PLAIN, f"{text}; now {now}"


def side_word(side: Side) -> str:
    """What a position on this side is called."""
    return "long" if side is Side.BUY else "short"


def _closed(fact: PositionClosed, state: State, numbers: Numbers) -> Written:
    way = f"{numbers.price(fact.entry_price)} to {numbers.price(fact.exit_price)}"
    what = f"{side_word(fact.side)} {way}, by {fact.reason}"
    tone = Tone.GOOD if fact.pnl > 0 else Tone.BAD
    costs = "fees and funding" if fact.funding else "fees"
    return "trade", tone, f"{numbers.money(fact.pnl, signed=True)} after {costs}; {what}"


def _funded(fact: FundingPaid, state: State, numbers: Numbers) -> Written:
    way = "received" if fact.amount < 0 else "paid"
    held = side_word(Side.BUY if fact.quantity > 0 else Side.SELL)
    rate = f"{100 * fact.funding_rate:.4f} % at {numbers.price(fact.mark_price)}"
    return "funding", Tone.PLAIN, f"{numbers.money(abs(fact.amount))} {way} on the {held} position; {rate}"


_LINES: Mapping[type[Any], Callable[[Any, State, Numbers], Written]] = {
    AccountOpened: _opened,
    RunnerStarted: _started,
    Reconciled: _reconciled,
    RecordingEnded: _over,
    StrategyReloaded: _reloaded,
    StrategyKept: _kept,
    RunFinished: _finished,
    DayStarted: _day,
    BreakerTripped: _breaker,
    HaltSet: _halted,
    HaltLifted: _lifted,
    LeaseLost: _lease,
    SignalRaised: _signal,
    IntentRefused: _refused,
    OrderPlanned: _planned,
    OrderDropped: _dropped,
    OrderRejected: _rejected,
    OrderOutcomeUnknown: _unknown,
    OrderFoundAbsent: _absent,
    OrderCancelled: _cancelled,
    OrderAdopted: _adopted,
    OrderExpired: _expired,
    OrderFilled: _filled,
    FundingPaid: _funded,
    PositionClosed: _closed,
}


# ---------------------------------------------------------------- many facts


@dataclass(slots=True)
class _Entry:
    """A fact that is not written out yet, and how often its like came in a row."""

    fact: AccountEvent
    state: State
    times: int = 1


class FactLog:
    """The last facts.  Adding one is cheap; words are made when somebody reads.

    Refusals of one code in a row count as one entry, the signals that led to them included; cancellations as well.
    """

    def __init__(self, keep: int = 60) -> None:
        self._entries: deque[_Entry] = deque(maxlen=keep)

    def add(self, fact: AccountEvent, state: State) -> bool | None:
        """Add one fact, with the state right after it.

        Returns whether it is an entry of its own: False for a refusal or a cancellation that only repeats the one
        before, None for a fact that has no words.
        """
        kind = type(fact)
        if kind not in _LINES:
            return None
        if kind in (IntentRefused, OrderCancelled) and self._repeats(fact, state):
            return False
        self._entries.append(_Entry(fact, state))
        return True

    def _repeats(self, fact: AccountEvent, state: State) -> bool:
        """Whether this fact only repeats the one before; then it is counted there."""
        entries = self._entries
        after_signal = bool(entries) and type(entries[-1].fact) is SignalRaised
        place = -2 if after_signal else -1
        if len(entries) < -place:
            return False
        before = entries[place]
        if _likeness(before.fact) != _likeness(fact):
            return False
        if after_signal:
            entries.pop()
        before.fact, before.state, before.times = fact, state, before.times + 1
        return True

    def lines(self, numbers: Numbers, count: int) -> list[Line]:
        """The newest `count` facts in words, oldest first."""
        written = []
        for entry in tuple(self._entries)[-count:]:
            made = line(entry.fact, entry.state, numbers)
            assert made is not None, "only facts that have words are kept"
            written.append(Line(made.at_ns, made.label, made.text, made.tone, entry.times))
        return written


def _likeness(fact: AccountEvent) -> tuple[str, str]:
    """What two facts share when one only repeats the other."""
    if isinstance(fact, IntentRefused):
        return "refused", fact.refused.code
    if isinstance(fact, OrderCancelled):
        return "cancelled", fact.reason
    return "", ""
