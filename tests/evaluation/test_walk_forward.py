"""Folds roll forward, never look ahead, and cover the end of the candles without a hole."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.errors import ConfigError
from promethean.domain.instants import DAY_NS
from promethean.evaluation.walk_forward import make_folds

HOUR_NS = DAY_NS // 24


@given(st.integers(1, 20), st.integers(1200, 5000))
def test_every_fold_is_judged_on_what_follows_it(count: int, candles: int) -> None:
    folds = make_folds(HOUR_NS * np.arange(candles, dtype=np.int64), count)
    assert len(folds) == count
    assert (folds[0].inside.start, folds[-1].outside.stop) == (0, candles)
    for fold in folds:
        assert fold.inside.start < fold.inside.stop == fold.outside.start < fold.outside.stop
    for before, after in pairwise(folds):
        assert before.outside.stop == after.outside.start, "every candle is judged on at most once"


@pytest.mark.parametrize(
    ("count", "days", "said"),
    [
        (0, 100, "--walk-forward is 0; write a number from 1 to 100"),
        (-1, 100, "--walk-forward is -1"),
        (101, 1000, "--walk-forward is 101"),
        (6, 10, r"cuts 10\.0 days into 9 parts of 1\.1 days, and each needs 2; give 1 or fewer"),
        (6, 3, "give more candles"),
    ],
)
def test_parts_that_are_too_short_are_refused_with_what_would_do(count: int, days: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_folds(HOUR_NS * np.arange(24 * days, dtype=np.int64), count)
