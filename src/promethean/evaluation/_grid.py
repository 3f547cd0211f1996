"""Prices and sizes on the grid of a market, in float64, as the decimal functions round them."""

from __future__ import annotations

import math

from promethean.domain.candles import FloatArray
from promethean.indicators.compiled import inlined, number

NEAREST = number(0)
"""Which way a price or a size is rounded, beside 1 for up and -1 for down: to the nearest step."""


@inlined
def nearest_step(steps: float, up: bool) -> float:
    """The nearest whole number; halfway, and what a float cannot tell from it, up or down."""
    lower = math.floor(steps)
    part = steps - lower
    if abs(part - 0.5) <= 1e-6 + 1e-15 * abs(steps):
        return lower + 1.0 if up else lower
    return lower + 1.0 if part > 0.5 else lower


@inlined
def whole_steps(steps: float, up: int) -> float:
    """The steps as a whole number, up (1), down (-1) or nearest, half up (0); what a float cannot tell is whole."""
    if up == 0:
        return nearest_step(steps, up == 0)
    nearest = math.floor(steps + 0.5)
    if abs(steps - nearest) <= 1e-6 + 1e-15 * abs(steps):
        return nearest
    return math.ceil(steps) if up > 0 else math.floor(steps)


@inlined
def whole_lots(lots: float) -> float:
    """Lots rounded down; what the sums behind a float, to twelve digits, cannot tell from a whole number is that."""
    nearest = math.floor(lots + 0.5)
    return nearest if abs(lots - nearest) <= 1e-9 + 1e-12 * abs(lots) else math.floor(lots)


@inlined
def on_grid(price: float, tick_units: float, tick_scale: float, up: int) -> float:
    """A price on the tick grid, as the float that the decimal number is."""
    steps = price * tick_scale
    if tick_units != 1.0:
        return whole_steps(steps / tick_units, up) * tick_units / tick_scale
    return whole_steps(steps, up) / tick_scale


@inlined
def share_equally(parts: FloatArray, count: int) -> None:
    """Fill in equal shares to a ten-thousandth; the last one takes what is left of one."""
    share = math.floor(10_000.0 / count + 0.5) / 10_000.0
    for k in range(count - 1):
        parts[k] = share
    parts[count - 1] = 1.0 - share * (count - 1)
