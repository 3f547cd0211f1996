"""Hidden orders against hand-made tapes and books, and against a plain replay of recorded ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.order_flow.recorded import FEEDS, recorded
from tests.indicators.order_flow.tapes import BOUGHT, MINUTE, NOW, SOLD, books, some_books, some_trades, tape

from promethean.domain.market import Side
from promethean.indicators.order_flow import iceberg
from promethean.indicators.order_flow.iceberg import IcebergLevel, detect_iceberg
from promethean.indicators.order_flow.tape import Books, Tape

REST_OF_BIDS = [(99.0, 5.0), (98.0, 5.0)]
ASKS = [(101.0, 5.0), (102.0, 5.0)]


def found(trades: Tape, shown: Books, now_ns: int = NOW, minutes: int = 15) -> tuple[IcebergLevel, ...]:
    return detect_iceberg(*trades, *shown, now_ns, minutes)


def showing(*sizes: tuple[float, float]) -> Books:
    """The best bid, 100, shows these sizes at these seconds; nothing where the size is 0."""
    return books(*((at, ([(100.0, size)] if size else []) + REST_OF_BIDS, ASKS) for at, size in sizes))


def hits(*sizes: tuple[float, float]) -> Tape:
    """Sellers take these quantities of the bid at 100."""
    return tape(*((at, 100.0, quantity, SOLD) for at, quantity in sizes))


# Shown before, eaten, and back after half a second, three times.
REFILLED = showing(
    (-9.5, 1.0), (-8.9, 0.2), (-8.5, 1.0), (-7.9, 0.2), (-7.5, 1.0), (-6.9, 0.2), (-6.5, 1.0)
)  # fmt: skip


@pytest.mark.parametrize(("last", "levels"), [(0.99, 0), (1.0, 1), (1.01, 1)])
def test_an_iceberg_executes_three_times_what_it_shows(last: float, levels: int) -> None:
    assert len(found(hits((-9, 1.0), (-8, 1.0), (-7, last)), REFILLED)) == levels


def test_an_iceberg_says_where_and_how_sure_it_is() -> None:
    (level,) = found(hits((-9, 1.0), (-8, 1.0), (-7, 1.6)), REFILLED)
    assert (level.price, level.side, level.displayed_max, level.refills) == (100.0, Side.BUY, 1.0, 3)
    assert level.executed == pytest.approx(3.6)
    assert level.confidence == pytest.approx(0.6)


@pytest.mark.parametrize(("last", "confidence"), [(3.9, 5.9 / 6), (4.0, 1.0), (40.0, 1.0)])
def test_six_times_what_it_shows_is_as_sure_as_it_gets(last: float, confidence: float) -> None:
    (level,) = found(hits((-9, 1.0), (-8, 1.0), (-7, last)), REFILLED)
    assert level.confidence == pytest.approx(confidence)


def test_an_iceberg_among_the_asks_is_hit_by_buyers() -> None:
    shown = Books(REFILLED.at_ns, REFILLED.asks, REFILLED.bids * [-1, 1] + [200, 0])
    (level,) = found(tape(*((at, 100.0, 1.0, BOUGHT) for at in (-9, -8, -7))), shown)
    assert (level.price, level.side) == (100.0, Side.SELL)


def test_trades_with_the_side_are_no_hits() -> None:
    assert found(tape(*((at, 100.0, 5.0, BOUGHT) for at in (-9, -8, -7))), REFILLED) == ()


def test_it_has_to_fill_up_three_times() -> None:
    shown = showing((-9.5, 1.0), (-8.9, 0.2), (-8.5, 1.0), (-7.9, 0.2), (-7.5, 1.0), (-6.9, 0.2), (-6.5, 0.9))
    assert found(hits((-9, 3.0), (-8, 3.0), (-7, 3.0)), shown) == ()


@pytest.mark.parametrize(("back", "levels"), [(0.999, 1), (1.0, 1), (1.001, 0)])
def test_it_has_to_be_back_within_a_second_of_being_hit(back: float, levels: int) -> None:
    shown = showing((-9.5, 1.0), (-8.5, 1.0), (-7.5, 1.0), (-6.9, 0.2), (-7 + back, 1.0))
    assert len(found(hits((-9, 3.0), (-8, 3.0), (-7, 3.0)), shown)) == levels


def test_the_second_counts_from_the_last_hit_and_the_size_from_before_the_first() -> None:
    # Eaten in four bites of 0.9 s; a whole second passes since the first of them, but never between two.
    bites = [(-4.0, 0.3), (-3.1, 0.3), (-2.2, 0.3), (-1.3, 0.3)]
    shown = [(-9.5, 1.0), (-8.5, 1.0), (-7.5, 1.0), (-3.9, 0.7), (-3.0, 0.4), (-2.1, 0.1), (-0.4, 1.0)]
    trades = hits((-9, 3.0), (-8, 3.0), *bites)
    assert len(found(trades, showing(*shown))) == 1
    assert found(trades, showing(*shown[:-1], (-0.4, 0.9))) == ()
    assert found(trades, showing(*shown[:-1], (-0.2, 1.0))) == ()


def test_after_a_second_without_a_refill_the_next_hit_starts_from_what_is_shown_then() -> None:
    shown = showing((-9.5, 1.0), (-8.9, 0.4), (-5.5, 0.4), (-4.5, 0.4), (-3.5, 0.4))
    (level,) = found(hits((-9, 1.0), (-6, 1.0), (-5, 1.0), (-4, 1.0)), shown)
    assert level.refills == 3


def test_hits_between_two_snapshots_make_one_refill() -> None:
    shown = showing((-9.5, 1.0), (-8.5, 1.0), (-7.5, 1.0))
    assert found(hits((-9.0, 3.0), (-8.9, 3.0), (-8.8, 3.0), (-8.0, 3.0)), shown) == ()


def test_a_snapshot_of_the_instant_of_a_hit_is_neither_before_nor_after_it() -> None:
    trades = hits((-9, 3.0), (-8, 3.0), (-7, 3.0))
    assert found(trades, showing((-9.5, 1.0), (-9, 1.0), (-8, 1.0), (-7, 1.0))) == ()
    # As before, the snapshot at the hit would be the small one, which the later ones would restore.
    shown = showing((-9.5, 1.0), (-9, 0.1), (-8.5, 0.5), (-8, 0.1), (-7.5, 0.5), (-7, 0.1), (-6.5, 0.5))
    assert found(trades, shown) == ()


def test_a_level_that_never_shows_anything_cannot_be_judged() -> None:
    assert found(hits((-9, 3.0), (-8, 3.0), (-7, 3.0)), showing((-9.5, 0.0), (-8.5, 0.0), (-7.5, 0.0))) == ()
    assert found(hits((-9, 3.0), (-8, 3.0), (-7, 3.0)), books()) == ()


def test_snapshots_in_which_the_level_is_beyond_the_depth_say_nothing() -> None:
    # Two levels are shown; the bid at 100 is the third while better ones are there.
    better = [(100.5, 1.0), (100.4, 1.0), (100.0, 9.0)]
    snapshots = []
    for at in (-9.5, -8.5, -7.5, -6.5):
        snapshots.append((at, [(100.0, 1.0), (99.0, 5.0)], ASKS))
        snapshots.append((at + 0.1, better, ASKS))
    (level,) = found(hits((-9, 1.0), (-8, 1.0), (-7, 1.0)), books(*snapshots, levels=2))
    assert (level.displayed_max, level.refills) == (1.0, 3)


def test_only_the_last_minutes_count_and_nothing_after_now() -> None:
    trades = hits((-9, 1.0), (-8, 1.0), (-7, 1.0))
    assert len(found(trades, REFILLED, NOW - 9_000_000_000 + MINUTE - 1, minutes=1)) == 1
    assert found(trades, REFILLED, NOW - 9_000_000_000 + MINUTE, minutes=1) == ()
    assert found(trades, REFILLED, NOW - 6_501_000_000) == ()
    assert len(found(trades, REFILLED, NOW - 6_500_000_000)) == 1


def test_the_snapshot_before_the_window_shows_what_the_first_hit_met() -> None:
    trades = hits((-9, 1.0), (-8, 1.0), (-7, 1.0))
    # The window begins at -9.1, after the snapshot of -9.5.
    assert len(found(trades, REFILLED, NOW - 9_100_000_000 + MINUTE, minutes=1)) == 1


def test_the_level_with_the_most_executed_comes_first() -> None:
    both = [
        (at, [(100.0, 1.0), (99.5, 1.0), *REST_OF_BIDS], ASKS) for at in (-9.5, -8.5, -7.5, -6.5)
    ]  # fmt: skip
    rows = [(at, price, size, SOLD) for at in (-9, -8, -7) for price, size in ((100.0, 1.0), (99.5, 2.0))]
    assert [level.price for level in found(tape(*rows), books(*both))] == [99.5, 100.0]


def test_no_time_to_look_back_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 minute, not 0"):
        found(hits(), showing(), minutes=0)


# -- against a plain replay -------------------------------------------------------------------------------------------


def plain_size(levels: np.ndarray, price: float, side: Side) -> float | None:
    """What is shown at a price; None beyond the depth."""
    shown = {level: size for level, size in levels.tolist() if level == level}
    if price in shown:
        return float(shown[price])
    worst = min(shown) if side is Side.BUY else max(shown)
    beyond = price < worst if side is Side.BUY else price > worst
    return None if beyond and len(shown) == len(levels) else 0.0


def plain_refills(trades: Tape, shown: Books, price: float, side: Side) -> tuple[int, float, float]:
    """Refills, executed and displayed, by going through trades and snapshots in their order."""
    happened: list[tuple[int, int, float]] = []
    for at_ns, trade_price, quantity, aggressor in zip(*(column.tolist() for column in trades), strict=True):
        if trade_price == price and aggressor == -side.sign:
            happened.append((at_ns, 1, quantity))
    hit_instants = {at_ns for at_ns, _, _ in happened}
    sizes = [plain_size(levels, price, side) for levels in shown.levels(side)]
    known = [(at_ns, size) for at_ns, size in zip(shown.at_ns.tolist(), sizes, strict=True) if size is not None]
    happened += [(at_ns, 0, size) for at_ns, size in known]
    executed = sum(quantity for _, kind, quantity in happened if kind == 1)
    displayed = max((size for _, size in known), default=0.0)
    refills, waits_for, hit_at = 0, 0.0, 0
    for at_ns, kind, amount in sorted(happened):
        if waits_for and at_ns - hit_at > 1_000_000_000:
            waits_for = 0.0
        if kind == 1:
            if not waits_for:
                waits_for = next((size for when, size in reversed(known) if when < at_ns), 0.0)
            hit_at = at_ns
        elif waits_for and at_ns not in hit_instants and amount >= waits_for:
            refills, waits_for = refills + 1, 0.0
    return refills, executed, displayed


def plain(trades: Tape, shown: Books, multiple: float) -> dict[tuple[float, Side], tuple[int, float]]:
    levels = {}
    for side in Side:
        for price in np.unique(trades.price[trades.aggressor == -side.sign]).tolist():
            refills, executed, displayed = plain_refills(trades, shown, price, side)
            if displayed > 0 and executed >= multiple * displayed * (1 - 1e-12) and refills >= 3:
                levels[price, side] = refills, displayed
    return levels


@given(st.integers(0, 2**32 - 1), st.integers(0, 120), st.integers(1, 60))
def test_random_markets_have_the_icebergs_of_a_plain_replay(seed: int, count: int, snapshots: int) -> None:
    trades, shown = some_trades(seed, count, 20), some_books(seed, snapshots, 20)
    expected = plain(trades, shown, 3.0)
    assert {
        (level.price, level.side): (level.refills, level.displayed_max) for level in found(trades, shown)
    } == expected


@pytest.mark.parametrize("name", FEEDS)
def test_recorded_markets_have_the_icebergs_of_a_plain_replay(
    name: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trades, shown = recorded(shared, name)
    start, now_ns = int(shown.at_ns[0]), int(shown.at_ns[0]) + 90_000_000_000
    trades, shown = trades.between(start, now_ns), shown.between(start - 1, now_ns)
    monkeypatch.setattr(iceberg, "EXECUTED_MULTIPLE", 0.2)  # these minutes hold none of three times the size
    levels = found(trades, shown, now_ns)
    assert {(level.price, level.side): (level.refills, level.displayed_max) for level in levels} == plain(
        trades, shown, 0.2
    )
    assert levels
    assert all(level.confidence == min(1, level.executed / (6 * level.displayed_max)) for level in levels)
