"""Searches for good parameters with Optuna: seeded, resumable, and by several processes at once."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import optuna
from msgspec import Struct
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning, TrialPruned, UpdateFinishedTrialError
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from promethean.domain.candles import FloatArray
from promethean.domain.errors import ConfigError
from promethean.domain.money import plain
from promethean.evaluation.judging import Judged
from promethean.evaluation.overfitting import block_sums
from promethean.evaluation.search_space import Space

SAMPLERS = ("tpe", "random", "grid")
STARTUP = 10  # trials at random before the model has something to go by
ATTEMPTS = 20  # of the model to name something new
GRID_MAX = 1_000_000
WAIT_S = 0.2
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
_RESULT, _REASON = "result", "reason"


class Tried(Struct, frozen=True):
    """A parameter set that was judged.

    picks:  places of its values in their ranges.  value: of the objective.
    result: the figures of its backtest by name, as JSON values.
    blocks: sums of its daily returns, as `block_sums` gives them.
    """

    picks: tuple[int, ...]
    parameters: Mapping[str, str]
    value: float
    result: Mapping[str, Any]
    blocks: FloatArray


class Found(Struct, frozen=True):
    """What a search came to.

    tried:  the best first.  pruned: how many sets were of no use, by reason.
    before: trials that were there when it began.
    """

    tried: list[Tried]
    pruned: Mapping[str, int]
    before: int

    @property
    def count(self) -> int:
        """Parameter sets that were tried, with those of no use."""
        return len(self.tried) + sum(self.pruned.values())


class SeededSampler(BaseSampler):
    """Draws every trial from the seed and its rank among the trials that did not fail, never one set twice.

    So a search that was killed and goes on proposes what it would have proposed, and two workers do not draw the same.
    kind: tpe, the tree of Parzen estimators over all parameters together; random; or grid, all sets in seeded order.
    """

    def __init__(self, kind: str, seed: int, space: Space) -> None:
        self._kind, self._seed, self._space = kind, seed, space
        self._distributions: dict[str, BaseDistribution] = {
            each.name: IntDistribution(0, len(each.values) - 1) for each in space.ranges
        }
        self._order = np.random.default_rng(seed).permutation(space.size) if kind == "grid" else None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All ranges: they are known from the beginning."""
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next set that nobody has tried."""
        others = [
            other
            for other in study.get_trials(deepcopy=False)
            if other.state is not TrialState.FAIL and other.number < trial.number
        ]
        tried = {picks for other in others if (picks := picks_of(other, self._space)) is not None}
        rng = np.random.default_rng([self._seed, len(others)])
        if self._order is not None:
            picks = next((p for n in self._order if (p := self._space.picks(int(n))) not in tried), None)
        elif self._kind == "tpe" and len(others) >= STARTUP:
            picks = self._modelled(study, trial, tried, int(rng.integers(2**31))) or self._drawn(rng, tried)
        else:
            picks = self._drawn(rng, tried)
        if picks is None:  # another worker has just taken the last one
            picks = self._space.picks(0)
        return dict(zip(self._distributions, picks, strict=True))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never asked: every range is sampled with the others."""
        raise AssertionError(f"{param_name} is not in the space")

    def _modelled(
        self, study: Study, trial: FrozenTrial, tried: set[tuple[int, ...]], seed: int
    ) -> tuple[int, ...] | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            model = TPESampler(seed=seed, multivariate=True, n_startup_trials=1)
        for _ in range(ATTEMPTS):
            drawn = model.sample_relative(study, trial, self._distributions)
            if not drawn:
                return None
            picks = tuple(int(drawn[name]) for name in self._distributions)
            if picks not in tried:
                return picks
        return None

    def _drawn(self, rng: np.random.Generator, tried: set[tuple[int, ...]]) -> tuple[int, ...] | None:
        for _ in range(10 * ATTEMPTS):
            if (picks := self._space.draw(rng)) not in tried:
                return picks
        left = [n for n in range(min(self._space.size, GRID_MAX)) if self._space.picks(n) not in tried]
        return self._space.picks(left[int(rng.integers(len(left)))]) if left else None


def make_sampler(kind: str, seed: int, space: Space) -> SeededSampler:
    """A sampler by its name.  Raises ConfigError for an unknown one, a seed below zero, and too large a grid."""
    if kind not in SAMPLERS:
        raise ConfigError(f"--sampler is {kind!r}; write one of {', '.join(SAMPLERS)}")
    if seed < 0:
        raise ConfigError(f"--seed is {seed}; write zero or a whole number above")
    if kind == "grid" and space.size > GRID_MAX:
        raise ConfigError(
            f"a grid of {space.size:,} combinations is larger than {GRID_MAX:,}; take wider steps, or --sampler tpe"
        )
    return SeededSampler(kind, seed, space)


def search(
    study: Study,
    space: Space,
    trials: int,
    judge: Callable[[Mapping[str, str]], Judged],
    done: Callable[[int], None] = lambda count: None,
) -> Found:
    """Try parameter sets until the study holds so many, or all of them; others may be at work on it too.

    judge: what a set is worth; a ConfigError says that it is of no use, and is kept as the reason.
    done:  is told how many the study holds, from time to time.
    """
    trials = min(trials, space.size)
    finished, running = _count(study)
    before = finished
    while finished < trials:
        done(finished)
        if finished + running < trials:
            _try_one(study, space, judge)
        else:  # the last ones are with other workers; who dies is replaced
            time.sleep(WAIT_S)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                optuna.storages.fail_stale_trials(study)
        finished, running = _count(study)
    done(trials)
    return read(study, space, before)


def _count(study: Study) -> tuple[int, int]:
    """Trials that are finished, and those that somebody is at."""
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    return sum(state in DONE for state in states), states.count(TrialState.RUNNING)


def _try_one(study: Study, space: Space, judge: Callable[[Mapping[str, str]], Judged]) -> None:
    answered: list[int] = []

    def objective(trial: Trial) -> float:
        picks = [trial.suggest_int(each.name, 0, len(each.values) - 1) for each in space.ranges]
        try:
            judged: Judged | ConfigError = judge(space.parameters(picks))
        except ConfigError as error:
            judged = error
        answered.append(trial.number)
        return _write(trial, judged)

    try:
        study.optimize(objective, n_trials=1)
    except UnboundLocalError as error:
        # Optuna puts it in front of what kept it from telling an outcome: a server that went away, or Ctrl-C.
        if error.__context__ is None:
            raise
        raise error.__context__ from None
    except (UpdateFinishedTrialError, ValueError):
        # A worker that slept was taken for dead, and another has its trial: what it found out comes too late.
        if not answered or study.get_trials(deepcopy=False)[answered[0]].state is not TrialState.FAIL:
            raise


def _write(trial: Trial, judged: Judged | ConfigError) -> float:
    """Keep what a set came to.  Returns its value; raises TrialPruned when it is of no use."""
    if isinstance(judged, ConfigError) or judged.value is None:
        trial.set_user_attr(_REASON, str(judged) if isinstance(judged, ConfigError) else judged.why)
        raise TrialPruned
    trial.set_user_attr(_RESULT, {**result_of(judged), "blocks": block_sums(judged.daily).tolist()})
    return judged.value


def result_of(judged: Judged) -> dict[str, Any]:
    """The figures of a judgement as JSON values, which have no infinity."""
    found = judged.metrics
    return {
        "trades": found.trades,
        "wins": found.wins,
        "final_equity": plain(judged.final_equity.quantize(Decimal("1e-8"))),
        "return_pct": found.return_pct,
        "max_drawdown_pct": found.max_drawdown_pct,
        "sharpe": found.sharpe,
        "sharpe_raw": found.sharpe_raw,
        "sortino": found.sortino,
        "profit_factor": "inf" if found.profit_factor == math.inf else found.profit_factor,
    }


def read(study: Study, space: Space, before: int = 0) -> Found:
    """What a study holds, the best first; of equal ones the earlier."""
    tried: dict[tuple[int, ...], Tried] = {}
    pruned: dict[tuple[int, ...], str] = {}
    for trial in study.get_trials(deepcopy=False, states=DONE):
        picks = picks_of(trial, space)
        assert picks is not None, "a finished trial has all its parameters"
        if trial.state is TrialState.PRUNED:
            pruned.setdefault(picks, trial.user_attrs[_REASON])
        elif picks not in tried:
            assert trial.value is not None, "a complete trial has its value"
            result = dict(trial.user_attrs[_RESULT])
            blocks = np.array(result.pop("blocks"), np.float64).reshape(-1, 3)
            tried[picks] = Tried(picks, space.parameters(picks), trial.value, result, blocks)
    reasons: dict[str, int] = {}
    for reason in pruned.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    ranked = sorted(tried.values(), key=lambda each: -each.value)
    return Found(ranked, dict(sorted(reasons.items(), key=lambda each: -each[1])), before)


def picks_of(trial: FrozenTrial, space: Space) -> tuple[int, ...] | None:
    """The places of a trial's values in their ranges; None while it has not got them all."""
    names: Sequence[str] = [each.name for each in space.ranges]
    if not all(name in trial.params for name in names):
        return None
    return tuple(int(trial.params[name]) for name in names)
