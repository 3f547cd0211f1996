"""The retest after a break of structure, with the smart-money family of indicators (SPEC 7.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from promethean.domain.candles import CandleSeries, IntArray, timeframe_ns
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.indicators.smart_money.fvg import fvg
from promethean.indicators.smart_money.liquidity_zones import LiquidityZone, list_zones
from promethean.indicators.smart_money.market_structure import Break, read_structure
from promethean.indicators.smart_money.order_blocks import order_blocks
from promethean.strategies.arrays import CLOSES_LONG, Said
from promethean.strategies.catalogue import strategy
from promethean.strategies.frame import Frame
from promethean.strategies.ladder import ladder
from promethean.strategies.parameters import Parameters

LOOKBACK = 240  # candles of the larger timeframe that are looked at: so many fit into what a live view keeps
BARS_MAX = 200  # so that what is that old is still within them, with the candles that made it
TARGETS = 2
BLOCK, GAP = 1.0, 2.0
ENTRY = ("zone top", "zone bottom", "zone kind", "broken level", "break kind", "reward")  # read where it enters


class Zone(NamedTuple):
    """Prices to come back to.

    side: +1 bullish, -1 bearish.  known: place of the larger candle with whose close it is known.
    """

    side: int
    top: float
    bottom: float
    known: int
    kind: float

    @property
    def near(self) -> float:
        """The edge that a price which comes back reaches first."""
        return self.top if self.side > 0 else self.bottom

    @property
    def far(self) -> float:
        """The edge behind which the stop lies."""
        return self.bottom if self.side > 0 else self.top


class Setup(NamedTuple):
    """An entry.  targets: nearest first; reward: of the first one, in R."""

    zone: Zone
    broken: Break
    stop: float
    targets: Sequence[float]
    reward: float


@strategy("smc_breakout")
class SmcBreakout:
    """Enters where the price comes back for the first time into a zone that lies in the direction of the last break.

    The last break of structure or change of character on the larger timeframe says the direction.  A zone is an order
    block or a fair value gap of that side and timeframe.  The candle that first reaches it is the retest: the zone is
    unmitigated then, and it must not close through it.  The stop lies behind the zone, the targets are the nearest
    unswept swings and clusters of swings that are far enough away; without one there is no entry.

    Everything is read from the last LOOKBACK closed candles of the larger timeframe, so that live trading, which sees a
    trailing window, says what a backtest does.

    Parameters: strength (5) of swings; break_bars (40) and zone_bars (100): largest age of break and zone, in candles
    of the larger timeframe; block_move (0.01), block_bars (3), gap_min (0.001), tolerance (0.005): of order blocks,
    gaps and clusters, as the indicators take them; reward_min (2): distance of the first target in R; stop_buffer
    (0.001): how far behind the zone the stop lies, as a share of the price.
    """

    def __init__(
        self,
        *,
        id: StrategyId,
        instrument: InstrumentId,
        timeframe: str,
        parameters: Mapping[str, Decimal | bool],
        can_short: bool,
    ) -> None:
        values = Parameters(
            "smc_breakout",
            parameters,
            {
                "strength": Decimal(5),
                "break_bars": Decimal(40),
                "zone_bars": Decimal(100),
                "block_move": Decimal("0.01"),
                "block_bars": Decimal(3),
                "gap_min": Decimal("0.001"),
                "tolerance": Decimal("0.005"),
                "reward_min": Decimal(2),
                "stop_buffer": Decimal("0.001"),
            },
        )
        self.id = id
        self.instrument = instrument
        self.timeframe = timeframe
        self.larger = ladder("smc_breakout", timeframe).middle
        self.strength = values.whole("strength", 1, 20)
        self.break_bars = values.whole("break_bars", 1, BARS_MAX)
        self.zone_bars = values.whole("zone_bars", 3, BARS_MAX)
        self.block_move = values.number("block_move", "0.0001", "0.5")
        self.block_bars = values.whole("block_bars", 1, 20)
        self.gap_min = values.number("gap_min", "0", "0.5")
        self.tolerance = values.number("tolerance", "0", "0.1")
        self.reward_min = values.number("reward_min", "0.5", "100")
        self.stop_buffer = values.number("stop_buffer", "0", "0.1")
        self.window = (LOOKBACK + 1) * (timeframe_ns(self.larger) // timeframe_ns(timeframe))
        self._can_short = can_short

    def say(self, frame: Frame) -> Said:
        """BUY, and SELL or CLOSE, at the candles of a retest."""
        length = len(frame)
        side, leave = np.zeros(length, np.int8), np.zeros(length, np.int8)
        stop = np.full(length, np.nan)
        targets = tuple(np.full(length, np.nan) for _ in range(TARGETS))
        readings = {name: np.full(length, np.nan) for name in ENTRY}
        for at, setup in self._setups(frame):
            zone = setup.zone
            numbers = (zone.top, zone.bottom, zone.kind, setup.broken.level, _number(setup.broken), setup.reward)
            for name, number in zip(ENTRY, numbers, strict=True):
                readings[name][at] = number
            if zone.side < 0 and not self._can_short:
                leave[at] = CLOSES_LONG
                continue
            side[at], stop[at] = zone.side, setup.stop
            for target, price in zip(targets, setup.targets, strict=False):
                target[at] = price
        gaps = frame.indicator("fvg", {"min_gap": self.gap_min, "lookback": self.zone_bars}, self.larger)
        readings |= {f"gap below {self.larger}": gaps[3], f"gap above {self.larger}": gaps[6]}
        return Said(side, leave, np.broadcast_to(np.float64(1.0), length), readings, stop=stop, targets=targets)

    def reason(self, said: Said, at: int) -> str:
        """Which break, which zone, and how far the target is."""
        top, bottom, kind, level, broken, reward = (said.readings[name][at] for name in ENTRY)
        word = "BOS" if abs(broken) == 1 else "CHoCH"
        zone = "order block" if kind == BLOCK else "fair value gap"
        return (
            f"{word} {'up' if broken > 0 else 'down'} at {level:.6g} on {self.larger}; back in the {zone} "
            f"{bottom:.6g} to {top:.6g}, with liquidity at {reward:.3g} R"
        )

    def _setups(self, frame: Frame) -> Iterator[tuple[int, Setup]]:
        """Every entry with the place of its candle."""
        larger, closed = frame.larger(self.larger), frame.last_closed(self.larger)
        # Of zones that are reached at once the one whose far edge is farthest: its stop lies behind all of them.
        retests: dict[tuple[int, int], Zone] = {}
        for zone in self._zones(larger):
            at = self._retest(zone, frame.candles, closed)
            if at is None:
                continue
            other = retests.get((at, zone.side))
            if other is None or zone.side * (zone.far - other.far) < 0:
                retests[at, zone.side] = zone
        for (at, _), zone in sorted(retests.items()):
            setup = self._setup(zone, at, larger, frame.candles, closed)
            if setup is not None:
                yield at, setup

    def _zones(self, candles: CandleSeries) -> Iterator[Zone]:
        opened, high, low, close = candles.open, candles.high, candles.low, candles.close
        blocks = order_blocks(opened, high, low, close, candles.volume, self.block_move, self.block_bars).kind
        for known in np.flatnonzero(np.abs(blocks) == 1).tolist():
            side = int(blocks[known])
            block = known - 1
            while side * (close[block] - opened[block]) >= 0:
                block -= 1
            yield Zone(side, float(high[block]), float(low[block]), known, BLOCK)
        gaps = fvg(high, low, close, self.gap_min, self.zone_bars)
        for known in np.flatnonzero(np.abs(gaps.kind) == 1).tolist():
            yield Zone(int(gaps.kind[known]), float(gaps.top[known]), float(gaps.bottom[known]), known, GAP)

    def _retest(self, zone: Zone, candles: CandleSeries, closed: IntArray) -> int | None:
        """Place of the first candle that reaches a zone, unless it comes too late or closes through it."""
        start = int(np.searchsorted(closed, zone.known)) + 1  # the candle that made it known was part of it
        stop = int(np.searchsorted(closed, zone.known + self.zone_bars, side="right"))
        reached = candles.low[start:stop] <= zone.near if zone.side > 0 else candles.high[start:stop] >= zone.near
        first = int(reached.argmax()) if len(reached) else 0
        if not len(reached) or not reached[first]:
            return None
        at = start + first
        return at if zone.side * (candles.close[at] - zone.far) > 0 else None

    def _setup(
        self, zone: Zone, at: int, larger: CandleSeries, candles: CandleSeries, closed: IntArray
    ) -> Setup | None:
        """The entry at the retest of a zone; None where the last break or the liquidity does not allow one."""
        last = int(closed[at])
        rows = slice(max(0, last + 1 - LOOKBACK), last + 1)
        high, low, close = larger.high[rows], larger.low[rows], larger.close[rows]
        breaks = read_structure(high, low, close, self.strength).breaks
        if not breaks or len(close) - 1 - breaks[-1].at > self.break_bars:
            return None
        if breaks[-1].side != ("bullish" if zone.side > 0 else "bearish"):
            return None
        price = float(candles.close[at])
        stop = zone.far * (1 - zone.side * self.stop_buffer)
        risk = zone.side * (price - stop)
        forming = slice(int(np.searchsorted(closed, last)) + 1, at + 1)  # what traded since the last closed candle
        extremes = candles.high[forming] if zone.side > 0 else -candles.low[forming]
        passed = zone.side * max(extremes, default=zone.side * price)
        levels = _liquidity(list_zones(high, low, close, self.tolerance, 1, self.strength), zone.side, passed)
        far_enough = [level for level in levels if zone.side * (level - price) >= self.reward_min * risk]
        if not far_enough:
            return None
        return Setup(zone, breaks[-1], stop, far_enough[:TARGETS], zone.side * (far_enough[0] - price) / risk)


def _liquidity(zones: Sequence[LiquidityZone], side: int, passed: float) -> list[float]:
    """Prices where stops of the other side rest beyond what has traded, nearest first."""
    wanted = "buy_side" if side > 0 else "sell_side"
    prices = [zone.price for zone in zones if zone.side == wanted and not zone.swept]
    return sorted((price for price in prices if side * (price - passed) > 0), key=lambda price: side * price)


def _number(broken: Break) -> float:
    """1 for a break of structure and 2 for a change of character, below zero for one that looks down."""
    return (2.0 if broken.kind == "choch" else 1.0) * (1 if broken.side == "bullish" else -1)
