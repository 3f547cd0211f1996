"""Sweeps: every combination of a strategy's parameters over the same candles."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from promethean.app.backtesting import BacktestOptions, Bench, desk_of, prepare, without_collector
from promethean.app.desk import find_strategy_file, load_strategy, paper_terms, with_filters
from promethean.app.variants import remember
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.evaluation.refusals import refusal_words
from promethean.runtime.memory import keep_freed_memory

if TYPE_CHECKING:
    from promethean.evaluation.ledger import Books
    from promethean.evaluation.rules import Rules
    from promethean.evaluation.sweep import Outcome
    from promethean.storage.variants import Tried
    from promethean.strategies.arrays import ArrayStrategy
    from promethean.strategies.file import StrategyFile

AGREES = 0.01  # quote units between the compiled loop and the books


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep came to.

    confirmed: the best set, run again as a backtest, step by step.
    tried:     on the same data with the same strategy by now.  unkept: why that is not on record, if it is not.
    """

    bench: Bench
    outcomes: list[Outcome]
    seconds: float
    load_seconds: float
    confirmed: Confirmed | None
    tried: Tried
    unkept: str | None


def run_sweep(
    settings: Settings, options: BacktestOptions, params: Sequence[str], done: Callable[[int, int], None]
) -> SweepReport:
    """Every combination of the parameters over the same candles; the best one is confirmed step by step.

    All of them are kept on record as tried.

    params: `period=6:24:2`, names of the file's parameters or paths of its other keys.
    done:   is told combinations done and to do.
    Raises ConfigError for what cannot be used, and for rules that only a backtest can carry.
    """
    began = time.perf_counter()
    bench = prepare(settings, options)
    loaded = time.perf_counter()
    outcomes = sweep_outcomes(bench, options, params, done)
    seconds = time.perf_counter() - loaded
    confirmed = None
    if outcomes:
        best = max(outcomes, key=lambda outcome: outcome.final_equity)
        books = stepped_books(bench, options, best.parameters)
        confirmed = Confirmed(best, len(books.trades), books.cash)
    tried, unkept = remember(bench, "sweep", None, forms=len(outcomes), varied=params)
    return SweepReport(bench, outcomes, seconds, loaded - began, confirmed, tried, unkept)


def sweep_outcomes(
    bench: Bench, options: BacktestOptions, params: Sequence[str], done: Callable[[int, int], None] = lambda *_: None
) -> list[Outcome]:
    """The outcome of every combination; arguments and errors as in `run_sweep`."""
    from promethean.evaluation.sweep import combinations, parse_range, sweep

    ranges = [parse_range(text) for text in params]
    if not ranges:
        raise ConfigError("there is nothing to vary; give for example --param period=6:24:2")
    wanted = list(combinations(ranges))
    frame = bench.frame()
    keep_freed_memory()
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
    """Strategy and rules of every combination."""
    variants = Variants(bench, options)
    for parameters in wanted:
        made = variants.made_with(parameters)
        reason = "limits that the file sets" if made.bench.file.limits else made.rules.needs_steps()
        if reason is not None:
            raise ConfigError(f"a sweep does not know {reason}; use backtest for it")
        yield parameters, made.strategy, made.rules


@dataclass(frozen=True, slots=True)
class Made:
    """A strategy file with other values: at its market, with its rules.  bench: the candles under these values."""

    bench: Bench
    strategy: ArrayStrategy
    rules: Rules


class Variants:
    """A strategy file with other values, again and again; it is read again only where a key of it changes.

    Raises ConfigError for a strategy that is no array function.
    """

    def __init__(self, bench: Bench, options: BacktestOptions) -> None:
        from promethean.evaluation.rules import Rules
        from promethean.strategies.arrays import ArrayStrategy

        self._bench, self._options = bench, options
        self._path = find_strategy_file(bench.settings, options.strategy)
        strategy = bench.strategy()
        if not isinstance(strategy, ArrayStrategy):
            raise ConfigError(
                f"{bench.file.id} has a state of its own and is stepped candle by candle; use backtest --set"
            )
        self._strategy = strategy
        self._rules = Rules(desk_of(bench, None).seats[0], bench.terms, bench.cash)

    def made_with(self, parameters: Mapping[str, str]) -> Made:
        """The strategy with these values.  Raises ConfigError for a name or a value that it refuses."""
        from promethean.evaluation.rules import Rules
        from promethean.strategies.arrays import ArrayStrategy
        from promethean.strategies.conditional import ConditionStrategy

        bench = self._bench
        if set(parameters) <= set(bench.file.parameters) and isinstance(self._strategy, ConditionStrategy):
            values = {**bench.file.parameters, **{name: Decimal(value) for name, value in parameters.items()}}
            return Made(bench, self._strategy.at(values), self._rules)
        file = load_strategy(self._path, {**self._options.overrides, **parameters})
        bench = _varied(bench, file)
        made = bench.strategy()
        assert isinstance(made, ArrayStrategy), "the class does not change with a parameter"
        return Made(bench, made, Rules(desk_of(bench, None).seats[0], bench.terms, bench.cash))


def stepped_books(bench: Bench, options: BacktestOptions, parameters: Mapping[str, str]) -> Books:
    """The books of the strategy with these values, every event through the engine."""
    from promethean.evaluation.stepped import SteppedBacktest

    path = find_strategy_file(bench.settings, options.strategy)
    again = _varied(bench, load_strategy(path, {**options.overrides, **parameters}))
    return SteppedBacktest(desk_of(again, again.candles), again.terms, again.candles, again.cash).run()


def _varied(bench: Bench, file: StrategyFile) -> Bench:
    """The same candles under another form of the strategy file, which may change the venue and its filters too."""
    instrument = with_filters(bench.instrument, file.simulation)
    terms = paper_terms(bench.settings, instrument, file.simulation)
    terms = dataclasses.replace(terms, funding=bench.terms.funding, intrabar=bench.terms.intrabar)
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
        "tape": bench.tape_name,
        "finer": bench.finer,
        "candles": len(bench.candles),
        "remarks": [*bench.remarks, *filter(None, (report.unkept,)), *_silent(report.outcomes)],
        "variants_tried": report.tried.forms,
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


def _silent(outcomes: Sequence[Outcome]) -> list[str]:
    """That some sets made no trade because every entry was refused, and why."""
    refused = Counter[str]()
    silent = [outcome for outcome in outcomes if not outcome.trades and outcome.refused]
    for outcome in silent:
        refused.update(outcome.refused)
    words = refusal_words(refused)
    return [] if words is None else [f"{len(silent):,} of {len(outcomes):,} sets made no trade. {words.rstrip('.')}"]


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "parameters": dict(outcome.parameters),
        "trades": outcome.trades,
        "wins": outcome.wins,
        "final_equity": f"{outcome.final_equity:.2f}",
        "return_pct": outcome.return_pct,
    }
