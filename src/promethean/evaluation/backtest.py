"""One strategy over recorded candles: compiled where the rules allow it, step by step where they do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

import numpy as np
from msgspec import Struct

from promethean.domain.candles import CandleSeries, FloatArray
from promethean.domain.intrabar import Intrabar
from promethean.engine.desk import Desk
from promethean.evaluation.ledger import Books, equity_curve, keep_books
from promethean.evaluation.rules import FILL, Rules
from promethean.evaluation.stepped import SteppedBacktest
from promethean.exchanges.paper.venue import PaperTerms
from promethean.strategies.arrays import ArrayStrategy, Said
from promethean.strategies.conditions.program import NOTHING
from promethean.strategies.frame import Frame

NOTHING_FINER = Intrabar(np.empty(0, np.int64), *(np.empty(0) for _ in range(4)))
ROOM = 65_536  # fills to make space for at first


class Backtest(Struct, frozen=True):
    """What a backtest came to.

    books:    its fills, parts and trades.
    equity:   quote units at the close of every candle.
    stepped:  why every event went through the engine; None where the compiled loop found the fills.
    unknown:  at how many candles a condition could not be answered.
    refusals: how often an entry was refused, by the code of the control or of the venue; step by step a repetition is
              told once.
    """

    books: Books
    equity: FloatArray
    stepped: str | None
    unknown: int
    refusals: Mapping[str, int]


def backtest(
    strategy: ArrayStrategy | None,
    frame: Frame,
    desk: Callable[[], Desk],
    terms: PaperTerms,
    cash: Decimal,
    *,
    rules: Rules | None,
) -> Backtest:
    """Run one strategy over the candles of a frame.

    strategy: the array strategy; None for one that is asked at every event.
    desk:     makes the desk for the engine, where its steps are needed.
    rules:    for the compiled loop; None where limits other than those of research apply.
    """
    reason = "a strategy that is asked at every event" if strategy is None else None
    reason = reason or ("limits that the compiled loop does not know" if rules is None else rules.needs_steps())
    if strategy is not None and rules is not None and reason is None:
        said = strategy.say(frame)
        found = find_path(rules, said, frame.candles)
        if found is not None:
            books = keep_books(rules, said, frame.candles, found.fills)
            equity = equity_curve(float(cash), books, frame.candles.close)
            return Backtest(books, equity, None, said.unknown + found.unknown, found.refused)
        reason = "a candle too thin to fill an order whole, or an account that has next to nothing left"
    stepped = SteppedBacktest(desk(), terms, frame.candles, cash)
    books = stepped.run()
    equity = equity_curve(float(cash), books, frame.candles.close)
    return Backtest(books, equity, reason, stepped.unknown, stepped.refusals)


class Path(Struct, frozen=True):
    """The fills that the compiled loop found, as `trade_path` gives them, and where they left the account.

    unknown: at how many candles the condition on the position could not be answered.
    """

    fills: FloatArray
    refused: Mapping[str, int]
    cash: float
    held: float
    cost: float
    unknown: int


class Seen(Struct, frozen=True):
    """What the compiled loop knows of candles beforehand: a sweep looks once.

    heard: whether something trades in every candle.  step_ns: from each candle to the next; 0 where that differs.
    lows, highs: extremes of blocks of them.  prices: open, high, low, close.
    """

    heard: bool
    step_ns: int
    lows: FloatArray
    highs: FloatArray
    prices: tuple[FloatArray, FloatArray, FloatArray, FloatArray]

    @classmethod
    def of(cls, candles: CandleSeries, *, side_by_side: bool = False) -> Seen:
        """Looks through the candles.

        side_by_side: put the four prices of each candle beside each other, so that one comes with the others from
        memory: worth its copy where the candles are gone through a hundred times.
        """
        from promethean.evaluation._search import extremes

        steps = np.diff(candles.open_time_ns)
        is_steady = len(steps) > 0 and bool((steps == steps[0]).all())
        heard = bool((candles.volume > 0).all())
        prices = (candles.open, candles.high, candles.low, candles.close)
        if side_by_side:
            beside = np.stack(prices, axis=1)
            prices = (beside[:, 0], beside[:, 1], beside[:, 2], beside[:, 3])
        return cls(heard, int(steps[0]) if is_steady else 0, *extremes(candles.low, candles.high), prices)


def find_path(
    rules: Rules,
    said: Said,
    candles: CandleSeries,
    seen: Seen | None = None,
    fills: FloatArray | None = None,
    *,
    to_ruin: bool = False,
) -> Path | None:
    """Where one account fills; None where a candle is too thin for an order, or next to nothing is left of the account.

    seen:  what is known of the candles; None: look.
    to_ruin: whether a path is told up to where next to nothing is left.
    fills: room for fills, float64, shape (room, FILL), that the answer may be written into; None: make some.
    """
    from promethean.evaluation._kernels import (
        COOLED,
        REFUSALS,
        RUINED,
        TOO_MANY,
        TOO_THIN,
        UNKNOWN,
        room_to_work,
        trade_path,
    )

    targets, shares = rules.targets()
    seen = seen or Seen.of(candles)
    numbers = rules.numbers(heard=seen.heard, steady=seen.step_ns == rules.seat.timeframe_ns)
    stops = said.stop if said.stop is not None else np.empty(0)
    fixed = np.column_stack(said.targets) if said.targets else np.empty((0, 0))
    program = said.exit if said.exit is not None else NOTHING
    fills = np.empty((ROOM, FILL)) if fills is None else fills
    funding = rules.terms.funding
    owed = funding.owed(candles) if funding is not None else np.empty(0)
    finer = rules.terms.intrabar
    within = finer.within(candles, rules.seat.timeframe_ns) if finer is not None else np.empty((0, 2), np.int64)
    finer = finer if finer is not None else NOTHING_FINER
    while True:
        work = room_to_work(len(targets), fixed.shape[1])
        status, count, cash, held, cost = trade_path(
            candles.open_time_ns, *seen.prices, candles.volume,
            seen.lows, seen.highs, said.side, said.leave, stops, fixed, owed,
            within, finer.at_ns, finer.open, finer.low, finer.high, numbers, targets, shares, *program, *work, fills,
        )  # fmt: skip
        if status == TOO_THIN or (status == RUINED and not to_ruin):
            return None
        if status != TOO_MANY:
            counts = dict(zip(REFUSALS, work[1][COOLED:].tolist(), strict=True))
            refused = {code: times for code, times in counts.items() if times}
            return Path(fills[:count], refused, cash, held, cost, int(work[1][UNKNOWN]))
        fills = np.empty((4 * len(fills), FILL))
