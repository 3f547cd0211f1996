"""Loops as machine code: the one way in which numba is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_LEAN: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, compiled at its first call and kept on disk for the next process.

    Division by zero gives infinity or NaN, as in numpy; sums are not reordered, so the result is the same on every
    machine.  numba is imported here and costs a second: kernels stand in modules whose name begins with `_`, which the
    scan for names leaves out, and are imported inside the function that needs them.
    """
    import numba

    made: Callable[P, R] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return made


def number(value: int) -> int:
    """A constant that compiled functions take as they take any number: for a Python one each is compiled on its own."""
    import numpy as np

    made: int = np.int64(value)  # type: ignore[assignment]  # what a number is there
    return made


def lean(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, compiled without counting who holds its arrays: it makes none and keeps none.

    numba counts at every call between compiled functions, which is a third of the time of a loop that calls many.
    """
    import numba

    made: Callable[P, R] = numba.njit(**_LEAN)(function)
    return made


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A lean function that becomes part of each that calls it: a call hands over every array as seven words."""
    import numba

    made: Callable[P, R] = numba.njit(**_LEAN, forceinline=True)(function)
    return made
