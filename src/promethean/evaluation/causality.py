"""Whether a strategy says at a candle what it could have said then: no later candle, and no more than its window.

A strategy is an array function over a whole history.  Asked again over the history as it stood after a candle, it must
say the same there (look-ahead).  Asked over its declared window alone, as live trading asks it, it must say the same as
over everything before (warm-up).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import zip_longest

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray, IntArray, timeframe_ns
from promethean.strategies.arrays import CLOSES_LONG, CLOSES_SHORT, ArrayStrategy, Said
from promethean.strategies.frame import Frame

HISTORIES_MIN, HISTORIES_MAX, WINDOWS_MAX = 24, 200, 1_000
CANDLES_MAX = 60_000_000  # read in all by either kind of run, so that a year of minutes takes seconds
PRICE_NOISE, READING_NOISE = 1e-9, 1e-6
"""What float sums leave over another length: of a price, relative; of a reading, relative to its usual size."""
CONFIDENCE_NOISE = 2e-6  # a confidence may be rounded to six places, which noise tips over
READINGS_TOLD = 4
UNANSWERED = (ArithmeticError, IndexError, ValueError)


class Difference(Struct, frozen=True):
    """A candle at which two lengths of history are answered differently.

    at:       its number.  known_at_ns: its close.
    expected: what is said there over the longer history.
    found:    what is said there over the shorter one.
    candles:  how many the shorter one has.
    answered: whether there was an answer over the shorter one at all.
    """

    at: int
    known_at_ns: int
    expected: str
    found: str
    candles: int
    answered: bool = True


class Causality(Struct, frozen=True):
    """What asking again came to; None where nothing differed.

    histories: how often the strategy was asked over truncated history.  windows: how often over its window alone.
    """

    look_ahead: Difference | None
    warm_up: Difference | None
    histories: int
    windows: int


def check_causality(
    make: Callable[[], ArrayStrategy],
    frame: Frame,
    said: Said,
    seed: int,
    *,
    judges_window: bool,
    done: Callable[[int, int], None] = lambda *_: None,
) -> Causality:
    """Ask a strategy again over less than everything.

    make:          makes the strategy, new each time: what it remembers of another history must not help it.
    frame:         of all the candles.  said: what it says over them.
    seed:          of the candles at which it is asked; half of them are ones where it speaks.
    judges_window: False where no window decides what it says.
    done:          is told the questions asked and to ask.
    """
    asking = _Asking(make, frame, said)
    random = np.random.default_rng(seed)
    spoken = np.flatnonzero((said.side != 0) | (said.leave != 0))
    count = int(np.clip(CANDLES_MAX // max(1, len(frame)), HISTORIES_MIN, HISTORIES_MAX))
    cuts = _places(random, spoken, 0, len(frame), count).tolist()
    ends: list[int] = []
    if judges_window:
        count = int(np.clip(CANDLES_MAX // asking.window, HISTORIES_MIN, WINDOWS_MAX))
        ends = _places(random, spoken, asking.window, len(frame), count).tolist()
    total = len(cuts) + len(ends)
    for number, place in enumerate(cuts, 1):
        asking.ask_history(place)
        done(number, total)
    for number, place in enumerate(ends, len(cuts) + 1):
        asking.ask_window(place)
        done(number, total)
    return Causality(asking.look_ahead, asking.warm_up, asking.histories, asking.windows)


class _Asking:
    """Questions about shorter histories, and the first candle of each kind that was answered differently."""

    def __init__(self, make: Callable[[], ArrayStrategy], frame: Frame, said: Said) -> None:
        strategy = make()
        self.make, self.frame, self.said = make, frame, said
        self.window, self.timeframe = max(1, strategy.window), strategy.timeframe
        self.sizes = {name: _usual_size(values) for name, values in _readings(said).items()}
        self.look_ahead: Difference | None = None
        self.warm_up: Difference | None = None
        self.histories = self.windows = 0

    def ask_history(self, place: int) -> Said | None:
        """What is said over the candles up to a place, and remembered where it is not what was said over all."""
        self.histories += 1
        length = place + 1
        said, problem = self._say(place, length)
        if said is None:
            self._looks_ahead(place, length, problem, answered=False)
            return None
        whole = _cut(self.said, 0, length)
        differing = np.flatnonzero(_unlike(whole, said, self.sizes))
        if len(differing):
            first = int(differing[0])
            self._looks_ahead(first, length, _words(said, first, whole, first, self.sizes))
        return said

    def ask_window(self, place: int) -> None:
        """What is said at a place over the window that ends there, against the whole history before it."""
        if self.warm_up is not None and self.warm_up.at <= place:
            return
        self.windows += 1
        said, problem = self._say(place, self.window)
        if said is not None and not self._differs(self.said, said, place):
            return
        before = self.ask_history(place)  # is it the past that is missing, or the future?
        if before is None or (said is not None and not self._differs(before, said, place)):
            return
        expected = _words(before, place, said, -1, self.sizes)
        found = problem if said is None else _words(said, -1, before, place, self.sizes)
        self.warm_up = Difference(place, self._known_at(place), expected, found, self.window, said is not None)

    def _say(self, place: int, length: int) -> tuple[Said | None, str]:
        """The answer over the last `length` candles that end with a place; without one, why."""
        part = self.frame.part(max(0, place + 1 - length), place + 1)
        try:
            said = self.make().say(part)
        except UNANSWERED as error:
            return None, f"no answer ({type(error).__name__}: {error})"
        if len(said.side) != len(part):
            return None, f"{len(said.side):,} answers to {len(part):,} candles"
        return said, ""

    def _looks_ahead(self, place: int, length: int, found: str, *, answered: bool = True) -> None:
        if self.look_ahead is None or place < self.look_ahead.at:
            expected = _words(self.said, place, None, -1, self.sizes)
            self.look_ahead = Difference(place, self._known_at(place), expected, found, length, answered)

    def _differs(self, longer: Said, shorter: Said, place: int) -> bool:
        last = len(shorter.side) - 1
        return bool(_unlike(_cut(longer, place, place + 1), _cut(shorter, last, last + 1), self.sizes)[0])

    def _opens_at(self, place: int) -> int:
        return int(self.frame.candles.open_time_ns[place])

    def _known_at(self, place: int) -> int:
        return self._opens_at(place) + timeframe_ns(self.timeframe)


def _places(random: np.random.Generator, spoken: IntArray, first: int, stop: int, count: int) -> IntArray:
    """Up to `count` candles from `first` to before `stop`: half of them where it speaks, the others spread evenly."""
    if stop <= first:
        return np.empty(0, np.int64)
    speaking = spoken[(spoken >= first) & (spoken < stop)]
    if len(speaking) > count // 2:
        speaking = random.choice(speaking, count // 2, replace=False)
    edges = np.linspace(first, stop, count - len(speaking) + 1)
    spread = np.floor(random.uniform(edges[:-1], edges[1:])).astype(np.int64)
    return np.unique(np.concatenate((speaking, np.minimum(spread, stop - 1))))


def _usual_size(values: FloatArray) -> float:
    known = np.abs(values[np.isfinite(values)])
    return float(np.median(known)) if len(known) else 0.0


def _cut(said: Said, first: int, stop: int) -> Said:
    """The answers from one candle to before another."""
    part = slice(first, stop)
    return Said(
        said.side[part],
        said.leave[part],
        said.confidence[part],
        {name: values[part] for name, values in said.readings.items()},
        0,
        None if said.stop is None else said.stop[part],
        tuple(values[part] for values in said.targets),
        None if said.exit is None else said.exit.cut(first, stop),
    )


def _readings(said: Said) -> dict[str, FloatArray]:
    """The readings, and what the condition on the position looks at: with the position that is what it says."""
    rows = () if said.exit is None else said.exit.rows
    return {**said.readings, **{f"part {number} of the exit": row for number, row in enumerate(rows, 1)}}


def _unlike(one: Said, other: Said, sizes: Mapping[str, float]) -> NDArray[np.bool_]:
    """Where two answers to the same candles differ; bool, shape (n,)."""
    unlike: NDArray[np.bool_] = (one.side != other.side) | (one.leave != other.leave)
    speaks = (one.side != 0) | (one.leave != 0)
    unlike |= speaks & _apart(one.confidence, other.confidence, CONFIDENCE_NOISE, 1.0)
    unknown = np.broadcast_to(np.nan, len(one.side))
    for here, there in zip_longest((_stop(one), *one.targets), (_stop(other), *other.targets), fillvalue=unknown):
        unlike |= (one.side != 0) & _apart(here, there, PRICE_NOISE, 0.0)
    if _exits_differ(one, other):
        unlike |= one.side != 0  # an entry brings its exit along, like its stop
    readings, others = _readings(one), _readings(other)
    for name in {**readings, **others}:
        here, there = readings.get(name, unknown), others.get(name, unknown)
        unlike |= _apart(here, there, READING_NOISE, sizes.get(name, 0.0))
    return unlike


def _exits_differ(one: Said, other: Said) -> bool:
    """Whether the conditions on the position are other ones; what they look at is compared as readings are."""
    here, there = one.exit, other.exit
    if here is None or there is None:
        return here is not there
    if not np.array_equal(here.code, there.code) or len(here.constants) != len(there.constants):
        return True
    return bool(_apart(here.constants, there.constants, READING_NOISE, 0.0).any())


def _apart(one: FloatArray, other: FloatArray, noise: float, size: float) -> NDArray[np.bool_]:
    """Where two arrays differ by more than noise, of their own size or of `size`; NaN is like NaN."""
    if np.array_equal(one, other, equal_nan=True):  # nearly always, and much faster
        return np.zeros(len(one), np.bool_)
    with np.errstate(invalid="ignore"):
        near = np.abs(one - other) <= noise * np.maximum(np.maximum(np.abs(one), np.abs(other)), size)
    like: NDArray[np.bool_] = (one == other) | near | (np.isnan(one) & np.isnan(other))
    return ~like


def _stop(said: Said) -> FloatArray:
    return np.broadcast_to(np.nan, len(said.side)) if said.stop is None else said.stop


def _words(said: Said, at: int, other: Said | None, other_at: int, sizes: Mapping[str, float]) -> str:
    """What is said at a candle, with the readings in which the other answer differs, else the first few."""
    values, names = _readings(said), list(said.readings)
    if other is not None:
        others = _readings(other)
        differing = [name for name in values if _reads_differently(name, values, at, others, other_at, sizes)]
        names = differing or names
    readings = [f"{name} {values[name][at]:.6g}" for name in names[:READINGS_TOLD]]
    if other is not None and _exits_differ(said, other):
        readings.append(_exit_words(said))
    return " with ".join(filter(None, (_answer(said, at), ", ".join(readings))))


def _exit_words(said: Said) -> str:
    if said.exit is None:
        return "no condition on the position"
    return f"a condition on the position by {', '.join(f'{value:.6g}' for value in said.exit.constants)}"


def _reads_differently(
    name: str,
    values: Mapping[str, FloatArray],
    at: int,
    others: Mapping[str, FloatArray],
    other_at: int,
    sizes: Mapping[str, float],
) -> bool:
    if name not in others:
        return False
    here, there = values[name][at], others[name][other_at]
    return bool(_apart(np.array([here]), np.array([there]), READING_NOISE, sizes.get(name, 0.0))[0])


def _answer(said: Said, at: int) -> str:
    side, leave = int(said.side[at]), int(said.leave[at])
    words = []
    if leave:
        words.append({CLOSES_LONG: "CLOSE of longs", CLOSES_SHORT: "CLOSE of shorts"}.get(leave, "CLOSE"))
    if side:
        prices = [("stop", _stop(said)[at])] + [("target", values[at]) for values in said.targets]
        told = "".join(f", {name} {price:.8g}" for name, price in prices if not np.isnan(price))
        words.append(("BUY" if side > 0 else "SELL") + told)
    return f"{' and '.join(words)} at confidence {said.confidence[at]:.4g}" if words else "nothing"
