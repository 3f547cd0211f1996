"""A backtest through the engine's own step, on the candles where something can happen."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from promethean.domain.candles import Candle, CandleSeries, FloatArray, IntArray
from promethean.domain.events import (
    AccountOpened,
    CancelRequested,
    CandleClosed,
    Effect,
    Event,
    FundingPaid,
    IntentRefused,
    OrderClaimed,
    OrderFilled,
    OrderPlanned,
    OrderRejected,
    Reconciled,
    RunnerStarted,
)
from promethean.domain.ids import AccountId, Lineage
from promethean.domain.instants import DAY_NS
from promethean.domain.market import MarketView
from promethean.domain.orders import VALIDITY_NS
from promethean.engine.desk import Desk
from promethean.engine.state import Account, State, absorb
from promethean.engine.step import step
from promethean.evaluation.ledger import Bookkeeper, Books
from promethean.exchanges.paper.venue import PaperTerms, PaperVenue
from promethean.strategies.arrays import Prepared


class SteppedBacktest:
    """One account at one market.

    desk: with one seat.  cash: quote units at the start.
    Array strategies are asked only where they say something; any other is asked at every candle.
    """

    def __init__(self, desk: Desk, terms: PaperTerms, candles: CandleSeries, cash: Decimal) -> None:
        (self.seat,) = desk.seats
        self.desk = desk
        self.candles = candles
        instrument = self.seat.instrument
        self.venue = PaperVenue({instrument.id: instrument}, terms, cash, desk.names)
        self.keeper = Bookkeeper(self.seat, terms, candles, cash)
        self.state = State(Account(AccountId("backtest")), MarketView(), 0)
        self.steps, self.refusals = 0, Counter[str]()
        self._at = 0
        self._funded = terms.funding.places(candles) if terms.funding is not None else np.empty(0, np.int64)
        start_ns = int(candles.open_time_ns[0])
        for event in (
            AccountOpened(start_ns, instrument.quote, cash, instrument.exchange, "backtest"),
            RunnerStarted(start_ns, Lineage("backtest"), 1, "", ""),
            Reconciled(start_ns, 0, 0),
        ):
            self.state = absorb(self.state, event)

    @property
    def unknown(self) -> int:
        """At how many candles a condition could not be answered, as far as the strategy counts that."""
        strategy = self.seat.strategy
        return strategy.unknown if isinstance(strategy, Prepared) else 0

    def run(self) -> Books:
        """Every candle on which something can happen, in order; what is open at the end is closed."""
        candles, asked = self.candles, self._asked()
        low, high = candles.low, candles.high
        columns = [candles.open_time_ns, candles.open, high, low, candles.close, candles.volume]
        place, stop = 0, len(candles)
        # The loss of the day, a stop that moves, the time of a position and the conditions on it are looked at at every
        # close while one is held, wherever the price goes meanwhile.
        protection, strategy = self.seat.protection, self.seat.strategy
        is_watched = self.desk.limits.circuit_breaker_daily_loss is not None
        is_watched |= protection.moves or protection.hold is not None
        is_watched |= isinstance(strategy, Prepared) and strategy.reads_position
        while True:
            after = int(np.searchsorted(asked, place))
            following = int(asked[after]) if after < len(asked) else stop
            if is_watched and self.state.account.holdings:
                following = min(following, place)
            if len(self._funded) and self.state.account.holdings:
                due = int(np.searchsorted(self._funded, place))
                following = min(following, int(self._funded[due])) if due < len(self._funded) else following
            self._at = place = self._reached(low, high, place, min(following + 1, stop), following)
            if place >= stop:
                break
            self._candle(*(column[place].item() for column in columns))
            place += 1
        self.keeper.close_at_end()
        return self.keeper.books()

    def _asked(self) -> IntArray:
        """The candles at which the strategy or the day has a word."""
        strategy = self.seat.strategy
        if not isinstance(strategy, Prepared):
            return np.arange(len(self.candles))
        days = np.flatnonzero(np.diff(self.candles.open_time_ns // DAY_NS, prepend=-1))
        return np.union1d(strategy.spoken, days)

    def _reached(self, low: FloatArray, high: FloatArray, place: int, stop: int, following: int) -> int:
        """The first candle from `place` on at which an order of the book may fill, else `following`."""
        from promethean.evaluation._scan import first_reached

        reach = self.venue.reach()
        if reach is None:
            return following
        below, above, expires_ns = reach
        if expires_ns < np.inf:
            ends = int(np.searchsorted(self.candles.open_time_ns, expires_ns - self.seat.timeframe_ns))
            following = min(following, max(place, ends))
            stop = min(stop, following + 1)
        return min(first_reached(low, high, place, stop, below, above), following)

    def _candle(self, opened: int, open: float, high: float, low: float, close: float, volume: float) -> None:
        self.steps += 1
        seat = self.seat
        end = opened + seat.timeframe_ns
        candle = Candle(seat.instrument.id, seat.strategy.timeframe, opened, end, open, high, low, close, volume)
        event = CandleClosed(candle, end)
        for report in self.venue.advance(event):
            self._take(report)
        self._take(event)

    def _take(self, event: Event) -> None:
        if type(event) is OrderFilled:
            self._book(event)
        elif type(event) is FundingPaid:
            self.keeper.pay(self._at, event.at_ns, event.amount)
        elif type(event) is OrderRejected:
            self.refusals[event.code] += 1
        self.state, effects = step(self.state, event, self.desk)
        if effects:
            self._carry_out(effects)

    def _book(self, event: OrderFilled) -> None:
        fill = event.fill
        account = self.state.account
        order = account.orders.get(fill.order_id) or account.ended[fill.order_id]
        reason = order.intent.role.value
        self.keeper.book(self._at, fill.executed_at_ns, fill.side, fill.price, fill.quantity, fill.fee.amount, reason)

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        waiting = deque(effects)
        while waiting:
            effect = waiting.popleft()
            if type(effect) is OrderPlanned:
                now_ns = self.state.now_ns
                self.state = absorb(self.state, OrderClaimed(now_ns, effect.order_id, 1, now_ns + VALIDITY_NS))
                self._take(self.venue.receive(self.state.account.orders[effect.order_id]))
            elif type(effect) is CancelRequested:
                order = self.state.account.orders.get(effect.order_id)
                report = self.venue.withdraw(order) if order is not None else None
                if report is not None:
                    self._take(report)
            elif type(effect) is IntentRefused:
                self.refusals[effect.refused.code] += not effect.intent.reduce_only
