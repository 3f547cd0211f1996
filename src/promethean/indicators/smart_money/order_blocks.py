"""Order blocks: the last candle of the other side before a strong move."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import State, indicator
from promethean.indicators.smart_money.history import continued, state_after


class OrderBlocks(NamedTuple):
    """What is known of blocks at the close of each candle; float64, shape (n,); NaN where there is none.

    kind: +1 or -1 when a bullish or bearish block becomes known with this candle, else 0; NaN for the first candle.
    bullish_top, bullish_bottom, bullish_strength: the nearest unmitigated bullish block: edges in quote units per base
          unit, strength 0 to 10 or NaN.  Nearest to the close; of equally near ones, the newest.
    bearish_top, bearish_bottom, bearish_strength: the same for bearish blocks.
    """

    kind: FloatArray
    bullish_top: FloatArray
    bullish_bottom: FloatArray
    bullish_strength: FloatArray
    bearish_top: FloatArray
    bearish_bottom: FloatArray
    bearish_strength: FloatArray


@dataclass(frozen=True, slots=True)
class OrderBlock:
    """One order block.

    top, bottom:  high and low of its candle, quote units per base unit.
    strength:     move / 1 % x volume of its candle against the mean of the 20 before it, cut to 10; NaN when there are
                  fewer than 20, or their volume is nothing or not known.
    move:         share of the price by which the move had left the block's close when it became known.
    at, known_at: number of its candle, and of the candle that completed the move.
    mitigated_at: number of the later candle that first reached the middle of the block, -1 while none has.
    broken_at:    number of the later candle that first closed beyond the far side, -1 while none has.
    """

    kind: Literal["bullish", "bearish"]
    top: float
    bottom: float
    strength: float
    move: float
    at: int
    known_at: int
    mitigated_at: int
    broken_at: int

    @property
    def mitigated(self) -> bool:
        """Whether half of the block was revisited."""
        return self.mitigated_at >= 0

    @property
    def broken(self) -> bool:
        """Whether a candle closed through it."""
        return self.broken_at >= 0


def order_blocks_resume(
    open: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    state: State | None = None,
    move: float = 0.01,
    bars: int = 3,
) -> tuple[OrderBlocks, State]:
    """Order blocks of the candles after a state; see `order_blocks`.

    state:   None for the first candle, else what the candles before gave: the latest 64 blocks of each side and the
             last `bars` + 20 candles, 1,040 + 5 * (bars + 20) numbers.
    Returns: the arrays for these candles, and the state after them; `blocks_in` lists what it remembers.
    Raises:  ValueError as `order_blocks`, and when the state is of other bars.
    """
    if not (math.isfinite(move) and move > 0):
        raise ValueError(f"the move away from an order block is a share of the price above 0, not {move}")
    if bars < 1:
        raise ValueError(f"the move away from an order block takes at least 1 candle, not {bars}")
    from promethean.indicators.smart_money import _kernels

    tail = bars + _kernels.VOLUME_CANDLES
    memory, columns = continued(state, np.zeros(_kernels.BLOCKS_SHAPE), tail, open, high, low, close, volume)
    opens, highs, lows, closes, volumes = columns
    out = np.full((7, len(high)), np.nan)
    _kernels.scan_blocks(opens, highs, lows, closes, volumes, move, bars, memory, out)
    return OrderBlocks(*out), state_after(memory, tail, *columns)


@indicator("order_blocks", resume=order_blocks_resume)
def order_blocks(
    open: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    move: float = 0.01,
    bars: int = 3,
) -> OrderBlocks:
    """Order blocks: the last opposite candle before a move that closes beyond its extreme.

    open ... close: float64, shape (n,), oldest first, quote units per base unit.
    volume:  float64, shape (n,), base units; may be NaN, then strengths are.
    move:    share of the price, from the block's close to the close that ends the move, above 0.
    bars:    candles that the move may take, at least 1; none of them is of the block's own colour.
    Returns: OrderBlocks, float64 arrays of shape (n,).  The latest 64 blocks of each side are remembered; an older one
             is forgotten, revisited or not.
    Raises:  ValueError when a parameter is out of range or the columns differ in length.
    Source:  the usage of smart-money trading (Huddleston, "Inner Circle Trader").
    """
    return order_blocks_resume(open, high, low, close, volume, None, move, bars)[0]


def blocks_in(state: State) -> tuple[OrderBlock, ...]:
    """The blocks that a state of `order_blocks_resume` remembers, mitigated and broken ones too, oldest known first."""
    from promethean.indicators.smart_money import _kernels

    memory = state[: math.prod(_kernels.BLOCKS_SHAPE)].reshape(_kernels.BLOCKS_SHAPE)
    sides: tuple[Literal["bullish", "bearish"], ...] = ("bullish", "bearish")
    blocks = [
        OrderBlock(kind, top, bottom, strength, move, int(at), int(known_at), int(mitigated_at), int(broken_at))
        for kind, lane in zip(sides, memory, strict=True)
        for top, bottom, strength, move, at, known_at, mitigated_at, broken_at in lane[1:][: int(lane[0, 1])].tolist()
    ]
    return tuple(sorted(blocks, key=lambda block: block.known_at))


def list_blocks(
    open: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    move: float = 0.01,
    bars: int = 3,
) -> tuple[OrderBlock, ...]:
    """The latest 64 blocks of each side at the end of the candles, mitigated and broken ones too, oldest known first.

    Takes and raises what `order_blocks` does.
    """
    return blocks_in(order_blocks_resume(open, high, low, close, volume, None, move, bars)[1])
