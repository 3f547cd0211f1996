"""A venue that fills orders from market events (SPEC 9.7).

A candle is worked through in two passes.  First its open: everything that arrives before its close meets the opening
price, so a market order fills there and a level that was jumped over fills at the open.  Then its range: stops first,
because a candle does not tell what it touched first, then limits that the price went through.  What is sent in answer
to the range waits for the next candle, however fast it arrives.  Where quotes were seen inside a candle they have done
all that, and its range does nothing again.

The book is the sum of the account's own facts: after a restart `restore` rebuilds it from them, and a pass that was
interrupted goes on where it stood.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from promethean.domain.candles import Candle
from promethean.domain.events import (
    CandleClosed,
    MarketEvent,
    OrderAccepted,
    OrderAdopted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReport,
    VenueReport,
)
from promethean.domain.funding import FundingTable
from promethean.domain.ids import InstrumentId, Names, OrderId
from promethean.domain.instants import NS_PER_MS
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.intrabar import Intrabar, Range
from promethean.domain.margin import MAINTENANCE
from promethean.domain.market import Quote, Side
from promethean.domain.money import Money, plain
from promethean.domain.orders import Order, OrderRole, OrderStatus, OrderType
from promethean.domain.positions import Fill, Position
from promethean.exchanges.paper.book import Resting, is_triggered, quote_price, stop_reached, stops_first
from promethean.exchanges.paper.exits import AttachedExits
from promethean.exchanges.paper.holdings import Holdings
from promethean.exchanges.paper.pricing import fee_of, taken_price
from promethean.exchanges.port import Capabilities
from promethean.execution.bracket import Bracket

ZERO = Decimal(0)
NAMES = Names()
_Reaches = Callable[[Order, Range], float | None]
"""The price at which an order meets a market that opens and then goes so far, or None."""


@dataclass(frozen=True, slots=True)
class PaperTerms:
    """How the simulated venue treats orders.

    fee_maker, fee_taker: fractions of notional.  slippage_bps: basis points for an order as large as the candle's
    volume; it shrinks with the square root of the share.  participation_max: largest share of a candle's volume that
    one order takes.  latency_ms: mean; each order draws 0.5 to 1.5 times that from the seed.
    optimistic: a touch fills a limit order; otherwise the price has to go through it.
    funding:    what positions in a perpetual pay, and when; None where nobody knows.
    intrabar:   what happened inside candles, where finer data say it.
    maintenance: share of a perpetual's notional that has to be left of its margin; below, it is liquidated.
    """

    fee_maker: Decimal
    fee_taker: Decimal
    slippage_bps: Decimal = Decimal(2)
    latency_ms: int = 150
    participation_max: Decimal = Decimal("0.1")
    optimistic: bool = False
    seed: int = 0
    funding: FundingTable | None = None
    maintenance: Decimal = MAINTENANCE
    intrabar: Intrabar | None = None


class PaperVenue:
    """One paper account at the simulated venue."""

    name = "paper"
    capabilities = Capabilities(
        order_types=frozenset({OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_MARKET}),
        shorts=True,
        reduce_only=True,
        client_order_ids=True,
        validity_window=True,
        stale_read_s=0.0,
        attached_exits=True,
    )

    def __init__(
        self,
        instruments: Mapping[InstrumentId, Instrument],
        terms: PaperTerms,
        cash: Decimal,
        names: Names = NAMES,
    ) -> None:
        self._instruments = instruments
        self._names = names
        self._terms = terms
        self._book: dict[OrderId, Resting] = {}
        self._exits = AttachedExits(self._book, names)
        self._holdings = Holdings(instruments, terms.maintenance, cash)
        self._log: dict[OrderId, list[OrderReport]] = {}
        self._seen_at_ns: dict[InstrumentId, int] = {}

    @property
    def cash(self) -> Decimal:
        """Quote units that tie up nothing."""
        return self._holdings.cash

    def restore(
        self,
        orders: Iterable[Order],
        positions: Iterable[Position],
        cash: Decimal,
        seen_at_ns: Mapping[InstrumentId, int] = MappingProxyType({}),
        brackets: Iterable[Bracket] = (),
    ) -> None:
        """Rebuild the book from the account's facts.

        positions:  the open ones of each strategy.
        seen_at_ns: the last market event of each instrument that the account has handled: the time of its mark.
        An order whose send was claimed counts as received: the claim is the message, and it was committed.  A
        liquidation that was not done does not count: the pass that it belongs to comes to it again.
        """
        self._holdings.restore(positions, cash)
        self._seen_at_ns = dict(seen_at_ns)
        self._book.clear()
        orders = tuple(order for order in orders if order.intent.role is not OrderRole.LIQUIDATION)
        self._exits.restore(orders, brackets)
        for order in sorted(orders, key=lambda order: order.sent_at_ns or 0):
            if order.status is OrderStatus.SENDING:
                self.receive(order)
            elif order.status in (OrderStatus.OPEN, OrderStatus.PARTIAL):
                self._rest(order)

    # ------------------------------------------------------------ the port

    async def submit(self, order: Order) -> OrderAccepted | OrderRejected:
        """Take the order into the book, or refuse it as a venue would."""
        return self.receive(order)

    async def cancel(self, order: Order) -> OrderCancelled | None:
        """Take the order out of the book."""
        return self.withdraw(order)

    async def lookup(self, order: Order) -> Sequence[OrderReport]:
        """What happened to the order here since the venue started."""
        return tuple(self._log.get(order.id, ()))

    async def open_orders(self) -> Sequence[OrderId]:
        """Orders in the book, in the order of their arrival."""
        return tuple(self._book)

    async def fills(self, since_ns: int) -> Sequence[OrderFilled]:
        """Fills since an instant."""
        fills = [r for log in self._log.values() for r in log if isinstance(r, OrderFilled) and r.at_ns >= since_ns]
        return tuple(sorted(fills, key=lambda report: report.at_ns))

    async def positions(self) -> dict[InstrumentId, Decimal]:
        """Base units held, signed."""
        return self._holdings.net()

    def advance(self, event: MarketEvent) -> Iterator[VenueReport]:
        """What the market event does to the book, report by report."""
        if isinstance(event, CandleClosed):
            candle = event.candle
            seen_at_ns = self._look(candle.instrument, candle.close_time_ns)
            quoted = seen_at_ns > candle.open_time_ns
            if self._terms.funding is not None:
                return self._funded(self._terms.funding, candle, quoted)
            return self._through(candle, quoted) if self._concerns(candle) else iter(())
        seen_at_ns = self._look(event.quote.instrument, event.quote.at_ns)
        return self._meets(event.quote, seen_at_ns) if self._book or self._bears() else iter(())

    def finish(self, candle: Candle) -> Iterator[VenueReport]:
        """Fill whole, at the close of the last candle, what was sent to close positions there."""
        for resting in tuple(self._book.values()):
            intent = resting.order.intent
            if intent.role is OrderRole.END and intent.instrument == candle.instrument and self._wanted(resting) > 0:
                yield self._fill(resting, candle.close, False, candle, candle.close_time_ns, whole=True)

    def reach(self) -> tuple[float, float, float] | None:
        """The prices and the instant at which something may happen here; None while nothing may.

        Returns: at or under which price, at or over which one, and when the first time in force is over.
        """
        if not self._book and not self._bears():
            return None
        resting = self._book.values()
        return (
            max(self._holdings.below, *(order.below for order in resting)),
            min(self._holdings.above, *(order.above for order in resting)),
            min((order.expires_at_ns for order in resting), default=math.inf),
        )

    def _bears(self) -> bool:
        """Whether a margin bears a position here."""
        return self._holdings.below > -math.inf or self._holdings.above < math.inf

    def _look(self, instrument: InstrumentId, at_ns: int) -> int:
        """Remember when the instrument was last seen; the time before that."""
        seen_at_ns = self._seen_at_ns.get(instrument, -1)
        if at_ns > seen_at_ns:
            self._seen_at_ns[instrument] = at_ns
        return seen_at_ns

    def _meets(self, quote: Quote, seen_at_ns: int) -> Iterator[VenueReport]:
        yield from self._expire(quote.instrument, quote.at_ns)
        yield from self._at_quote(quote, seen_at_ns)

    def _funded(self, table: FundingTable, candle: Candle, quoted: bool) -> Iterator[VenueReport]:
        """Funding is paid by who holds at its instant, before anything trades then."""
        yield from self._holdings.pay(table, candle)
        if self._concerns(candle):
            yield from self._through(candle, quoted)

    def _through(self, candle: Candle, quoted: bool) -> Iterator[VenueReport]:
        """A whole candle.  What has ended before it opens does not meet it.

        quoted: whether quotes were seen inside the candle.
        """
        yield from self._expire(candle.instrument, candle.open_time_ns)
        if not quoted:
            yield from self._at_open(candle)
            yield from self._in_range(candle)
        yield from self._expire(candle.instrument, candle.close_time_ns)

    def _concerns(self, candle: Candle) -> bool:
        """Whether any order could be filled or end in this candle, or a margin not bear it; most candles pass by."""
        low, high, close_ns = candle.low, candle.high, candle.close_time_ns
        if low <= self._holdings.below or high >= self._holdings.above:
            return True
        for resting in self._book.values():
            if low <= resting.below or high >= resting.above or resting.expires_at_ns <= close_ns:
                return True
        return False

    # ------------------------------------------------------------ arrival

    def receive(self, order: Order) -> OrderAccepted | OrderRejected:
        """What `submit` does, at once: for a simulation that waits for nothing."""
        assert order.sent_at_ns is not None, "an order is claimed before it is sent"
        at_ns = order.sent_at_ns + self._latency_ns(order)
        refusal = self._refusal(order, at_ns)
        report: OrderAccepted | OrderRejected
        if refusal is not None:
            report = OrderRejected(at_ns, order.id, *refusal, self._names.evidence(order.id, "rejected"))
        else:
            self._rest(order)
            report = OrderAccepted(
                at_ns, order.id, f"paper-{order.client_order_id}", self._names.evidence(order.id, "accepted")
            )
        self._log.setdefault(order.id, []).append(report)
        return report

    def withdraw(self, order: Order) -> OrderCancelled | None:
        """What `cancel` does, at once; None when the order is not in the book."""
        if self._book.pop(order.id, None) is None:
            return None
        assert order.cancel_requested_at_ns is not None, "a cancel is requested in the journal first"
        evidence = self._names.evidence(order.id, "cancelled")
        report = OrderCancelled(order.cancel_requested_at_ns, order.id, "requested", evidence)
        self._log.setdefault(order.id, []).append(report)
        return report

    def _rest(self, order: Order) -> None:
        assert order.sent_at_ns is not None, "an order is claimed before it is sent"
        self._book[order.id] = Resting.of(order, order.sent_at_ns + self._latency_ns(order))

    def _latency_ns(self, order: Order) -> int:
        """Drawn from the seed and from what the order is, so that a repeated run draws the same."""
        intent = order.intent
        if not self._terms.latency_ms or intent.role is OrderRole.END:  # the last close waits for the orders to it
            return 0
        what = f"{self._terms.seed}/{order.sent_at_ns}/{intent.instrument}/{intent.side}/{intent.type}/{intent.leg}"
        share = zlib.crc32(what.encode()) / 0xFFFFFFFF
        return int(self._terms.latency_ms * (0.5 + share)) * NS_PER_MS

    def _refusal(self, order: Order, at_ns: int) -> tuple[str, str] | None:
        """Code and words of a definite refusal, or None."""
        intent = order.intent
        instrument = self._instruments.get(intent.instrument)
        if instrument is None:
            return "unknown_instrument", f"{intent.instrument} is not traded here"
        if intent.type not in self.capabilities.order_types:
            return "unsupported_type", f"{intent.type} orders are not simulated"
        if order.valid_until_ns is not None and at_ns > order.valid_until_ns:
            return "too_late", "the order arrived after its validity window"
        for price in (intent.limit_price, intent.stop_price):
            if price is not None and price % instrument.price_increment:
                return "price_filter", f"price {plain(price)} is not a multiple of {plain(instrument.price_increment)}"
        if intent.quantity % instrument.quantity_increment or intent.quantity < instrument.quantity_min:
            return "lot_size", f"quantity {plain(intent.quantity)} does not fit the lot of {instrument.symbol}"
        if intent.reduce_only:
            if self._reducible(order) <= 0:
                return "reduce_only", f"nothing is held that a {intent.side} could reduce"
            return None
        if intent.notional < instrument.notional_min:
            return "min_notional", f"notional {plain(intent.notional)} is below {plain(instrument.notional_min)}"
        if instrument.market_type is MarketType.SPOT and intent.side is Side.SELL:
            return "insufficient_balance", f"no {instrument.base} to sell"
        needed = intent.reservation + intent.notional * self._terms.fee_taker
        if needed > self._free_cash():
            return "insufficient_balance", f"{plain(round(needed, 8))} {instrument.quote} needed"
        return None

    def _free_cash(self) -> Decimal:
        """Cash not yet spoken for by entries in the book."""
        held = ZERO
        for resting in self._book.values():
            intent = resting.order.intent
            if not intent.reduce_only:
                held += intent.reserved(resting.remaining)
        return self.cash - held

    def _reducible(self, order: Order) -> Decimal:
        return max(ZERO, -self._holdings.quantity(order.intent.instrument) * order.intent.side.sign)

    # ------------------------------------------------------------ matching

    def _at_open(self, candle: Candle) -> Iterator[VenueReport]:
        """Everything that arrives before the close meets the opening price, in the order of arrival.

        Before every order those positions go whose margin the opening price has used up.
        """
        at_open = Range(candle.close_time_ns - 1, candle.open, candle.open, candle.open)
        yield from self._liquidate(candle, at_open, candle.open_time_ns)
        while (hit := self._first(candle, at_open, self._open_price)) is not None:
            resting, price, maker = hit
            at_ns = max(candle.open_time_ns, resting.arrives_at_ns)
            yield self._fill(resting, price, maker and resting.arrives_at_ns <= candle.open_time_ns, candle, at_ns)
            yield from self._liquidate(candle, at_open, at_ns)

    def _in_range(self, candle: Candle) -> Iterator[VenueReport]:
        """What the candle reached after its open, booked at its last nanosecond, or in that of a finer range.

        Finer data tell in which order; where there are none, or in one of their ranges, stops come first, then limits.
        A margin that is used up before the stop is reached takes the position away.
        """
        for part in self._ranges(candle):
            for reached in (self._stop_reached, self._limit_reached):
                while (hit := self._first(candle, part, reached)) is not None:
                    resting, price, maker = hit
                    yield self._fill(resting, price, maker, candle, part.at_ns)
                yield from self._liquidate(candle, part, part.at_ns)

    def _ranges(self, candle: Candle) -> Sequence[Range]:
        """The ranges of the candle, in their order."""
        start_ns, end_ns, low, high = candle.open_time_ns, candle.close_time_ns, candle.low, candle.high
        finer = self._terms.intrabar
        parts = finer.ranges(start_ns, end_ns, low, high, candle.volume) if finer is not None else ()
        return parts or (Range(end_ns - 1, candle.open, low, high),)

    def _liquidate(self, candle: Candle, part: Range, at_ns: int) -> Iterator[VenueReport]:
        """Take away whose margin does not bear a price of this part of the candle, where something trades."""
        low, high = part.low, part.high
        if (low > self._holdings.below and high < self._holdings.above) or not candle.volume:
            return
        while (position := self._holdings.taken(candle.instrument, low, high)) is not None:
            yield from self._take_away(position, at_ns)

    def _take_away(self, position: Position, at_ns: int) -> Iterator[VenueReport]:
        """The venue closes a position by an order of its own; no fee, for nothing of the margin is left."""
        instrument = self._instruments[position.instrument]
        order, price = self._holdings.liquidation(position, at_ns, self._names)
        evidence = self._names.evidence(order.id, "adopted")
        yield OrderAdopted(at_ns, order.id, order.client_order_id, order.intent, evidence)
        fee, trade_id = Money(ZERO, instrument.quote), f"{order.client_order_id}-1"
        quantity = order.intent.quantity
        fill = Fill(order.id, trade_id, instrument.id, order.intent.side, price, quantity, fee, False, at_ns)
        self._holdings.book(order.intent, fill)
        evidence = self._names.evidence(order.id, trade_id)
        report = OrderFilled(fill, evidence, self._exits.after(order, ZERO, fill, instrument, evidence))
        self._log[order.id] = [report]
        yield report

    def _first(self, candle: Candle, part: Range, price_of: _Reaches) -> tuple[Resting, float, bool] | None:
        """The first order that a part of a candle fills, with its price before slippage and whether it made liquidity.

        Stops go before all others: one that has moved beyond the price and a target below it may meet the same open.
        """
        for resting in sorted(self._book.values(), key=stops_first):
            intent = resting.order.intent
            # A range is booked at its last nanosecond, so what arrives then may be an answer to it.
            if intent.instrument != candle.instrument or resting.arrives_at_ns >= part.at_ns:
                continue
            if resting.filled_at_ns >= candle.open_time_ns:
                continue  # an order takes its share of a candle's volume once
            price = price_of(resting.order, part)
            if price is not None and self._available(resting, candle) > 0:
                return resting, price, intent.type is OrderType.LIMIT
        return None

    def _open_price(self, order: Order, part: Range) -> float | None:
        """The opening price where the order meets it, or None."""
        intent, price = order.intent, part.open
        match intent.type:
            case OrderType.MARKET:
                return price
            case OrderType.LIMIT:
                return price if self._went_through(intent.side, float(intent.limit_price or 0), price) else None
            case _:
                return price if is_triggered(order, price, price) else None

    def _stop_reached(self, order: Order, part: Range) -> float | None:
        """A stop is met at its price, or where the market opened beyond it."""
        price = stop_reached(order, part.low, part.high)
        if price is None or self._holdings.is_behind(order.intent, part):
            return None
        return part.open if is_triggered(order, part.open, part.open) else price

    def _limit_reached(self, order: Order, part: Range) -> float | None:
        intent = order.intent
        if intent.type is not OrderType.LIMIT:
            return None
        price = float(intent.limit_price or 0)
        reached = part.low if intent.side is Side.BUY else part.high
        return price if self._went_through(intent.side, price, reached) else None

    def _went_through(self, side: Side, limit: float, price: float) -> bool:
        """Whether a trade at `price` fills a limit order; a touch does so only where the terms are optimistic."""
        beyond = price < limit if side is Side.BUY else price > limit
        return beyond or (self._terms.optimistic and price == limit)

    def _wanted(self, resting: Resting) -> Decimal:
        """Base units that the order may still have."""
        order = resting.order
        return min(resting.remaining, self._reducible(order)) if order.intent.reduce_only else resting.remaining

    def _available(self, resting: Resting, candle: Candle) -> Decimal:
        """Base units this candle lets the order have."""
        quantity = self._wanted(resting)
        share = Decimal(repr(candle.volume)) * self._terms.participation_max
        if quantity <= share:
            return quantity
        return self._instruments[resting.order.intent.instrument].round_quantity(share)

    def _at_quote(self, quote: Quote, before_ns: int) -> Iterator[VenueReport]:
        """Orders that have arrived meet bid and ask; a quote carries no volume, so they fill whole.

        before_ns: the market event before.  A limit order that rested then makes liquidity, a new one takes.
        """
        while (position := self._holdings.taken(quote.instrument, quote.last, quote.last)) is not None:
            yield from self._take_away(position, quote.at_ns)
        while True:
            hit = None
            for resting in sorted(self._book.values(), key=lambda resting: resting.arrives_at_ns):
                intent = resting.order.intent
                if intent.instrument != quote.instrument or resting.arrives_at_ns > quote.at_ns:
                    continue
                if intent.reduce_only and self._reducible(resting.order) <= 0:
                    continue
                price = quote_price(resting.order, quote)
                if price is not None:
                    hit = resting, price
                    break
            if hit is None:
                return
            resting, price = hit
            maker = resting.order.intent.type is OrderType.LIMIT and resting.arrives_at_ns < before_ns
            yield self._fill(resting, price, maker, None, quote.at_ns)

    def _fill(
        self, resting: Resting, price: float, maker: bool, candle: Candle | None, at_ns: int, *, whole: bool = False
    ) -> OrderFilled:
        """One execution.  candle: whose volume it takes from, None for a quote; whole: however little that is."""
        order, intent = resting.order, resting.order.intent
        instrument = self._instruments[intent.instrument]
        quantity = self._wanted(resting) if candle is None or whole else self._available(resting, candle)
        if intent.type is OrderType.LIMIT:
            exact = instrument.price_from_float(price)
        else:
            volume = candle.volume or None if candle is not None else None
            exact = taken_price(price, intent.side, quantity, volume, float(self._terms.slippage_bps), instrument)
        rate = self._terms.fee_maker if maker else self._terms.fee_taker
        fee = fee_of(exact, quantity, rate)
        resting.fills += 1
        trade_id = f"{order.client_order_id}-{resting.fills}"
        fill = Fill(
            order.id, trade_id, instrument.id, intent.side, exact, quantity, Money(fee, instrument.quote), maker, at_ns
        )
        self._book_fill(resting, fill)
        evidence = self._names.evidence(order.id, trade_id)
        report = OrderFilled(fill, evidence, self._exits.after(order, resting.remaining, fill, instrument, evidence))
        self._log.setdefault(order.id, []).append(report)
        return report

    def _book_fill(self, resting: Resting, fill: Fill) -> None:
        resting.remaining -= fill.quantity
        resting.filled_at_ns = fill.executed_at_ns
        if resting.remaining <= 0:
            del self._book[fill.order_id]
        self._holdings.book(resting.order.intent, fill)

    def _expire(self, instrument: InstrumentId, now_ns: int) -> Iterator[VenueReport]:
        """Ends what is good till a date that has passed."""
        for resting in tuple(self._book.values()):
            intent = resting.order.intent
            if intent.instrument == instrument and intent.expires_at_ns is not None and intent.expires_at_ns <= now_ns:
                del self._book[resting.order.id]
                report = OrderExpired(
                    intent.expires_at_ns, resting.order.id, self._names.evidence(resting.order.id, "expired")
                )
                self._log.setdefault(resting.order.id, []).append(report)
                yield report
