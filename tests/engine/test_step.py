"""The main path as a pure function, with the venue played by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from tests.engine.builders import (
    BTC,
    BUY,
    CLOSE,
    LIMITS,
    MINUTE_NS,
    PERP,
    SCRIPTED,
    SELL,
    T0,
    TIERS,
    Hand,
    Say,
    Scripted,
    candle,
    desk,
    instrument,
    quote,
    same,
    seat,
    seen,
)

from promethean.domain.accounts import AccountMode
from promethean.domain.events import (
    BreakerTripped,
    CancelRequested,
    DayStarted,
    Effect,
    HaltLifted,
    HaltSet,
    IntentRefused,
    LeaseLost,
    OrderExpired,
    OrderOutcomeUnknown,
    OrderPlanned,
    PositionClosed,
    RecordingEnded,
)
from promethean.domain.ids import StrategyId
from promethean.domain.instants import DAY_NS
from promethean.domain.market import Mark, Side
from promethean.domain.money import plain
from promethean.domain.orders import OrderRole, OrderStatus, OrderType, TimeInForce
from promethean.domain.signals import SignalType
from promethean.engine.desk import Desk
from promethean.engine.step import follow, step
from promethean.risk.limits import Limits

D = Decimal
DAY_MINUTES = 24 * 60
SLOT = (SCRIPTED, BTC.id)


def planned(effects: Sequence[Effect], role: OrderRole | None = None) -> list[OrderPlanned]:
    plans = [effect for effect in effects if isinstance(effect, OrderPlanned)]
    return [plan for plan in plans if role is None or plan.intent.role is role]


def cancels(effects: Sequence[Effect]) -> set[str]:
    return {effect.order_id for effect in effects if isinstance(effect, CancelRequested)}


def kinds(effects: Sequence[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def legs(effects: Sequence[Effect]) -> list[tuple[str, str, str]]:
    """Protective orders that were planned: role, price, quantity."""
    return [
        (
            plan.intent.role.value,
            plain(plan.intent.stop_price or plan.intent.limit_price or D(0)),
            plain(plan.intent.quantity),
        )
        for plan in planned(effects)
    ]


def entered(
    script: Mapping[int, Sequence[Say]] | None = None, price: float = 100.0, side: Say = BUY, **how: Any
) -> tuple[Hand, OrderPlanned]:
    """An account whose strategy entered at the close of minute 0, with the entry accepted but not filled."""
    of = how.pop("of", BTC)
    hand = Hand(desk({0: (side,), **(script or {})}, of, **how))
    (entry,) = planned(hand.see(candle(0, price, of=of)))
    hand.accept(entry)
    return hand, entry


def holding(
    script: Mapping[int, Sequence[Say]] | None = None, price: str = "100", side: Say = BUY, fee: str = "0", **how: Any
) -> tuple[Hand, OrderPlanned, list[OrderPlanned]]:
    """An account that holds what it entered for, protected; the stop and the targets that stand."""
    hand, entry = entered(script, float(price), side, **how)
    protective = planned(hand.fill(entry, price, fee=fee))
    for plan in protective:
        hand.accept(plan)
    return hand, entry, protective


# ---------------------------------------------------------------- purity


def test_a_step_changes_nothing_it_was_given() -> None:
    hand, entry = entered()
    hand.fill(entry, "100", D(4))
    fill = hand.filled(entry, "101", D("0.5"))
    for event in (candle(1, 100, 103, 97, 99), quote(1, 3, 99.5, 99.6), fill):
        before = hand.state
        account, view = before.account, seen(before.view)
        snapshot = replace(account), dict(account.orders), dict(account.holdings), dict(account.ended)
        step(before, event, hand.desk)
        assert before.account is account
        assert (replace(account), dict(account.orders), dict(account.holdings), dict(account.ended)) == snapshot
        assert seen(before.view) == view


def test_the_same_step_twice_gives_the_same_state_and_effects() -> None:
    hand, _ = entered({1: (CLOSE,)})
    for event in (candle(1, 100, 103, 97, 99), quote(1, 3, 99.5, 99.6), HaltSet(T0, "user", "why", "me", True)):
        one, effects = step(hand.state, event, hand.desk)
        other, again = step(hand.state, event, hand.desk)
        assert effects == again
        assert same(one, other)


def test_two_futures_of_one_state_do_not_touch_each_other() -> None:
    hand, _ = entered()
    up, _ = step(hand.state, candle(1, 110), hand.desk)
    down, _ = step(hand.state, candle(1, 90), hand.desk)
    assert up.view.candles(BTC.id, "1m").close.tolist() == [100.0, 110.0]
    assert down.view.candles(BTC.id, "1m").close.tolist() == [100.0, 90.0]


def test_the_state_after_a_step_holds_its_effects() -> None:
    hand = Hand(desk({0: (BUY,)}))
    after, effects = step(hand.state, candle(0, 100), hand.desk)
    told, trail = follow(hand.state, candle(0, 100), hand.desk)
    assert [fact for fact, _ in trail] == effects
    assert same(trail[-1][1], after)
    assert told.account == hand.account
    assert after.account.sequence == hand.account.sequence + len(effects)


# ---------------------------------------------------------------- from a candle to an order


def test_a_candle_leads_to_a_signal_a_verdict_and_an_order() -> None:
    hand = Hand(desk({0: (BUY,)}))
    effects = hand.see(candle(0, 100))
    assert kinds(effects) == ["DayStarted", "SignalRaised", "OrderPlanned"]
    plan = planned(effects)[0]
    intent = plan.intent
    assert (intent.side, intent.type, intent.role, intent.quantity) == (
        Side.BUY,
        OrderType.MARKET,
        OrderRole.ENTRY,
        D(10),
    )
    assert (intent.reference_price, intent.reason, intent.confidence) == (D("100.00"), "says BUY", 0.9)
    assert (intent.decided_at_ns, intent.reduce_only) == (T0 + MINUTE_NS, False)
    assert plan.reservation == D(1000)
    assert plan.controls > 10
    assert plan.inputs["equity"] == "10000"
    assert hand.account.orders[plan.order_id].status is OrderStatus.PLANNED


def test_the_client_order_id_names_the_order() -> None:
    hand, entry = entered()
    assert entry.client_order_id.startswith("pm")
    assert len(entry.client_order_id) == 28
    assert hand.account.orders[entry.order_id].client_order_id == entry.client_order_id


def test_a_limit_entry_may_be_worse_than_the_reference_by_the_tolerance_and_lives_one_candle() -> None:
    hand, entry = entered(order_type=OrderType.LIMIT, tolerance="0.001")
    assert entry.intent.limit_price == D("100.10")
    assert (entry.intent.time_in_force, entry.intent.expires_at_ns) == (TimeInForce.GTD, hand.state.now_ns + MINUTE_NS)
    assert entry.reservation == D("100.10") * 10


def test_no_second_entry_is_made_while_one_is_under_way_or_held() -> None:
    hand, entry = entered({1: (BUY,), 2: (BUY,)})
    assert hand.see(candle(1, 100)) == []
    hand.fill(entry, "100")
    assert hand.see(candle(2, 100)) == []


def test_a_signal_on_a_quote_alone_is_not_invented() -> None:
    hand = Hand(desk({0: (BUY,)}))
    assert kinds(hand.see(quote(0, 1, 99, 101))) == ["DayStarted"]


def test_signals_below_the_threshold_leave_no_trace() -> None:
    hand = Hand(desk({1: (Say(SignalType.BUY, 0.59),)}))
    hand.see(candle(0, 100))
    assert hand.see(candle(1, 100)) == []


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"order_notional_max": D(999)}, "order_notional"),
        ({"order_notional_min": D(1001)}, "order_notional"),
        ({"order_notional_max": None}, "order_notional"),
        ({"open_positions": D(0)}, "open_positions"),
        ({"total_exposure": D("999.99")}, "total_exposure"),
        ({"total_exposure_share": D("0.0999")}, "total_exposure"),
        ({"daily_trades": D(0)}, "daily_trades"),
        ({"price_fresh_s": None}, "price_fresh"),
        ({"circuit_breaker_daily_loss": None}, "circuit_breaker"),
        ({"circuit_breaker_losing_streak": None}, "circuit_breaker"),
    ],
)
def test_a_refusal_is_an_effect_that_carries_its_code(change: dict[str, Decimal | None], code: str) -> None:
    hand = Hand(desk({0: (BUY,)}, limits=replace(LIMITS, **change)))
    effects = hand.see(candle(0, 100))
    assert kinds(effects) == ["DayStarted", "SignalRaised", "IntentRefused"]
    refused = effects[-1]
    assert isinstance(refused, IntentRefused)
    assert refused.refused.code == code
    assert refused.refused.value
    assert refused.refused.limit
    assert hand.account.orders == {}
    assert hand.account.totals.refusals == 1


def test_the_same_refusal_is_told_once_while_nothing_else_happens() -> None:
    script = dict.fromkeys((*range(4), DAY_MINUTES - 1), (BUY,))
    hand = Hand(desk(script, limits=replace(LIMITS, open_positions=D(0))))
    told = [kinds(hand.see(candle(number, 100))) for number in range(4)]
    assert told == [["DayStarted", "SignalRaised", "IntentRefused"], [], [], []]
    effects = hand.see(candle(DAY_MINUTES - 1, 100))
    assert kinds(effects) == ["DayStarted", "SignalRaised", "IntentRefused"]


def test_limits_that_are_just_met_let_the_entry_through() -> None:
    limits = replace(
        LIMITS, order_notional_min=D(1000), order_notional_max=D(1000), total_exposure=D(1000),
        total_exposure_share=D("0.1"), daily_trades=D(1), open_positions=D(1),
    )  # fmt: skip
    assert planned(Hand(desk({0: (BUY,)}, limits=limits)).see(candle(0, 100)))


def test_an_account_without_any_limits_takes_no_risk() -> None:
    hand = Hand(desk({0: (BUY,)}, limits=Limits()))
    assert planned(hand.see(candle(0, 100))) == []


@pytest.mark.parametrize("amount", ["0.0099", "0", "0.000001"])
def test_a_size_below_one_lot_is_refused_as_too_small_and_never_rounded_up(amount: str) -> None:
    hand = Hand(desk({0: (BUY,)}, amount=amount))
    effects = hand.see(candle(0, 100))
    refused = effects[-1]
    assert isinstance(refused, IntentRefused)
    assert refused.refused.code == "too_small"
    assert "100" in refused.refused.value


def test_a_size_of_one_lot_is_judged_by_the_other_limits() -> None:
    hand = Hand(desk({0: (BUY,)}, amount="0.01"))
    refused = hand.see(candle(0, 100))[-1]
    assert isinstance(refused, IntentRefused)
    assert refused.refused.code == "precision"
    assert refused.intent.quantity == D("0.0001")


def test_sizes_round_towards_zero() -> None:
    _, entry = entered(price=30.0, amount="1000")
    assert entry.intent.quantity == D("33.3333")


def test_an_order_of_unknown_outcome_blocks_entries_of_its_instrument() -> None:
    second = StrategyId("second")
    seats = (seat(Scripted({0: (BUY,)})), seat(Scripted({1: (BUY,), 2: (BUY,)}, name=second)))
    hand = Hand(Desk(seats, LIMITS))
    (entry,) = planned(hand.see(candle(0, 100)))
    hand.claim(entry)
    hand.see(OrderOutcomeUnknown(hand.state.now_ns, entry.order_id, "no answer"))
    refused = hand.see(candle(1, 100))[-1]
    assert isinstance(refused, IntentRefused)
    assert refused.refused.code == "unknown_orders"
    hand.accept(entry)
    assert planned(hand.see(candle(2, 100)))[0].intent.strategy == second


def test_equity_that_is_not_known_refuses_instead_of_guessing() -> None:
    eth = instrument(base="ETH")
    seats = (seat(Scripted({0: (BUY,)}, eth), eth), seat(Scripted({2: (BUY,)})))
    hand = Hand(Desk(seats, LIMITS))
    (entry,) = planned(hand.see(candle(0, 50, of=eth)))
    hand.accept(entry)
    hand.fill(entry, "50")
    view = replace(hand.state.view, _marks={})  # a start whose market history does not hold the instrument held
    hand.state = replace(hand.state, view=view)
    effects = hand.see(candle(2, 100))
    assert kinds(effects) == ["SignalRaised", "IntentRefused"]


# ---------------------------------------------------------------- protection


def test_an_entry_fill_is_protected_by_a_stop_and_tiers_for_what_was_filled() -> None:
    hand, entry = entered()
    effects = hand.fill(entry, "100")
    assert legs(effects) == [
        ("stop", "99", "10"),
        ("target", "102", "3.3"),
        ("target", "104", "3.3"),
        ("target", "106", "3.4"),
    ]
    for plan in planned(effects):
        assert plan.intent.reduce_only
        assert plan.intent.side is Side.SELL
        assert plan.reservation == 0


def test_the_tiers_of_the_golden_trade_are_rounded_to_lots_and_ticks() -> None:
    hand, entry = entered(price=42165.75, amount="2002.88", tiers=TIERS)
    assert entry.intent.quantity == D("0.0475")
    effects = hand.fill(entry, "42165.75")
    assert legs(effects)[1:] == [
        ("target", "43009.07", "0.0157"),
        ("target", "43852.38", "0.0157"),
        ("target", "44695.7", "0.0161"),
    ]
    _, *targets = planned(effects)
    closed = []
    for plan, price in zip(targets, ("42995.75", "43820.75", "44650.80"), strict=True):
        hand.accept(plan)
        closed = hand.fill(plan, price)
    (trade,) = [fact for fact in closed if isinstance(fact, PositionClosed)]
    assert round(trade.realised, 2) == D("79.02")


def test_a_short_mirrors_a_long() -> None:
    hand, entry = entered(side=SELL, of=PERP)
    assert entry.intent.side is Side.SELL
    effects = hand.fill(entry, "100")
    assert legs(effects) == [
        ("stop", "101", "10"),
        ("target", "98", "3.3"),
        ("target", "96", "3.3"),
        ("target", "94", "3.4"),
    ]
    assert {plan.intent.side for plan in planned(effects)} == {Side.BUY}
    stop = planned(effects)[0]
    hand.accept(stop)
    (trade,) = [e for e in hand.fill(stop, "101", fee="1") if isinstance(e, PositionClosed)]
    assert (trade.side, trade.realised, trade.fees, trade.pnl) == (Side.SELL, D(-10), D(1), D(-11))


def test_a_further_entry_fill_moves_the_whole_protection() -> None:
    hand, entry = entered(tiers=(("0.02", "0.5"), ("0.04", "0.5")))
    first = planned(hand.fill(entry, "100", D(4)))
    assert legs(first) == [("stop", "99", "4"), ("target", "102", "2"), ("target", "104", "2")]
    for plan in first:
        hand.accept(plan)
    second = hand.fill(entry, "101", D(6))
    moved = planned(second)
    assert legs(moved) == [("stop", "99.6", "10"), ("target", "102.61", "5"), ("target", "104.62", "5")]
    assert cancels(second) == {plan.order_id for plan in first[1:]}
    assert cancels(hand.accept(moved[0])) == {first[0].order_id}


def test_a_filled_tier_resizes_the_stop_and_the_old_one_goes_when_the_new_one_rests() -> None:
    hand, _, (stop, first, *_) = holding()
    effects = hand.fill(first, "102")
    assert legs(effects) == [("stop", "99", "6.7")]
    assert cancels(effects) == set()
    assert {order.id for order in hand.standing(OrderRole.STOP)} == {stop.order_id, planned(effects)[0].order_id}
    assert cancels(hand.accept(planned(effects)[0])) == {stop.order_id}
    assert len(hand.standing(OrderRole.TARGET)) == 2


def test_a_partly_filled_tier_resizes_the_stop_and_leaves_the_targets() -> None:
    hand, _, (_, first, *_) = holding()
    effects = hand.fill(first, "102", D("1.3"))
    assert legs(effects) == [("stop", "99", "8.7")]
    assert hand.account.holdings[SLOT].tiers_done == 0
    assert hand.account.orders[first.order_id].remaining == D(2)


def test_a_stop_in_the_middle_of_its_fills_is_left_alone() -> None:
    hand, _, (stop, *_) = holding()
    assert hand.fill(stop, "98.50", D(4)) == []
    assert hand.account.orders[stop.order_id].remaining == D(6)


def test_a_stop_fill_closes_the_position_tells_one_trade_and_cancels_the_rest() -> None:
    hand, _, (stop, *targets) = holding(fee="2")
    hand.see(candle(1, 100))
    effects = hand.fill(stop, "99", fee="1.5")
    (trade,) = [effect for effect in effects if isinstance(effect, PositionClosed)]
    assert (trade.side, trade.quantity, trade.entry_price, trade.exit_price) == (Side.BUY, D(10), D(100), D(99))
    assert (trade.realised, trade.fees, trade.pnl, trade.reason) == (D(-10), D("3.5"), D("-13.5"), "stop")
    assert (trade.opened_at_ns, trade.at_ns) == (T0 + MINUTE_NS, T0 + 2 * MINUTE_NS)
    assert cancels(effects) == {plan.order_id for plan in targets}
    account = hand.account
    assert (account.holdings, account.cash) == ({}, D(10_000) - D("13.5"))
    assert (account.totals.trades, account.totals.losses, account.totals.wins) == (1, 1, 0)


def test_what_is_left_of_an_entry_goes_when_its_position_was_stopped() -> None:
    hand, entry = entered(order_type=OrderType.LIMIT)
    stop = planned(hand.fill(entry, "100", D(4)), OrderRole.STOP)[0]
    hand.accept(stop)
    assert entry.order_id in cancels(hand.fill(stop, "99"))


def test_no_entry_is_made_while_the_cooldown_after_a_stop_lasts() -> None:
    hand, _, (stop, *_) = holding({3: (BUY,), 4: (BUY,)}, cooldown=3)
    hand.see(candle(1, 100))
    hand.fill(stop, "99")  # at the close of minute 1, so until that of minute 4
    hand.see(candle(2, 99))
    refused = hand.see(candle(3, 99))[-1]
    assert isinstance(refused, IntentRefused)
    assert (refused.refused.code, refused.refused.value) == ("cooldown", "60 s left after a stop")
    assert planned(hand.see(candle(4, 99)))


def test_a_target_does_not_start_a_cooldown() -> None:
    hand, _, (_, target) = holding({2: (BUY,)}, tiers=(("0.02", "1"),))
    hand.see(candle(1, 102))
    (trade,) = [fact for fact in hand.fill(target, "102") if isinstance(fact, PositionClosed)]
    assert trade.reason == "target"
    assert planned(hand.see(candle(2, 102)))


def test_a_position_whose_stop_is_refused_is_closed_at_market() -> None:
    hand, entry = entered()
    stop, *targets = planned(hand.fill(entry, "100"))
    for target in targets:
        hand.accept(target)
    (close,) = planned(hand.reject(stop))
    assert (close.intent.type, close.intent.side, close.intent.quantity) == (OrderType.MARKET, Side.SELL, D(10))
    assert close.intent.reduce_only
    assert "refused the stop" in close.intent.reason
    hand.accept(close)
    assert [fact for fact in hand.fill(close, "99.90") if isinstance(fact, PositionClosed)]


def test_a_position_whose_stop_and_close_are_both_refused_gets_its_stop_at_the_next_candle() -> None:
    hand, entry = entered(tiers=())
    (stop,) = planned(hand.fill(entry, "100"))
    (close,) = planned(hand.reject(stop))
    assert planned(hand.reject(close)) == []
    (again,) = planned(hand.see(candle(9, 100)))
    assert (again.intent.role, again.intent.type) == (OrderRole.STOP, OrderType.STOP_MARKET)
    assert (again.intent.quantity, again.intent.stop_price) == (stop.intent.quantity, stop.intent.stop_price)
    assert planned(hand.see(candle(10, 100))) == []


def test_a_refused_replacement_leaves_the_position_behind_the_old_larger_stop() -> None:
    hand, _, (stop, first, *_) = holding()
    (smaller,) = planned(hand.fill(first, "102"))
    assert planned(hand.reject(smaller)) == []
    assert [order.id for order in hand.standing(OrderRole.STOP)] == [stop.order_id]


def test_a_position_that_the_old_stop_covers_in_part_only_is_closed_when_the_new_one_is_refused() -> None:
    hand, entry = entered(tiers=())
    (stop,) = planned(hand.fill(entry, "100", D(4)))
    hand.accept(stop)
    (larger,) = planned(hand.fill(entry, "100", D(6)))
    (close,) = planned(hand.reject(larger))
    assert (close.intent.type, close.intent.quantity) == (OrderType.MARKET, D(10))


def test_the_newest_stop_survives_when_replacements_overtake_each_other() -> None:
    hand, entry = entered(tiers=())
    plans = [planned(hand.fill(entry, "100", D(quantity)))[0] for quantity in (2, 3, 5)]
    for plan in plans:
        hand.claim(plan)
    for plan in plans:
        hand.accept(plan)
    (left,) = hand.standing(OrderRole.STOP)
    assert left.intent.quantity == D(10)


def test_the_newest_stop_survives_when_an_older_one_is_accepted_after_it() -> None:
    hand, entry = entered(tiers=())
    plans = [planned(hand.fill(entry, "100", D(quantity)))[0] for quantity in (4, 6)]
    for plan in plans:
        hand.claim(plan)
    for plan in reversed(plans):
        hand.accept(plan)
    assert [order.intent.quantity for order in hand.standing(OrderRole.STOP)] == [D(10)]


# ---------------------------------------------------------------- signals that close


def test_a_close_signal_closes_once() -> None:
    hand, *_ = holding({1: (CLOSE,), 2: (CLOSE,)})
    effects = hand.see(candle(1, 101))
    assert kinds(effects) == ["SignalRaised", "OrderPlanned"]
    (close,) = planned(effects)
    assert (close.intent.role, close.intent.quantity, close.intent.reduce_only) == (OrderRole.SIGNAL, D(10), True)
    assert hand.see(candle(2, 101)) == []
    hand.accept(close)
    effects = hand.fill(close, "101")
    (trade,) = [effect for effect in effects if isinstance(effect, PositionClosed)]
    assert (trade.reason, trade.realised) == ("signal", D(10))
    assert len(cancels(effects)) == 4


def test_a_close_signal_without_a_position_leaves_no_trace() -> None:
    hand = Hand(desk({1: (CLOSE,), 2: (Say(SignalType.PARTIAL_CLOSE, share=0.5),)}))
    hand.see(candle(0, 100))
    assert hand.see(candle(1, 100)) == []
    assert hand.see(candle(2, 100)) == []


def test_a_partial_close_takes_its_share_of_the_original_size() -> None:
    partial = Say(SignalType.PARTIAL_CLOSE, share=0.333)
    hand, *_ = holding({1: (partial,), 2: (partial,)})
    (close,) = planned(hand.see(candle(1, 101)))
    assert close.intent.quantity == D("3.3300")
    hand.accept(close)
    effects = hand.fill(close, "101")
    assert legs(effects) == [("stop", "99", "6.67")]
    assert planned(hand.see(candle(2, 101)))[0].intent.quantity == D("3.3300")


def test_a_partial_close_takes_no_more_than_what_is_held() -> None:
    partial = Say(SignalType.PARTIAL_CLOSE, share=0.8)
    hand, *_ = holding({1: (partial,), 2: (partial,)})
    (close,) = planned(hand.see(candle(1, 101)))
    hand.accept(close)
    hand.fill(close, "101")
    assert planned(hand.see(candle(2, 101)))[0].intent.quantity == D(2)


def test_an_opposite_signal_closes_the_position() -> None:
    hand, *_ = holding({1: (SELL,)})
    (close,) = planned(hand.see(candle(1, 101)))
    assert (close.intent.role, close.intent.side) == (OrderRole.SIGNAL, Side.SELL)
    short, *_ = holding({1: (BUY,)}, side=SELL, of=PERP)
    (close,) = planned(short.see(candle(1, 100.5, of=PERP)))
    assert (close.intent.role, close.intent.side, close.intent.reduce_only) == (OrderRole.SIGNAL, Side.BUY, True)


def test_a_spot_sell_never_opens_a_short() -> None:
    hand = Hand(desk({0: (SELL,), 1: (SELL,)}))
    assert kinds(hand.see(candle(0, 100))) == ["DayStarted"]
    assert hand.see(candle(1, 100)) == []


def test_closing_orders_pass_while_every_limit_for_new_risk_is_used_up() -> None:
    limits = replace(LIMITS, daily_trades=D(1), open_positions=D(1), total_exposure=D(1000))
    hand, *_ = holding({1: (CLOSE,)}, limits=limits)
    assert planned(hand.see(candle(1, 101)))


def test_a_lost_lease_refuses_even_a_close() -> None:
    hand, *_ = holding({1: (CLOSE,)})
    hand.see(LeaseLost(hand.state.now_ns))
    refused = hand.see(candle(1, 101))[-1]
    assert isinstance(refused, IntentRefused)
    assert refused.refused.code == "executor_lease"


# ---------------------------------------------------------------- the breaker


def losing(hand: Hand, number: int, exit: str, fee: str = "0") -> list[Effect]:
    """One round trip: in at 100 at the close of `number`, out through the stop at `exit`."""
    (entry,) = planned(hand.see(candle(number, 100)))
    hand.accept(entry)
    protective = planned(hand.fill(entry, "100"))
    for plan in protective:
        hand.accept(plan)
    effects = hand.fill(protective[0], exit, fee=fee)
    for plan in protective[1:]:
        hand.cancelled(plan)
    return effects


def trips(effects: Sequence[Effect]) -> list[str]:
    return [effect.code for effect in effects if isinstance(effect, BreakerTripped)]


@pytest.mark.parametrize(
    ("exit", "fee", "tripped"),
    [
        ("50.00", "0", True),
        ("50.01", "0", False),
        ("50.01", "0.09", False),
        ("50.01", "0.10", True),
    ],
    ids=["exactly the limit", "one tick less", "a cent less with fees", "exactly the limit with fees"],
)
def test_the_daily_loss_trips_the_breaker_at_exactly_its_limit(exit: str, fee: str, tripped: bool) -> None:
    hand = Hand(desk({0: (BUY,), 1: (BUY,)}, cooldown=0))
    assert trips(losing(hand, 0, exit, fee)) == (["daily_loss"] if tripped else [])
    effects = hand.see(candle(1, 100))
    if tripped:
        refused = effects[-1]
        assert isinstance(refused, IntentRefused)
        assert refused.refused.code == "circuit_breaker"
    else:
        assert planned(effects)


def test_an_open_loss_trips_the_breaker_and_keeps_the_stop() -> None:
    hand, *_ = holding(stop="0.9")
    assert trips(hand.see(candle(1, 50.01))) == []
    effects = hand.see(quote(2, 1, 49.99, 50.01))
    assert trips(effects) == ["daily_loss"]
    assert cancels(effects) == set()
    assert len(hand.standing(OrderRole.STOP)) == 1


def test_a_trip_cancels_resting_entries() -> None:
    hand, entry = entered(order_type=OrderType.LIMIT, stop="0.9", tiers=())
    (stop,) = planned(hand.fill(entry, "100", D(9)))
    hand.accept(stop)
    effects = hand.see(quote(1, 1, 43.99, 44.01))
    assert trips(effects) == ["daily_loss"]
    assert cancels(effects) == {entry.order_id}


def test_the_breaker_stays_tripped_when_the_loss_recovers() -> None:
    hand, *_ = holding({3: (BUY,)}, stop="0.9")
    assert trips(hand.see(candle(1, 49))) == ["daily_loss"]
    assert hand.see(candle(2, 120)) == []
    assert hand.account.day is not None
    assert hand.account.day.breaker == "daily_loss"


def test_a_losing_streak_trips_at_its_limit_and_not_before() -> None:
    hand = Hand(desk(dict.fromkeys(range(4), (BUY,)), cooldown=0))
    assert trips(losing(hand, 0, "99.99")) == []
    assert trips(losing(hand, 1, "99.99")) == []
    assert trips(losing(hand, 2, "99.99")) == ["losing_streak"]
    refused = hand.see(candle(3, 100))[-1]
    assert isinstance(refused, IntentRefused)
    assert refused.refused.code == "circuit_breaker"


def test_a_win_ends_a_losing_streak_and_a_zero_changes_nothing() -> None:
    hand = Hand(desk(dict.fromkeys(range(9), (BUY,)), cooldown=0))
    streaks = []
    for number, exit in enumerate(("99", "100", "99", "101", "99", "99", "100", "99")):
        losing(hand, number, exit)
        assert hand.account.day is not None
        streaks.append(hand.account.day.losing_streak)
    assert streaks == [1, 1, 2, 0, 1, 2, 2, 3]


def test_fees_turn_a_gain_into_a_loss_of_the_streak() -> None:
    hand = Hand(desk({0: (BUY,)}))
    losing(hand, 0, "100.01", fee="0.11")
    assert hand.account.day is not None
    assert hand.account.day.losing_streak == 1


def test_a_new_day_starts_with_its_own_equity_counts_and_breaker() -> None:
    hand = Hand(desk({0: (BUY,), DAY_MINUTES - 2: (BUY,), DAY_MINUTES - 1: (BUY,)}, cooldown=0))
    losing(hand, 0, "49")
    refused = hand.see(candle(DAY_MINUTES - 2, 100))[-1]
    assert isinstance(refused, IntentRefused)
    effects = hand.see(candle(DAY_MINUTES - 1, 100))  # known at 00:00, so it is the new day's
    assert kinds(effects) == ["DayStarted", "SignalRaised", "OrderPlanned"]
    (day,) = [effect for effect in effects if isinstance(effect, DayStarted)]
    assert (day.at_ns, day.day, day.equity) == (T0 + DAY_NS, T0 // DAY_NS + 1, D(9490))
    assert hand.account.day is not None
    assert (hand.account.day.entries, hand.account.day.losing_streak, hand.account.day.breaker) == (1, 0, "")


def test_the_day_of_an_open_position_starts_with_its_value_at_midnight() -> None:
    hand, *_ = holding(fee="3")
    (day,) = hand.see(candle(DAY_MINUTES - 1, 103))
    assert isinstance(day, DayStarted)
    assert day.equity == D(10_000) - 3 + 30


def test_the_entries_of_a_day_are_counted_when_they_are_planned() -> None:
    hand = Hand(desk({0: (BUY,), 1: (BUY,), 2: (BUY,)}, limits=replace(LIMITS, daily_trades=D(2)), cooldown=0))
    losing(hand, 0, "101")
    losing(hand, 1, "101")
    refused = hand.see(candle(2, 100))[-1]
    assert isinstance(refused, IntentRefused)
    assert refused.refused.code == "daily_trades"


# ---------------------------------------------------------------- the kill switch


def mode(hand: Hand) -> AccountMode:
    return hand.account.mode


def kill(hand: Hand, close: bool = True, scope: str = "user") -> list[Effect]:
    return hand.see(HaltSet(hand.state.now_ns, scope, "a test", "somebody", close))


def test_a_kill_cancels_entries_and_closes_positions_behind_their_stops() -> None:
    hand, entry = entered({1: (BUY,)}, order_type=OrderType.LIMIT)
    protective = planned(hand.fill(entry, "100", D(4)))
    for plan in protective:
        hand.accept(plan)
    effects = kill(hand)
    assert cancels(effects) == {entry.order_id}
    (close,) = planned(effects)
    assert (close.intent.role, close.intent.quantity, close.intent.reduce_only) == (OrderRole.KILL, D(4), True)
    hand.accept(close)
    hand.cancelled(entry)
    assert len(hand.standing(OrderRole.STOP)) == 1
    effects = hand.fill(close, "99.5")
    assert cancels(effects) == {plan.order_id for plan in protective}
    assert hand.account.mode is AccountMode.HALTED
    refused = hand.see(candle(1, 100))[-1]
    assert isinstance(refused, IntentRefused)
    assert refused.refused.code == "kill_switch"


def test_a_kill_that_keeps_positions_cancels_entries_alone() -> None:
    hand, entry = entered(order_type=OrderType.LIMIT)
    hand.fill(entry, "100", D(4))
    effects = kill(hand, close=False)
    assert kinds(effects) == ["CancelRequested"]
    assert hand.account.holdings


def test_a_second_kill_does_not_close_twice() -> None:
    hand, *_ = holding()
    assert len(planned(kill(hand))) == 1
    assert planned(kill(hand, scope="platform")) == []


def test_a_fill_after_a_kill_is_protected() -> None:
    hand, entry = entered(tiers=())
    kill(hand)
    assert legs(hand.fill(entry, "100")) == [("stop", "99", "10")]


def test_a_lifted_kill_lets_new_risk_in_again_and_each_scope_is_lifted_on_its_own() -> None:
    hand = Hand(desk({1: (BUY,), 2: (BUY,)}))
    hand.see(candle(0, 100))
    kill(hand, scope="user")
    kill(hand, scope="platform")
    hand.see(HaltLifted(hand.state.now_ns, "user", "a person"))
    assert mode(hand) is AccountMode.HALTED
    assert planned(hand.see(candle(1, 100))) == []
    hand.see(HaltLifted(hand.state.now_ns, "platform", "a person"))
    assert mode(hand) is AccountMode.ACTIVE
    assert planned(hand.see(candle(2, 100)))


def test_a_kill_outlives_midnight() -> None:
    hand = Hand(desk({DAY_MINUTES: (BUY,)}))
    kill(hand)
    hand.see(candle(DAY_MINUTES - 1, 100))
    refused = hand.see(candle(DAY_MINUTES, 100))[-1]
    assert isinstance(refused, IntentRefused)
    assert refused.refused.code == "kill_switch"


# ---------------------------------------------------------------- the end of a recording


def over(hand: Hand) -> list[Effect]:
    return hand.see(RecordingEnded(hand.state.now_ns))


def test_at_the_end_of_a_recording_what_waits_is_cancelled_and_what_is_held_is_closed() -> None:
    hand, entry = entered(order_type=OrderType.LIMIT)
    protective = planned(hand.fill(entry, "100", D(4)))
    for plan in protective:
        hand.accept(plan)
    effects = over(hand)
    assert kinds(effects) == ["CancelRequested", "OrderPlanned"]
    assert cancels(effects) == {entry.order_id}
    (close,) = planned(effects)
    intent = close.intent
    assert (intent.role, intent.type, intent.side) == (OrderRole.END, OrderType.MARKET, Side.SELL)
    assert (intent.quantity, intent.reduce_only) == (D(4), True)
    hand.accept(close)
    hand.cancelled(entry)
    effects = hand.fill(close, "99.5")
    (trade,) = [effect for effect in effects if isinstance(effect, PositionClosed)]
    assert trade.reason == "end"
    assert cancels(effects) == {plan.order_id for plan in protective}


def test_an_exit_that_waits_for_a_next_candle_gives_way_to_the_one_at_the_last_close() -> None:
    hand, *_ = holding({1: (CLOSE,)})
    (leave,) = planned(hand.see(candle(1, 100)))
    hand.accept(leave)
    effects = over(hand)
    assert cancels(effects) == {leave.order_id}
    assert [plan.intent.role for plan in planned(effects)] == [OrderRole.END]


def test_a_flat_account_does_nothing_at_the_end_of_a_recording() -> None:
    hand = Hand(desk({}))
    hand.see(candle(0, 100))
    assert over(hand) == []


# ---------------------------------------------------------------- late and repeated reports


def test_a_fill_that_arrives_after_its_cancel_is_booked_and_protected() -> None:
    hand, entry = entered(tiers=())
    hand.cancelled(entry)
    assert hand.account.orders == {}
    effects = hand.fill(entry, "100", D(3), fee="0.3")
    assert legs(effects) == [("stop", "99", "3")]
    assert hand.account.holdings[SLOT].position.quantity == D(3)
    assert hand.account.cash == D(10_000) - 300 - D("0.3")
    late = hand.account.ended[entry.order_id]
    assert (late.status, late.filled_quantity) == (OrderStatus.CANCELLED, D(3))


def test_a_late_fill_of_a_target_after_the_stop_is_booked_as_the_venue_tells_it() -> None:
    hand, _, (stop, target) = holding(tiers=(("0.02", "1"),))
    hand.fill(stop, "99")
    hand.cancelled(target)
    hand.fill(target, "102")
    assert hand.account.holdings[SLOT].position.quantity == D(-10)
    assert hand.account.ended[target.order_id].filled_quantity == D(10)


@pytest.mark.parametrize("quantity", [D(4), D(10)], ids=["part of the order", "the whole order"])
def test_a_repeated_fill_changes_nothing(quantity: Decimal) -> None:
    hand, entry = entered()
    fill = hand.filled(entry, "100", quantity)
    hand.see(fill)
    before = hand.account
    assert hand.see(fill) == []
    assert hand.account == replace(before, sequence=before.sequence + 1)


def test_a_repeated_fill_of_a_closed_position_changes_nothing() -> None:
    hand, _, (stop, *_) = holding()
    fill = hand.filled(stop, "99")
    assert hand.see(fill)
    before = hand.account
    assert hand.see(fill) == []
    assert hand.account == replace(before, sequence=before.sequence + 1)


def test_an_acceptance_after_the_fill_it_belongs_to_changes_no_status() -> None:
    hand = Hand(desk({0: (BUY,)}))
    (entry,) = planned(hand.see(candle(0, 100)))
    hand.claim(entry)
    hand.fill(entry, "100", D(4))
    hand.accept(entry)
    assert hand.account.orders[entry.order_id].status is OrderStatus.PARTIAL


def test_an_expired_entry_leaves_room_for_the_next() -> None:
    hand, entry = entered({2: (BUY,)}, order_type=OrderType.LIMIT)
    hand.see(candle(1, 100))
    hand.see(OrderExpired(hand.state.now_ns, entry.order_id, "expired"))
    assert hand.account.orders == {}
    assert planned(hand.see(candle(2, 100)))


def test_orders_of_a_strategy_that_left_the_desk_are_still_booked() -> None:
    hand, entry = entered()
    hand.desk = Desk((), LIMITS)
    assert hand.fill(entry, "100") == []
    assert hand.account.holdings[SLOT].position.quantity == D(10)


def test_marks_move_equity_and_exposure() -> None:
    hand, *_ = holding(fee="2")
    assert (hand.state.equity(), hand.state.exposure()) == (D(9998), D(1000))
    hand.see(quote(1, 1, 102.99, 103.01))
    assert (hand.state.equity(), hand.state.exposure()) == (D(10028), D(1030))
    assert hand.state.view.mark(BTC.id) == Mark(103.0, T0 + MINUTE_NS + 1_000_000_000)
