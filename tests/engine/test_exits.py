"""Exits that the time brings: stops that follow the price, positions that are held for a time, opposite signals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from tests.engine.builders import (
    BUY,
    CLOSE,
    LIMITS,
    MINUTE_NS,
    PERP,
    SELL,
    T0,
    D,
    Hand,
    Say,
    Scripted,
    Trader,
    candle,
    desk,
    quote,
    seat,
    signal,
)
from tests.engine.test_step import holding, planned

from promethean.domain.events import CandleClosed, IntentRefused, OrderPlanned, PositionClosed, SignalRaised
from promethean.domain.instruments import Instrument
from promethean.domain.market import MarketView, Side
from promethean.domain.orders import Hold, OrderRole, OrderType, Trail
from promethean.domain.signals import Signal, SignalType
from promethean.engine.desk import Desk, OnOpposite
from promethean.exchanges.paper.venue import PaperTerms
from promethean.strategies.held import Held

TRAIL = {"trail": Trail(D("0.01"), D("0.02"))}
ALWAYS = {"hold": Hold(2 * MINUTE_NS, always=True)}
FREE = PaperTerms(D(0), D(0), D(0), 0, D(1))


def prices(*closes: float) -> list[Any]:
    """Futures candles without wicks, each opening at the close before it."""
    opens = (closes[0], *closes[:-1])
    return [candle(n, open, close=close, of=PERP) for n, (open, close) in enumerate(zip(opens, closes, strict=True))]


def trader(script: Mapping[int, Sequence[Say]], *closes: float, terms: PaperTerms = FREE, **how: Any) -> Trader:
    return Trader(desk(script, PERP, **how), terms).run(prices(*closes))


def stop_of(trader: Trader) -> tuple[OrderRole, Any]:
    (stop,) = trader.stops
    return stop.intent.role, stop.intent.stop_price


def left(trader: Trader) -> list[tuple[str, str]]:
    """Why each position was closed, and its last price."""
    ended = {order.id: order for order in (*trader.account.ended.values(), *trader.account.orders.values())}
    fills = [report.fill for report in trader.reports if hasattr(report, "fill")]
    return [
        (ended[fill.order_id].intent.role.value, f"{fill.price.normalize():f}")
        for fill in fills
        if ended[fill.order_id].intent.reduce_only
    ]


# ---------------------------------------------------------------- trailing


def test_a_stop_follows_the_best_price_from_its_activation_on_and_never_back() -> None:
    calm = trader({0: (BUY,)}, 100, 100, 101.9, exits=TRAIL, tiers=())
    assert stop_of(calm) == (OrderRole.STOP, D(99))
    rising = trader({0: (BUY,)}, 100, 100, 102, 104, 103.5, exits=TRAIL, tiers=())
    assert stop_of(rising) == (OrderRole.TRAILING, D("102.96"))
    fallen = trader({0: (BUY,)}, 100, 100, 102, 104, 102.9, 102.9, exits=TRAIL, tiers=())
    assert left(fallen) == [("trailing", "102.96")]


def test_a_short_is_the_mirror() -> None:
    falling = trader({0: (SELL,)}, 100, 100, 98, 96, 96.5, exits=TRAIL, tiers=())
    assert stop_of(falling) == (OrderRole.TRAILING, D("96.96"))
    risen = trader({0: (SELL,)}, 100, 100, 98, 96, 97, exits=TRAIL, tiers=())
    assert left(risen) == [("trailing", "96.96")]


def test_without_an_activation_it_follows_from_the_first_tier_or_from_twice_its_distance() -> None:
    trail = {"trail": Trail(D("0.01"))}
    assert stop_of(trader({0: (BUY,)}, 100, 100, 101.9, exits=trail, tiers=()))[0] is OrderRole.STOP
    assert stop_of(trader({0: (BUY,)}, 100, 100, 102, exits=trail, tiers=()))[0] is OrderRole.TRAILING
    tiers = (("0.03", "0.5"),)
    assert stop_of(trader({0: (BUY,)}, 100, 100, 102.9, exits=trail, tiers=tiers))[0] is OrderRole.STOP
    done = trader({0: (BUY,)}, 100, 100, 103.5, exits=trail, tiers=tiers)
    assert stop_of(done) == (OrderRole.TRAILING, D("102.47"))
    (stop,) = done.stops
    assert stop.remaining == 5


def test_a_stop_that_has_moved_keeps_its_price_when_a_tier_closes_a_part() -> None:
    tiers = (("0.05", "0.5"),)
    run = trader({0: (BUY,)}, 100, 100, 104, 105.5, exits=TRAIL, tiers=tiers)
    (stop,) = run.stops
    assert (stop.intent.role, stop.remaining) == (OrderRole.TRAILING, D(5))
    assert stop.intent.stop_price == D("104.45")  # 105.5 less one percent, towards the price


def test_a_stop_above_the_price_closes_at_the_next_open() -> None:
    spike = [*prices(100, 100), candle(2, 100, 104, 100, 101, of=PERP), candle(3, 101, of=PERP)]
    run = Trader(desk({0: (BUY,)}, PERP, exits=TRAIL, tiers=()), FREE).run(spike)
    assert left(run) == [("trailing", "101")]


# ---------------------------------------------------------------- breakeven


@pytest.mark.parametrize(("side", "closes", "stop"), [
    (BUY, (100, 100, 101), "100.21"),
    (SELL, (100, 100, 99), "99.80"),
])  # fmt: skip
def test_a_gain_of_what_the_stop_risks_puts_it_at_the_entry_with_both_fees(
    side: Say, closes: tuple[float, ...], stop: str
) -> None:
    how: dict[str, Any] = {"exits": {"breakeven": True}, "fee": "0.001", "tiers": ()}
    assert stop_of(trader({0: (side,)}, *closes[:-1], closes[-2], **how))[0] is OrderRole.STOP
    assert stop_of(trader({0: (side,)}, *closes, **how)) == (OrderRole.BREAKEVEN, D(stop))


def test_so_does_the_first_tier() -> None:
    run = trader({0: (BUY,)}, 100, 100, 100.6, exits={"breakeven": True}, tiers=(("0.005", "0.5"),))
    assert stop_of(run) == (OrderRole.BREAKEVEN, D(100))


# ---------------------------------------------------------------- time


def test_a_losing_position_is_closed_when_its_time_is_over_and_a_profitable_one_stays() -> None:
    hold = {"hold": Hold(2 * MINUTE_NS)}
    assert left(trader({0: (BUY,)}, 100, 100, 100, 99.9, exits=hold)) == [("time", "100")]
    winning = trader({0: (BUY,)}, 100, 100, 100.5, 100.5, 99.9, 99.9, exits=hold)
    assert left(winning) == [("time", "99.9")]  # later, as soon as it loses
    assert left(trader({0: (BUY,)}, 100, 100, 100.5, 100.6, exits=hold)) == []


def test_fees_make_a_loss() -> None:
    hold = {"hold": Hold(2 * MINUTE_NS)}
    costly = PaperTerms(D(0), D("0.001"), D(0), 0, D(1))
    run = trader({0: (BUY,)}, 100, 100, 100.15, 100.15, terms=costly, exits=hold, fee="0.001")
    assert left(run) == [("time", "100.15")]


def test_a_time_that_is_always_kept_closes_a_profit_too() -> None:
    run = trader({0: (SELL,)}, 100, 100, 99.5, 99.5, exits={"hold": Hold(2 * MINUTE_NS, always=True)})
    assert left(run) == [("time", "99.5")]


# ---------------------------------------------------------------- the opposite signal


def test_an_opposite_signal_closes_a_losing_position_and_takes_the_other_side() -> None:
    run = trader({0: (BUY,), 2: (SELL,)}, 100, 100, 99.5, 99.5)
    assert left(run) == [("signal", "99.5")]
    (holding,) = run.account.holdings.values()
    assert holding.position.side is Side.SELL
    assert [signal.signal.type for signal in run.told(SignalRaised)] == [SignalType.BUY, SignalType.SELL]


def test_the_other_side_meets_the_same_checks() -> None:
    wrong = Say(SignalType.SELL, stop=90.0)  # a short stopped below its entry
    run = trader({0: (BUY,), 2: (wrong,)}, 100, 100, 99.5, 99.5)
    (refused,) = run.told(IntentRefused)
    assert refused.refused.code == "stop_required"
    assert not run.account.holdings


def test_a_profitable_position_is_kept_with_a_tighter_stop() -> None:
    run = trader({0: (BUY,), 2: (SELL,), 3: (SELL,)}, 100, 100, 101, 101, tiers=())
    assert stop_of(run) == (OrderRole.TIGHTENED, D(100))  # half-way from 99 to 101, which is where it breaks even
    assert len(run.told(SignalRaised)) == 2, "the second opposite signal changes nothing"
    even = trader({0: (BUY,), 2: (SELL,)}, 100, 100, 101, 101, tiers=(), stop="0.05")
    assert stop_of(even) == (OrderRole.TIGHTENED, D(100))  # breakeven is nearer than half-way from 95


def test_a_file_may_ask_for_a_close_or_for_the_other_side() -> None:
    closed = trader({0: (BUY,), 2: (SELL,)}, 100, 100, 101, 101, opposite=OnOpposite.CLOSE)
    assert left(closed) == [("signal", "101")]
    assert not closed.account.holdings
    flipped = trader({0: (BUY,), 2: (SELL,)}, 100, 100, 101, 101, opposite=OnOpposite.FLIP)
    (holding,) = flipped.account.holdings.values()
    assert (holding.position.side, holding.position.entry_price) == (Side.SELL, D(101))


def test_a_stop_that_is_faster_than_the_close_lets_nothing_follow() -> None:
    hand, *_, protective = holding({1: (SELL,)}, of=PERP)
    (close,) = planned(hand.see(candle(1, 99.5, of=PERP)))
    assert close.intent.reverses
    (stop,) = [plan for plan in protective if plan.intent.type is OrderType.STOP_MARKET]
    assert planned(hand.fill(stop, "99")) == []


def test_a_moved_stop_that_the_venue_refuses_is_tried_again_at_the_next_close() -> None:
    hand, *_ = holding({}, of=PERP, exits=TRAIL, tiers=())
    (moved,) = planned(hand.see(candle(1, 100, 104, 100, 103.5, of=PERP)))
    assert (moved.intent.role, moved.intent.stop_price) == (OrderRole.TRAILING, D("102.96"))
    hand.reject(moved)
    (stop,) = hand.stops
    assert stop.intent.role is OrderRole.STOP
    (again,) = planned(hand.see(candle(2, 103.5, 103.8, 103, 103.5, of=PERP)))
    assert (again.intent.role, again.intent.stop_price) == (OrderRole.TRAILING, D("102.77"))


# ---------------------------------------------------------------- levels and sides of a signal


def test_an_entry_brings_its_stop_and_targets_along() -> None:
    said = Say(SignalType.BUY, stop=98.503, targets=(101.0, 102.0))
    run = trader({0: (said,)}, 100, 100, 100)
    assert stop_of(run) == (OrderRole.STOP, D("98.51"))
    targets = run.standing(OrderRole.TARGET)
    assert [(order.intent.limit_price, order.remaining) for order in targets] == [(D(101), D(5)), (D(102), D(5))]


def test_a_target_that_the_entry_was_filled_beyond_is_left_out() -> None:
    said = Say(SignalType.BUY, targets=(100.5, 104.0))
    gapped = [candle(0, 100, of=PERP), candle(1, 101, of=PERP)]
    run = Trader(desk({0: (said,)}, PERP), FREE).run(gapped)
    (target,) = run.standing(OrderRole.TARGET)
    assert (target.intent.limit_price, target.remaining) == (D(104), D(10))


def test_a_close_of_one_side_leaves_the_other_alone() -> None:
    shorts, longs = Say(SignalType.CLOSE, closes=Side.SELL), Say(SignalType.CLOSE, closes=Side.BUY)
    assert left(trader({0: (BUY,), 1: (shorts,)}, 100, 100, 100)) == []
    assert left(trader({0: (BUY,), 1: (longs,)}, 100, 100, 100)) == [("signal", "100")]
    assert left(trader({0: (BUY,), 1: (CLOSE,)}, 100, 100, 100)) == [("signal", "100")]


def test_plans_say_why_a_stop_moved() -> None:
    run = trader({0: (BUY,)}, 100, 100, 102, 104, exits=TRAIL, tiers=())
    reasons = [fact.intent.reason for fact in run.told(OrderPlanned) if fact.intent.role.is_stop]
    assert reasons == ["stop loss", "trailing stop", "trailing stop"]


# ---------------------------------------------------------------- conditions on the position


class Leaving(Scripted):
    """Says what its script holds, and leaves a position as soon as `enough` says so; remembers what it was told."""

    reads_position = True

    def __init__(self, script: Mapping[int, Sequence[Say]], enough: Callable[[Held], bool], of: Instrument) -> None:
        super().__init__(script, of)
        self.enough, self.told = enough, list[Held]()

    def leaves(self, event: CandleClosed, view: MarketView, held: Held) -> Signal | None:
        self.told.append(held)
        return signal(CLOSE, self.instrument, event.at_ns, self.id) if self.enough(held) else None


def watched(
    enough: Callable[[Held], bool], script: Mapping[int, Sequence[Say]], candles: list[Any], **how: Any
) -> tuple[Trader, list[Held]]:
    strategy = Leaving(script, enough, PERP)
    run = Trader(Desk((seat(strategy, PERP, **how),), LIMITS), FREE).run(candles)
    return run, strategy.told


def never(held: Held) -> bool:
    return False


def test_a_strategy_is_told_at_every_close_what_became_of_its_position() -> None:
    run, told = watched(never, {1: (BUY,)}, prices(100, 100, 101, 100.5, 100.4), tiers=())
    assert told == [(100.0, 1.0, 1.0), (100.0, 0.5, 2.0), (100.0, 0.4, 3.0)]
    _, told = watched(never, {1: (SELL,)}, prices(100, 100, 101, 100.5, 100.4), tiers=(), stop="0.05")
    assert told == [(100.0, -1.0, 1.0), (100.0, -0.5, 2.0), (100.0, -0.4, 3.0)]
    assert left(run) == []


def test_candles_that_the_data_lack_count() -> None:
    holed = [candle(n, 100, of=PERP) for n in (0, 1, 2, 6)]
    assert [held.bars_held for held in watched(never, {0: (BUY,)}, holed)[1]] == [1, 2, 6]


def test_a_tier_leaves_the_entry_price_what_it_was() -> None:
    run, told = watched(never, {0: (BUY,)}, prices(100, 100, 102.5, 102.5), tiers=(("0.02", "0.5"),))
    assert left(run) == [("target", "102")]
    assert told == [(100.0, 0.0, 1.0), (100.0, 2.5, 2.0), (100.0, 2.5, 3.0)]


def test_it_closes_at_the_next_open_with_the_reason_of_the_strategy() -> None:
    run, told = watched(lambda held: held.pnl_pct >= 1, {0: (BUY,)}, prices(100, 100, 101, 101.2, 101.2), tiers=())
    assert left(run) == [("signal", "101")]
    assert len(told) == 2, "nobody is asked while nothing is held"
    assert [fact.signal.type for fact in run.told(SignalRaised)] == [SignalType.BUY, SignalType.CLOSE]
    assert run.told(OrderPlanned)[-1].intent.reason == "says CLOSE"


def test_a_position_that_is_left_already_is_not_asked_about() -> None:
    quiet = [*prices(100, 100), *(candle(n, 100, volume=0.0, of=PERP) for n in (2, 3)), candle(4, 100, of=PERP)]
    run, told = watched(lambda held: True, {0: (BUY,)}, quiet)
    assert (len(told), left(run)) == (1, [("signal", "100")])
    run, told = watched(lambda held: True, {0: (BUY,), 1: (CLOSE,)}, prices(100, 100, 100))
    assert (len(told), len(run.told(SignalRaised))) == (0, 2)


def test_its_time_comes_first() -> None:
    run, told = watched(lambda held: held.bars_held == 2, {0: (BUY,)}, prices(100, 100, 100, 100), exits=ALWAYS)
    assert (len(told), left(run)) == (1, [("time", "100")])


def test_it_comes_before_an_opposite_signal_so_that_nothing_follows() -> None:
    script = {0: (BUY,), 2: (SELL,)}
    turned, _ = watched(never, script, prices(100, 100, 99.5, 99.5))
    run, _ = watched(lambda held: held.bars_held == 2, script, prices(100, 100, 99.5, 99.5))
    assert left(run) == left(turned) == [("signal", "99.5")]
    assert turned.account.holdings and not run.account.holdings


def test_other_candles_and_one_that_comes_late_ask_nothing() -> None:
    strategy = Leaving({0: (BUY,)}, never, PERP)
    hand = Hand(Desk((seat(strategy, PERP),), LIMITS))
    (entry,) = planned(hand.see(candle(0, 100, of=PERP)))
    hand.accept(entry)
    hand.fill(entry, "100", at_ns=T0 + 2 * MINUTE_NS + 1)
    hand.see(candle(1, 100, of=PERP))  # it had closed before
    hand.see(candle(2, 100))  # of the spot market
    hand.see(quote(2, 5, 99.9, 100, of=PERP))
    assert strategy.told == []
    hand.see(candle(2, 100, of=PERP))
    assert strategy.told == [(100.0, 0.0, 1.0)]


# ---------------------------------------------------------------- liquidation


def test_a_position_that_the_venue_takes_away_is_closed_with_its_orders_and_cools_down() -> None:
    # A stop behind the liquidation, which the control refuses.
    limits = replace(LIMITS, leverage_max=D(50), liquidation_distance=D(-10))
    script = {0: (BUY,), 4: (BUY,), 6: (BUY,)}
    run = trader(script, 100, 100, 100, 97, 97, 97, 97, 97, stop="0.05", tiers=(("0.1", "1"),), leverage="50",
                 limits=limits)  # fmt: skip
    (closed,) = run.told(PositionClosed)
    assert (closed.reason, closed.exit_price, closed.realised) == ("liquidation", D(98), D(-20))
    assert [refused.refused.code for refused in run.told(IntentRefused)] == ["cooldown"]
    assert left(run) == [("liquidation", "98")]
    assert run.account.holdings, "entered again once it has cooled down"
    assert len(run.stops) == 1
    assert run.account.cash == run.venue.cash


def test_an_account_refuses_more_leverage_than_its_limit_and_a_stop_that_comes_too_late() -> None:
    for how, code in (
        ({"leverage": "11"}, "leverage_max"),
        ({"leverage": "10", "stop": "0.08"}, "liquidation_distance"),  # liquidated at 9.5 %, less a fifth of the way
    ):
        (refused,) = trader({0: (BUY,)}, 100, 100, **how).told(IntentRefused)  # type: ignore[arg-type]  # text each
        assert refused.refused.code == code
    assert trader({0: (BUY,)}, 100, 100, leverage="10", stop="0.075").account.holdings


def test_an_entry_reserves_its_margin_and_counts_with_its_notional() -> None:
    run = trader({0: (BUY,)}, 100, 100, leverage="4")
    (planned,) = (plan for plan in run.told(OrderPlanned) if plan.intent.role is OrderRole.ENTRY)
    assert (planned.intent.notional, planned.reservation) == (D(1000), D(250))
    (holding,) = run.account.holdings.values()
    assert (holding.used, holding.position.margin) == (D(250), D(250))
    assert (run.state.exposure(), run.state.equity()) == (D(1000), run.balance)
