"""What an order costs and where exits rest, as the rules of a compiled path say it, in float64."""

from __future__ import annotations

import math

from promethean.domain.candles import FloatArray
from promethean.evaluation._grid import NEAREST, nearest_step, on_grid, whole_steps
from promethean.indicators.compiled import inlined

(
    AMOUNT, SHARE, LARGEST, STOP_LOSS, FEE_MAKER, FEE_TAKER, SLIPPAGE, PARTICIPATION, OPTIMISTIC, CAN_SHORT, COOLDOWN,
    LENGTH, HEARD, TRAIL, TRAIL_FROM, TRAIL_BY_TIER, BREAKS_EVEN, HOLD, HOLD_ALWAYS, TIGHTENS, FLIPS,
    LOT, LOTS_MIN, NOTIONAL_MIN, TICK, TICK_SCALE, LOT_STEP, LOT_SCALE, STEADY, MARGIN, BEARS,
) = range(1, 32)  # fmt: skip
"""The places of the rules, as `Rules.numbers` writes them."""


@inlined
def nearest_tick(price: float, side: int, rules: FloatArray) -> float:
    """The nearest tick of a price on the winning side of an entry; halfway, the one further from the entry."""
    steps = float(price * rules[TICK_SCALE] / rules[TICK])
    return nearest_step(steps, side > 0) * float(rules[TICK]) / float(rules[TICK_SCALE])


@inlined
def taken_price(price: float, side: int, quantity: float, traded: float, rules: FloatArray) -> float:
    """The price of an order that takes liquidity.  traded: volume of the candle, base units."""
    if rules[SLIPPAGE] > 0.0:
        price *= 1.0 + side * rules[SLIPPAGE] / 10_000.0 * math.sqrt(quantity / traded)
    return on_grid(price, rules[TICK], rules[TICK_SCALE], side)


@inlined
def tier_lots(
    lots: float, entry: float, side: int, targets: FloatArray, shares: FloatArray, is_fixed: bool, rules: FloatArray,
    exits: FloatArray,
) -> None:  # fmt: skip
    """Price and lots of each take-profit tier of a position, zero lots for one that does not come to rest.

    targets: fractions of the entry price, or, where `is_fixed`, prices.  shares: fractions of the position.
    exits:   is written to: prices in the first row, lots in the second.
    """
    lots_min, tiers = rules[LOTS_MIN], len(shares)
    total = 0.0
    for k in range(tiers):
        total += shares[k]
    remaining, carried = lots, 0.0
    for k in range(tiers):
        if abs(total - 1.0) < 1e-12 and k == tiers - 1:
            size = remaining
        else:
            size = min(whole_steps(lots * shares[k], NEAREST) + carried, remaining)
        if remaining - size < lots_min:
            size = remaining
        too_small = size < lots_min or size <= 0.0
        carried = size if too_small else 0.0
        exits[1, k] = 0.0 if too_small else size
        remaining -= exits[1, k]
    left, carried = lots, 0.0
    for k in range(tiers):
        # The nearest tick; halfway, the one further from the entry.
        price = nearest_tick(targets[k] if is_fixed else entry * (1.0 + targets[k] * side), side, rules)
        exits[0, k] = price
        size = min(exits[1, k] + carried, left)
        is_loss = (price - entry) * side <= 0.0
        if size <= 0.0 or price <= 0.0 or price * size * rules[LOT] < rules[NOTIONAL_MIN] or is_loss:
            carried = size
            exits[1, k] = 0.0
            continue
        carried = 0.0
        exits[1, k] = size
        left -= size


@inlined
def towards(price: float, way: int, rules: FloatArray) -> float:
    """A stop on the tick grid, rounded towards less risk."""
    return on_grid(price, rules[TICK], rules[TICK_SCALE], way)


@inlined
def lost(entry: float, way: int, share: float, short: float, rules: FloatArray) -> float:
    """The price at which a position has lost this share of its cost, on the tick grid, rounded towards the entry.

    short: what was taken from the margin of each base unit already.
    """
    tick = float(rules[TICK]) / float(rules[TICK_SCALE])
    return max(towards(entry * (1.0 - share * way) + short * way, way, rules), tick)


@inlined
def first_stop(entry: float, way: int, stop: float, rules: FloatArray) -> float:
    """Where the stop of an entry at this price begins: at a price of its own, or as far away as the rules say."""
    return towards(entry * (1.0 - rules[STOP_LOSS] * way) if math.isnan(stop) else stop, way, rules)
