"""Where the result of a backtest comes from, as fields of its answer: figures, groups of parts, and the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from promethean.app.backtesting import COVERAGE_NEEDED

if TYPE_CHECKING:
    from promethean.app.backtesting import BacktestReport, Bench
    from promethean.evaluation.analysis import Group
    from promethean.strategies.frame import Frame
    from promethean.strategies.setups import Setup


DAYS_NEEDED = 30  # below, a ratio a year says nothing


def details(report: BacktestReport) -> dict[str, Any]:
    """The fields that a report, a terminal and `--json` show beside the main ones (SPEC 5.3, 9.8, 12.1)."""
    return {
        **_figures(report),
        **_over_holes(report),
        "data_faults": _faults(report.bench),
        "groups": _groups(report),
    }


def over_holes_words(report: BacktestReport, found: Mapping[str, Any]) -> str | None:
    """How much of the result was made while nobody knows the prices; None where nothing was.

    found: the fields of `details`.
    """
    books, count = report.result.books, found["trades_over_holes"]
    if not count:
        return None
    return (
        f"{count:,} of {len(books.trades):,} trades were held across a hole in the data and came to "
        f"{found['pnl_over_holes']:+,.2f} of {books.cash - report.bench.cash:+,.2f} {report.bench.instrument.quote}: "
        "no price inside a hole is known, so no stop and no target was reached there"
    )


def unreliable_because(report: BacktestReport) -> str | None:
    """Why ratios a year mean nothing here; None where they do."""
    doubts = []
    if report.metrics.days < DAYS_NEEDED:
        doubts.append(f"less than {DAYS_NEEDED} days")
    if report.bench.coverage < COVERAGE_NEEDED:
        doubts.append(f"less than {100 * COVERAGE_NEEDED:.0f} % of the candles")
    return ", ".join(doubts) or None


def _over_holes(report: BacktestReport) -> dict[str, Any]:
    from promethean.domain.candles import timeframe_ns
    from promethean.evaluation.analysis import over_holes

    bench = report.bench
    found = over_holes(report.result.books.trades, bench.candles.open_time_ns, timeframe_ns(bench.timeframe))
    return {"trades_over_holes": found.trades, "pnl_over_holes": found.pnl}


def _figures(report: BacktestReport) -> dict[str, Any]:
    from promethean.domain.candles import timeframe_ns
    from promethean.domain.instants import NS_PER_S
    from promethean.evaluation.metrics import excursions

    found, candles = report.metrics, report.bench.candles
    minutes = timeframe_ns(report.bench.timeframe) // NS_PER_S / 60
    gone = excursions(report.result.books, candles.high, candles.low)
    hold = found.average_hold_candles
    return {
        "flat": found.trades - found.wins - found.losses,
        "average_win": found.average_win,
        "average_loss": found.average_loss,
        "best": found.best,
        "worst": found.worst,
        "win_streak": found.win_streak,
        "loss_streak": found.loss_streak,
        "average_hold_minutes": None if hold is None else hold * minutes,
        "turnover": found.turnover,
        "cost_share_pct": found.cost_share_pct,
        "calmar": found.calmar,
        "max_drawdown": found.max_drawdown,
        "drawdown_from": _day(found.drawdown_from),
        "drawdown_to": _day(found.drawdown_to),
        "drawdown_recovered": _day(found.drawdown_recovered),
        "mae_pct": float(gone.against.mean()) if found.trades else None,
        "mae_worst_pct": float(gone.against.min()) if found.trades else None,
        "mfe_pct": float(gone.along.mean()) if found.trades else None,
        "mfe_best_pct": float(gone.along.max()) if found.trades else None,
    }


def _day(day: int | None) -> str | None:
    from promethean.domain.instants import DAY_NS, format_instant

    return None if day is None else format_instant(day * DAY_NS)[:10]


def _faults(bench: Bench) -> dict[str, Any]:
    import numpy as np

    from promethean.domain.candles import timeframe_ns
    from promethean.domain.instants import format_instant
    from promethean.evaluation.analysis import holes

    found = holes(bench.candles.open_time_ns, timeframe_ns(bench.timeframe))
    longest = max(found, key=lambda hole: hole.candles, default=None)
    return {
        "missing_candles": sum(hole.candles for hole in found),
        "holes": len(found),
        "longest_hole_candles": longest.candles if longest else 0,
        "longest_hole_from": format_instant(longest.since_ns) if longest else None,
        "candles_without_volume": int(np.count_nonzero(bench.candles.volume == 0)),
    }


def _groups(report: BacktestReport) -> dict[str, list[dict[str, Any]]]:
    from promethean.evaluation import analysis

    parts = report.result.books.parts
    frame = report.bench.frame()
    return {
        "setup": _rows(analysis.by_setup(parts, _setups(report.bench, frame), frame)),
        "regime": _rows(analysis.by_regime(parts, frame)),
        "session": _rows(analysis.by_session(parts)),
        "reason": _rows(analysis.by_reason(parts)),
        "side": _rows(analysis.by_side(parts)),
    }


def _setups(bench: Bench, frame: Frame) -> list[Setup]:
    """The set-ups of a condition-driven file are its conditions, those of a class are its sides."""
    import numpy as np

    from promethean.domain.market import Side
    from promethean.strategies.arrays import ArrayStrategy, innermost
    from promethean.strategies.conditional import ConditionStrategy
    from promethean.strategies.setups import Setup

    strategy = bench.strategy()
    if isinstance(strategy, ArrayStrategy):
        strategy = innermost(strategy)
    if isinstance(strategy, ConditionStrategy):
        return strategy.setups(frame)
    always = np.ones(len(frame), bool)
    return [Setup(Setup.title(side, bench.file.class_name or bench.file.id), side, always) for side in Side]


def _rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    return [
        {"name": group.name, "parts": group.parts, "won": group.won, "pnl": group.pnl, "fees": group.fees}
        for group in groups
    ]
