"""What a simulated fill costs: price after slippage and rounding, and fee.  One place for every simulation."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal

from promethean.domain.instruments import Instrument, Rounding
from promethean.domain.market import Side

FEE_STEP = FUNDING_STEP = Decimal("1e-8")


def taken_price(
    price: float, side: Side, quantity: Decimal, volume: float | None, slippage_bps: float, instrument: Instrument
) -> Decimal:
    """The price of an order that takes liquidity, rounded against it.

    price:        where the order meets the market, quote units per base unit.
    volume:       base units of the candle; slippage grows with the square root of the order's share of it.  None for
                  a quote, which carries no volume: no slippage.
    slippage_bps: basis points for an order as large as the candle's volume.
    """
    if slippage_bps and volume is not None:
        price *= 1 + side.sign * slippage_bps / 10_000 * math.sqrt(float(quantity) / volume)
    return instrument.round_float(price, Rounding.UP if side is Side.BUY else Rounding.DOWN)


def fee_of(price: Decimal, quantity: Decimal, rate: Decimal) -> Decimal:
    """The fee of a fill, quote units.  rate: fraction of the notional."""
    return (price * quantity * rate).quantize(FEE_STEP, ROUND_HALF_EVEN)


def funding_of(mark_price: Decimal, quantity: Decimal, funding_rate: Decimal) -> Decimal:
    """What a position pays at a funding instant, quote units; below zero: receives.  quantity: signed."""
    return (mark_price * quantity * funding_rate).quantize(FUNDING_STEP, ROUND_HALF_EVEN)
