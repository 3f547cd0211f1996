"""Searches over figures that a formula gives: seeded, never twice the same set, and going on where they stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

import numpy as np
import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from promethean.domain.errors import ConfigError
from promethean.evaluation.judging import Judged
from promethean.evaluation.ledger import Books
from promethean.evaluation.metrics import measure
from promethean.evaluation.search import SAMPLERS, make_sampler, search
from promethean.evaluation.search_space import Space, read_space

SPACE = read_space(["a=0:20", "b=0:20"])


def judged(value: float | None, why: str | None = None) -> Judged:
    """A backtest without a trade that is worth so much."""
    none = np.array([], np.float64)
    books = Books(Decimal(1), Decimal(0), [], [], np.array([], np.int64), none, none, none)
    metrics = measure(books, np.ones(3), 1.0, np.arange(3, dtype=np.int64))
    return Judged(value, why, books.cash, metrics, np.zeros(40), None)


def hill(parameters: Mapping[str, str]) -> Judged:
    """Highest at a=13, b=7."""
    return judged(-((float(parameters["a"]) - 13) ** 2) - (float(parameters["b"]) - 7) ** 2)


def new_study(kind: str = "tpe", seed: int = 0, space: Space = SPACE, storage: object = None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        storage=storage,  # type: ignore[arg-type]  # None: in memory
        study_name="hill", direction="maximize", sampler=make_sampler(kind, seed, space), load_if_exists=True,
    )  # fmt: skip


def proposed(study: optuna.Study) -> list[tuple[int, ...]]:
    """The sets of all trials that came to an end, in their order."""
    return [tuple(trial.params.values()) for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_same_seed_proposes_the_same_and_another_seed_something_else(kind: str) -> None:
    ways = []
    for seed in (1, 1, 2):
        study = new_study(kind, seed)
        search(study, SPACE, 25, hill)
        ways.append(proposed(study))
    assert ways[0] == ways[1] != ways[2]


@pytest.mark.parametrize("kind", SAMPLERS)
def test_no_set_is_tried_twice_and_all_are_tried_at_last(kind: str) -> None:
    space = read_space(["a=10:15", "b=5:8"])
    study = new_study(kind, space=space)
    found = search(study, space, 1000, hill)
    assert (found.count, len(set(proposed(study))), len(study.trials)) == (24, 24, 24)
    assert found.tried[0].parameters == {"a": "13", "b": "7"}


def test_the_model_climbs_higher_than_chance() -> None:
    def best(kind: str) -> float:
        return sum(search(new_study(kind, seed), SPACE, 40, hill).tried[0].value for seed in range(5))

    assert best("tpe") > best("random")


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(kind: str) -> None:
    whole = new_study(kind)
    search(whole, SPACE, 30, hill)
    parts = new_study(kind)
    for stop_at in (5, 18):
        with pytest.raises(KeyboardInterrupt):
            search(parts, SPACE, 30, stopped_after(stop_at - len(proposed(parts))))
    found = search(parts, SPACE, 30, hill)
    assert found.before == 18
    assert proposed(parts) == proposed(whole)
    assert [trial.state.name for trial in parts.trials].count("FAIL") == 2


def stopped_after(count: int) -> Callable[[Mapping[str, str]], Judged]:
    left = [count]

    def judge(parameters: Mapping[str, str]) -> Judged:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return hill(parameters)

    return judge


def test_a_search_that_has_its_number_only_tells_it() -> None:
    study = new_study()
    first = search(study, SPACE, 12, hill)
    again = search(study, SPACE, 12, stopped_after(0))
    assert (again.before, again.count, len(study.trials)) == (12, 12, 12)
    assert [each.parameters for each in again.tried] == [each.parameters for each in first.tried]
    more = search(study, SPACE, 15, hill)
    assert (more.before, more.count) == (12, 15)


def test_sets_of_no_use_are_counted_with_their_reason() -> None:
    def judge(parameters: Mapping[str, str]) -> Judged:
        if float(parameters["a"]) >= 15:
            raise ConfigError("a is too large")
        return judged(None, "no trades") if float(parameters["b"]) > 15 else hill(parameters)

    found = search(new_study("random"), SPACE, 60, judge)
    assert set(found.pruned) == {"a is too large", "no trades"}
    assert found.count == len(found.tried) + sum(found.pruned.values()) == 60
    assert all(float(each.parameters["a"]) < 15 and float(each.parameters["b"]) <= 15 for each in found.tried)


def test_what_is_wrong_with_the_program_is_not_taken_for_a_useless_set() -> None:
    def judge(parameters: Mapping[str, str]) -> Judged:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        search(new_study(), SPACE, 5, judge)


@pytest.mark.parametrize("what", [KeyboardInterrupt, StorageInternalError])
def test_what_comes_while_an_outcome_is_told_is_not_hidden(
    what: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = new_study()

    def gone(*_: object, **__: object) -> None:
        raise what

    def judge(parameters: Mapping[str, str]) -> Judged:
        for name in ("set_trial_state_values", "get_trial"):
            monkeypatch.setattr(study._storage, name, gone)
        return judged(None, "no trades")

    monkeypatch.setattr("optuna.trial.Trial.set_user_attr", lambda *_: None)
    with pytest.raises(what):
        search(study, SPACE, 1, judge)


@pytest.mark.parametrize("useless", [False, True])
def test_a_worker_that_slept_and_was_taken_for_dead_goes_on(useless: bool) -> None:
    study = new_study()
    asked: list[Mapping[str, str]] = []

    def judge(parameters: Mapping[str, str]) -> Judged:
        asked.append(parameters)
        if len(asked) == 3:
            study.tell(study.trials[-1].number, state=TrialState.FAIL)  # as another worker does
            return judged(None, "no trades") if useless else hill(parameters)
        return hill(parameters)

    found = search(study, SPACE, 6, judge)
    assert (found.count, found.pruned) == (6, {})
    assert asked[2] == asked[3], "its trial is made again"


def test_the_best_come_first_with_what_they_came_to() -> None:
    found = search(new_study(), SPACE, 30, hill)
    values = [each.value for each in found.tried]
    assert values == sorted(values, reverse=True)
    assert found.tried[0].parameters == SPACE.parameters(found.tried[0].picks)
    assert found.tried[0].result["trades"] == 0
    assert found.tried[0].blocks.shape == (16, 3)


def test_progress_is_told_to_its_end() -> None:
    told: list[int] = []
    search(new_study(), SPACE, 7, hill, told.append)
    assert told == list(range(8))


@pytest.mark.parametrize(
    ("kind", "seed", "said"),
    [
        ("tp", 0, "--sampler is 'tp'; write one of tpe, random, grid"),
        ("tpe", -1, "--seed is -1; write zero or a whole number above"),
        ("grid", 0, r"a grid of 1,002,001 combinations is larger than 1,000,000; take wider steps"),
    ],
)
def test_a_sampler_that_cannot_be_made_is_refused(kind: str, seed: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_sampler(kind, seed, read_space(["a=0:1000", "b=0:1000"]))
