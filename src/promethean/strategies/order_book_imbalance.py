"""Following the heavier side of the order book (SPEC 7.5)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray, timeframe_ns
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.money import plain
from promethean.indicators.order_flow.bands import EXACTNESS
from promethean.indicators.order_flow.orderbook_imbalance import orderbook_imbalance
from promethean.strategies.arrays import CLOSES_ALL, Said
from promethean.strategies.catalogue import strategy
from promethean.strategies.frame import Frame

ORDER_BOOK_IMBALANCE = "order_book_imbalance"
_SHARE, _SPREAD, _TAPE = "share of bids", "spread %", "tape"
_LIMITS: Mapping[str, tuple[str, str, str, bool]] = {
    # default, smallest, largest, whether it is a whole number
    "depth_levels": ("10", "1", "20", True),
    "imbalance_threshold": ("0.65", "0.51", "1", False),
    "snapshots": ("3", "1", "300", True),
    "spread_max_pct": ("0.05", "0.0001", "10", False),
    "tape_candles": ("10", "1", "300", True),
    "tape_delta": ("0.10", "0", "0.99", False),
}


@strategy(ORDER_BOOK_IMBALANCE)
class OrderBookImbalance:
    """Buys while the bids outweigh the asks; sells (futures) or closes (spot) while the asks outweigh the bids.

    Parameters: depth_levels (10) of each side that are weighed; imbalance_threshold (0.65), the share of the heavier
    side at each of the last snapshots (3), one at each candle's close; spread_max_pct (0.05) of the mid price;
    tape_candles (10), in which takers of the same side took more than tape_delta (0.10) of everything over the others.
    The side that `detect_spoofing` names is not followed, and nothing is said at a candle in which nothing traded.
    """

    reads_books = True

    def __init__(
        self,
        *,
        id: StrategyId,
        instrument: InstrumentId,
        timeframe: str,
        parameters: Mapping[str, Decimal | bool],
        can_short: bool,
    ) -> None:
        for name in parameters:
            if name not in _LIMITS:
                raise ConfigError(unknown_name(f"parameter of {ORDER_BOOK_IMBALANCE}", name, _LIMITS))
        values = {name: _value(name, parameters) for name in _LIMITS}
        self.id = id
        self.instrument = instrument
        self.timeframe = timeframe
        self.levels = int(values["depth_levels"])
        self.threshold = values["imbalance_threshold"]
        self.snapshots = int(values["snapshots"])
        self.spread_max_pct = values["spread_max_pct"]
        self.tape_candles = int(values["tape_candles"])
        self.tape_delta = values["tape_delta"]
        self.window = max(self.snapshots, self.tape_candles)
        self._can_short = can_short

    def say(self, frame: Frame) -> Said:
        """BUY where the bids are heavier; SELL or CLOSE where the asks are.

        Raises ConfigError for a frame without books.
        """
        books = frame.books
        best_bid, best_ask = books.bids[:, 0, 0], books.asks[:, 0, 0]
        share = orderbook_imbalance(books.bids, books.asks, self.levels).share
        spread = 100 * (best_ask - best_bid) / ((best_ask + best_bid) / 2)
        tape = _delta(books.bought, books.sold, self.tape_candles)
        tape[~_unbroken(frame, self.tape_candles)] = np.nan
        acts = (spread < self.spread_max_pct) & (frame.candles.volume > 0) & _unbroken(frame, self.snapshots)
        agrees = self.tape_delta * (1 + EXACTNESS)
        buys = acts & self._lasting(share) & (tape > agrees) & (books.spoofed <= 0)
        sells = acts & self._lasting(1 - share) & (tape < -agrees) & (books.spoofed >= 0)
        side = buys.astype(np.int8)
        leave = np.zeros(len(side), np.int8)
        if self._can_short:
            side -= sells.astype(np.int8)
        else:
            leave[sells] = CLOSES_ALL
        # What people read; the noise of float sums is not part of it.
        confidence: FloatArray = np.round(np.fmax(share, 1 - share), 6).astype(np.float64)
        unknown = int(np.isnan(share).sum())
        return Said(side, leave, confidence, {_SHARE: share, _SPREAD: spread, _TAPE: tape}, unknown)

    def reason(self, said: Said, at: int) -> str:
        """How heavy the side is, how narrow the spread, and what the takers did."""
        share, spread, tape = (said.readings[name][at] for name in (_SHARE, _SPREAD, _TAPE))
        heavy, part = ("bids", share) if share > 0.5 else ("asks", 1 - share)
        return (
            f"{heavy} are {100 * part:.1f} % of {self.levels} levels at {self.snapshots} snapshots, "
            f"the spread is {spread:.4f} % and the tape {tape:+.2f}"
        )

    def _lasting(self, share: FloatArray) -> NDArray[np.bool_]:
        """Where this share was large enough at each of the last snapshots."""
        large = (share >= self.threshold * (1 - EXACTNESS)).astype(np.float64)
        lasting: NDArray[np.bool_] = _sums(large, self.snapshots) == self.snapshots
        return lasting


def _delta(bought: FloatArray, sold: FloatArray, candles: int) -> FloatArray:
    """(bought - sold) / (bought + sold) over the last candles; NaN where nothing traded in them."""
    buy, sell = _sums(bought, candles), _sums(sold, candles)
    both = buy + sell
    delta: FloatArray = np.divide(buy - sell, both, out=np.full(len(both), np.nan), where=both > 0)
    return delta


def _sums(values: FloatArray, candles: int) -> FloatArray:
    """The sum of the last candles, each by itself: no rounding of earlier ones is carried along."""
    if not len(values):
        return values
    padded = np.concatenate((np.zeros(candles - 1), values))
    sums: FloatArray = np.lib.stride_tricks.sliding_window_view(padded, candles).sum(axis=1)
    return sums


def _unbroken(frame: Frame, candles: int) -> NDArray[np.bool_]:
    """Where the last candles follow each other without a hole."""
    opens = frame.candles.open_time_ns
    unbroken = np.zeros(len(opens), np.bool_)
    length_ns = (candles - 1) * timeframe_ns(frame.timeframe)
    unbroken[candles - 1 :] = opens[candles - 1 :] - opens[: max(0, len(opens) - candles + 1)] == length_ns
    return unbroken


def _value(name: str, parameters: Mapping[str, Decimal | bool]) -> float:
    default, smallest, largest, is_whole = _LIMITS[name]
    value = parameters.get(name, Decimal(default))
    if isinstance(value, bool):
        raise ConfigError(f"parameters.{name} is {value}; write a number from {smallest} to {largest}")
    if not value.is_finite() or not Decimal(smallest) <= value <= Decimal(largest):
        raise ConfigError(f"parameters.{name} is {value:f}; it lies between {smallest} and {largest}")
    if is_whole and value != int(value):
        raise ConfigError(f"parameters.{name} is {plain(value)}; write a whole number from {smallest} to {largest}")
    return float(value)
