"""The matching engine of the local venue: accounts, orders and fills as an exchange keeps them.

It knows nothing of the platform but the vocabulary of `domain/`: the truth that tests compare the platform with is kept
here, apart.  Time is told by a clock, prices by whoever moves the market; nothing is drawn at random.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal

from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.market import Side
from promethean.domain.orders import OrderType, TimeInForce

ZERO, ONE = Decimal(0), Decimal(1)
MONEY_STEP = Decimal("1e-8")


class Code(enum.StrEnum):
    """Why the venue refuses; each protocol has numbers of its own for these."""

    BAD_KEY = "bad_key"
    NOT_ALLOWED = "not_allowed"
    TOO_LATE = "too_late"
    BAD_SYMBOL = "bad_symbol"
    HALTED = "halted"
    PRICE_FILTER = "price_filter"
    LOT_SIZE = "lot_size"
    MIN_NOTIONAL = "min_notional"
    NO_BALANCE = "no_balance"
    DUPLICATE_ID = "duplicate_id"
    REDUCE_ONLY = "reduce_only"
    WOULD_TRIGGER = "would_trigger"
    WOULD_TAKE = "would_take"
    NO_SUCH_ORDER = "no_such_order"
    NO_SUCH_OPEN = "no_such_open"
    BAD_LEVERAGE = "bad_leverage"


class VenueRefusalError(Exception):
    """A definite refusal."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Status(enum.StrEnum):
    """Where an order is in its life at the venue."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self in (Status.NEW, Status.PARTIALLY_FILLED)


@dataclass(frozen=True, slots=True)
class Request:
    """An order as a client asks for it.  quantity: base units; prices: quote units per base unit."""

    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    client_id: str
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False


@dataclass(slots=True)
class VenueOrder:
    """An order as the venue keeps it.

    quote: what its fills came to.  is_triggered: whether a stop has been set off.
    held:  of `held_coin`, what is set aside for the rest of it.
    """

    id: int
    account: str
    request: Request
    created_ms: int
    updated_ms: int
    status: Status = Status.NEW
    filled: Decimal = ZERO
    quote: Decimal = ZERO
    is_triggered: bool = False
    held_coin: str = ""
    held: Decimal = ZERO

    @property
    def remaining(self) -> Decimal:
        """Base units that may still fill."""
        return self.request.quantity - self.filled

    @property
    def waits(self) -> bool:
        """Whether it is a stop that nothing has set off yet."""
        return self.request.stop_price is not None and not self.is_triggered


@dataclass(frozen=True, slots=True)
class Trade:
    """One execution.  realised: profit that it took, quote units, for a perpetual."""

    id: int
    order_id: int
    account: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_coin: str
    maker: bool
    at_ms: int
    realised: Decimal = ZERO


@dataclass(slots=True)
class Holding:
    """A position in a perpetual.  quantity: signed.  entry: average price."""

    quantity: Decimal = ZERO
    entry: Decimal = ZERO


@dataclass(slots=True)
class VenueAccount:
    """One account.  free: amounts by coin that nothing holds; locked: by open orders.  leverage: by symbol."""

    key: str
    secret: str
    free: dict[str, Decimal] = field(default_factory=dict)
    locked: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, Holding] = field(default_factory=dict)
    leverage: dict[str, int] = field(default_factory=dict)
    can_trade: bool = True
    can_withdraw: bool = False
    ip_restricted: bool = True

    def total(self, coin: str) -> Decimal:
        """Free and locked."""
        return self.free.get(coin, ZERO) + self.locked.get(coin, ZERO)


@dataclass(frozen=True, slots=True)
class VenueTerms:
    """How the venue behaves.

    fee_maker, fee_taker: fractions of the notional.
    unique_forever: whether a client id is never accepted again; else only not among open orders.
    fee_coin:       in which fees are taken; None: in the coin received (spot) or the quote coin (perpetuals).
    """

    fee_maker: Decimal = Decimal("0.001")
    fee_taker: Decimal = Decimal("0.001")
    unique_forever: bool = False
    fee_coin: str | None = None


@dataclass(slots=True)
class Book:
    """What others offer: (price, base units), best first.  last: price of the last trade."""

    bids: list[tuple[Decimal, Decimal]] = field(default_factory=list)
    asks: list[tuple[Decimal, Decimal]] = field(default_factory=list)
    last: Decimal | None = None


Event = VenueOrder | Trade
Listener = Callable[[str, "VenueOrder", Trade | None], None]
"""Told the account, an order as it is after a change, and the trade that changed it."""


class Matching:
    """A venue.

    markets: by the venue's symbol.  now_ms: the venue's clock.
    """

    def __init__(
        self, markets: Mapping[str, Instrument], now_ms: Callable[[], int], terms: VenueTerms | None = None
    ) -> None:
        self.markets = dict(markets)
        self.now_ms = now_ms
        self.terms = terms or VenueTerms()
        self.accounts: dict[str, VenueAccount] = {}
        self.orders: dict[int, VenueOrder] = {}
        self.trades: list[Trade] = []
        self.books: dict[str, Book] = {symbol: Book() for symbol in markets}
        self.halted: set[str] = set()
        self.listeners: list[Listener] = []
        self._order_ids, self._trade_ids = itertools.count(1), itertools.count(1)

    def open_account(self, account: VenueAccount) -> VenueAccount:
        """Let somebody trade here."""
        self.accounts[account.key] = account
        return account

    # ------------------------------------------------------------ questions

    def order(self, account: str, symbol: str, order_id: int | None = None, client_id: str | None = None) -> VenueOrder:
        """An order by its number, or the newest with this client id.  Raises VenueRefusalError when there is none."""
        found = [
            order
            for order in self.orders.values()
            if order.account == account
            and order.request.symbol == symbol
            and (order.id == order_id if order_id is not None else order.request.client_id == client_id)
        ]
        if not found:
            raise VenueRefusalError(Code.NO_SUCH_ORDER, "Order does not exist.")
        return found[-1]

    def open_orders(self, account: str, symbol: str | None = None) -> list[VenueOrder]:
        """Orders that may still fill, oldest first."""
        return [o for o in self.orders_of(account, symbol) if o.status.is_open]

    def orders_of(self, account: str, symbol: str | None = None) -> Iterator[VenueOrder]:
        """Every order of an account, oldest first."""
        return (
            order
            for order in self.orders.values()
            if order.account == account and (symbol is None or order.request.symbol == symbol)
        )

    def trades_of(self, account: str, symbol: str | None = None, since_ms: int = 0) -> list[Trade]:
        """Every fill of an account from an instant on, oldest first."""
        return [
            trade
            for trade in self.trades
            if trade.account == account and trade.at_ms >= since_ms and (symbol is None or trade.symbol == symbol)
        ]

    # ------------------------------------------------------------ commands

    def place(self, key: str, request: Request) -> VenueOrder:
        """Take an order.  Raises VenueRefusalError for one that breaks a rule; then nothing has happened."""
        account = self.accounts[key]
        self._check(account, request)
        now_ms = self.now_ms()
        order = VenueOrder(next(self._order_ids), key, request, now_ms, now_ms)
        book = self.books[request.symbol]
        if request.post_only and self._crosses(order, book):
            raise VenueRefusalError(Code.WOULD_TAKE, "Order would immediately match and take.")
        self._set_aside(account, order)
        self.orders[order.id] = order
        self._tell(order, None)
        if request.time_in_force is TimeInForce.FOK and self._offered(order, book) < request.quantity:
            self._end(order, Status.EXPIRED)
        elif not order.waits:
            self._take(order, book)
        return order

    def cancel(self, key: str, symbol: str, order_id: int | None = None, client_id: str | None = None) -> VenueOrder:
        """End an order.  Raises VenueRefusalError when it is not open."""
        order = self.order(key, symbol, order_id, client_id)
        if not order.status.is_open:
            raise VenueRefusalError(Code.NO_SUCH_ORDER, "Unknown order sent.")
        self._end(order, Status.CANCELED)
        return order

    def set_leverage(self, key: str, symbol: str, leverage: int) -> None:
        """How much of a perpetual's notional a position ties up from now on."""
        if not 1 <= leverage <= 125:
            raise VenueRefusalError(Code.BAD_LEVERAGE, f"Leverage {leverage} is not valid")
        self.accounts[key].leverage[symbol] = leverage

    def move(
        self,
        symbol: str,
        bids: Sequence[tuple[Decimal, Decimal]],
        asks: Sequence[tuple[Decimal, Decimal]],
        last: Decimal | None = None,
    ) -> None:
        """What others offer now, and the price of the last trade: it sets stops off, and resting orders meet it."""
        book = self.books[symbol] = Book(list(bids), list(asks), last if last is not None else self.books[symbol].last)
        waiting = [o for o in self.orders.values() if o.status.is_open and o.request.symbol == symbol]
        for order in waiting:
            if order.waits and self._sets_off(order, book):
                order.is_triggered, order.updated_ms = True, self.now_ms()
                self._take(order, book)
        for order in waiting:
            if order.status.is_open and not order.waits:
                self._rest_meets(order, book)

    # ------------------------------------------------------------ rules

    def _check(self, account: VenueAccount, request: Request) -> None:
        if not account.can_trade:
            raise VenueRefusalError(Code.NOT_ALLOWED, "Invalid API-key, IP, or permissions for action.")
        market = self.markets.get(request.symbol)
        if market is None:
            raise VenueRefusalError(Code.BAD_SYMBOL, "Invalid symbol.")
        if request.symbol in self.halted:
            raise VenueRefusalError(Code.HALTED, "Market is closed.")
        for price in (request.limit_price, request.stop_price):
            if price is not None and (price <= 0 or price % market.price_increment):
                raise VenueRefusalError(Code.PRICE_FILTER, "Filter failure: PRICE_FILTER")
        if request.quantity < market.quantity_min or request.quantity % market.quantity_increment:
            raise VenueRefusalError(Code.LOT_SIZE, "Filter failure: LOT_SIZE")
        price = self._price_of(request)
        if not request.reduce_only and price is not None and price * request.quantity < market.notional_min:
            raise VenueRefusalError(Code.MIN_NOTIONAL, "Filter failure: NOTIONAL")
        for other in self.orders_of(account.key, request.symbol):
            if other.request.client_id == request.client_id and (self.terms.unique_forever or other.status.is_open):
                raise VenueRefusalError(Code.DUPLICATE_ID, "Duplicate order sent.")
        if request.reduce_only and self._reducible(account, request) <= 0:
            raise VenueRefusalError(Code.REDUCE_ONLY, "ReduceOnly Order is rejected.")
        if request.stop_price is not None and self._sets_off_at(request, self.books[request.symbol].last):
            raise VenueRefusalError(Code.WOULD_TRIGGER, "Order would immediately trigger.")
        coin, amount = self._needs(account, request)
        if amount > account.free.get(coin, ZERO):
            raise VenueRefusalError(Code.NO_BALANCE, "Account has insufficient balance for requested action.")

    def _price_of(self, request: Request) -> Decimal | None:
        """The price at which an order is counted before it has filled."""
        if request.limit_price is not None:
            return request.limit_price
        if request.stop_price is not None:
            return request.stop_price
        book = self.books[request.symbol]
        levels = book.asks if request.side is Side.BUY else book.bids
        return levels[0][0] if levels else book.last

    def _needs(self, account: VenueAccount, request: Request) -> tuple[str, Decimal]:
        """Coin and amount that an order ties up while it waits."""
        market = self.markets[request.symbol]
        price = self._price_of(request) or ZERO
        if market.market_type is MarketType.SPOT:
            if request.side is Side.SELL:
                return market.base, request.quantity
            return market.quote, request.quantity * price
        if request.reduce_only:
            return market.quote, ZERO
        leverage = account.leverage.get(request.symbol, 1)
        return market.quote, (request.quantity * price / leverage).quantize(MONEY_STEP)

    def _set_aside(self, account: VenueAccount, order: VenueOrder) -> None:
        order.held_coin, order.held = self._needs(account, order.request)
        self._move_held(account, order.held_coin, order.held)

    @staticmethod
    def _move_held(account: VenueAccount, coin: str, amount: Decimal) -> None:
        """From free to locked; a negative amount goes back."""
        account.free[coin] = account.free.get(coin, ZERO) - amount
        account.locked[coin] = account.locked.get(coin, ZERO) + amount

    def _reducible(self, account: VenueAccount, request: Request) -> Decimal:
        holding = account.positions.get(request.symbol)
        return max(ZERO, -holding.quantity * request.side.sign) if holding is not None else ZERO

    @staticmethod
    def _crosses(order: VenueOrder, book: Book) -> bool:
        """Whether a limit order meets what others offer now."""
        request, limit = order.request, order.request.limit_price
        levels = book.asks if request.side is Side.BUY else book.bids
        if not levels or limit is None:
            return bool(levels)
        return levels[0][0] <= limit if request.side is Side.BUY else levels[0][0] >= limit

    def _sets_off(self, order: VenueOrder, book: Book) -> bool:
        return self._sets_off_at(order.request, book.last)

    @staticmethod
    def _sets_off_at(request: Request, last: Decimal | None) -> bool:
        if last is None or request.stop_price is None:
            return False
        return last >= request.stop_price if request.side is Side.BUY else last <= request.stop_price

    # ------------------------------------------------------------ matching

    @staticmethod
    def _levels(order: VenueOrder, book: Book) -> list[tuple[Decimal, Decimal]]:
        """What others offer within the order's limit, best first."""
        limit, is_buy = order.request.limit_price, order.request.side is Side.BUY
        levels = book.asks if is_buy else book.bids
        if limit is None:
            return list(levels)
        return [(price, size) for price, size in levels if (price <= limit if is_buy else price >= limit)]

    def _offered(self, order: VenueOrder, book: Book) -> Decimal:
        return sum((size for _, size in self._levels(order, book)), ZERO)

    def _take(self, order: VenueOrder, book: Book) -> None:
        """An order that arrives, or a stop that is set off, takes what others offer; the rest of it waits or ends."""
        levels = book.asks if order.request.side is Side.BUY else book.bids
        for price, size in self._levels(order, book):
            if not order.status.is_open:
                break
            taken = self._fill(order, price, min(size, order.remaining), maker=False)
            left = size - taken
            levels[:] = [(p, left if p == price else s) for p, s in levels if p != price or left > 0]
        is_market = order.request.limit_price is None
        if order.status.is_open and (is_market or order.request.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)):
            self._end(order, Status.EXPIRED)

    def _rest_meets(self, order: VenueOrder, book: Book) -> None:
        """An order that rests is met at its own price by whoever would trade through it."""
        limit = order.request.limit_price
        assert limit is not None, "only a limit order rests"
        size = self._offered(order, book)
        if size > 0:
            self._fill(order, limit, min(size, order.remaining), maker=True)

    def _fill(self, order: VenueOrder, price: Decimal, quantity: Decimal, *, maker: bool) -> Decimal:
        """One execution; base units that were executed.  A reduce-only order never goes beyond its position."""
        account, request = self.accounts[order.account], order.request
        market = self.markets[request.symbol]
        if request.reduce_only:
            quantity = min(quantity, self._reducible(account, request))
            if quantity <= 0:
                self._end(order, Status.EXPIRED)
                return ZERO
        released = order.held if quantity == order.remaining else (order.held * quantity / order.remaining)
        released = released.quantize(MONEY_STEP, ROUND_DOWN)
        self._move_held(account, order.held_coin, -released)
        order.held -= released
        order.filled += quantity
        order.quote += price * quantity
        order.status = Status.FILLED if order.remaining <= 0 else Status.PARTIALLY_FILLED
        order.updated_ms = self.now_ms()
        settle = self._settle_spot if market.market_type is MarketType.SPOT else self._settle_perpetual
        fee, coin, realised = settle(account, market, request, price, quantity, maker=maker)
        trade = Trade(
            next(self._trade_ids), order.id, order.account, request.symbol, request.side, price, quantity, fee, coin,
            maker, order.updated_ms, realised,
        )  # fmt: skip
        self.trades.append(trade)
        self._tell(order, trade)
        return quantity

    def _rate(self, maker: bool) -> Decimal:
        return self.terms.fee_maker if maker else self.terms.fee_taker

    def _settle_spot(
        self, account: VenueAccount, market: Instrument, request: Request, price: Decimal, quantity: Decimal, *,
        maker: bool,
    ) -> tuple[Decimal, str, Decimal]:  # fmt: skip
        """Coins against coins.  Returns: fee, its coin, and no realised profit: the venue knows none on spot."""
        value, free = price * quantity, account.free
        paid, got = (market.quote, market.base) if request.side is Side.BUY else (market.base, market.quote)
        out, into = (value, quantity) if request.side is Side.BUY else (quantity, value)
        free[paid] = free.get(paid, ZERO) - out
        free[got] = free.get(got, ZERO) + into
        coin = self.terms.fee_coin or got
        worth = into if coin == got else value
        fee = (worth * self._rate(maker)).quantize(MONEY_STEP, ROUND_DOWN)
        free[coin] = free.get(coin, ZERO) - fee
        return fee, coin, ZERO

    def _settle_perpetual(
        self, account: VenueAccount, market: Instrument, request: Request, price: Decimal, quantity: Decimal, *,
        maker: bool,
    ) -> tuple[Decimal, str, Decimal]:  # fmt: skip
        """A position grows or shrinks.  Returns: fee, its coin, and the profit that was realised."""
        holding = account.positions.setdefault(request.symbol, Holding())
        leverage = account.leverage.get(request.symbol, 1)
        signed = quantity * request.side.sign
        closing = ZERO
        if holding.quantity * signed < 0:
            closing = min(abs(holding.quantity), quantity)
        direction = ONE if holding.quantity > 0 else -ONE
        realised = (price - holding.entry) * closing * direction
        released = closing * holding.entry / leverage
        opening = quantity - closing
        if holding.quantity * signed >= 0 and holding.quantity:
            cost = holding.entry * abs(holding.quantity) + price * opening
            holding.entry = cost / (abs(holding.quantity) + opening)
        elif opening:
            holding.entry = price
        holding.quantity += signed
        if not holding.quantity:
            holding.entry = ZERO
        fee = (price * quantity * self._rate(maker)).quantize(MONEY_STEP, ROUND_DOWN)
        free = account.free
        change = released + realised - price * opening / leverage - fee
        free[market.quote] = free.get(market.quote, ZERO) + change.quantize(MONEY_STEP)
        return fee, market.quote, realised

    def _end(self, order: VenueOrder, status: Status) -> None:
        account = self.accounts[order.account]
        self._move_held(account, order.held_coin, -order.held)
        order.held, order.status, order.updated_ms = ZERO, status, self.now_ms()
        self._tell(order, None)

    def _tell(self, order: VenueOrder, trade: Trade | None) -> None:
        for listener in tuple(self.listeners):
            listener(order.account, order, trade)
