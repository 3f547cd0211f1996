"""Back to the session's volume-weighted average price (SPEC 7.5)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import numpy as np

from promethean.domain.candles import FloatArray, timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.instants import DAY_NS, NS_PER_S
from promethean.indicators.trend.regime import RANGES, regime_window
from promethean.indicators.volume.vwap import OF_CANDLES
from promethean.strategies.arrays import CLOSES_LONG, Said
from promethean.strategies.catalogue import strategy
from promethean.strategies.frame import Frame
from promethean.strategies.parameters import Parameters

HOUR_NS = 3600 * NS_PER_S
SLACK = 1e-12  # share of the price: what rounding leaves of a width that is none
AT_THE_BAND = 0.8  # confidence
VWAP, ROUGH, UPPER, LOWER, IN_RANGE = "VWAP", "VWAP (candles)", "upper band", "lower band", "range"


@strategy("vwap_reversion")
class VwapReversion:
    """Buys a close below the lower band that has turned up again, in a market that ranges; the target is the VWAP.

    Mirrored it sells (futures) or closes (spot).  A candle has turned up when it closes above its open and above the
    close before it.  The VWAP is that of the session from 00:00 UTC: over single trades where the frame has them, else
    over candles, an approximation that is said as such in the name of the reading.  The confidence is 0.8 at the band
    and grows with the distance from the VWAP.

    Parameters: deviations (2): distance of the bands; warmup_minutes (30): how long a session's bands, which begin
    with no width at all, are not looked at.
    """

    remarks = (OF_CANDLES,)
    reads_trades = True

    def __init__(
        self,
        *,
        id: StrategyId,
        instrument: InstrumentId,
        timeframe: str,
        parameters: Mapping[str, Decimal | bool],
        can_short: bool,
    ) -> None:
        values = Parameters("vwap_reversion", parameters, {"deviations": Decimal(2), "warmup_minutes": Decimal(30)})
        if timeframe_ns(timeframe) > HOUR_NS:
            raise ConfigError(
                f"vwap_reversion reads the VWAP of a day, too few candles of {timeframe}; "
                "its primary timeframe is 1h or less"
            )
        self.id = id
        self.instrument = instrument
        self.timeframe = timeframe
        self.deviations = values.number("deviations", "0.5", "10")
        self.warmup_ns = values.whole("warmup_minutes", 0, 720) * 60 * NS_PER_S
        self.window = regime_window()  # more than the candles of a day
        self._can_short = can_short

    def say(self, frame: Frame) -> Said:
        """BUY below the lower band, SELL or CLOSE above the upper one, where the candle turns and the market ranges."""
        vwap, upper, lower, *_, rough = frame.true_vwap(self.deviations)
        close, opened = frame.candles.close, frame.candles.open
        before = np.concatenate(([np.nan], close[:-1]))
        ranges = np.isin(frame.indicator("regime", {}, self.timeframe)[0], RANGES)
        width = np.where(upper - vwap > SLACK * vwap, upper - vwap, np.nan)  # none after the first candle of a session
        since_ns = frame.close_time_ns - frame.candles.open_time_ns // DAY_NS * DAY_NS
        ready = ranges & ~np.isnan(width) & (since_ns > self.warmup_ns)
        buys = ready & (close < lower) & (close > opened) & (close > before)
        sells = ready & (close > upper) & (close < opened) & (close < before)
        side = buys.astype(np.int8) - (sells & self._can_short).astype(np.int8)
        beyond = np.abs(close - vwap) / width  # 1 at the band
        confidence: FloatArray = np.round(np.minimum(1.0, AT_THE_BAND * beyond), 6).astype(np.float64)
        return Said(
            side,
            np.where(sells & (side == 0), CLOSES_LONG, 0).astype(np.int8),
            confidence,
            {
                UPPER: upper,  # first one that is known wherever there is an average
                LOWER: lower,
                **({VWAP: np.where(rough, np.nan, vwap)} if frame.trades is not None else {}),
                ROUGH: np.where(rough, vwap, np.nan),
                IN_RANGE: ranges.astype(np.float64),
            },
            targets=(np.where(side != 0, vwap, np.nan),),
        )

    def remarks_on(self, frame: Frame) -> tuple[str, ...]:
        """At how many candles the VWAP is that over single trades, and what it is at the others."""
        if frame.trades is None:
            return self.remarks
        found = frame.true_vwap(self.deviations)
        known = ~np.isnan(found.vwap)
        true, count = int((known & ~found.approximation).sum()), len(frame)
        told = (
            f"{self.id} reads the VWAP over single trades at {true:,} of {count:,} candles ({true / max(1, count):.1%})"
        )
        return (told, f"elsewhere {OF_CANDLES}") if (known & found.approximation).any() else (told,)

    def reason(self, said: Said, at: int) -> str:
        """Which band the price came back from, and where the average is."""
        band, word = (LOWER, "below") if said.side[at] > 0 else (UPPER, "above")
        readings = said.readings
        name = ROUGH if VWAP not in readings or np.isnan(readings[VWAP][at]) else VWAP
        return f"the price turned {word} the {band} {readings[band][at]:.6g}; {name} is {readings[name][at]:.6g}"
