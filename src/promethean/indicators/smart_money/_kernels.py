"""Loops of the smart-money family.  `side` is +1 for what is bullish or looks up, -1 for its mirror image."""

from __future__ import annotations

import math

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.compiled import compiled

# Share of the price.  100.1 - 100 is a little less than 0.1 in binary: a threshold that is met exactly in decimal
# counts as met.  Far above what rounding does (1e-16) and far below any tick.
SLACK = 1e-12


@compiled
def stands_out(values: FloatArray, place: int, strength: int, side: float) -> bool:
    """Whether a value is strictly beyond the `strength` values before it and after it; not so beside a NaN."""
    for step in range(1, strength + 1):
        if not side * (values[place] - values[place - step]) > 0:
            return False
        if not side * (values[place] - values[place + step]) > 0:
            return False
    return True


@compiled
def scan_swings(high: FloatArray, low: FloatArray, strength: int, memory: FloatArray, out: FloatArray) -> None:
    """Swings, candle by candle.

    high, low: with 2 * strength earlier candles before the first new one.
    memory:    candles seen, last swing high, its candle, last swing low, its candle.
    out:       shape (6, n): the fields of SwingPoints.
    """
    tail = 2 * strength
    for row in range(tail, len(high)):
        i = row - tail
        place = row - strength
        if stands_out(high, place, strength, 1.0):
            out[0, i] = memory[1] = high[place]
            memory[2] = memory[0] - strength
        if stands_out(low, place, strength, -1.0):
            out[1, i] = memory[3] = low[place]
            memory[4] = memory[0] - strength
        out[2, i] = memory[1]
        out[3, i] = memory[3]
        out[4, i] = memory[2]
        out[5, i] = memory[4]
        memory[0] += 1


# Memory of the structure: candles seen and trend, then for the highs and for the lows the last three swings (newest
# first), the candle of the newest and whether no close went beyond it so far.
SEEN, TREND = 0, 1
SIDES = 2
AT, HOLDS, SIDE_LENGTH = 3, 4, 5
STRUCTURE_LENGTH = SIDES + 2 * SIDE_LENGTH


@compiled
def trend_of(memory: FloatArray) -> float:
    """+1 when the last three highs and the last three lows rise, -1 when they fall, NaN before there are three."""
    rising = falling = True
    for lane in range(2):
        newest = SIDES + lane * SIDE_LENGTH
        if math.isnan(memory[newest + 2]):
            return math.nan
        for step in range(2):
            rising = rising and memory[newest + step] > memory[newest + step + 1]
            falling = falling and memory[newest + step] < memory[newest + step + 1]
    return 1.0 if rising else -1.0 if falling else 0.0


@compiled
def scan_structure(
    high: FloatArray, low: FloatArray, close: FloatArray, strength: int, memory: FloatArray, out: FloatArray
) -> None:
    """Trend and breaks, candle by candle.

    high, low, close: with 2 * strength earlier candles before the first new one.
    memory:           as written above; changed.
    out:              shape (8, n): the fields of MarketStructure.
    """
    tail = 2 * strength
    for row in range(tail, len(high)):
        i = row - tail
        place = row - strength
        # The candle is judged by the structure that was known before it; then it may complete a swing.
        trend = memory[TREND]
        if not math.isnan(trend):
            out[1, i] = out[2, i] = 0.0
        for lane in range(2):
            side = 1.0 - 2.0 * lane
            newest = SIDES + lane * SIDE_LENGTH
            if memory[newest + HOLDS] == 1 and side * (close[row] - memory[newest]) > 0:
                memory[newest + HOLDS] = 0
                if trend == side:
                    out[1, i] = side
                    out[3, i] = memory[newest]
                elif trend == -side:
                    out[2, i] = side
                    out[3, i] = memory[newest]
        for lane in range(2):
            side = 1.0 - 2.0 * lane
            newest = SIDES + lane * SIDE_LENGTH
            values = high if lane == 0 else low
            if stands_out(values, place, strength, side):
                memory[newest + 2] = memory[newest + 1]
                memory[newest + 1] = memory[newest]
                memory[newest] = values[place]
                memory[newest + AT] = memory[SEEN] - strength
                memory[newest + HOLDS] = 1
        memory[TREND] = trend_of(memory)
        out[0, i] = memory[TREND]
        for lane in range(2):
            newest = SIDES + lane * SIDE_LENGTH
            out[4 + lane, i] = memory[newest]
            out[6 + lane, i] = memory[newest + AT]
        memory[SEEN] += 1


GAP_LENGTH = 7
GAP_SIDE, GAP_TOP, GAP_BOTTOM, GAP_PRICE, GAP_AT, GAP_REACHED, GAP_FILLED = range(GAP_LENGTH)


@compiled
def scan_gaps(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    min_gap: float,
    lookback: int,
    gaps: FloatArray,
    out: FloatArray,
) -> tuple[int, int]:
    """Fair value gaps, candle by candle.

    gaps:    shape (lookback, GAP_LENGTH), a ring: gap number k lies at k % lookback; written.
    out:     shape (7, n): the fields of FairValueGaps.
    Returns: the number of the first gap that still counts at the end, and of the one after the last.
    """
    first = stop = 0
    for i in range(2, len(high)):
        while first < stop and gaps[first % lookback, GAP_AT] - 1 <= i - lookback:
            first += 1
        price = close[i - 1]
        out[0, i] = 0.0
        for lane in range(2):
            side = 1.0 - 2.0 * lane
            near, far = (low[i], high[i - 2]) if lane == 0 else (high[i], low[i - 2])
            size = side * (near - far)
            if size > 0 and size >= min_gap * price - SLACK * price:
                gap = gaps[stop % lookback]
                gap[GAP_SIDE] = out[0, i] = side
                gap[GAP_TOP] = out[1, i] = max(near, far)
                gap[GAP_BOTTOM] = out[2, i] = min(near, far)
                gap[GAP_PRICE] = price
                gap[GAP_AT] = i - 1
                gap[GAP_REACHED] = near
                gap[GAP_FILLED] = -1
                stop += 1
        nearest_above = nearest_below = math.inf
        for number in range(first, stop):
            slot = number % lookback
            if gaps[slot, GAP_FILLED] >= 0:
                continue
            if gaps[slot, GAP_SIDE] > 0:
                gaps[slot, GAP_REACHED] = min(gaps[slot, GAP_REACHED], low[i])
                if low[i] <= gaps[slot, GAP_BOTTOM]:
                    gaps[slot, GAP_FILLED] = i
                    continue
                distance = max(0.0, close[i] - gaps[slot, GAP_TOP])
                if distance <= nearest_below:
                    nearest_below = distance
                    out[3, i] = gaps[slot, GAP_TOP]
                    out[4, i] = gaps[slot, GAP_BOTTOM]
            else:
                gaps[slot, GAP_REACHED] = max(gaps[slot, GAP_REACHED], high[i])
                if high[i] >= gaps[slot, GAP_TOP]:
                    gaps[slot, GAP_FILLED] = i
                    continue
                distance = max(0.0, gaps[slot, GAP_BOTTOM] - close[i])
                if distance <= nearest_above:
                    nearest_above = distance
                    out[5, i] = gaps[slot, GAP_TOP]
                    out[6, i] = gaps[slot, GAP_BOTTOM]
    return first, stop


VOLUME_CANDLES = 20
STRENGTH_MOVE = 0.01
STRENGTH_MAX = 10.0
BLOCKS_KEPT = 64
BLOCK_LENGTH = 8
(BLOCK_TOP, BLOCK_BOTTOM, BLOCK_STRENGTH, BLOCK_MOVE, BLOCK_AT, BLOCK_KNOWN, BLOCK_MITIGATED, BLOCK_BROKEN) = range(
    BLOCK_LENGTH
)
# The memory of the blocks has their shape, with one row more for each side: candles seen, and blocks made so far.
BLOCKS_SHAPE = (2, 1 + BLOCKS_KEPT, BLOCK_LENGTH)


@compiled
def moves_away(
    high: FloatArray, low: FloatArray, close: FloatArray, block: int, last: int, side: float, move: float
) -> bool:
    """Whether the close of candle `last` lies beyond the block candle and at least `move` from its close."""
    extreme = high[block] if side > 0 else low[block]
    if not side * (close[last] - extreme) > 0:
        return False
    return bool(side * (close[last] - close[block]) >= (move - SLACK) * close[block])


@compiled
def block_before(
    open: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    row: int,
    side: float,
    move: float,
    bars: int,
) -> int:
    """Row of the order block that becomes known at `row`, or -1."""
    block = row
    while side * (close[block] - open[block]) >= 0:
        block -= 1
        if row - block > bars:
            return -1
    # The last opposite candle; where that is `row` itself, or NaN before the first candle, nothing moves away from it.
    for last in range(block + 1, row):
        if moves_away(high, low, close, block, last, side, move):
            return -1  # it was known before
    return block if moves_away(high, low, close, block, row, side, move) else -1


@compiled
def relative_volume(volume: FloatArray, row: int) -> float:
    """Volume of a candle against the mean of the 20 before it; NaN when that is not known or nothing."""
    total = 0.0
    for place in range(row - VOLUME_CANDLES, row):
        total += volume[place]
    return volume[row] / (total / VOLUME_CANDLES) if total > 0 else math.nan


@compiled
def scan_blocks(
    open: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    move: float,
    bars: int,
    memory: FloatArray,
    out: FloatArray,
) -> None:
    """Order blocks, candle by candle.

    open ... volume: with `bars` + 20 earlier candles before the first new one.
    memory:          shape BLOCKS_SHAPE; of each side row 0 holds candles seen and blocks made, the others are a ring of
                     the latest blocks; changed.
    out:             shape (7, n): the fields of OrderBlocks.
    """
    tail = bars + VOLUME_CANDLES
    for row in range(tail, len(high)):
        i = row - tail
        seen = memory[0, 0, 0]
        if seen >= 1:
            out[0, i] = 0.0
        for lane in range(2):
            side = 1.0 - 2.0 * lane
            blocks = memory[lane, 1:]
            made = int(memory[lane, 0, 1])
            reached = low[row] if lane == 0 else high[row]
            for slot in range(min(made, BLOCKS_KEPT)):
                if blocks[slot, BLOCK_MITIGATED] < 0:
                    middle = (blocks[slot, BLOCK_TOP] + blocks[slot, BLOCK_BOTTOM]) / 2
                    if side * (reached - middle) <= SLACK * middle:
                        blocks[slot, BLOCK_MITIGATED] = seen
                if blocks[slot, BLOCK_BROKEN] < 0:
                    far = blocks[slot, BLOCK_BOTTOM] if lane == 0 else blocks[slot, BLOCK_TOP]
                    if side * (close[row] - far) < 0:
                        blocks[slot, BLOCK_BROKEN] = seen
            place = block_before(open, high, low, close, row, side, move, bars)
            if place >= 0:
                out[0, i] = side
                share = side * (close[row] - close[place]) / close[place]
                strength = share / STRENGTH_MOVE * relative_volume(volume, place)
                block = blocks[made % BLOCKS_KEPT]
                block[BLOCK_TOP] = high[place]
                block[BLOCK_BOTTOM] = low[place]
                block[BLOCK_STRENGTH] = STRENGTH_MAX if strength > STRENGTH_MAX else strength  # NaN stays
                block[BLOCK_MOVE] = share
                block[BLOCK_AT] = seen - (row - place)
                block[BLOCK_KNOWN] = seen
                block[BLOCK_MITIGATED] = -1
                block[BLOCK_BROKEN] = -1
                made += 1
                memory[lane, 0, 1] = made
            nearest = math.inf
            for number in range(max(0, made - BLOCKS_KEPT), made):
                slot = number % BLOCKS_KEPT
                if blocks[slot, BLOCK_MITIGATED] >= 0:  # as every broken one is
                    continue
                near = blocks[slot, BLOCK_TOP] if lane == 0 else blocks[slot, BLOCK_BOTTOM]
                distance = max(0.0, side * (close[row] - near))
                if distance <= nearest:
                    nearest = distance
                    out[1 + 3 * lane, i] = blocks[slot, BLOCK_TOP]
                    out[2 + 3 * lane, i] = blocks[slot, BLOCK_BOTTOM]
                    out[3 + 3 * lane, i] = blocks[slot, BLOCK_STRENGTH]
        memory[0, 0, 0] = seen + 1


ZONES_KEPT = 64
ZONE_LENGTH = 8
ZONE_TOUCHES, ZONE_SUM, ZONE_LOWEST, ZONE_HIGHEST, ZONE_AT, ZONE_LAST, ZONE_KNOWN, ZONE_SWEPT = range(ZONE_LENGTH)
# The memory of the zones has their shape, with one row more for each side: candles seen, and the last close.
ZONES_SHAPE = (2, 1 + ZONES_KEPT, ZONE_LENGTH)


@compiled
def fits(lowest: float, highest: float, side: float, tolerance: float) -> bool:
    """Whether two prices lie within the tolerance, a share of the one that is reached first."""
    reference = lowest if side > 0 else highest
    return bool(highest - lowest <= (tolerance + SLACK) * reference)


@compiled
def zone_for(zones: FloatArray, price: float, side: float, tolerance: float) -> int:
    """Row of the zone that a swing joins: the nearest that it fits, of equally near ones the last touched; or -1."""
    found = -1
    nearest = math.inf
    for slot in range(len(zones)):
        if zones[slot, ZONE_TOUCHES] == 0 or zones[slot, ZONE_SWEPT] >= 0:
            continue
        lowest, highest = min(zones[slot, ZONE_LOWEST], price), max(zones[slot, ZONE_HIGHEST], price)
        if not fits(lowest, highest, side, tolerance):
            continue
        distance = abs(price - zones[slot, ZONE_SUM] / zones[slot, ZONE_TOUCHES])
        if distance < nearest or (distance == nearest and zones[slot, ZONE_LAST] > zones[found, ZONE_LAST]):
            found = slot
            nearest = distance
    return found


@compiled
def touch(zones: FloatArray, price: float, at: float, seen: float, side: float, tolerance: float, touches: int) -> None:
    """Add a swing to the zone where it belongs, or make one in place of the zone that was not touched for longest."""
    slot = zone_for(zones, price, side, tolerance)
    if slot < 0:
        slot = int(np.argmin(zones[:, ZONE_LAST]))  # -1 in a row that is free
        zones[slot, :] = 0.0
        zones[slot, ZONE_LOWEST] = zones[slot, ZONE_HIGHEST] = price
        zones[slot, ZONE_AT] = at
        zones[slot, ZONE_KNOWN] = zones[slot, ZONE_SWEPT] = -1
    zones[slot, ZONE_TOUCHES] += 1
    zones[slot, ZONE_SUM] += price
    zones[slot, ZONE_LOWEST] = min(zones[slot, ZONE_LOWEST], price)
    zones[slot, ZONE_HIGHEST] = max(zones[slot, ZONE_HIGHEST], price)
    zones[slot, ZONE_LAST] = at
    if zones[slot, ZONE_TOUCHES] == touches:
        zones[slot, ZONE_KNOWN] = seen


@compiled
def scan_zones(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    tolerance: float,
    touches: int,
    strength: int,
    memory: FloatArray,
    out: FloatArray,
) -> None:
    """Liquidity zones, candle by candle.

    high, low, close: with 2 * strength earlier candles before the first new one.
    memory:           shape ZONES_SHAPE; changed.
    out:              shape (4, n): the fields of LiquidityZones.
    """
    tail = 2 * strength
    for row in range(tail, len(high)):
        i = row - tail
        place = row - strength
        seen = memory[0, 0, 0]
        for lane in range(2):
            side = 1.0 - 2.0 * lane
            zones = memory[lane, 1:]
            values = high if lane == 0 else low
            for slot in range(ZONES_KEPT):
                if zones[slot, ZONE_TOUCHES] == 0 or zones[slot, ZONE_SWEPT] >= 0:
                    continue
                lowest = zones[slot, ZONE_LOWEST] if lane == 0 else min(values[row], zones[slot, ZONE_LOWEST])
                highest = zones[slot, ZONE_HIGHEST] if lane == 1 else max(values[row], zones[slot, ZONE_HIGHEST])
                if not fits(lowest, highest, side, tolerance):
                    zones[slot, ZONE_SWEPT] = seen
            if stands_out(values, place, strength, side):
                touch(zones, values[place], seen - strength, seen, side, tolerance, touches)
            nearest = math.inf
            for slot in range(ZONES_KEPT):
                if zones[slot, ZONE_TOUCHES] < touches or zones[slot, ZONE_SWEPT] >= 0:
                    continue
                price = zones[slot, ZONE_SUM] / zones[slot, ZONE_TOUCHES]
                distance = side * (price - close[row])
                if SLACK * price < distance < nearest:  # a mean that is the close itself is not beyond it
                    nearest = distance
                    out[2 * lane, i] = price
                    out[2 * lane + 1, i] = zones[slot, ZONE_TOUCHES]
        memory[0, 0, 0] = seen + 1
        memory[0, 0, 1] = close[row]


HUNT_BEYOND = 0.001
HUNT_WICK = 0.5
HUNT_REVERSAL = 0.005
HUNT_LENGTH = 5


@compiled
def scan_hunts(
    open: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    lookback: int,
    strength: int,
    swings: FloatArray,
    hunts: FloatArray,
) -> None:
    """Stop hunts by the candle with the wick.

    swings: shape (2, n), NaN; written: price of the swing high and of the swing low that becomes known at a candle.
    hunts:  shape (HUNT_LENGTH, n), NaN; written: side, level, wick, reversal and the candle where the hunt is known.
    """
    rows = len(high)
    for i in range(2 * strength, rows):
        place = i - strength
        if stands_out(high, place, strength, 1.0):
            swings[0, i] = high[place]
        if stands_out(low, place, strength, -1.0):
            swings[1, i] = low[place]
    for i in range(2 * strength + 1, rows):
        span = high[i] - low[i]
        found = 0
        for lane in range(2):
            side = 1.0 - 2.0 * lane  # of the wick; the hunt speaks for the other direction
            extreme, body = (high[i], max(open[i], close[i])) if lane == 0 else (low[i], min(open[i], close[i]))
            wick = side * (extreme - body)
            if not (span > 0 and wick >= HUNT_WICK * span - SLACK * extreme):
                continue
            level = math.nan
            for known in range(max(0, i - lookback), i):
                swing = swings[lane, known]
                if not side * (extreme - swing) >= (HUNT_BEYOND - SLACK) * swing:
                    continue
                if side * (close[i] - swing) <= 0 and not side * (swing - level) <= 0:
                    level = swing
            if math.isnan(level):
                continue
            found += 1
            if found == 2:
                for field in range(HUNT_LENGTH):  # both sides at once: it speaks for neither
                    hunts[field, i] = math.nan
                continue
            for known in range(i, min(i + 2, rows)):
                reversal = side * (extreme - close[known]) / extreme
                if reversal >= HUNT_REVERSAL - SLACK:
                    hunts[0, i] = -side
                    hunts[1, i] = level
                    hunts[2, i] = wick / span
                    hunts[3, i] = reversal
                    hunts[4, i] = known
                    break


@compiled
def covered(bottom: float, top: float, low: float, high: float) -> float:
    """How much of the range from `bottom` to `top` lies between `low` and `high`."""
    return max(0.0, min(top, high) - max(bottom, low))


@compiled
def scan_imbalances(
    open: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    body: float,
    overlap: float,
    size: float,
    out: FloatArray,
) -> None:
    """Imbalances, candle by candle; out: shape (3, n): the fields of Imbalances."""
    for i in range(2, len(high)):
        place = i - 1
        top, bottom = max(open[place], close[place]), min(open[place], close[place])
        height = top - bottom
        slack = SLACK * close[place]
        out[0, i] = 0.0
        if not height > 0 or height < body * (high[place] - low[place]) - slack or height < size * close[place] - slack:
            continue
        if covered(bottom, top, low[i], high[i]) > overlap * height + slack:
            continue
        if covered(bottom, top, low[i - 2], high[i - 2]) > overlap * height + slack:
            continue
        out[0, i] = 1.0 if close[place] > open[place] else -1.0
        out[1, i] = top
        out[2, i] = bottom


@compiled
def first_through(high: FloatArray, low: FloatArray, start: int, side: float, top: float, bottom: float) -> int:
    """The first candle from `start` on that reaches the far edge of a range (the lower one if bullish), or -1."""
    for i in range(start, len(high)):
        if (low[i] <= bottom) if side > 0 else (high[i] >= top):
            return i
    return -1
