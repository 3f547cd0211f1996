"""Markets, desks, and accounts played by hand or by the paper venue, for tests of the engine and the venue.

`Hand` is an account whose venue the test plays; `Trader` is one at the paper venue, on the runner's own loop.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar

from hypothesis import strategies as st
from msgspec.structs import replace

from promethean.domain.candles import Candle
from promethean.domain.events import (
    AccountOpened,
    CancelRequested,
    CandleClosed,
    Effect,
    Event,
    MarketEvent,
    OrderAccepted,
    OrderCancelled,
    OrderClaimed,
    OrderExpired,
    OrderFilled,
    OrderPlanned,
    OrderRejected,
    QuoteObserved,
    Reconciled,
    RunnerStarted,
    VenueReport,
)
from promethean.domain.ids import AccountId, ClientOrderId, InstrumentId, Lineage, OrderId, StrategyId
from promethean.domain.ids import client_order_id as client_id_of
from promethean.domain.ids import order_id as order_id_at
from promethean.domain.instants import DAY_NS, NS_PER_S
from promethean.domain.instruments import Instrument, MarketType, instrument_id
from promethean.domain.margin import Margin
from promethean.domain.market import MarketView, Quote, Side
from promethean.domain.money import Money
from promethean.domain.orders import (
    VALIDITY_NS,
    Intent,
    Order,
    OrderRole,
    OrderStatus,
    OrderType,
    Protection,
    Tier,
    TimeInForce,
)
from promethean.domain.positions import Fill
from promethean.domain.signals import Signal, SignalSource, SignalType
from promethean.domain.sizing import Sizing
from promethean.engine.decide import Aggregation
from promethean.engine.desk import Desk, OnOpposite, Seat
from promethean.engine.state import Account, State
from promethean.engine.step import follow
from promethean.exchanges.paper.venue import PaperTerms, PaperVenue
from promethean.risk.limits import Limits
from promethean.strategies.catalogue import Strategy

D = Decimal
T = TypeVar("T")
MINUTE_NS = 60 * NS_PER_S
T0 = 20_000 * DAY_NS  # 00:00 UTC
SCRIPTED = StrategyId("scripted")
ACCOUNT = AccountId("11111111-1111-1111-1111-111111111111")
BALANCE = D(10_000)


def instrument(market_type: MarketType = MarketType.SPOT, base: str = "BTC", notional_min: str = "5") -> Instrument:
    """Ticks of 0.01, lots of 0.0001."""
    return Instrument(
        instrument_id("binance", base, "USDT", market_type), "binance", base, "USDT", market_type,
        D("0.01"), D("0.0001"), D("0.0001"), D(notional_min),
    )  # fmt: skip


BTC = instrument()
PERP = instrument(MarketType.FUTURES)


# ---------------------------------------------------------------- markets


def candle(
    number: int,
    open: float,
    high: float | None = None,
    low: float | None = None,
    close: float | None = None,
    *,
    volume: float = 1_000_000.0,
    of: Instrument = BTC,
) -> CandleClosed:
    """The candle of minute `number`; what is not given follows from open and close."""
    close = open if close is None else close
    high = max(open, close) if high is None else high
    low = min(open, close) if low is None else low
    opened_ns = T0 + number * MINUTE_NS
    closed_ns = opened_ns + MINUTE_NS
    return CandleClosed(Candle(of.id, "1m", opened_ns, closed_ns, open, high, low, close, volume), closed_ns)


def quote(number: int, second: float, bid: float, ask: float, *, of: Instrument = BTC) -> QuoteObserved:
    """A quote within minute `number`; the last trade is the bid."""
    at_ns = T0 + number * MINUTE_NS + int(second * NS_PER_S)
    return QuoteObserved(Quote(of.id, bid, ask, bid, at_ns), at_ns)


# ---------------------------------------------------------------- strategies and desks


@dataclass(frozen=True)
class Say:
    """What a scripted strategy says.  share: of a partial close; stop, targets: prices that an entry brings along."""

    type: SignalType
    confidence: float = 0.9
    share: float | None = None
    stop: float | None = None
    targets: tuple[float, ...] = ()
    closes: Side | None = None


BUY, SELL, CLOSE = Say(SignalType.BUY), Say(SignalType.SELL), Say(SignalType.CLOSE)


class Scripted:
    """Says at the close of a minute what its script holds for it."""

    window = 1
    timeframe = "1m"

    def __init__(self, script: Mapping[int, Sequence[Say]], of: Instrument = BTC, name: StrategyId = SCRIPTED) -> None:
        self.id = name
        self.instrument = of.id
        self.script = script

    def on_event(self, event: MarketEvent, view: MarketView) -> Sequence[Signal]:
        if not isinstance(event, CandleClosed) or event.candle.instrument != self.instrument:
            return ()
        said = self.script.get((event.candle.open_time_ns - T0) // MINUTE_NS, ())
        return [signal(say, self.instrument, event.at_ns, self.id) for say in said]

    def reading(self, view: MarketView) -> Mapping[str, float]:
        return {}


def signal(say: Say, of: InstrumentId = BTC.id, at_ns: int = T0, strategy: StrategyId = SCRIPTED) -> Signal:
    return Signal(
        say.type, SignalSource.TECHNICAL, say.confidence, f"says {say.type}", of, "1m", at_ns, strategy,
        close_percentage=say.share, closes=say.closes, stop=say.stop, targets=say.targets,
    )  # fmt: skip


TIERS = (("0.02", "0.33"), ("0.04", "0.33"), ("0.06", "0.34"))
LIMITS = Limits(
    price_fresh_s=D(15),
    order_notional_min=D(10),
    order_notional_max=D(100_000),
    daily_trades=D(1000),
    open_positions=D(3),
    total_exposure=D(100_000),
    total_exposure_share=D(1),
    liquidation_distance=D("0.2"),
    leverage_max=D(10),
    circuit_breaker_daily_loss=D("0.05"),
    circuit_breaker_losing_streak=D(3),
)


def protection(stop: str = "0.01", tiers: Iterable[tuple[str, str]] = TIERS) -> Protection:
    return Protection(D(stop), tuple(Tier(D(target), D(share)) for target, share in tiers))


def seat(
    strategy: Strategy,
    of: Instrument = BTC,
    *,
    stop: str = "0.01",
    tiers: Iterable[tuple[str, str]] = TIERS,
    amount: str = "1000",
    order_type: OrderType = OrderType.MARKET,
    tolerance: str = "0.001",
    cooldown: int = 3,
    limits: Limits = LIMITS,
    threshold: float = 0.6,
    aggregation: Aggregation = Aggregation.WEIGHTED,
    exits: Mapping[str, Any] = MappingProxyType({}),
    opposite: OnOpposite = OnOpposite.KEEP_AND_TIGHTEN,
    fee: str = "0",
    leverage: str = "1",
) -> Seat:
    """amount: quote units of one entry.  cooldown: minutes after a stop.  exits: more fields of the protection."""
    return Seat(
        strategy=strategy,
        instrument=of,
        timeframe_ns=MINUTE_NS,
        aggregation=aggregation,
        threshold=threshold,
        sizing=Sizing(None, D(amount)),
        protection=replace(protection(stop, tiers), **exits),
        order_type=order_type,
        slippage_tolerance=D(tolerance),
        cooldown_ns=cooldown * MINUTE_NS,
        can_short=of.market_type is MarketType.FUTURES,
        limits=limits,
        on_opposite=opposite,
        fee_taker=D(fee),
        margin=Margin(D(leverage)) if of.market_type is MarketType.FUTURES else None,
    )


def desk(script: Mapping[int, Sequence[Say]], of: Instrument = BTC, *, limits: Limits = LIMITS, **how: Any) -> Desk:
    """One scripted strategy at one market."""
    return Desk((seat(Scripted(script, of), of, limits=limits, **how),), limits)


# ---------------------------------------------------------------- accounts


class Hand:
    """An account whose venue is played by the test.

    facts:  every event of the account and of the markets, in the order in which it was stepped, effects included.
    states: the state after each of them.
    """

    def __init__(self, at: Desk, balance: Decimal = BALANCE) -> None:
        self.desk = at
        self.balance = balance
        self.state = State(Account(ACCOUNT), MarketView(), 0)
        self.facts: list[Event] = []
        self.states: list[State] = []
        self._trades = 0
        start_ns = T0 - MINUTE_NS
        self.see(AccountOpened(start_ns, "USDT", balance, "binance", "test"))
        self.see(RunnerStarted(start_ns, Lineage("c0ffee"), 1, "build", "config"))
        self.see(Reconciled(start_ns, 0, 0))

    @property
    def account(self) -> Account:
        return self.state.account

    def see(self, event: Event) -> list[Effect]:
        """Step one event; what follows from it."""
        after, trail = follow(self.state, event, self.desk)
        self.facts.append(event)
        self.states.append(after)
        for fact, then in trail:
            self.facts.append(fact)
            self.states.append(then)
        self.state = self.states[-1]
        return [fact for fact, _ in trail]

    def claim(self, plan: OrderPlanned) -> Order:
        now_ns = self.state.now_ns
        self.see(OrderClaimed(now_ns, plan.order_id, self.account.epoch, now_ns + VALIDITY_NS))
        return self.account.orders[plan.order_id]

    def accept(self, plan: OrderPlanned) -> list[Effect]:
        """The venue takes the order; claimed first where it was not."""
        if self.account.orders[plan.order_id].status is OrderStatus.PLANNED:
            self.claim(plan)
        return self.see(OrderAccepted(self.state.now_ns, plan.order_id, "v", f"accepted {plan.order_id}"))

    def reject(self, plan: OrderPlanned) -> list[Effect]:
        self.claim(plan)
        return self.see(OrderRejected(self.state.now_ns, plan.order_id, "refused", "no", f"rejected {plan.order_id}"))

    def fill(
        self, plan: OrderPlanned, price: str, quantity: Decimal | None = None, fee: str = "0", at_ns: int = 0
    ) -> list[Effect]:
        return self.see(self.filled(plan, price, quantity, fee, at_ns))

    def filled(
        self, plan: OrderPlanned, price: str, quantity: Decimal | None = None, fee: str = "0", at_ns: int = 0
    ) -> OrderFilled:
        """One execution of the order, of all of it where no quantity is given."""
        self._trades += 1
        trade_id, intent = f"t{self._trades}", plan.intent
        fill = Fill(
            plan.order_id, trade_id, intent.instrument, intent.side, D(price), quantity or intent.quantity,
            Money(D(fee), "USDT"), False, at_ns or self.state.now_ns,
        )  # fmt: skip
        return OrderFilled(fill, f"evidence {trade_id}")

    def cancelled(self, plan: OrderPlanned) -> list[Effect]:
        return self.see(OrderCancelled(self.state.now_ns, plan.order_id, "requested", f"cancelled {plan.order_id}"))

    def standing(self, role: OrderRole) -> list[Order]:
        """Orders of this role that are not on their way out."""
        return [o for o in self.account.orders.values() if o.intent.role is role and not o.cancel_requested]

    @property
    def stops(self) -> list[Order]:
        """The stops that are not on their way out, wherever they have moved."""
        return [o for o in self.account.orders.values() if o.intent.role.is_stop and not o.cancel_requested]

    def told(self, kind: type[T]) -> list[T]:
        """Every fact of this kind so far."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    @property
    def reports(self) -> list[VenueReport]:
        """What the venue said, in order."""
        kinds = (OrderAccepted, OrderRejected, OrderFilled, OrderCancelled, OrderExpired)
        return [fact for fact in self.facts if isinstance(fact, kinds)]


class Trader(Hand):
    """An account at the paper venue: the runner's loop without its journal, tables and clock."""

    def __init__(self, at: Desk, terms: PaperTerms, balance: Decimal = BALANCE) -> None:
        self.terms = terms
        self.venue = PaperVenue(at.instruments(), terms, balance)
        self.requests: list[OrderPlanned | CancelRequested] = []
        super().__init__(at, balance)

    def see(self, event: Event) -> list[Effect]:
        effects = super().see(event)
        self.requests += [fact for fact in effects if isinstance(fact, OrderPlanned | CancelRequested)]
        return effects

    def market(self, event: MarketEvent, after_report: Callable[[], None] = lambda: None) -> None:
        """One market event: first what it does to resting orders, then what the strategies make of it."""
        for report in self.venue.advance(event):
            self.take(report)
            after_report()
        self.take(event)

    def run(self, events: Iterable[MarketEvent]) -> Trader:
        for event in events:
            self.market(event)
        return self

    def take(self, event: Event) -> None:
        self.see(event)
        while self.requests:
            batch, self.requests = self.requests, []
            for request in batch:
                if isinstance(request, OrderPlanned):
                    self.claim(request)
            for request in batch:
                self._carry_out(request)

    def _carry_out(self, request: OrderPlanned | CancelRequested) -> None:
        order = self.account.orders.get(request.order_id)
        if order is None:
            return
        if isinstance(request, OrderPlanned):
            self.answer(order)
            return
        cancelled = drive(self.venue.cancel(order))
        if cancelled is not None:
            self.see(cancelled)

    def answer(self, order: Order) -> None:
        """Send the order and take the venue's answer."""
        self.see(drive(self.venue.submit(order)))


def restarted(state: State, trader: Trader) -> Trader:
    """A trader that goes on from a state with a venue rebuilt from it; its facts begin afresh."""
    again = Trader(trader.desk, trader.terms, trader.balance)
    again.state, again.facts, again.states = state, [], []
    rebuild(again)
    return again


def rebuild(trader: Trader) -> None:
    """Replace the trader's venue by one that knows only what the account knows."""
    account = trader.account
    held = [holding.position for holding in account.holdings.values()]
    trader.venue = PaperVenue(trader.desk.instruments(), trader.terms, D(0))
    marks = {of: trader.state.view.mark(of) for of in trader.desk.instruments()}
    seen_at_ns = {of: mark.at_ns for of, mark in marks.items() if mark is not None}
    trader.venue.restore(account.orders.values(), held, account.cash, seen_at_ns)


def drive(answer: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits, without an event loop."""
    try:
        answer.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the simulated venue waited for something")


# ---------------------------------------------------------------- orders on their own


_numbers = iter(range(1, 1_000_000_000))


def order(
    side: Side,
    quantity: str,
    type: OrderType = OrderType.MARKET,
    *,
    price: str = "100",
    sent_at_ns: int = T0 - NS_PER_S,
    role: OrderRole = OrderRole.ENTRY,
    reduce_only: bool = False,
    expires_at_ns: int | None = None,
    of: Instrument = BTC,
    leg: int = 0,
) -> Order:
    """A claimed order.  price: limit, trigger or reference."""
    intent = Intent(
        instrument=of.id,
        strategy=SCRIPTED,
        side=side,
        type=type,
        role=role,
        quantity=D(quantity),
        reference_price=D(price),
        reduce_only=reduce_only,
        decided_at_ns=sent_at_ns,
        reason="a test",
        limit_price=D(price) if type in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None,
        stop_price=D(price) if type in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT) else None,
        time_in_force=TimeInForce.GTC if expires_at_ns is None else TimeInForce.GTD,
        expires_at_ns=expires_at_ns,
        leg=leg,
    )
    identity: OrderId = order_id_at(ACCOUNT, Lineage("5eed"), next(_numbers), 0)
    client: ClientOrderId = client_id_of(identity)
    return Order(
        identity, client, intent, OrderStatus.SENDING, sent_at_ns=sent_at_ns, valid_until_ns=sent_at_ns + VALIDITY_NS
    )


# ---------------------------------------------------------------- what must always hold


def same(one: State, other: State) -> bool:
    """Deep equality: series are compared by their values."""
    return one.account == other.account and one.now_ns == other.now_ns and seen(one.view) == seen(other.view)


def seen(view: MarketView) -> tuple[Any, ...]:
    """A view as plain values."""
    return view.as_of_ns, dict(view._marks), {key: tuple(series) for key, series in view._series.items()}


def assert_conserved(state: State, balance: Decimal) -> None:
    """Cash and what was paid for positions are the balance, what was realised, and less the fees."""
    account = state.account
    cost = sum((holding.position.cost for holding in account.holdings.values()), D(0))
    expected = balance + account.totals.realised - account.totals.fees
    assert account.cash + cost == expected, f"{account.cash} + {cost} is not {expected}"


def assert_sound(trader: Hand) -> None:
    """The invariants of a run: conservation, numbering and filled quantities, at every instant."""
    sequence = 0
    for fact, state in zip(trader.facts, trader.states, strict=True):
        sequence += not isinstance(fact, CandleClosed | QuoteObserved)
        account = state.account
        assert account.sequence == sequence
        if sequence:
            assert_conserved(state, trader.balance)
        for each in (*account.orders.values(), *account.ended.values()):
            assert each.filled_quantity <= each.intent.quantity


# ---------------------------------------------------------------- worlds drawn at random


@dataclass(frozen=True)
class World:
    """A market, a desk and the terms of a venue."""

    desk: Desk
    terms: PaperTerms
    events: Sequence[MarketEvent]

    def trader(self) -> Trader:
        return Trader(self.desk, self.terms)


_SAID = (*[None] * 4, BUY, BUY, SELL, CLOSE, Say(SignalType.PARTIAL_CLOSE, share=0.4), Say(SignalType.BUY, 0.3))
_VOLUMES = (0.0, 0.02, 30.0, 60.0, 1_000_000.0)


@st.composite
def worlds(draw: st.DrawFn, *, quotes: bool = True, minutes: int = 25) -> World:
    """Prices that wander by up to two percent a minute, so that stops, targets and gaps are met often."""
    of = draw(st.sampled_from((BTC, PERP)))
    price, events = 10_000, list[MarketEvent]()  # in ticks
    moves = st.tuples(
        *[st.integers(-120, 120)] * 2, *[st.integers(0, 120)] * 2, st.sampled_from(_VOLUMES), st.booleans()
    )
    for number, (gap, body, up, down, volume, quoted) in enumerate(
        draw(st.lists(moves, min_size=minutes, max_size=minutes))
    ):
        opened, closed = price + gap // 4, price + gap // 4 + body
        high, low = max(opened, closed) + up, min(opened, closed) - down
        if quotes and quoted:
            for second, level in ((5, opened), (20, low), (40, high)):
                events.append(quote(number, second, level / 100, (level + 2) / 100, of=of))
        events.append(candle(number, opened / 100, high / 100, low / 100, closed / 100, volume=volume, of=of))
        price = max(5_000, closed)
    said = draw(st.lists(st.sampled_from(_SAID), min_size=minutes, max_size=minutes))
    where = desk(
        {number: (each,) for number, each in enumerate(said) if each is not None},
        of,
        stop=draw(st.sampled_from(("0.004", "0.01", "0.03"))),
        tiers=draw(st.sampled_from((TIERS, (("0.005", "0.5"), ("0.01", "0.5")), (("0.004", "0.4"),), ()))),
        amount=draw(st.sampled_from(("12", "400", "1000", "9000"))),
        order_type=draw(st.sampled_from((OrderType.MARKET, OrderType.LIMIT))),
        cooldown=draw(st.integers(0, 2)),
        limits=replace(LIMITS, circuit_breaker_losing_streak=D(draw(st.integers(2, 20)))),
    )
    terms = PaperTerms(
        fee_maker=draw(st.sampled_from((D(0), D("0.001")))),
        fee_taker=D("0.001"),
        slippage_bps=draw(st.sampled_from((D(0), D(5)))),
        latency_ms=draw(st.sampled_from((0, 150, 4_000))),
        participation_max=D("0.1"),
        optimistic=draw(st.booleans()),
        seed=draw(st.integers(0, 3)),
    )
    return World(where, terms, events)
