"""Sweeps: every combination of a strategy's parameters over the same candles."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from promethean.app.backtesting import BacktestOptions, Bench, desk_of, prepare, without_collector
from promethean.app.desk import find_strategy_file, load_strategy, paper_terms, with_filters
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError

if TYPE_CHECKING:
    from promethean.evaluation.rules import Rules
    from promethean.evaluation.sweep import Outcome
    from promethean.strategies.arrays import ArrayStrategy
    from promethean.strategies.file import StrategyFile

AGREES = 0.01  # quote units between the compiled loop and the books


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep came to.  confirmed: the best set, run again as a backtest, step by step."""

    bench: Bench
    outcomes: list[Outcome]
    seconds: float
    load_seconds: float
    confirmed: Confirmed | None


def run_sweep(
    settings: Settings, options: BacktestOptions, params: Sequence[str], done: Callable[[int, int], None]
) -> SweepReport:
    """Every combination of the parameters over the same candles; the best one is confirmed step by step.

    params: `period=6:24:2`, names of the file's parameters or paths of its other keys.
    done:   is told combinations done and to do.
    Raises ConfigError for what cannot be used, and for rules that only a backtest can carry.
    """
    from promethean.evaluation.stepped import SteppedBacktest

    began = time.perf_counter()
    bench = prepare(settings, options)
    loaded = time.perf_counter()
    outcomes = sweep_outcomes(bench, options, params, done)
    seconds = time.perf_counter() - loaded
    confirmed = None
    if outcomes:
        best = max(outcomes, key=lambda outcome: outcome.final_equity)
        chosen = dataclasses.replace(options, overrides={**options.overrides, **best.parameters})
        file = load_strategy(find_strategy_file(settings, options.strategy), chosen.overrides)
        again = _varied(bench, file)
        books = SteppedBacktest(desk_of(again, again.candles), again.terms, again.candles, again.cash).run()
        confirmed = Confirmed(best, len(books.trades), books.cash)
    return SweepReport(bench, outcomes, seconds, loaded - began, confirmed)


def sweep_outcomes(
    bench: Bench, options: BacktestOptions, params: Sequence[str], done: Callable[[int, int], None] = lambda *_: None
) -> list[Outcome]:
    """The outcome of every combination; arguments and errors as in `run_sweep`."""
    from promethean.evaluation.sweep import combinations, parse_range, sweep
    from promethean.strategies.frame import Frame

    ranges = [parse_range(text) for text in params]
    if not ranges:
        raise ConfigError("there is nothing to vary; give for example --param period=6:24:2")
    wanted = list(combinations(ranges))
    frame = Frame(bench.candles, bench.timeframe)
    with without_collector():
        return sweep(_variants(bench, options, wanted), frame, lambda count: done(count, len(wanted)))


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The best outcome of a sweep beside its backtest through the engine.  final_equity: quote units."""

    best: Outcome
    trades: int
    final_equity: Decimal


def _variants(
    bench: Bench, options: BacktestOptions, wanted: Sequence[Mapping[str, str]]
) -> Iterator[tuple[Mapping[str, str], ArrayStrategy, Rules]]:
    """Strategy and rules of every combination; the file is read again only where a key of it changes."""
    from promethean.evaluation.rules import Rules
    from promethean.strategies.arrays import ArrayStrategy
    from promethean.strategies.conditional import ConditionStrategy

    path = find_strategy_file(bench.settings, options.strategy)
    own = set(bench.file.parameters)
    strategy = bench.strategy()
    if not isinstance(strategy, ArrayStrategy):
        raise ConfigError(f"{bench.file.id} has a state of its own and is stepped candle by candle; use backtest --set")
    rules = Rules(desk_of(bench, None).seats[0], bench.terms, bench.cash)
    for parameters in wanted:
        file = bench.file
        if not set(parameters) <= own or not isinstance(strategy, ConditionStrategy):
            file = load_strategy(path, {**options.overrides, **parameters})
            varied = _varied(bench, file)
            made = varied.strategy()
            assert isinstance(made, ArrayStrategy), "the class does not change with a parameter"
            rules_of = Rules(desk_of(varied, None).seats[0], varied.terms, bench.cash)
        else:
            values = {**bench.file.parameters, **{name: Decimal(value) for name, value in parameters.items()}}
            made, rules_of = strategy.at(values), rules
        reason = "limits that the file sets" if file.limits else rules_of.needs_steps()
        if reason is not None:
            raise ConfigError(f"a sweep does not know {reason}; use backtest for it")
        yield parameters, made, rules_of


def _varied(bench: Bench, file: StrategyFile) -> Bench:
    """The same candles under another form of the strategy file, which may change the venue and its filters too."""
    instrument = with_filters(bench.instrument, file.simulation)
    terms = paper_terms(bench.settings, instrument, file.simulation)
    return dataclasses.replace(bench, file=file, instrument=instrument, terms=terms)


def sweep_object(report: SweepReport, top: int) -> dict[str, Any]:
    """The fields of `sweep --json` (DESIGN section 5)."""
    bench, count = report.bench, len(report.outcomes)
    ranked = sorted(report.outcomes, key=lambda outcome: outcome.final_equity, reverse=True)
    confirmed = report.confirmed
    return {
        "strategy": bench.file.id,
        "symbol": bench.instrument.symbol,
        "data": bench.source,
        "candles": len(bench.candles),
        "remarks": list(bench.remarks),
        "combinations": count,
        "trades": sum(outcome.trades for outcome in report.outcomes),
        "seconds": report.seconds,
        "load_seconds": report.load_seconds,
        "seconds_per_combination": report.seconds / count,
        "candles_per_s": count * len(bench.candles) / report.seconds,
        "start_equity": bench.cash,
        "top": [_outcome_row(outcome) for outcome in ranked[:top]],
        "confirmed": None
        if confirmed is None
        else {
            "parameters": dict(confirmed.best.parameters),
            "trades": confirmed.trades,
            "final_equity": confirmed.final_equity,
            "agrees": confirmed.trades == confirmed.best.trades
            and abs(float(confirmed.final_equity) - confirmed.best.final_equity) <= AGREES,
        },
    }


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "parameters": dict(outcome.parameters),
        "trades": outcome.trades,
        "wins": outcome.wins,
        "final_equity": f"{outcome.final_equity:.2f}",
        "return_pct": outcome.return_pct,
    }
