"""The books of a backtest: every fill in exact decimal money, by the same functions as in live trading."""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal

import numpy as np
from msgspec import Struct

from promethean.domain.candles import CandleSeries, FloatArray, IntArray
from promethean.domain.funding import FundingTable
from promethean.domain.ids import OrderId
from promethean.domain.market import Side
from promethean.domain.money import MONEY_STEP, Money
from promethean.domain.positions import Fill, Position
from promethean.engine.desk import Seat
from promethean.evaluation.rules import (
    BREAKEVEN,
    ENTRY,
    IN_RANGE,
    LIQUIDATION,
    REVERSAL,
    SIGNAL,
    STOP,
    TARGET,
    TIGHTENED,
    TIME,
    TRAILING,
    Rules,
)
from promethean.exchanges.paper.pricing import fee_of, funding_of, taken_price
from promethean.exchanges.paper.venue import PaperTerms
from promethean.execution.bracket import protective_legs, with_levels
from promethean.risk.sizing import entry_quantity
from promethean.strategies.arrays import Said

ZERO, ONE = Decimal(0), Decimal(1)
NOBODY = OrderId("")
END = "end"
REASONS = {
    STOP: "stop", TRAILING: "trailing", BREAKEVEN: "breakeven", TIGHTENED: "tightened", TARGET: "target",
    TIME: "time", SIGNAL: "signal", LIQUIDATION: "liquidation",
}  # fmt: skip


class Part(Struct, frozen=True):
    """A part of a position that was closed, as the trade list shows it.

    trade: number of the position, from 1.  entry_price: average, quote units per base unit.  quantity: base units.
    fees:  quote units, with the part's share of what the position had paid before.
    pnl:   quote units after fees and funding.  funding: quote units paid, the part's share; below zero: received.
    """

    trade: int
    side: Side
    opened_at_ns: int
    closed_at_ns: int
    entry_price: Decimal
    exit_price: Decimal
    quantity: Decimal
    reason: str
    fees: Decimal
    pnl: Decimal
    funding: Decimal = ZERO


class Trade(Struct, frozen=True):
    """A position from flat to flat.

    pnl: quote units after fees and funding.  opened, closed: numbers of the candles.
    """

    side: Side
    opened: int
    closed: int
    notional: Decimal
    pnl: Decimal
    fees: Decimal
    reason: str
    funding: Decimal = ZERO


class Books(Struct, frozen=True):
    """What an account came to.

    cash:   quote units at the end, everything closed.  fees, funding: quote units paid.
    parts:  closed parts, in the order of their closing.  trades: closed positions.
    at, held, cash_after, cost_after: candle, base units held (signed), cash and what is held cost, quote units, after
    each fill and each payment of funding, for the equity curve: cash as if all of the cost had been paid from it.
    """

    cash: Decimal
    fees: Decimal
    parts: list[Part]
    trades: list[Trade]
    at: IntArray
    held: FloatArray
    cash_after: FloatArray
    cost_after: FloatArray
    funding: Decimal = ZERO


class Bookkeeper:
    """Books fills, one after the other, of one account at one market.  cash: quote units at the start."""

    def __init__(self, seat: Seat, terms: PaperTerms, candles: CandleSeries, cash: Decimal) -> None:
        self.seat, self.terms, self.instrument = seat, terms, seat.instrument
        self.open_time, self.close, self.volume = candles.open_time_ns, candles.close, candles.volume
        self.slippage_bps = float(terms.slippage_bps)
        self.cash, self.fees, self.funding = cash, ZERO, ZERO
        leverage = seat.margin.leverage if seat.margin is not None else ONE
        self.flat = self.position = Position(self.instrument.id, seat.strategy.id, leverage=leverage)
        self.opened = 0
        self._owed = ZERO  # fees that an open position has paid and that no part carries yet
        self._owed_funding = ZERO
        self.parts: list[Part] = []
        self.trades: list[Trade] = []
        self.at: list[int] = []
        self.held: list[float] = []
        self.cash_after: list[float] = []
        self.cost_after: list[float] = []

    def book(
        self, at: int, at_ns: int, side: Side, price: Decimal, quantity: Decimal, fee: Decimal, reason: str
    ) -> None:
        """One fill at a candle.  reason: why a part is closed; not read for a fill that opens."""
        before = self.position
        fill = Fill(
            NOBODY, "", self.instrument.id, side, price, quantity, Money(fee, self.instrument.quote), False, at_ns
        )
        self.position, booking = before.apply(fill)
        self.cash += booking.cash
        self.fees += fee
        self._note(at)
        if not before.quantity:
            self.opened, self._owed, self._owed_funding = at, fee, ZERO
        elif side is before.side:
            self._owed += fee
        else:
            self._close(before, booking.realised, at, at_ns, price, quantity, fee, reason)

    def pay(self, at: int, at_ns: int, amount: Decimal) -> None:
        """Funding that came due before a candle traded, quote units; a negative amount was received."""
        self.position = self.position.funded(amount, at_ns)
        self.cash -= amount
        self.funding += amount
        self._owed_funding += amount
        self._note(at)

    def _note(self, at: int) -> None:
        self.at.append(at)
        self.held.append(float(self.position.quantity))
        self.cash_after.append(float(self.cash + self.position.margin - self.position.cost))
        self.cost_after.append(float(self.position.cost))

    def _close(
        self, before: Position, gain: Decimal, at: int, at_ns: int, price: Decimal, quantity: Decimal, fee: Decimal,
        reason: str,
    ) -> None:  # fmt: skip
        entry, held = before.entry_price, abs(before.quantity)
        is_last = quantity == held
        share = self._owed if is_last else (self._owed * quantity / held).quantize(MONEY_STEP)
        funding = self._owed_funding if is_last else (self._owed_funding * quantity / held).quantize(MONEY_STEP)
        self._owed -= share
        self._owed_funding -= funding
        fees = fee + share
        self.parts.append(
            Part(
                len(self.trades) + 1, before.side, before.opened_at_ns, at_ns, entry, price, quantity, reason, fees,
                gain - fees - funding, funding,
            )
        )  # fmt: skip
        after = self.position
        if not after.quantity:
            profit = after.realised - after.fees - after.funding
            self.trades.append(
                Trade(
                    before.side, self.opened, at, after.entry_notional, profit, after.fees, reason, after.funding
                )
            )  # fmt: skip
            self.position = self.flat

    def close_at_end(self) -> None:
        """What is open at the last candle is closed at its close, as an order that takes liquidity."""
        if not self.position.quantity:
            return
        at, position = len(self.open_time) - 1, self.position
        side, quantity = position.side.opposite, abs(position.quantity)
        volume = float(self.volume[at])
        price = taken_price(float(self.close[at]), side, quantity, volume or None, self.slippage_bps, self.instrument)
        fee = fee_of(price, quantity, self.terms.fee_taker)
        self.book(at, int(self.open_time[at]) + self.seat.timeframe_ns, side, price, quantity, fee, END)

    def books(self) -> Books:
        """The books as they stand."""
        return Books(
            self.cash, self.fees, self.parts, self.trades,
            np.array(self.at, np.int64), np.array(self.held), np.array(self.cash_after), np.array(self.cost_after),
            self.funding,
        )  # fmt: skip


def keep_books(rules: Rules, said: Said, candles: CandleSeries, fills: FloatArray) -> Books:
    """The books of fills that a compiled path found.

    fills: as `trade_path` gives them.
    """
    seat, terms, instrument = rules.seat, rules.terms, rules.seat.instrument
    books = Bookkeeper(seat, terms, candles, rules.cash)
    payments = _Payments(terms.funding, candles, books) if terms.funding is not None else None
    protection, sizes = seat.protection, dict[int, Decimal]()
    has_levels = said.stop is not None or bool(said.targets)
    last_ns = seat.timeframe_ns - 1
    numbers, met_at = fills[:, [0, 1, 2, 5]].astype(np.int64), fills[:, 3]
    for (place, what, number, part), met in zip(numbers.tolist(), met_at.tolist(), strict=True):
        opened_ns = int(books.open_time[place])
        volume = float(books.volume[place])
        if payments is not None:
            payments.upto(place)
        if what & ~REVERSAL == ENTRY:
            side, sizes, decided = Side.BUY if number > 0 else Side.SELL, {}, place - abs(number)
            if has_levels:
                protection = with_levels(seat.protection, side, *said.levels(decided), instrument)
            sized = place - 1 if what & REVERSAL else decided
            reference = instrument.price_from_float(float(books.close[sized]))
            quantity = entry_quantity(seat.sizing, books.cash, reference, instrument)
            exact, rate = taken_price(met, side, quantity, volume, books.slippage_bps, instrument), terms.fee_taker
            books.book(place, opened_ns, side, exact, quantity, fee_of(exact, quantity, rate), "")
            continue
        position = books.position
        side = Side.SELL if position.quantity > 0 else Side.BUY
        at_ns = opened_ns + last_ns if what & IN_RANGE else opened_ns
        if part >= 0:
            assert terms.intrabar is not None, "a part of a candle is known from finer data"
            at_ns = int(terms.intrabar.at_ns[part])
        what &= ~IN_RANGE
        if what == TARGET:
            if not sizes:
                legs = protective_legs(position, protection, 0, instrument)
                sizes = {each.leg: each.quantity for each in legs}
            quantity, exact, rate = sizes[number], instrument.price_from_float(met), terms.fee_maker
        elif what == LIQUIDATION:
            assert seat.margin is not None, "only a margin is used up"
            quantity, rate = abs(position.quantity), ZERO
            short = max(ZERO, -books.cash) / quantity
            exact = seat.margin.bankruptcy_price(position.entry_price, side.opposite, instrument, short)
        else:
            quantity, rate = abs(position.quantity), terms.fee_taker
            exact = taken_price(met, side, quantity, volume, books.slippage_bps, instrument)
        books.book(place, at_ns, side, exact, quantity, fee_of(exact, quantity, rate), REASONS[what])
    if payments is not None:
        payments.upto(len(candles) - 1)
    books.close_at_end()
    return books.books()


class _Payments:
    """Books the funding that comes due between two fills of a compiled path."""

    def __init__(self, table: FundingTable, candles: CandleSeries, books: Bookkeeper) -> None:
        self._table, self._books = table, books
        self._places = table.places(candles).tolist()
        self._next = 0

    def upto(self, place: int) -> None:
        """What was due since the last call, up to the moment at which this candle trades; nobody held, nobody pays."""
        places, books = self._places, self._books
        if not books.position.quantity:
            self._next = bisect_right(places, place)
        while self._next < len(places) and places[self._next] <= place:
            at = places[self._next]
            for due in self._table.due_at(int(books.open_time[at])):
                amount = funding_of(due.mark_price, books.position.quantity, due.funding_rate)
                books.pay(at, due.at_ns, amount)
            self._next += 1


def equity_curve(cash: float, books: Books, close: FloatArray) -> FloatArray:
    """Equity at the close of every candle, quote units, shape as `close`: cash and what is held at its price.

    A short position has put its cost aside and gains what its price falls: cost + (cost - value).
    cash: quote units at the start.
    """
    aside = np.where(books.held < 0, 2.0 * books.cost_after, 0.0)
    lengths = np.diff(np.concatenate(([0], books.at, [len(close)])))
    curve = np.repeat(np.concatenate(([0.0], books.held)), lengths)
    curve *= close
    curve += np.repeat(np.concatenate(([cash], books.cash_after + aside)), lengths)
    return curve
