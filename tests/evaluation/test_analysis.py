"""Where a result comes from, by hand-made cases."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from promethean.domain.candles import CandleSeries
from promethean.domain.market import Side
from promethean.evaluation import analysis
from promethean.evaluation.ledger import Part, Trade
from promethean.strategies.frame import Frame
from promethean.strategies.setups import Setup

D = Decimal
HOUR_NS = 3600 * 10**9


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def part(opened: str, pnl: str, reason: str = "stop", side: Side = Side.BUY) -> Part:
    return Part(1, side, at(opened), at(opened) + HOUR_NS, D(100), D(101), D(1), reason, D("0.1"), D(pnl))


def test_months_start_where_the_last_one_ended_and_years_compound() -> None:
    times = np.array([at("2024-11-30T23:00"), at("2024-12-15T00:00"), at("2024-12-31T23:00"), at("2025-02-01T00:00")])
    years = analysis.monthly_returns(np.array([110.0, 50.0, 99.0, 198.0]), times, 100.0)
    assert [year.year for year in years] == [2024, 2025]
    assert list(years[0].months[10:]) == pytest.approx([10.0, -10.0])
    assert years[0].months[:10] == (None,) * 10
    assert years[0].total == pytest.approx(-1.0)
    assert years[1].months[0] is None
    assert years[1].months[1] == years[1].total == pytest.approx(100.0)


def test_the_drawdown_is_measured_from_the_highest_equity_the_start_included() -> None:
    below = analysis.drawdown(np.array([90.0, 120.0, 60.0, 120.0]), 100.0)
    assert below == pytest.approx([-10.0, 0.0, -50.0, 0.0])


def test_parts_are_counted_by_reason_and_by_side() -> None:
    parts = [part("2024-01-01T01:00", "-2"), part("2024-01-01T02:00", "3", "target"), part("2024-01-01T03:00", "-1")]
    stop, target = analysis.by_reason(parts)
    assert (stop.name, stop.parts, stop.won, stop.pnl, stop.fees) == ("stop", 2, 0, D(-3), D("0.2"))
    assert (target.name, target.parts, target.won, target.pnl) == ("target", 1, 1, D(3))
    short = part("2024-01-01T01:00", "1", side=Side.SELL)
    assert [(group.name, group.parts) for group in analysis.by_side([*parts, short])] == [("long", 3), ("short", 1)]


@pytest.mark.parametrize(
    ("hour", "names"),
    [("00", ["Asia"]), ("07", ["Asia", "Europe"]), ("08", ["Europe"]), ("13", ["Europe", "US"]), ("16", ["US"]),
     ("21", ["US"]), ("22", ["between sessions"])],
)  # fmt: skip
def test_a_part_counts_in_every_session_that_its_entry_lies_in(hour: str, names: list[str]) -> None:
    assert [group.name for group in analysis.by_session([part(f"2024-01-01T{hour}:30", "1")])] == names


# -- by what was known at the entry -----------------------------------------------------------------------------------


def hourly(count: int) -> Frame:
    """Candles of an hour from the beginning of 2024 on."""
    times = at("2024-01-01T00:00") + HOUR_NS * np.arange(count)
    one = np.ones(count)
    return Frame(CandleSeries.from_columns(times, (one, one, one, one, one), keep=count), "1h")


def test_a_part_belongs_to_the_regime_of_the_last_candle_closed_at_its_entry() -> None:
    frame = hourly(4)
    codes = np.array([np.nan, 0.0, 1.0, 6.0])
    frame.memo["regime", "1h", ()] = (codes,)
    parts = [part(f"2024-01-01T{hour}", "1") for hour in ("00:30", "01:00", "02:00", "02:59", "03:00", "04:30")]
    names = {group.name: group.parts for group in analysis.by_regime(parts, frame)}
    assert names == {"not known yet": 2, "range": 2, "trend_up": 1, "high_volatility": 1}
    assert analysis.by_regime([], frame) == []


def test_a_part_belongs_to_every_set_up_that_asked_for_its_entry() -> None:
    frame = hourly(6)
    setups = [
        Setup("a", Side.BUY, np.array([1, 0, 1, 0, 0, 0], bool)),
        Setup("b", Side.BUY, np.array([0, 0, 1, 0, 0, 0], bool)),
        Setup("c", Side.SELL, np.array([0, 0, 0, 1, 0, 0], bool)),
    ]
    parts = [
        part("2024-01-01T01:00", "1"),  # filled when the first candle closed
        part("2024-01-01T05:30", "2"),  # a limit that waited since the third
        part("2024-01-01T04:00", "-4", side=Side.SELL),
    ]
    groups = {group.name: (group.parts, group.pnl) for group in analysis.by_setup(parts, setups, frame)}
    assert groups == {"a": (2, D(3)), "b": (1, D(2)), "c": (1, D(-4))}
    assert analysis.by_setup([], setups, frame) == []


def test_holes_are_where_candles_are_missing() -> None:
    times = HOUR_NS * np.array([5, 6, 8, 9, 13])
    assert analysis.holes(times, HOUR_NS) == [analysis.Hole(7 * HOUR_NS, 1), analysis.Hole(10 * HOUR_NS, 3)]
    assert analysis.holes(times[:2], HOUR_NS) == analysis.holes(times[:1], HOUR_NS) == []


def trade(opened: int, closed: int, pnl: str) -> Trade:
    return Trade(Side.BUY, opened, closed, D(100), D(pnl), D("0.1"), "stop")


def test_trades_over_a_hole_are_those_with_one_between_their_entry_and_their_exit() -> None:
    times = HOUR_NS * np.array([5, 6, 8, 9, 13, 14])  # holes before the candles 2 and 4
    beside = [trade(0, 1, "1"), trade(2, 3, "2"), trade(4, 4, "4"), trade(4, 5, "8")]
    over = [trade(1, 2, "16"), trade(3, 4, "-32.5"), trade(0, 5, "64")]
    assert analysis.over_holes(beside + over, times, HOUR_NS) == analysis.OverHoles(3, D("47.5"))
    assert analysis.over_holes(beside, times, HOUR_NS) == analysis.OverHoles(0, D(0))
    assert analysis.over_holes([], times[:1], HOUR_NS) == analysis.OverHoles(0, D(0))
