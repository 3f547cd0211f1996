"""Vanishing orders against hand-made books, and against a plain replay of recorded ones."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.order_flow.recorded import FEEDS, recorded
from tests.indicators.order_flow.tapes import BOUGHT, MINUTE, NOW, SOLD, Levels, S, books, some_books, some_trades, tape

from promethean.domain.market import Side
from promethean.indicators.order_flow.spoofing import Spoofing, detect_spoofing, spoofing_sides
from promethean.indicators.order_flow.tape import Books, Tape

LEVEL = 99.5
BIDS = [(100.0 - 0.1 * step, 1.0) for step in range(1, 5)]  # 99.9 to 99.6
ASKS = [(100.0 + 0.1 * step, 1.0) for step in range(1, 10)]
NOTHING = tape()


def found(shown: Books, trades: Tape = NOTHING, now_ns: int = NOW, minutes: int = 5) -> Spoofing:
    return detect_spoofing(*trades, *shown, now_ns, minutes)


def bids(size: float, price: float = LEVEL) -> Levels:
    """The ordinary bids, and one more level when it has a size."""
    return [*BIDS, *([(price, size)] if size else [])]


def showing(*sizes: tuple[float, float], price: float = LEVEL) -> Books:
    """The level shows these sizes at these seconds; the mid is 100 and the ordinary size 1."""
    return books(*((at, bids(size, price), ASKS) for at, size in sizes))


def shown_for(life_s: float, times: int = 1) -> Books:
    """The level shows 5 for so long, again and again."""
    rows: list[tuple[float, float]] = [(-100.0, 0.0)]
    for turn in range(times):
        rows += [(-90.0 + 10 * turn, 5.0), (-90.0 + 10 * turn + life_s, 0.0)]
    return showing(*rows)


@pytest.mark.parametrize(("size", "events"), [(4.99, 0), (5.0, 1), (5.01, 1)])
def test_a_large_level_is_five_times_the_ordinary(size: float, events: int) -> None:
    assert len(found(showing((-9, 0.0), (-8, size), (-7, 0.0))).events) == events


@pytest.mark.parametrize(("life_s", "events"), [(4.999, 1), (5.0, 1), (5.001, 0)])
def test_it_vanishes_within_five_seconds(life_s: float, events: int) -> None:
    assert len(found(shown_for(life_s)).events) == events


def test_an_event_says_where_when_and_how_large() -> None:
    (event,) = found(showing((-9, 0.0), (-8, 5.0), (-7, 8.0), (-6.5, 0.0))).events
    assert event == (NOW - 6_500_000_000, LEVEL, Side.BUY, 8.0, 1500.0)


@pytest.mark.parametrize(("price", "events"), [(99.01, 1), (99.0, 1), (98.99, 0)])
def test_it_lies_within_one_percent_of_the_mid(price: float, events: int) -> None:
    assert len(found(showing((-9, 0.0), (-8, 9.0), (-7, 0.0), price=price)).events) == events


@pytest.mark.parametrize(("times", "active"), [(2, False), (3, True), (4, True)])
def test_three_times_on_one_side_is_spoofing(times: int, active: bool) -> None:
    values = found(shown_for(1.0, times))
    assert len(values.events) == times
    assert values.active is active
    assert values.side is (Side.BUY if active else None)
    assert values.active_on(Side.BUY) is active
    assert not values.active_on(Side.SELL)


def test_two_on_each_side_are_none_on_one() -> None:
    both = []
    for turn in range(2):
        both += [(-90.0 + 10 * turn, bids(0.0), ASKS), (-89.0 + 10 * turn, bids(5.0), [*ASKS, (101.0, 5.0)])]
        both += [(-88.0 + 10 * turn, bids(0.0), ASKS)]
    values = found(books(*both))
    assert [event.side for event in values.events] == [Side.BUY, Side.SELL] * 2
    assert not values.active


def test_of_two_active_sides_the_one_with_more_events_is_named() -> None:
    rows = []
    for turn in range(4):
        asks = [*ASKS, (101.0, 5.0)] if turn else ASKS
        rows += [(-90.0 + 10 * turn, bids(0.0), ASKS), (-89.0 + 10 * turn, bids(5.0), asks)]
        rows += [(-88.0 + 10 * turn, bids(0.0), ASKS)]
    values = found(books(*rows))
    assert values.side is Side.BUY
    assert values.active_on(Side.SELL)
    # Without the first, the sides are equal, and of the two newest events the one at the higher price is the later.
    assert found(books(*rows[3:])).side is Side.SELL


def test_what_was_traded_did_not_vanish() -> None:
    shown = showing((-9, 0.0), (-8, 5.0), (-7, 0.0))
    assert found(shown, tape((-7.5, LEVEL, 0.001, SOLD))).events == ()
    assert found(shown, tape((-7, LEVEL, 0.001, SOLD))).events == ()
    assert found(shown, tape((-8.5, LEVEL, 0.001, SOLD))).events == ()
    assert len(found(shown, tape((-7.5, LEVEL, 0.001, BOUGHT))).events) == 1  # not against its side
    assert len(found(shown, tape((-7.5, 99.6, 0.001, SOLD))).events) == 1
    assert len(found(shown, tape((-9, LEVEL, 1.0, SOLD), (-6.999, LEVEL, 1.0, SOLD))).events) == 1


def test_what_else_rests_at_the_price_may_stay() -> None:
    assert len(found(showing((-9, 1.0), (-8, 6.0), (-7, 1.0))).events) == 1
    assert found(showing((-9, 1.0), (-8, 6.0), (-7, 1.1), (-1, 1.1))).events == ()


def test_a_life_begins_when_the_level_is_first_above_ordinary() -> None:
    assert found(showing((-9, 0.0), (-8, 2.0), (-4, 9.0), (-2.9, 0.0))).events == ()
    (event,) = found(showing((-9, 0.0), (-8, 2.0), (-4, 9.0), (-3, 0.0))).events
    assert (event.lifetime_ms, event.size) == (5000.0, 9.0)


def test_what_stood_there_from_the_beginning_or_still_stands_is_not_judged() -> None:
    assert found(showing((-8, 5.0), (-7, 0.0))).events == ()
    assert found(showing((-9, 0.0), (-8, 5.0), (-7, 5.0))).events == ()


def test_a_level_beyond_the_shown_depth_is_not_judged() -> None:
    far = [(99.95, 1.0), *BIDS]  # five levels are shown: now that of 99.5 is beyond them
    appeared = [(-9, far, ASKS), (-8, bids(5.0), ASKS), (-7, bids(0.0), ASKS)]
    assert found(books(*appeared, levels=5)).events == ()
    left = [(-9, bids(0.0), ASKS), (-8, bids(5.0), ASKS), (-7, far, ASKS), (-6, bids(0.0), ASKS)]
    assert found(books(*left, levels=5)).events == ()
    # With a place left empty the side is known to end there.
    assert len(found(books(*left, levels=9)).events) == 1


def test_a_level_that_the_market_left_behind_untraded_has_vanished() -> None:
    lower = [(price - 0.6, 1.0) for price, _ in BIDS]
    assert len(found(books((-9, bids(0.0), ASKS), (-8, bids(5.0), ASKS), (-7, lower, ASKS))).events) == 1


def test_only_what_ended_in_the_last_minutes_counts_and_nothing_after_now() -> None:
    shown = showing((-9, 0.0), (-8, 5.0), (-7, 0.0))
    assert len(found(shown, now_ns=NOW - 7 * S).events) == 1
    assert found(shown, now_ns=NOW - 7 * S - 1).events == ()
    assert len(found(shown, now_ns=NOW - 7 * S + 5 * MINUTE - 1).events) == 1
    assert found(shown, now_ns=NOW - 7 * S + 5 * MINUTE).events == ()
    assert found(shown, now_ns=NOW - 7 * S + MINUTE, minutes=1).events == ()


def test_a_life_that_began_before_the_window_is_judged_whole() -> None:
    shown = showing((-60, 0.0), (-13, 5.0), (-8.1, 0.0))
    (event,) = found(shown, now_ns=NOW - 8_200_000_000 + MINUTE, minutes=1).events
    assert event.lifetime_ms == pytest.approx(4900.0)


def test_without_books_or_with_empty_sides_there_is_nothing() -> None:
    assert found(books()) == ((), False, None)
    assert found(books((-2, [], ASKS), (-1, bids(5.0), []))) == ((), False, None)


def test_no_time_to_look_back_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 minute, not 0"):
        found(books(), minutes=0)


# -- against a plain replay -------------------------------------------------------------------------------------------


def plain(shown: Books, trades: Tape) -> list[tuple[int, float, str, float, float]]:
    """Events by following every price of every snapshot."""
    events = []
    rows = list(zip(*trades, strict=True))
    for side in Side:
        alive: dict[float, tuple[int, int, float, bool]] = {}  # begin, the snapshot before it, largest size, large
        before: tuple[int, dict[float, float], float, bool] | None = None
        for at_ns, levels, others in zip(shown.at_ns.tolist(), shown.bids, shown.asks, strict=True):
            sides = [{price: size for price, size in each.tolist() if price == price} for each in (levels, others)]
            mid = (max(sides[0], default=np.nan) + min(sides[1], default=np.nan)) / 2
            near = [
                size for each in sides for price, size in each.items() if abs(price - mid) <= 0.01 * mid * (1 + 1e-12)
            ]
            mine = sides[0] if side is Side.BUY else sides[1]
            if not near:
                alive, before = {}, None
                continue
            ordinary = median(near)
            whole = len(mine) < len(levels)
            worst = (min(mine) if side is Side.BUY else max(mine)) if mine else 0.0

            def known(price: float, worst: float = worst, whole: bool = whole, sign: int = side.sign) -> bool:
                return whole or (price - worst) * sign >= 0

            for price in list(alive):
                begin, earlier, largest, large = alive[price]
                size = mine.get(price, 0.0)
                if at_ns - begin > 5 * S or not known(price):
                    del alive[price]
                elif size <= ordinary:
                    traded = any(
                        earlier < when <= at_ns and at == price and taker == -side.sign for when, at, _, taker in rows
                    )
                    if large and not traded:
                        events.append((at_ns, price, side.value, largest, (at_ns - begin) / 1e6))
                    del alive[price]
            for price, size in mine.items():
                is_large = size >= 5 * ordinary * (1 - 1e-12) and abs(price - mid) <= 0.01 * mid * (1 + 1e-12)
                if price in alive:
                    begin, earlier, largest, large = alive[price]
                    alive[price] = begin, earlier, max(largest, size), large or is_large
                elif size > ordinary and before is not None:
                    last_ns, last, last_ordinary, _ = before
                    seen = before[3] or (price - (min(last) if side is Side.BUY else max(last))) * side.sign >= 0
                    if seen and last.get(price, 0.0) <= last_ordinary:
                        alive[price] = at_ns, last_ns, size, is_large
            before = (at_ns, mine, ordinary, whole)
    return sorted(events)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 60), st.sampled_from([3, 6, 12]))
def test_random_markets_have_the_events_of_a_plain_replay(seed: int, count: int, snapshots: int, levels: int) -> None:
    trades, shown = some_trades(seed, count, 40), some_books(seed, snapshots, 40, levels)
    events = [(event.at_ns, event.price, event.side.value, *event[3:]) for event in found(shown, trades).events]
    assert sorted(events) == plain(shown, trades)


@pytest.mark.parametrize("name", FEEDS)
def test_recorded_markets_have_the_events_of_a_plain_replay(name: str, shared: Path) -> None:
    trades, shown = recorded(shared, name)
    start, now_ns = int(shown.at_ns[0]), int(shown.at_ns[0]) + 20 * S
    trades, shown = trades.between(start, now_ns), shown.between(start - 1, now_ns)
    values = found(shown, trades, now_ns)
    events = [(event.at_ns, event.price, event.side.value, *event[3:]) for event in values.events]
    assert sorted(events) == plain(shown, trades)
    assert values.active


# -- at many instants -------------------------------------------------------------------------------------------------


def named(trades: Tape, shown: Books, now_ns: list[int], minutes: int) -> list[int]:
    sides = (detect_spoofing(*trades, *shown, instant, minutes).side for instant in now_ns)
    return [0 if side is None else side.sign for side in sides]


@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(0, 90), st.integers(1, 2))
def test_at_many_instants_it_names_the_side_that_each_alone_does(
    seed: int, count: int, snaps: int, minutes: int
) -> None:
    trades, shown = some_trades(seed, count, 240), some_books(seed + 1, snaps, 240)
    instants = [NOW - 250 * S, NOW, *(int(at) + shift for at in shown.at_ns[::3] for shift in (0, 1)), NOW + 90 * S]
    found = spoofing_sides(*trades, *shown, np.array(instants), minutes)
    assert found.dtype == np.int8
    assert found.tolist() == named(trades, shown, instants, minutes)


@pytest.mark.parametrize("feed", FEEDS)
def test_on_a_recorded_feed_it_names_the_side_that_each_alone_does(shared: Path, feed: str) -> None:
    trades, shown = recorded(shared, feed)
    instants = shown.at_ns[:: len(shown.at_ns) // 20]
    assert spoofing_sides(*trades, *shown, instants).tolist() == named(trades, shown, instants.tolist(), 5)


def test_at_no_instant_and_over_no_books_there_is_nothing() -> None:
    assert spoofing_sides(*NOTHING, *shown_for(1.0, 3), np.empty(0, np.int64)).tolist() == []
    assert spoofing_sides(*NOTHING, *books(), np.array([NOW])).tolist() == [0]
    with pytest.raises(ValueError, match="at least 1 minute, not 0"):
        spoofing_sides(*NOTHING, *books(), np.array([NOW]), 0)
