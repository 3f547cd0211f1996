"""One account through all candles of a recording, as a compiled loop.

The same rules as the engine and the simulated venue: decide at a close, fill at the next open, exits inside the candle,
the stop before the targets.  float64 throughout: it finds where fills happen, and what they come to within a cent.
"""

from __future__ import annotations

import math

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.evaluation.rules import ENTRY, IN_RANGE, SIGNAL, STOP, TARGET
from promethean.indicators.compiled import compiled
from promethean.strategies.arrays import CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT, FlagArray

LEAVES_LONG, LEAVES_SHORT = np.int8(CLOSES_ALL | CLOSES_LONG), np.int8(CLOSES_ALL | CLOSES_SHORT)
WHOLE = 1e6  # a largest share of a candle's volume from which on every order is filled whole
FOUND, TOO_MANY, TOO_THIN = 0, 1, 2
"""How a path ended: whole; more fills than there was room for; a candle too thin to fill an order whole."""


@compiled
def _nearest(steps: float, up: bool) -> float:
    """The nearest whole number; halfway, and what a float cannot tell from it, up or down."""
    lower = math.floor(steps)
    part = steps - lower
    if abs(part - 0.5) <= 1e-6 + 1e-15 * abs(steps):
        return lower + 1.0 if up else lower
    return lower + 1.0 if part > 0.5 else lower


@compiled
def _whole(steps: float, up: int) -> float:
    """The steps as a whole number, up (1), down (-1) or nearest, half up (0); what a float cannot tell is whole."""
    if up == 0:
        return _nearest(steps, True)
    nearest = math.floor(steps + 0.5)
    if abs(steps - nearest) <= 1e-6 + 1e-15 * abs(steps):
        return nearest
    return math.ceil(steps) if up > 0 else math.floor(steps)


@compiled
def _on_grid(price: float, tick_units: float, tick_scale: float, up: int) -> float:
    """A price on the tick grid, as the float that the decimal number is."""
    steps = price * tick_scale
    if tick_units != 1.0:
        return _whole(steps / tick_units, up) * tick_units / tick_scale
    return _whole(steps, up) / tick_scale


@compiled
def _taken(
    price: float, side: int, quantity: float, volume: FloatArray, at: int, bps: float, units: float, scale: float
) -> float:
    """The price of an order that takes liquidity; the volume is looked up only where it matters."""
    if bps > 0.0:
        price *= 1.0 + side * bps / 10_000.0 * math.sqrt(quantity / volume[at])
    return _on_grid(price, units, scale, side)


@compiled
def _tier_lots(
    lots: float, entry: float, side: int, targets: FloatArray, shares: FloatArray, closes_all: bool, market: FloatArray,
    prices: FloatArray, sizes: FloatArray,
) -> None:  # fmt: skip
    """Price and lots of each take-profit tier of a position, zero lots for one that does not come to rest."""
    lot, lots_min, notional_min, units, scale = market[0], market[1], market[2], market[3], market[4]
    remaining, carried = lots, 0.0
    for k in range(len(targets)):
        if closes_all and k == len(targets) - 1:
            size = remaining
        else:
            size = min(_whole(lots * shares[k], 0) + carried, remaining)
        if remaining - size < lots_min:
            size = remaining
        too_small = size < lots_min or size <= 0.0
        carried = size if too_small else 0.0
        sizes[k] = 0.0 if too_small else size
        remaining -= sizes[k]
    left, carried = lots, 0.0
    for k in range(len(targets)):
        raw = entry * (1.0 + targets[k] * side) * scale / units
        # The nearest tick; halfway, the one further from the entry.
        prices[k] = _nearest(raw, side > 0) * units / scale
        size = min(sizes[k] + carried, left)
        if size <= 0.0 or prices[k] <= 0.0 or prices[k] * size * lot < notional_min:
            carried = size
            sizes[k] = 0.0
            continue
        carried = 0.0
        sizes[k] = size
        left -= size


# The three searches below run over every candle, sixteen at a time: nearly always none of them matters.  Unsigned
# numbers spare the loops the question whether an index is negative.

BLOCK = np.uint64(16)
ONE = np.uint64(1)


@compiled
def _next_entry(side: FlagArray, leave: FlagArray, start: int, can_short: bool) -> int:
    """The next candle, from `start` on, at whose close something may be entered; their number when there is none."""
    i, n = np.uint64(start), np.uint64(len(side))
    while i < n:
        while i + BLOCK <= n:
            found = 0
            for k in range(BLOCK):
                found |= side[i + k] != 0
            if found:
                break
            i += BLOCK
        stop = min(i + BLOCK, n)
        while i < stop:
            if side[i] != 0 and leave[i] & CLOSES_ALL == 0 and (can_short or side[i] > 0):
                return int(np.int64(i))
            i += ONE
    return len(side)


@compiled
def _next_for_long(
    low: FloatArray, high: FloatArray, side: FlagArray, leave: FlagArray, start: int, stop: float, target: float
) -> int:
    """The next candle, from `start` on, on which a long position may end, or is asked to."""
    i, n = np.uint64(start), np.uint64(len(low))
    while i + BLOCK <= n:
        found = 0
        for k in range(BLOCK):
            j = i + k
            found |= (low[j] <= stop) | (high[j] >= target) | (leave[j] & LEAVES_LONG != 0) | (side[j] < 0)
        if found:
            break
        i += BLOCK
    while i < n:
        if low[i] <= stop or high[i] >= target or leave[i] & LEAVES_LONG != 0 or side[i] < 0:
            return int(np.int64(i))
        i += ONE
    return len(low)


@compiled
def _next_for_short(
    low: FloatArray, high: FloatArray, side: FlagArray, leave: FlagArray, start: int, stop: float, target: float
) -> int:
    """The next candle, from `start` on, on which a short position may end, or is asked to."""
    i, n = np.uint64(start), np.uint64(len(low))
    while i + BLOCK <= n:
        found = 0
        for k in range(BLOCK):
            j = i + k
            found |= (high[j] >= stop) | (low[j] <= target) | (leave[j] & LEAVES_SHORT != 0) | (side[j] > 0)
        if found:
            break
        i += BLOCK
    while i < n:
        if high[i] >= stop or low[i] <= target or leave[i] & LEAVES_SHORT != 0 or side[i] > 0:
            return int(np.int64(i))
        i += ONE
    return len(low)


@compiled
def trade_path(
    open_time: IntArray, open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray,
    side: FlagArray, leave: FlagArray, rules: FloatArray, market: FloatArray, targets: FloatArray, shares: FloatArray,
    at: IntArray, kind: IntArray, leg: IntArray, price: FloatArray, cash_after: FloatArray,
) -> tuple[int, int, int, float, float, float]:  # fmt: skip
    """Fills of one account, in order, written into `at`, `kind`, `leg`, `price`, `cash_after`.

    side:   int8, +1 where a BUY is said at the close of a candle, -1 where a SELL is, else 0.  leave: int8, 1: CLOSE.
    rules:  cash, amount (quote units; 0: the share instead), share of equity, largest size, stop loss, fee maker, fee
            taker, slippage in basis points, largest share of a candle's volume, optimistic, can short, cooldown in ns,
            length of a candle in ns, whether something trades in every candle: what `Rules.numbers` gives.
    market: lot, smallest size in lots, smallest notional, tick units and scale, lot units and scale.
    leg:    of an entry the candles since its signal, signed by its side; of a target its number; else 0.
    price:  where the fill met the market, before slippage and rounding.
    Returns: status, number of fills, entries refused (cooldown, size, stop, cash), cash at the end, lots held at the
             end (signed), cost of what is held.
    """
    cash, amount, share, largest, stop_loss = rules[0], rules[1], rules[2], rules[3], rules[4]
    fee_maker, fee_taker, bps, participation = rules[5], rules[6], rules[7], rules[8]
    thick, heard = participation >= WHOLE, rules[13] > 0.0
    optimistic, can_short, cooldown_ns, candle_ns = rules[9] > 0.0, rules[10] > 0.0, int(rules[11]), int(rules[12])
    lot, lots_min, notional_min, units, scale = market[0], market[1], market[2], market[3], market[4]
    lot_units, lot_scale = market[5], market[6]
    tiers = len(targets)
    total = 0.0
    for k in range(tiers):
        total += shares[k]
    closes_all = abs(total - 1.0) < 1e-12
    prices, sizes = np.zeros(tiers), np.zeros(tiers)
    n, count, room = len(close), 0, len(at)
    stopped_ns = np.int64(-(2**62))
    i, refused = 0, 0
    held, cost, way, stop = 0.0, 0.0, 0, 0.0
    while i < n:
        i = _next_entry(side, leave, i, can_short)
        if i >= n - 1:
            break
        way = int(side[i])
        decided = i
        i += 1
        if cooldown_ns > 0 and open_time[decided] + candle_ns < stopped_ns + cooldown_ns:
            refused += 1
            continue
        reference = _on_grid(close[decided], units, scale, 0)
        worth = amount if amount > 0.0 else max(cash * share, 0.0)
        size = worth / reference
        if largest > 0.0:
            size = min(size, largest)
        lots = _whole(size * lot_scale / lot_units if lot_units != 1.0 else size * lot_scale, -1)
        if lots <= 0.0 or lots < lots_min or lots * lot * reference < notional_min:
            refused += 1
            continue
        rests = _on_grid(reference * (1.0 - stop_loss * way), units, scale, way)
        if (rests >= reference or rests <= 0.0) if way > 0 else rests <= reference:
            refused += 1
            continue
        if lots * lot * reference * (1.0 + fee_taker) > cash:
            refused += 1
            continue
        # The order waits for a candle in which something trades.
        while not heard and i < n and volume[i] <= 0.0:
            i += 1
        if i >= n:
            break
        quantity = lots * lot
        if not thick and quantity > participation * volume[i]:
            return TOO_THIN, count, refused, cash, 0.0, 0.0
        if count + tiers + 3 > room:
            return TOO_MANY, count, refused, cash, 0.0, 0.0
        entry = _taken(open_[i], way, quantity, volume, i, bps, units, scale)
        cost = entry * quantity
        cash -= cost + cost * fee_taker
        held = lots
        at[count], kind[count], price[count] = i, ENTRY, open_[i]
        leg[count] = way * (i - decided)
        cash_after[count] = cash
        count += 1
        stop = _on_grid(entry * (1.0 - stop_loss * way), units, scale, way)
        _tier_lots(lots, entry, way, targets, shares, closes_all, market, prices, sizes)
        leaving, entered = False, i
        while i < n and held > 0.0:
            if i > entered and not leaving:
                # On to the next candle on which something can happen: nearly all are passed over here.
                nearest = np.inf * way
                for k in range(tiers):
                    if sizes[k] > 0.0:
                        nearest = min(nearest, prices[k]) if way > 0 else max(nearest, prices[k])
                if way > 0:
                    i = _next_for_long(low, high, side, leave, i, stop, nearest)
                else:
                    i = _next_for_short(low, high, side, leave, i, stop, nearest)
                if i >= n:
                    break
            if heard or volume[i] > 0.0:
                for phase in range(2):
                    # First the open, then the range; the candle of the entry opened before its exits were there,
                    # but they meet its open too, should slippage have carried the entry beyond them.
                    worst = open_[i] if phase == 0 else (low[i] if way > 0 else high[i])
                    best = open_[i] if phase == 0 else (high[i] if way > 0 else low[i])
                    if (worst <= stop) if way > 0 else (worst >= stop):
                        met = open_[i] if phase == 0 else stop
                        if not thick and held * lot > participation * volume[i]:
                            return TOO_THIN, count, refused, cash, 0.0, 0.0
                        out = _taken(met, -way, held * lot, volume, i, bps, units, scale)
                        value = out * held * lot
                        cash += (value if way > 0 else 2.0 * cost - value) - value * fee_taker
                        at[count], kind[count], leg[count], price[count] = i, STOP + IN_RANGE * phase, 0, met
                        cash_after[count] = cash
                        count += 1
                        held = 0.0
                        if cooldown_ns > 0:
                            stopped_ns = open_time[i] if phase == 0 else open_time[i] + candle_ns - 1
                        break
                    for k in range(tiers):
                        if sizes[k] <= 0.0:
                            continue
                        beyond = best > prices[k] if way > 0 else best < prices[k]
                        if not (beyond or (optimistic and best == prices[k])):
                            continue
                        size = min(sizes[k], held)
                        if not thick and size * lot > participation * volume[i]:
                            return TOO_THIN, count, refused, cash, 0.0, 0.0
                        met = open_[i] if phase == 0 else prices[k]
                        out = _on_grid(met, units, scale, 0)
                        value, part = out * size * lot, cost * size / held
                        cash += (value if way > 0 else 2.0 * part - value) - value * fee_maker
                        cost -= part
                        held -= size
                        sizes[k] = 0.0
                        at[count], kind[count], leg[count], price[count] = i, TARGET + IN_RANGE * phase, k + 1, met
                        cash_after[count] = cash
                        count += 1
                        if held <= 0.0:
                            break
                    if held <= 0.0:
                        break
                    if phase == 0 and leaving:
                        if not thick and held * lot > participation * volume[i]:
                            return TOO_THIN, count, refused, cash, 0.0, 0.0
                        out = _taken(open_[i], -way, held * lot, volume, i, bps, units, scale)
                        value = out * held * lot
                        cash += (value if way > 0 else 2.0 * cost - value) - value * fee_taker
                        at[count], kind[count], leg[count], price[count] = i, SIGNAL, 0, open_[i]
                        cash_after[count] = cash
                        count += 1
                        held = 0.0
                        break
            if held <= 0.0:
                break
            if leave[i] & (LEAVES_LONG if way > 0 else LEAVES_SHORT) != 0 or side[i] == -way:
                leaving = True
            i += 1
        if held <= 0.0:
            held, cost = 0.0, 0.0
    return FOUND, count, refused, cash, held * way, cost
