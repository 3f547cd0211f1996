"""A state is the sum of its journal: what each fact changes, and what no sequence of facts may break."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.engine.builders import (
    ACCOUNT,
    BTC,
    BUY,
    LIMITS,
    MINUTE_NS,
    PERP,
    SCRIPTED,
    SELL,
    T0,
    Hand,
    Trader,
    World,
    assert_sound,
    candle,
    desk,
    drive,
    quote,
    same,
    seat,
    worlds,
)

from promethean.domain.accounts import AccountMode
from promethean.domain.events import (
    AccountOpened,
    BreakerTripped,
    CancelRequested,
    DayStarted,
    Event,
    HaltLifted,
    HaltSet,
    LeaseLost,
    MarketEvent,
    OrderCancelled,
    OrderDropped,
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
    VenueReport,
)
from promethean.domain.ids import Lineage, OrderId, StrategyId
from promethean.domain.market import MarketView, Side
from promethean.domain.orders import Order, OrderRole, OrderStatus, OrderType
from promethean.engine.desk import Desk
from promethean.engine.state import ENDED_KEPT, Account, State, absorb
from promethean.exchanges.paper.venue import PaperTerms
from promethean.runtime.feeds.columns import CandleColumns, closed_items, recorded_instrument
from promethean.storage.candle_files import read_candle_file
from promethean.strategies.arrays import Trailing
from promethean.strategies.rsi_reversion import RsiReversion

D = Decimal
SLOT = (SCRIPTED, BTC.id)
NEW = State(Account(ACCOUNT), MarketView(), 0)


def after(*events: Event, state: State = NEW) -> State:
    for event in events:
        state = absorb(state, event)
    return state


def opened(quantity: Decimal | None = None, fee: str = "0") -> tuple[Hand, OrderPlanned]:
    """An account with one entry of 10 at 100, filled in part or whole."""
    hand = Hand(desk({0: (BUY,)}))
    (entry,) = (each for each in hand.see(candle(0, 100)) if isinstance(each, OrderPlanned))
    hand.accept(entry)
    hand.fill(entry, "100", quantity, fee)
    return hand, entry


def plan(hand: Hand, role: OrderRole, leg: int = 0) -> OrderPlanned:
    """The newest order that was planned for this."""
    return [each for each in hand.told(OrderPlanned) if each.intent.role is role and each.intent.leg == leg][-1]


# ---------------------------------------------------------------- starts, modes, halts

OPENED = AccountOpened(T0, "USDT", D(500), "binance", "paper")
STARTED = RunnerStarted(T0, Lineage("cafe"), 7, "build", "config")
RECONCILED = Reconciled(T0, 0, 0)


def halt(scope: str = "user") -> HaltSet:
    return HaltSet(T0, scope, "why", "me", close=False)


def test_a_new_account_may_do_nothing_until_a_runner_has_reconciled_it() -> None:
    assert after().account.mode is AccountMode.READ_ONLY
    state = after(OPENED)
    assert (state.account.cash, state.account.currency, state.account.mode) == (D(500), "USDT", AccountMode.READ_ONLY)
    state = after(STARTED, state=state)
    assert (state.account.mode, state.account.lease_held, state.account.epoch) == (AccountMode.REDUCING, True, 7)
    assert after(RECONCILED, state=state).account.mode is AccountMode.ACTIVE


def test_a_restart_closes_new_risk_again() -> None:
    again = after(OPENED, STARTED, RECONCILED, STARTED)
    assert again.account.mode is AccountMode.REDUCING


def test_a_halt_survives_a_restart() -> None:
    assert after(OPENED, STARTED, RECONCILED, halt(), STARTED, RECONCILED).account.mode is AccountMode.HALTED


def test_a_halt_ends_when_every_scope_is_lifted() -> None:
    state = after(OPENED, STARTED, RECONCILED, halt("user"), halt("platform"), HaltLifted(T0, "user", "me"))
    assert (state.account.mode, state.account.halts) == (AccountMode.HALTED, frozenset({"platform"}))
    assert after(HaltLifted(T0, "platform", "me"), state=state).account.mode is AccountMode.ACTIVE


@pytest.mark.parametrize("before", [(), (RECONCILED, STARTED)], ids=["never reconciled", "restarted since"])
def test_a_lifted_halt_does_not_open_an_account_that_is_not_reconciled(before: tuple[Event, ...]) -> None:
    state = after(OPENED, STARTED, *before, halt(), HaltLifted(T0, "user", "me"))
    assert state.account.mode is AccountMode.REDUCING


def test_a_lost_lease_is_gone_until_the_next_start() -> None:
    state = after(OPENED, STARTED, RECONCILED, LeaseLost(T0))
    assert not state.account.lease_held
    assert after(STARTED, state=state).account.lease_held


def test_a_finished_run_is_remembered() -> None:
    assert after(OPENED, RunFinished(T0)).account.finished
    assert not after(OPENED, RunFinished(T0)).account.closing
    assert after(OPENED, RecordingEnded(T0)).account.closing


def test_every_account_fact_takes_a_number_and_market_events_take_none() -> None:
    state = after(OPENED, candle(0, 100), STARTED, quote(1, 1, 99, 100), RECONCILED)
    assert state.account.sequence == 3


def test_time_never_goes_back() -> None:
    state = after(candle(5, 100), OPENED, candle(4, 100), quote(5, 1, 99, 100))
    assert state.now_ns == T0 + 6 * MINUTE_NS


# ---------------------------------------------------------------- days


def test_a_new_day_forgets_counts_and_breaker() -> None:
    state = after(OPENED, DayStarted(T0, 1, D(500)), BreakerTripped(T0, "daily_loss", "-5 %", "-5 %"))
    assert state.account.day is not None
    assert state.account.day.breaker == "daily_loss"
    state = after(DayStarted(T0, 2, D(450)), state=state)
    assert state.account.day is not None
    assert (state.account.day.number, state.account.day.equity, state.account.day.breaker) == (2, D(450), "")


def test_halts_and_breakers_do_not_touch_each_other() -> None:
    tripped = after(
        OPENED, STARTED, RECONCILED, DayStarted(T0, 1, D(1)), BreakerTripped(T0, "daily_loss", "", ""), halt()
    )
    assert tripped.account.day is not None
    assert (tripped.account.mode, tripped.account.day.breaker) == (AccountMode.HALTED, "daily_loss")
    assert after(DayStarted(T0, 2, D(1)), state=tripped).account.mode is AccountMode.HALTED


# ---------------------------------------------------------------- money and positions


def test_an_entry_fill_moves_cash_into_the_position() -> None:
    hand, _ = opened(fee="1")
    account, position = hand.account, hand.account.holdings[SLOT].position
    assert (account.cash, position.quantity, position.cost, position.fees) == (D(8999), D(10), D(1000), D(1))
    assert (account.totals.fills, account.totals.fees, account.totals.realised) == (1, D(1), D(0))


def test_a_tier_is_done_when_its_order_is_filled_whole() -> None:
    hand, _ = opened()
    target = plan(hand, OrderRole.TARGET, 1)
    hand.accept(target)
    hand.fill(target, "102", D(1))
    assert hand.account.holdings[SLOT].tiers_done == 0
    hand.fill(target, "102", D("2.3"))
    assert hand.account.holdings[SLOT].tiers_done == 1


def test_what_an_entry_reserved_is_given_back_in_proportion_to_what_was_sold() -> None:
    hand, _ = opened()
    assert hand.account.holdings[SLOT].used == D(1000)
    target = plan(hand, OrderRole.TARGET, 1)
    hand.accept(target)
    hand.fill(target, "102")
    assert hand.account.holdings[SLOT].used == D(670)


def test_orders_that_end_free_what_they_had_set_aside() -> None:
    hand = Hand(desk({0: (BUY,)}, order_type=OrderType.LIMIT))
    (entry,) = (each for each in hand.see(candle(0, 100)) if isinstance(each, OrderPlanned))
    assert hand.state.exposure() == D("1001")
    hand.see(OrderDropped(hand.state.now_ns, entry.order_id, "reservation"))
    assert (hand.state.exposure(), hand.account.orders) == (D(0), {})


def test_exposure_counts_orders_of_unknown_outcome() -> None:
    hand = Hand(desk({0: (BUY,)}))
    (entry,) = (each for each in hand.see(candle(0, 100)) if isinstance(each, OrderPlanned))
    hand.claim(entry)
    hand.see(OrderOutcomeUnknown(hand.state.now_ns, entry.order_id, "no answer"))
    assert hand.state.exposure() == D(1000)
    hand.see(OrderFoundAbsent(hand.state.now_ns, entry.order_id, "three looks"))
    assert hand.state.exposure() == D(0)
    assert hand.account.ended[entry.order_id].status is OrderStatus.ABSENT


def test_equity_and_exposure_are_unknown_while_a_held_instrument_has_no_price() -> None:
    hand, _ = opened()
    blind = replace(hand.state, view=MarketView())
    assert (blind.equity(), blind.exposure()) == (None, None)


def test_the_equity_of_a_short_falls_when_the_price_rises() -> None:
    hand = Hand(desk({0: (SELL,)}, PERP))
    (entry,) = (each for each in hand.see(candle(0, 100, of=PERP)) if isinstance(each, OrderPlanned))
    hand.accept(entry)
    hand.fill(entry, "100", fee="1")
    hand.see(candle(1, 103, of=PERP))
    assert (entry.intent.side, hand.account.cash) == (Side.SELL, D(8999))
    assert hand.state.equity() == D(10_000) - 1 - 30


# ---------------------------------------------------------------- orders that ended


def test_the_orders_that_ended_last_are_kept_for_late_fills_and_older_ones_are_let_go() -> None:
    hand = Hand(desk({}))
    entries = []
    for number in range(ENDED_KEPT + 2):
        hand.desk = desk({number: (BUY,)})
        (entry,) = (each for each in hand.see(candle(number, 100)) if isinstance(each, OrderPlanned))
        entries.append(entry)
        hand.see(OrderDropped(hand.state.now_ns, entry.order_id, "a test"))
    assert list(hand.account.ended) == [entry.order_id for entry in entries[2:]]


def test_reports_about_orders_that_have_ended_change_nothing() -> None:
    hand, entry = opened()
    stop = plan(hand, OrderRole.STOP)
    hand.accept(stop)
    hand.see(CancelRequested(hand.state.now_ns, stop.order_id, "a test"))
    hand.cancelled(stop)
    before = hand.account
    hand.cancelled(stop)
    hand.see(OrderRejected(hand.state.now_ns, stop.order_id, "late", "late", "e"))
    hand.see(OrderOutcomeUnknown(hand.state.now_ns, entry.order_id, "late"))
    hand.see(CancelRequested(hand.state.now_ns, entry.order_id, "late"))
    assert hand.account == replace(before, sequence=before.sequence + 4)


def test_a_fill_of_an_order_that_is_not_ours_stops_the_run() -> None:
    hand, entry = opened()
    strange = hand.filled(replace(entry, order_id=OrderId("ffffffff-0000-0000-0000-000000000000")), "100")
    with pytest.raises(AssertionError, match="not ours"):
        hand.see(strange)


def test_a_fill_before_its_order_was_sent_stops_the_run() -> None:
    hand = Hand(desk({0: (BUY,)}))
    (entry,) = (each for each in hand.see(candle(0, 100)) if isinstance(each, OrderPlanned))
    with pytest.raises(AssertionError, match="planned"):
        hand.fill(entry, "100")


# ---------------------------------------------------------------- any sequence of facts


class BadLine(Trader):
    """A trader whose line to the venue repeats, delays and loses what the venue says."""

    def __init__(self, world: World, seed: int) -> None:
        self.chance = Random(seed)
        self.held_back: list[VenueReport] = []
        self.unanswered: list[Order] = []
        super().__init__(world.desk, world.terms)

    def market(self, event: MarketEvent, after_report: object = None) -> None:
        self._command()
        for report in self.venue.advance(event):
            if self.chance.random() < 0.2:
                self.held_back.append(report)
            else:
                self.take(report)
        self.take(event)
        if self.chance.random() < 0.5:
            self.catch_up()

    def catch_up(self) -> None:
        """Everything that was late or lost arrives, in any order, some of it twice."""
        late, self.held_back = self.held_back, []
        for order in self.unanswered:
            late += drive(self.venue.lookup(order))
        self.unanswered = []
        late += self.chance.sample(self.reports[-20:], min(3, len(self.reports)))
        self.chance.shuffle(late)
        for report in late:
            self.take(report)

    def answer(self, order: Order) -> None:
        if self.chance.random() < 0.2:
            drive(self.venue.submit(order))
            self.unanswered.append(order)
            self.see(OrderOutcomeUnknown(self.state.now_ns, order.id, "no answer"))
        else:
            super().answer(order)

    def _command(self) -> None:
        match self.chance.randrange(30):
            case 0:
                self.take(HaltSet(self.state.now_ns, "user", "a test", "chance", close=self.chance.random() < 0.5))
            case 1 | 2:
                self.take(HaltLifted(self.state.now_ns, "user", "chance"))
            case _:
                pass


def assert_replays(trader: Hand) -> None:
    """Absorbing the facts alone gives the state of every instant that stepping gave."""
    state = NEW
    for fact, stepped in zip(trader.facts, trader.states, strict=True):
        state = absorb(state, fact)
        assert state.account == stepped.account
    assert same(state, trader.state)


@settings(max_examples=100)
@given(worlds())
def test_replaying_the_facts_of_a_run_gives_its_state(world: World) -> None:
    trader = world.trader().run(world.events)
    assert_sound(trader)
    assert_replays(trader)


@settings(max_examples=150)
@given(worlds(), st.integers(0, 2**32))
def test_a_bad_line_to_the_venue_breaks_no_invariant(world: World, seed: int) -> None:
    trader = BadLine(world, seed)
    trader.run(world.events)
    trader.catch_up()
    trader.catch_up()
    assert_sound(trader)
    assert_replays(trader)
    held = {slot[1]: holding.position.quantity for slot, holding in trader.account.holdings.items()}
    assert held == drive(trader.venue.positions())
    counted = sum(isinstance(fact, OrderFilled) for fact in dict.fromkeys(trader.told(OrderFilled)))
    assert trader.account.totals.fills == counted


@settings(max_examples=60)
@given(worlds())
def test_a_held_position_is_protected_for_all_of_it_by_one_stop(world: World) -> None:
    trader = world.trader()
    for event in world.events:
        trader.market(event)
        if trader.told(OrderRejected):
            return  # a stop that the venue refuses is followed by a close, not by another stop
        for holding in trader.account.holdings.values():
            (stop,) = trader.stops
            assert stop.remaining == abs(holding.position.quantity)


@settings(max_examples=60)
@given(worlds())
def test_every_trade_is_told_once_with_the_money_it_moved(world: World) -> None:
    trader = world.trader().run(world.events)
    told = trader.told(PositionClosed)
    totals = trader.account.totals
    assert totals.trades == len(told)
    assert totals.wins == sum(trade.pnl > 0 for trade in told)
    assert totals.losses == sum(trade.pnl < 0 for trade in told)
    open_realised = sum((h.position.realised for h in trader.account.holdings.values()), D(0))
    open_fees = sum((h.position.fees for h in trader.account.holdings.values()), D(0))
    assert sum((trade.realised for trade in told), open_realised) == totals.realised
    assert sum((trade.fees for trade in told), open_fees) == totals.fees


# ---------------------------------------------------------------- a real market


@pytest.fixture(scope="module")
def recorded(shared: Path) -> CandleColumns:
    file = shared / "data" / "ohlcv" / "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet"
    if not file.is_file():
        pytest.skip(f"needs {file.name} of the shared folder, which is absent")
    read = read_candle_file(file, now_ns=2**62)
    return CandleColumns(read.open_time_ns, read.open, read.high, read.low, read.close, read.volume)


def test_five_thousand_real_candles_keep_every_invariant(recorded: CandleColumns) -> None:
    bitcoin = recorded_instrument(recorded, "binance", "BTC", "USDT", BTC.market_type)
    said = RsiReversion(id=StrategyId("rsi"), instrument=bitcoin.id, timeframe="1m", parameters={}, can_short=False)
    strategy = Trailing(said)
    at = Desk((seat(strategy, bitcoin, amount="200", order_type=OrderType.LIMIT),), LIMITS)
    trader = Trader(at, PaperTerms(fee_maker=D("0.001"), fee_taker=D("0.001")))
    trader.run(item.event for item in closed_items(recorded.candles(bitcoin.id, "1m", 0, 5000), 1))
    assert trader.account.totals.trades > 0
    assert trader.account.totals.fees > 0
    assert {held.position.instrument for held in trader.account.holdings.values()} <= {bitcoin.id}
    assert_sound(trader)
    assert_replays(trader)


def test_cancelling_is_told_with_the_venues_evidence() -> None:
    hand, _ = opened()
    stop = plan(hand, OrderRole.STOP)
    hand.accept(stop)
    hand.cancelled(stop)
    assert hand.account.ended[stop.order_id].evidence_id == f"cancelled {stop.order_id}"
    assert hand.told(OrderCancelled)
