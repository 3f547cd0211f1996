"""What one parameter set of a strategy is worth on a stretch of candles, by the objective of a search."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from promethean.domain.candles import FloatArray
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.engine.desk import Desk
from promethean.evaluation.backtest import backtest
from promethean.evaluation.metrics import DAYS_A_YEAR, Metrics, daily_equity, measure
from promethean.evaluation.refusals import refusal_words
from promethean.evaluation.rules import Rules
from promethean.strategies.arrays import ArrayStrategy, Prepared, Said
from promethean.strategies.conditions.program import Program
from promethean.strategies.frame import Frame

FACTOR_MAX = 1000.0  # where nothing was lost the profit factor is infinite, which no search can climb
MEMO_BYTES_MAX = 512 * 2**20


def _calmar(found: Metrics) -> float | None:
    if not found.max_drawdown_pct or not found.days:
        return None
    return found.return_pct * DAYS_A_YEAR / found.days / -found.max_drawdown_pct


OBJECTIVES: Mapping[str, Callable[[Metrics], float | None]] = {
    "sharpe": lambda found: found.sharpe,
    "return": lambda found: found.return_pct,
    "profit_factor": lambda found: None if found.profit_factor is None else min(found.profit_factor, FACTOR_MAX),
    "sortino": lambda found: found.sortino,
    "calmar": _calmar,
}
"""What a search may climb: figures of `measure`; `calmar` is the return a year, not compounded, over the drawdown."""


class Stretch(Struct, frozen=True):
    """Candles from one number to before another."""

    start: int
    stop: int


class Variant(Struct, frozen=True):
    """A parameter set made ready.

    desk:     makes the desk for the engine, where its steps are needed.
    compiled: whether the compiled loop may be asked at all.
    """

    strategy: ArrayStrategy
    rules: Rules
    desk: Callable[[], Desk]
    compiled: bool


class Judged(Struct, frozen=True):
    """What a parameter set came to.

    value:   of the objective; None where it cannot be known or counts for nothing, and then `why` says so.
    daily:   returns of each UTC day, as a fraction of the equity before it.
    stepped: why the engine was stepped through; None where the compiled loop found the fills.
    """

    value: float | None
    why: str | None
    final_equity: Decimal
    metrics: Metrics
    daily: FloatArray
    stepped: str | None


class _Excerpt:
    """A strategy that says on a stretch what it says there on all candles, its indicators warm from the first on."""

    def __init__(self, strategy: ArrayStrategy, said: Said) -> None:
        self.id: StrategyId = strategy.id
        self.instrument: InstrumentId = strategy.instrument
        self.timeframe, self.window = strategy.timeframe, strategy.window
        self.strategy, self._said = strategy, said

    def say(self, frame: Frame) -> Said:
        return self._said

    def reason(self, said: Said, at: int) -> str:
        return self.strategy.reason(said, at)


class Judge:
    """Judges parameter sets on one stretch.

    frame:      of all candles, shared by every judge of a search: what it remembers of indicators serves them all.
    objective:  a key of OBJECTIVES.
    trades_min: with fewer trades a set counts for nothing.
    Raises ConfigError for an unknown objective.
    """

    def __init__(self, frame: Frame, stretch: Stretch, objective: str, trades_min: int) -> None:
        if objective not in OBJECTIVES:
            raise ConfigError(f"--objective: {unknown_name('objective', objective, OBJECTIVES)}")
        self._whole, self._stretch = frame, stretch
        self._objective, self._trades_min = objective, trades_min
        self._frame = frame
        if (stretch.start, stretch.stop) != (0, len(frame)):
            self._frame = frame.part(stretch.start, stretch.stop)

    def __call__(self, variant: Variant) -> Judged:
        """The outcome of a parameter set: the same trades as its backtest has."""
        said = variant.strategy.say(self._whole)
        if self._frame is not self._whole:
            said = excerpt(said, self._stretch)
        self._forget()
        speaker = _Excerpt(variant.strategy, said)
        found = backtest(
            speaker,
            self._frame,
            lambda: _spoken_by(variant.desk(), speaker, self._frame),
            variant.rules.terms,
            variant.rules.cash,
            rules=variant.rules if variant.compiled else None,
        )
        cash, times = float(variant.rules.cash), self._frame.candles.open_time_ns
        metrics = measure(found.books, found.equity, cash, times)
        ends = daily_equity(found.equity, times)
        ends[-1:] = float(found.books.cash)
        with_start = np.concatenate(([cash], ends))
        daily = np.diff(with_start) / with_start[:-1] if (with_start > 0).all() else np.array([])
        value, why = self._value(metrics)
        words = refusal_words(found.refusals)
        if not metrics.trades and words is not None:
            why = words.rstrip(".")
        return Judged(value, why, found.books.cash, metrics, daily, found.stepped)

    def _value(self, found: Metrics) -> tuple[float | None, str | None]:
        if found.trades < self._trades_min:
            return None, f"fewer than {self._trades_min} trades"
        value = OBJECTIVES[self._objective](found)
        if value is None or not math.isfinite(value):
            return None, f"no {self._objective.replace('_', ' ')} can be computed"
        return value, None

    def _forget(self) -> None:
        """A long search asks for more indicators than memory holds."""
        if len(self._whole.memo) * len(self._whole) * 8 > MEMO_BYTES_MAX:
            self._whole.memo.clear()


def _spoken_by(desk: Desk, speaker: _Excerpt, frame: Frame) -> Desk:
    return replace(desk, seats=(replace(desk.seats[0], strategy=Prepared(speaker, frame)),))


def excerpt(said: Said, stretch: Stretch) -> Said:
    """What is said on a stretch.  Candles at which nothing could be answered are not counted again."""
    part = slice(stretch.start, stretch.stop)

    def cut(value: Any) -> Any:
        if isinstance(value, Program):
            return value.cut(stretch.start, stretch.stop)
        if isinstance(value, np.ndarray):
            return value[part]
        if isinstance(value, tuple):
            return tuple(map(cut, value))
        if isinstance(value, Mapping):
            return {name: cut(each) for name, each in value.items()}
        return value

    return Said(**{name: cut(value) for name, value in msgspec.structs.asdict(said).items()})
