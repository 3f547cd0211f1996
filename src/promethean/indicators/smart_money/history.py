"""What the path-dependent ones of this family remember: their objects, and the last candles they look back at."""

from __future__ import annotations

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import State


def same_length(*columns: FloatArray) -> int:
    """How many candles the columns hold.  Raises ValueError when they do not hold equally many."""
    lengths = {len(column) for column in columns}
    if len(lengths) != 1:
        raise ValueError(f"the columns of candles are of one length, not of {sorted(lengths)}")
    return lengths.pop()


def prepared(*columns: FloatArray) -> tuple[FloatArray, ...]:
    """Copies of the columns, so that a kernel is compiled for one kind of array only.  Raises as `same_length`."""
    same_length(*columns)
    return tuple(np.array(column, dtype=np.float64) for column in columns)


def continued(
    state: State | None, fresh: FloatArray, tail: int, *columns: FloatArray
) -> tuple[FloatArray, tuple[FloatArray, ...]]:
    """A memory to write to, and the columns with the `tail` candles that came before them.

    state:   what `state_after` gave for the candles before, or None at the beginning.
    fresh:   float64, the memory at the beginning, of any shape.
    Returns: the memory in the shape of `fresh`, and float64 columns of shape (tail + n,); NaN stands for candles before
             the first one, so every comparison with one fails.
    Raises:  ValueError when the columns differ in length or the state is of other parameters.
    """
    same_length(*columns)
    if state is None:
        earlier = np.full((len(columns), tail), np.nan)
        memory = fresh.copy()
    else:
        length = fresh.size + len(columns) * tail
        if state.shape != (length,):
            raise ValueError(f"a state for these parameters has {length} numbers, not shape {state.shape}")
        memory = state[: fresh.size].reshape(fresh.shape).copy()
        earlier = state[fresh.size :].reshape(len(columns), tail)
    return memory, tuple(np.concatenate([before, column]) for before, column in zip(earlier, columns, strict=True))


def state_after(memory: FloatArray, tail: int, *columns: FloatArray) -> State:
    """The state that `continued` takes up: the memory, then the last `tail` candles of the columns it gave."""
    return np.concatenate([memory.ravel(), *(column[len(column) - tail :] for column in columns)])
