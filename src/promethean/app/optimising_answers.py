"""What `optimize` answers with: the best sets, and every reason to doubt them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from promethean.app.optimising import FoldReport, OptimizeReport

if TYPE_CHECKING:
    from promethean.evaluation.judging import Judged, Stretch
    from promethean.evaluation.search import Tried

VALUES_SHOWN = 50


def optimize_object(report: OptimizeReport, top: int) -> dict[str, Any]:
    """The fields of `optimize --json` (DESIGN section 5).  Ratios of the objective are as `backtest` gives them."""
    bench, found, wanted = report.bench, report.found, report.wanted
    best, books, judged = found.tried[0], report.books, report.best
    tried = found.count - found.before
    return {
        "strategy": bench.file.id,
        "symbol": bench.instrument.symbol,
        "data": bench.source,
        "tape": bench.tape_name,
        "finer": bench.finer,
        "candles": len(bench.candles),
        "remarks": [*bench.remarks, *_remarks(report), *filter(None, (report.unkept,))],
        "variants_tried": report.tried.forms,
        "study": report.study,
        "objective": wanted.objective,
        "sampler": wanted.sampler,
        "seed": wanted.seed,
        "ranges": {each.name: list(each.values) for each in report.space.ranges},
        "combinations_possible": report.space.size,
        "combinations": found.count,
        "combinations_before": found.before,
        "pruned": dict(found.pruned),
        "trades": sum(each.result["trades"] for each in found.tried),
        "seconds": report.seconds,
        "load_seconds": report.load_seconds,
        "seconds_per_combination": report.seconds / tried if tried > 0 else None,
        "start_equity": bench.cash,
        "top": [_tried_row(each) for each in found.tried[:top]],
        "confirmed": {
            "parameters": dict(best.parameters),
            "trades": len(books.trades),
            "final_equity": books.cash,
            "agrees": (len(books.trades), books.cash) == (judged.metrics.trades, judged.final_equity)
            and judged.value == best.value,
        },
        "doubts": _doubts(report),
        "stability": _stability(report),
        "walk_forward": _walk_forward(report) if report.folds else None,
    }


def _remarks(report: OptimizeReport) -> list[str]:
    remarks = []
    if not report.wanted.params:
        ranges = "; ".join(map(str, report.space.ranges))
        remarks.append(f"no --param was given, so every number of the file is varied around its value: {ranges}")
    if report.found.count == report.space.size:
        remarks.append("every combination was tried")
    if report.best.stepped is not None:
        remarks.append(f"every trial goes through the engine step by step, which is slow: {report.best.stepped}")
    edges = [
        f"{each.name}={each.values[pick]}"
        for each, pick in zip(report.space.ranges, report.found.tried[0].picks, strict=True)
        if len(each.values) > 2 and pick in (0, len(each.values) - 1)
    ]
    if edges:
        remarks.append(f"the best lies at the end of a range ({', '.join(edges)}); there may be better beyond it")
    return remarks


def _tried_row(tried: Tried) -> dict[str, Any]:
    return {"parameters": dict(tried.parameters), "objective": tried.value, **tried.result}


def _doubts(report: OptimizeReport) -> dict[str, Any]:
    """How far the best is luck."""
    import numpy as np

    from promethean.evaluation.overfitting import probability_of_overfitting
    from promethean.evaluation.significance import deflate

    tried = report.found.tried
    ratios = np.array([each.result["sharpe_raw"] or 0.0 for each in tried])
    variance = float(np.var(ratios, ddof=1)) if len(ratios) > 1 else 0.0
    deflated = deflate(report.best.daily, len(ratios), variance)
    probability = probability_of_overfitting(np.array([each.blocks for each in tried]))
    return {
        "combinations": report.found.count,
        "days": len(report.best.daily),
        "sharpe_raw": None if deflated is None else deflated.sharpe,
        "sharpe_raw_expected_by_luck": None if deflated is None else deflated.expected_maximum,
        "deflated_sharpe": None if deflated is None else deflated.probability,
        "probability_of_overfitting": probability,
    }


def _stability(report: OptimizeReport) -> dict[str, Any]:
    """What lies around the best, and what each parameter does over all that was tried."""
    import numpy as np

    from promethean.evaluation.overfitting import importance

    tried, best = report.found.tried, report.found.tried[0].value
    around = [value for _, value in report.neighbours if value is not None]
    values = np.array([each.value for each in tried])
    places = list(zip(*(each.picks for each in tried), strict=True))
    return {
        "neighbours": [{"parameters": dict(each), "objective": value} for each, value in report.neighbours],
        "neighbours_worst": min(around) if around else None,
        "neighbours_kept_pct": 100 * float(np.median(around)) / best if around and best > 0 else None,
        "importance": {each.name: importance(places[place], values) for place, each in enumerate(report.space.ranges)},
        "map": {each.name: _by_value(tried, place, each.values) for place, each in enumerate(report.space.ranges)},
    }


def _by_value(tried: Sequence[Tried], place: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """Median and best objective for each value of one parameter that was tried."""
    import numpy as np

    values: dict[int, list[float]] = {}
    for each in tried:
        values.setdefault(each.picks[place], []).append(each.value)
    shown = sorted(values)[:: math.ceil(len(values) / VALUES_SHOWN)]
    return [
        {
            "value": names[pick],
            "combinations": len(values[pick]),
            "objective_median": float(np.median(values[pick])),
            "objective_best": max(values[pick]),
        }
        for pick in shown
    ]


def _walk_forward(report: OptimizeReport) -> dict[str, Any]:
    import numpy as np

    from promethean.evaluation.metrics import sharpe_ratio

    judged = [(each.inside, each.outside) for each in report.folds if each.inside and each.outside]
    inside, outside = (_growth_a_day([pair[place] for pair in judged]) for place in (0, 1))
    gains = [each.metrics.return_pct for _, each in judged]
    daily = np.concatenate([each.daily for _, each in judged]) if judged else np.array([])
    return {
        "folds": [_fold_row(report, number, each) for number, each in enumerate(report.folds, 1)],
        "out_of_sample_return_pct": 100 * (math.prod(1 + gain / 100 for gain in gains) - 1),
        "out_of_sample_sharpe": sharpe_ratio(daily),
        "profitable_folds": sum(gain > 0 for gain in gains),
        "efficiency_pct": 100 * outside / inside if inside is not None and outside is not None and inside > 0 else None,
    }


def _growth_a_day(runs: Sequence[Judged]) -> float | None:
    """Mean growth of the logarithm of equity a day."""
    days = sum(each.metrics.days for each in runs)
    if not days or any(each.metrics.return_pct <= -100 for each in runs):
        return None
    return sum(math.log1p(each.metrics.return_pct / 100) for each in runs) / days


def _fold_row(report: OptimizeReport, number: int, each: FoldReport) -> dict[str, Any]:
    return {
        "fold": number,
        "parameters": None if each.best is None else dict(each.best.parameters),
        "in_sample": _stretch_row(report, each.fold.inside, each.inside),
        "out_of_sample": _stretch_row(report, each.fold.outside, each.outside),
    }


def _stretch_row(report: OptimizeReport, stretch: Stretch, judged: Judged | None) -> dict[str, Any]:
    from promethean.domain.instants import format_instant

    times = report.bench.candles.open_time_ns
    found = None if judged is None else judged.metrics
    return {
        "from": format_instant(int(times[stretch.start])),
        "to": format_instant(int(times[stretch.stop - 1])),
        "candles": stretch.stop - stretch.start,
        "trades": None if found is None else found.trades,
        "return_pct": None if found is None else found.return_pct,
        "sharpe": None if found is None else found.sharpe,
        "objective": None if judged is None else judged.value,
    }
