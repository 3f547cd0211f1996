"""`validate`: can the result of a backtest be believed?"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from promethean.app.backtesting import BacktestOptions, Bench, desk_of, prepare, run
from promethean.app.variants import remember
from promethean.config.tree import Settings
from promethean.config.units import fraction
from promethean.domain.errors import ConfigError
from promethean.domain.instants import DAY_NS, format_instant
from promethean.domain.orders import OrderType

if TYPE_CHECKING:
    from promethean.domain.candles import FloatArray
    from promethean.evaluation.backtest import Backtest
    from promethean.evaluation.judgements import Judgement
    from promethean.evaluation.metrics import Metrics
    from promethean.evaluation.random_entries import RandomEntries
    from promethean.evaluation.resampling import MonteCarlo
    from promethean.evaluation.rules import Rules
    from promethean.evaluation.significance import Deflated
    from promethean.evaluation.windows import Window
    from promethean.storage.variants import Tried
    from promethean.strategies.arrays import ArrayStrategy, Said
    from promethean.strategies.frame import Frame

WINDOWS_MAX, RUNS_MAX, RANDOM_RUNS_MAX, TRIALS_MAX = 1_000, 1_000_000, 100_000, 10**9
CAUSAL = ("look_ahead", "warm_up")
"""The checks that decide the exit status: without them no other figure means anything."""
SHARPES_NEEDED = 10  # recorded ones, before their variance is taken for that of the trials
YEAR = math.sqrt(365)  # from daily to annualised, as the metrics do
FILLED_WHOLE = Decimal(10) ** 9  # as the largest share of a candle's volume
Done = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ValidateOptions:
    """What `validate` was asked to do.

    windows:     of the walk-forward.  runs: of the Monte Carlo.  random_runs: of the significance.
    ruin_pct:    loss of the start that counts as ruin, percent.
    trials:      forms tried that are not on record; the larger of the two numbers counts.
    """

    backtest: BacktestOptions
    windows: int = 6
    runs: int = 10_000
    random_runs: int = 200
    ruin_pct: Decimal = Decimal(50)
    trials: int | None = None


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What every check came to, with its figures; None where a check had nothing to work on."""

    bench: Bench
    result: Backtest
    metrics: Metrics
    checks: list[Judgement]
    walk_forward: list[Window]
    monte_carlo: MonteCarlo | None
    significance: RandomEntries | None
    deflated: Deflated | None
    tried: Tried
    remarks: tuple[str, ...]
    seconds: float

    @property
    def is_sound(self) -> bool:
        """Whether neither a look-ahead nor a short warm-up was found."""
        return not any(check.verdict == "failed" for check in self.checks if check.name in CAUSAL)


@dataclass(frozen=True, slots=True)
class _Asked:
    """An array strategy with what it says over all candles."""

    strategy: ArrayStrategy
    said: Said
    frame: Frame


def run_validation(settings: Settings, options: ValidateOptions, done: Done = lambda *_: None) -> ValidationReport:
    """Run a strategy over recorded candles, and every check on it.

    done: is told the steps done and to do, of each check anew.
    Raises ConfigError for a strategy file, data, a range or a number that cannot be used.
    """
    from promethean.evaluation import judgements, resampling, windows
    from promethean.evaluation.metrics import measure

    _check_numbers(options)
    began = time.perf_counter()
    bench = prepare(settings, options.backtest)
    result = run(bench)
    candles, cash, trades = bench.candles, float(bench.cash), result.books.trades
    metrics = measure(result.books, result.equity, cash, candles.open_time_ns)
    tried, unkept = remember(bench, "validate", metrics.sharpe_raw)
    asked = _ask(bench)
    parts = windows.split(result, candles, cash, options.windows)
    causal = _judge_causality(bench, asked, done)
    returns = resampling.trade_returns(trades, cash) if trades else None
    monte_carlo = None
    if returns is not None:
        monte_carlo = resampling.bootstrap(returns, options.runs, float(fraction(options.ruin_pct)), settings.app.seed)
    significance, unfit, simpler = _against_random(bench, asked, options.random_runs, done)
    daily = _daily_returns(bench, result)
    deflated = _deflate(daily, max(tried.forms, options.trials or 0), tried.sharpes)
    checks = [
        *causal,
        judgements.judge_walk_forward(parts),
        judgements.judge_monte_carlo(monte_carlo, len(trades)),
        judgements.judge_significance(significance, len(trades), unfit),
        judgements.judge_deflated(deflated, len(daily)),
    ]
    remarks = (*bench.remarks, *filter(None, (simpler, unkept)))
    return ValidationReport(
        bench, result, metrics, checks, parts, monte_carlo, significance, deflated, tried, remarks,
        time.perf_counter() - began,
    )  # fmt: skip


def _check_numbers(options: ValidateOptions) -> None:
    limits = (
        ("--windows", options.windows, 2, WINDOWS_MAX),
        ("--runs", options.runs, 100, RUNS_MAX),
        ("--random-runs", options.random_runs, 20, RANDOM_RUNS_MAX),
        ("--trials", 1 if options.trials is None else options.trials, 1, TRIALS_MAX),
    )
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise ConfigError(f"{name} is {value:,}; it lies between {least:,} and {most:,}")
    if not 0 < options.ruin_pct < 100:
        raise ConfigError(f"--ruin-pct is {options.ruin_pct:f}; it lies between 0 and 100, both excluded")


def _ask(bench: Bench) -> _Asked | None:
    """What the strategy says over all candles; None for one with a state of its own."""
    from promethean.strategies.arrays import ArrayStrategy

    strategy = bench.strategy()
    if not isinstance(strategy, ArrayStrategy):
        return None
    frame = bench.frame()
    return _Asked(strategy, strategy.say(frame), frame)


def _judge_causality(bench: Bench, asked: _Asked | None, done: Done) -> list[Judgement]:
    """Look-ahead and warm-up."""
    from promethean.evaluation.causality import check_causality
    from promethean.evaluation.judgements import Judgement, Verdict, judge_look_ahead, judge_warm_up
    from promethean.strategies.arrays import ArrayStrategy, innermost

    if asked is None:
        words = "it has a state of its own and is shown one closed candle after the other"
        return [Judgement(name, Verdict.NOT_JUDGED, words) for name in CAUSAL]

    def make() -> ArrayStrategy:
        made = bench.strategy()
        assert isinstance(made, ArrayStrategy), "the same file makes the same class"
        return made

    unbounded = tuple(getattr(innermost(asked.strategy), "unbounded", ()))
    seed, count = bench.settings.app.seed, len(bench.candles)
    found = check_causality(make, asked.frame, asked.said, seed, judges_window=not unbounded, done=done)
    if not unbounded:
        return [judge_look_ahead(found, count), judge_warm_up(found, asked.strategy.window, count)]
    words = f"no window decides {', '.join(unbounded)}, which depends on all candles there ever were"
    return [judge_look_ahead(found, count), Judgement(CAUSAL[1], Verdict.NOT_JUDGED, words)]


def _against_random(
    bench: Bench, asked: _Asked | None, runs: int, done: Done
) -> tuple[RandomEntries | None, str | None, str | None]:
    """The strategy against random entries; why that cannot be; what was simplified for it."""
    from promethean.evaluation.random_entries import against_random

    if asked is None:
        return None, "its entries depend on a state of its own", None
    rules, simpler = _simple_rules(bench)
    reason = rules.needs_steps()
    if reason is not None:
        return None, f"the compiled loop does not know {reason}", None
    found = against_random(asked.strategy, asked.said, rules, asked.frame, runs, bench.settings.app.seed, done)
    told = f"significance compares {', '.join(simpler)}, for the strategy and the random entries alike"
    return found, None, told if simpler and found is not None else None


def _simple_rules(bench: Bench) -> tuple[Rules, list[str]]:
    """The rules that the compiled loop can carry, and in which they are simpler than those of the backtest."""
    from promethean.engine.desk import OnOpposite
    from promethean.evaluation.rules import Rules

    seat, simpler = desk_of(bench, None).seats[0], []
    if seat.order_type is not OrderType.MARKET:
        simpler.append("entries at market")
    if bench.file.limits:
        simpler.append("no limits of the file")
    if seat.can_short and seat.on_opposite is not OnOpposite.CLOSE:
        simpler.append("opposite signals that close")
    seat = replace(seat, order_type=OrderType.MARKET, on_opposite=OnOpposite.CLOSE)
    terms = dataclasses.replace(bench.terms, participation_max=FILLED_WHOLE)
    return Rules(seat, terms, bench.cash), simpler


def _daily_returns(bench: Bench, result: Backtest) -> FloatArray:
    """Returns of whole days, as the metrics take them."""
    import numpy as np

    from promethean.evaluation.metrics import daily_equity
    from promethean.evaluation.windows import daily_returns

    daily = daily_equity(result.equity, bench.candles.open_time_ns)
    daily[-1:] = float(result.books.cash)
    return daily_returns(np.concatenate(([float(bench.cash)], daily)))


def _deflate(returns: FloatArray, trials: int, sharpes: tuple[float, ...]) -> Deflated | None:
    """The Sharpe ratio beside what luck shows.  trials: forms tried.  sharpes: recorded, of some of them."""
    import numpy as np

    from promethean.evaluation.significance import deflate

    return deflate(returns, trials, float(np.var(sharpes, ddof=1)) if len(sharpes) >= SHARPES_NEEDED else None)


def validation_object(report: ValidationReport) -> dict[str, Any]:
    """The fields of `validate --json`."""
    bench, metrics = report.bench, report.metrics
    times = bench.candles.open_time_ns
    return {
        "strategy": bench.file.id,
        "symbol": bench.instrument.symbol,
        "timeframe": bench.timeframe,
        "data": bench.source,
        "tape": bench.tape_name,
        "finer": bench.finer,
        "candles": len(bench.candles),
        "from": format_instant(int(times[0])),
        "to": format_instant(int(times[-1])),
        "coverage_pct": 100 * bench.coverage,
        "remarks": list(report.remarks),
        "seed": bench.settings.app.seed,
        "refusals": sum(report.result.refusals.values()),
        "refusals_by_reason": dict(report.result.refusals),
        "trades": metrics.trades,
        "start_equity": bench.cash,
        "final_equity": report.result.books.cash,
        "return_pct": metrics.return_pct,
        "sharpe": metrics.sharpe,
        "sound": report.is_sound,
        "checks": [
            {"name": check.name, "verdict": str(check.verdict), "sentence": check.sentence} for check in report.checks
        ],
        "walk_forward": [_window_row(report, window) for window in report.walk_forward],
        "monte_carlo": _monte_carlo_object(report),
        "significance": _significance_object(report.significance),
        "deflated_sharpe": _deflated_object(report.deflated),
        "variants_tried": report.tried.forms,
        "seconds": report.seconds,
    }


def _window_row(report: ValidationReport, window: Window) -> dict[str, Any]:
    times = report.bench.candles.open_time_ns
    return {
        "from": format_instant(int(times[window.first])),
        "to": format_instant(int(times[window.stop - 1])),
        "trades": window.trades,
        "wins": window.wins,
        "return_pct": window.return_pct,
        "sharpe": window.sharpe,
        "max_drawdown_pct": window.max_drawdown_pct,
    }


def _monte_carlo_object(report: ValidationReport) -> dict[str, Any] | None:
    found, bench = report.monte_carlo, report.bench
    if found is None:
        return None
    times = bench.candles.open_time_ns
    days_a_trade = (int(times[-1]) - int(times[0])) / DAY_NS / report.metrics.trades
    cash = float(bench.cash)
    return {
        "runs": found.runs,
        "block_trades": found.block,
        "final_equity": _by_percentile({key: f"{cash * (1 + value):.2f}" for key, value in found.final_return.items()}),
        "final_return_pct": _by_percentile(found.final_return, 100),
        "max_drawdown_pct": _by_percentile(found.drawdown, 100),
        "time_under_water_pct": _by_percentile(found.under_water, 100),
        "longest_under_water_trades": _by_percentile(found.longest),
        "longest_under_water_days": _by_percentile(found.longest, days_a_trade),
        "ruin_loss_pct": 100 * found.ruin_loss,
        "ruin_probability_pct": 100 * found.ruin_probability,
        "loss_probability_pct": 100 * found.loss_probability,
    }


def _significance_object(found: RandomEntries | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "runs": found.runs,
        "trades": found.trades,
        "random_trades": found.random_trades,
        "profit_a_trade": f"{found.profit:.8f}",
        "random_profit_a_trade": _by_percentile({key: f"{value:.8f}" for key, value in found.random_profit.items()}),
        "p_value": found.p_value,
    }


def _deflated_object(found: Deflated | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "probability": found.probability,
        "probability_above_zero": found.above_zero,
        "sharpe_raw": found.sharpe,
        "sharpe": found.sharpe * YEAR,
        "luck_sharpe_raw": found.expected_maximum,
        "luck_sharpe": found.expected_maximum * YEAR,
        "days": found.days,
        "skewness": found.skewness,
        "kurtosis": found.kurtosis,
        "trials": found.trials,
        "trials_variance_raw": found.variance,
        "variance_from": "recorded trials" if found.is_recorded else "sampling error",
    }


def _by_percentile(values: Mapping[int, Any], factor: float | None = None) -> dict[str, Any]:
    return {f"p{key}": value if factor is None else factor * value for key, value in values.items()}
