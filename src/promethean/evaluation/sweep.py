"""Many parameter sets of one strategy over the same candles, each in one compiled pass (DESIGN section 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import product

import numpy as np
from msgspec import Struct

from promethean.domain.candles import CandleSeries
from promethean.domain.errors import ConfigError
from promethean.domain.market import Side
from promethean.evaluation.backtest import ROOM, Path, Seen, find_path
from promethean.evaluation.rules import ENTRY, FILL, REVERSAL, Rules
from promethean.exchanges.paper.pricing import taken_price
from promethean.strategies.arrays import ArrayStrategy
from promethean.strategies.frame import Frame

VALUES_MAX, COMBINATIONS_MAX = 10_000, 1_000_000
NOISE = 1e-14  # of the cash: what floats may leave of a trade that came out even

KEPT_MIN, KEPT_BYTES = 16, 192 * 2**20  # results of indicators and conditions that a sweep keeps


class Outcome(Struct, frozen=True):
    """What one parameter set came to, in float64: within a cent of its backtest.

    parameters: by name, in the order in which they were asked for.  Amounts in quote units.
    refused:    how often an entry was refused, by the code of the control.
    """

    parameters: Mapping[str, str]
    trades: int
    wins: int
    final_equity: float
    return_pct: float
    refused: Mapping[str, int]


def parse_range(text: str) -> tuple[str, tuple[str, ...]]:
    """`period=6:24:2` or `low=20,25,30` as a name and its values, ends included.

    Raises ConfigError for another form, a step of zero, or more than 10,000 values.
    """
    name, sign, values = text.partition("=")
    name = name.strip()
    try:
        if sign and name and ":" in values:
            start, stop, step = (_finite(part) for part in values.split(":"))
            count = int((stop - start) / step) + 1 if step and (stop - start) / step >= 0 else 0
            if 0 < count <= VALUES_MAX:
                return name, tuple(format(start + step * number, "f") for number in range(count))
        elif sign and name and values.strip():
            return name, tuple(format(_finite(part), "f") for part in values.split(","))
    except (ArithmeticError, ValueError):
        pass
    raise ConfigError(
        f"--param is {text!r}; write name=first:last:step or name=a,b,c, at most {VALUES_MAX:,} values, "
        "for example period=6:24:2"
    )


def _finite(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(f"{text} is not a finite number")
    return value


def combinations(ranges: Sequence[tuple[str, tuple[str, ...]]]) -> Iterator[dict[str, str]]:
    """Every combination of the values.  Raises ConfigError for a name given twice and for more than a million."""
    names = [name for name, _ in ranges]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ConfigError(f"--param names {doubled[0]} twice; keep one")
    total = 1
    for _, values in ranges:
        total *= len(values)
    if total > COMBINATIONS_MAX:
        raise ConfigError(f"{total:,} combinations are more than {COMBINATIONS_MAX:,}; take wider steps, or optimize")
    for values in product(*(values for _, values in ranges)):
        yield dict(zip(names, values, strict=True))


def sweep(
    variants: Iterable[tuple[Mapping[str, str], ArrayStrategy, Rules]],
    frame: Frame,
    done: Callable[[int], None] = lambda count: None,
) -> list[Outcome]:
    """The outcome of every variant, in the order in which they came.

    variants: parameters with the strategy and the rules that they make.
    done:     is told how many are done, after each.
    Raises ConfigError when an order of some variant does not fit into a candle: only a backtest can carry that.
    """
    outcomes = []
    # One room for the fills of all: made anew each time, it would cost as much as a few hundred of them.
    seen, fills = Seen.of(frame.candles, side_by_side=True), np.empty((ROOM, FILL))
    frame.memo.keep = max(KEPT_MIN, KEPT_BYTES // (8 * max(1, len(frame))))
    for number, (parameters, strategy, rules) in enumerate(variants, 1):
        found = find_path(rules, strategy.say(frame), frame.candles, seen, fills, to_ruin=True)
        if found is None:
            raise ConfigError(
                f"with {_told(parameters)} an order is larger than participation_max of its candle; a sweep fills "
                "orders whole: set execution.participation_max=unlimited, or a smaller size"
            )
        outcomes.append(_outcome(parameters, found, rules, frame.candles))
        done(number)
    return outcomes


def _outcome(parameters: Mapping[str, str], found: Path, rules: Rules, candles: CandleSeries) -> Outcome:
    start, cash = float(rules.cash), found.cash
    if found.held:
        # What is open is closed as the books do it: at the last close, as an order that takes liquidity.
        side = Side.SELL if found.held > 0 else Side.BUY
        quantity = int(abs(found.held)) * rules.instrument.quantity_increment
        close, volume = float(candles.close[-1]), float(candles.volume[-1])
        price = taken_price(close, side, quantity, volume or None, float(rules.terms.slippage_bps), rules.instrument)
        worth = float(price * quantity)
        cash += (worth if found.held > 0 else 2.0 * found.cost - worth) - worth * float(rules.terms.fee_taker)
    kind = found.fills[:, 1]
    entries = np.flatnonzero((kind == ENTRY) | (kind == ENTRY + REVERSAL))
    # Cash is flat money before each entry and after the last exit: its differences are the trades' profits.
    before = np.concatenate(([start], found.fills[:, 4]))[entries]
    profits = np.diff(np.append(before, cash))
    wins = int(np.count_nonzero(profits > NOISE * before))
    return Outcome(parameters, len(entries), wins, cash, 100.0 * (cash / start - 1.0), found.refused)


def _told(parameters: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())
