"""Optimisation: good parameters for a strategy file, searched with Optuna on our PostgreSQL, and doubted."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import promethean
from promethean.app.backtesting import BacktestOptions, Bench, desk_of, prepare, without_collector
from promethean.app.database import Postgres
from promethean.app.sweeping import Variants, stepped_books
from promethean.app.variants import remember
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError, StoreError
from promethean.domain.money import plain

if TYPE_CHECKING:
    from promethean.evaluation.judging import Judged, Stretch, Variant
    from promethean.evaluation.ledger import Books
    from promethean.evaluation.search import Found, Tried
    from promethean.evaluation.search_space import Space
    from promethean.evaluation.walk_forward import Fold
    from promethean.storage import variants
    from promethean.storage.studies import Studies
    from promethean.strategies.frame import Frame

TRIALS_MAX = 100_000
PROBES = 20
RECONNECTS_MAX, RECONNECT_S = 5, 1.0
NAME_MAX = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `optimize` was asked for, beside the backtest.

    params:       `period=6:24:2`; none: every number among the file's parameters, around its value.
    trials:       parameter sets to try, on all candles and in each fold.
    walk_forward: folds; 0: none.
    study:        name under which the search is kept; None: one made of what the search is made of.
    trades_min:   with fewer trades a set counts for nothing.
    """

    params: tuple[str, ...] = ()
    trials: int = 100
    objective: str = "sharpe"
    walk_forward: int = 0
    study: str | None = None
    sampler: str = "tpe"
    seed: int = 0
    trades_min: int = 10


@dataclass(frozen=True, slots=True)
class FoldReport:
    """One fold.  best: the set chosen inside, None where none was of use; inside, outside: what it came to there."""

    fold: Fold
    best: Tried | None
    inside: Judged | None
    outside: Judged | None


@dataclass(frozen=True, slots=True)
class OptimizeReport:
    """What a search came to.

    best:       the best set, judged again.  books: of the best set, every event through the engine.
    neighbours: sets one value away from the best, with their objective; None where they are of no use.
    tried:      on the same data with the same strategy by now.  unkept: why that is not on record, if it is not.
    seconds:    of the search in this process, with the confirmation; load_seconds: of reading the data.
    """

    bench: Bench
    wanted: Wanted
    study: str
    space: Space
    found: Found
    folds: list[FoldReport]
    best: Judged
    books: Books
    neighbours: list[tuple[Mapping[str, str], float | None]]
    tried: variants.Tried
    unkept: str | None
    seconds: float
    load_seconds: float


def run_optimize(
    settings: Settings, options: BacktestOptions, wanted: Wanted, done: Callable[[int, int], None]
) -> OptimizeReport:
    """Search for good parameters; what was tried is kept, and the same search goes on where it was stopped.

    done: is told trials done and to do.
    Raises ConfigError for what cannot be used, and when no parameter set is of use; StoreError when the database
    stays away.
    """
    _check(wanted)
    began = time.perf_counter()
    bench = prepare(settings, options)
    loaded = time.perf_counter()
    hunt = _Hunt(bench, options, wanted, done)
    found, folds = hunt.search(settings)
    varied = (hunt.name, *map(str, hunt.space.ranges))
    tried, unkept = remember(bench, "optimize", None, forms=found.count, varied=varied)
    if not found.tried:
        raise ConfigError(_of_no_use(found))
    parameters = found.tried[0].parameters
    best = hunt.judge(hunt.whole)(parameters)
    neighbours = hunt.neighbours(found)
    with without_collector():
        books = stepped_books(bench, options, parameters)
    seconds = time.perf_counter() - loaded
    return OptimizeReport(
        bench, wanted, hunt.name, hunt.space, found, folds, best, books, neighbours, tried, unkept,
        seconds, loaded - began,
    )  # fmt: skip


def _check(wanted: Wanted) -> None:
    from promethean.evaluation.judging import OBJECTIVES

    if wanted.objective not in OBJECTIVES:
        raise ConfigError(f"--objective is {wanted.objective!r}; write one of {', '.join(OBJECTIVES)}")
    if not 1 <= wanted.trials <= TRIALS_MAX:
        raise ConfigError(f"--trials is {wanted.trials}; write a number from 1 to {TRIALS_MAX:,}")
    if wanted.trades_min < 1:
        raise ConfigError(f"--trades-min is {wanted.trades_min}; write 1 or more")
    name = wanted.study
    if name is not None and not (name.strip() and name.isprintable() and len(name) <= NAME_MAX):
        raise ConfigError(f"--study is {name[:NAME_MAX]!r}; a name has 1 to {NAME_MAX} printable characters")


def _of_no_use(found: Found) -> str:
    reason, count = next(iter(found.pruned.items()))
    return (
        f"none of {found.count} parameter sets is of use; {count} times: {reason}; choose other ranges, more candles, "
        "or --trades-min 1"
    )


class _Hunt:
    """One search: what is varied, on what, and under which name it is kept."""

    def __init__(
        self, bench: Bench, options: BacktestOptions, wanted: Wanted, done: Callable[[int, int], None]
    ) -> None:
        from promethean.evaluation.judging import Stretch
        from promethean.evaluation.search import make_sampler
        from promethean.evaluation.search_space import read_space, space_around
        from promethean.evaluation.walk_forward import make_folds

        self._bench, self._wanted, self._done = bench, wanted, done
        self._variants = Variants(bench, options)
        self.space = read_space(wanted.params) if wanted.params else space_around(bench.file.parameters)
        make_sampler(wanted.sampler, wanted.seed, self.space)
        self._frame = bench.frame()
        self.whole = Stretch(0, len(bench.candles))
        count = wanted.walk_forward
        self._folds = make_folds(bench.candles.open_time_ns, count) if count else []
        self._probe()
        self.name = wanted.study or self._own_name()

    def judge(self, stretch: Stretch, trades_min: int | None = None) -> Callable[[Mapping[str, str]], Judged]:
        """What a parameter set is worth on a stretch.  trades_min: None: as wanted."""
        from promethean.evaluation.judging import Judge

        least = self._wanted.trades_min if trades_min is None else trades_min
        judge = Judge(self._frame, stretch, self._wanted.objective, least)

        def judged(parameters: Mapping[str, str]) -> Judged:
            with without_collector():  # for one backtest, not for a search of hours: what surrounds it makes cycles
                return judge(self._variant(parameters))

        return judged

    def _variant(self, parameters: Mapping[str, str]) -> Variant:
        from promethean.evaluation.judging import Variant

        made = self._variants.made_with(parameters)
        return Variant(made.strategy, made.rules, lambda: desk_of(made.bench, None), not made.bench.file.limits)

    def _probe(self) -> None:
        """Some set has to be possible, or a name or a range is wrong.  Raises ConfigError as the first of them does."""
        import numpy as np

        rng = np.random.default_rng(self._wanted.seed)
        ends = [self.space.picks(0), self.space.picks(self.space.size - 1)]
        refused: ConfigError | None = None
        for picks in (*ends, *(self.space.draw(rng) for _ in range(PROBES))):
            try:
                self._variant(self.space.parameters(picks)).strategy.say(self._no_candles())
            except ConfigError as error:
                refused = refused or error
            else:
                return
        assert refused is not None, "there is at least one set"
        raise refused

    def _no_candles(self) -> Frame:
        """Indicators refuse their parameters even over no candles at all."""
        return self._frame.part(0, 0)

    def search(self, settings: Settings) -> tuple[Found, list[FoldReport]]:
        """Search on our PostgreSQL; when the server goes away, go on at the one that takes its place."""
        from promethean.storage.studies import Studies

        started = datetime.now(UTC)
        ssl_mode = None if settings.postgres.url is None else settings.postgres.ssl_mode
        with Postgres(settings) as postgres:
            for left in reversed(range(RECONNECTS_MAX)):
                try:
                    with Studies(postgres.dsn, ssl_mode) as studies:
                        return self._search(studies, started if postgres.is_ours else None)
                except Studies.lost as error:
                    if not left:
                        raise StoreError(f"the database went away {RECONNECTS_MAX} times: {error}") from error
                    time.sleep(RECONNECT_S)
                    postgres.find_again()
                    started = datetime.now(UTC)
        raise AssertionError("every way out is above")

    def _search(self, studies: Studies, since: datetime | None) -> tuple[Found, list[FoldReport]]:
        from promethean.evaluation.search import make_sampler, search

        sampler = make_sampler(self._wanted.sampler, self._wanted.seed, self.space)
        trials = min(self._wanted.trials, self.space.size)
        total = trials * (1 + len(self._folds))

        def one(name: str, stretch: Stretch, before: int) -> Found:
            study = studies.study(name, self._made_of(stretch), sampler)
            if since is not None:
                studies.release_dead(study, since)
            return search(study, self.space, trials, self.judge(stretch), lambda done: self._done(before + done, total))

        found = one(self.name, self.whole, 0)
        folds = []
        for number, fold in enumerate(self._folds, 1):
            inside = one(f"{self.name}, fold {number} of {len(self._folds)}", fold.inside, number * trials)
            folds.append(self._fold_report(fold, inside))
        return found, folds

    def _fold_report(self, fold: Fold, inside: Found) -> FoldReport:
        if not inside.tried:
            return FoldReport(fold, None, None, None)
        best = inside.tried[0]
        return FoldReport(
            fold, best, self.judge(fold.inside)(best.parameters), self.judge(fold.outside, 0)(best.parameters)
        )

    def neighbours(self, found: Found) -> list[tuple[Mapping[str, str], float | None]]:
        """The sets one value away from the best, and what they are worth."""
        known = {each.picks: each.value for each in found.tried}
        judge = self.judge(self.whole)
        answers: list[tuple[Mapping[str, str], float | None]] = []
        for picks in self.space.neighbours(found.tried[0].picks):
            parameters = self.space.parameters(picks)
            try:
                value = known[picks] if picks in known else judge(parameters).value
            except ConfigError:
                value = None
            answers.append((parameters, value))
        return answers

    def _made_of(self, stretch: Stretch) -> dict[str, str]:
        """What the results of a study depend on, in words."""
        from promethean.domain.instants import format_instant

        bench, wanted = self._bench, self._wanted
        times = bench.candles.open_time_ns
        first, last = (format_instant(int(times[place])) for place in (stretch.start, stretch.stop - 1))
        start = "" if not stretch.start else f", indicators from {format_instant(int(times[0]))} on"
        return {
            "strategy": f"{bench.file.id}, content {bench.file.config_hash[:16]}",
            "data": f"{bench.instrument.symbol} {bench.timeframe}, content {bench.sha256[:16]}",
            "candles": f"{stretch.stop - stretch.start:,} from {first} to {last}{start}",
            "ranges": "; ".join(f"{each}, content {_digest(each.values)[:8]}" for each in self.space.ranges),
            "objective": f"{wanted.objective}, of {wanted.trades_min} trades and more",
            **({} if bench.tape is None else {"tape": f"content {bench.tape.sha256[:16]}"}),
            **({} if bench.terms.intrabar is None else {"finer": f"content {bench.terms.intrabar.sha256[:16]}"}),
            "cash": plain(bench.cash),
            "orders": f"content {_digest(self._orders())[:16]}",
            "program": promethean.__version__,
        }

    def _orders(self) -> list[str]:
        """How orders are made and filled, which the settings have a part in."""
        (seat,) = desk_of(self._bench, None).seats
        how = (seat.order_type, seat.aggregation, seat.threshold, seat.sizing, seat.protection, seat.cooldown_ns)
        return [str(part) for part in (self._bench.terms, self._bench.instrument, seat.slippage_tolerance, *how)]

    def _own_name(self) -> str:
        """A name that the same search, and only it, comes to again."""
        made_of = [self._made_of(self.whole), self._wanted.sampler, self._wanted.seed]
        return f"{self._bench.file.id}-{_digest(made_of)[:12]}"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
