"""A recorded feed as the arrays that the functions take, on one clock: that of the receiver."""

from __future__ import annotations

import gzip
import json
from bisect import insort
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from promethean.indicators.order_flow.tape import Books, Tape

LEVELS = 20
TRADES = (
    "binance_spot_BTCUSDT_trades_2021-01-08.parquet",
    "binance_spot_BTCUSDT_trades_2024-08-08.parquet",
    "binance_spot_ETHUSDT_trades_2024-08-08.parquet",
    "binance_spot_XRPETH_trades_2019-10.parquet",
    "binance_usdm_BTCUSDT_trades_2024-08-08.parquet",
)
FEEDS = ("binance_spot_btcusdt_20240808", "binance_usdm_btcusdt_20240808")


class _Side:
    """One side of a book: what rests at each price, and the prices best first."""

    def __init__(self, sign: int, rows: list[list[str]]) -> None:
        self.sign = sign
        self.sizes: dict[float, float] = {}
        self.ranked: list[float] = []
        self.change(rows)

    def change(self, rows: list[list[str]]) -> None:
        for price, quantity in ((float(row[0]), float(row[1])) for row in rows):
            known = price in self.sizes
            if quantity > 0:
                self.sizes[price] = quantity
                if not known:
                    insort(self.ranked, -self.sign * price)
            elif known:
                del self.sizes[price]
                self.ranked.remove(-self.sign * price)

    def top(self) -> list[tuple[float, float]]:
        prices = [-self.sign * rank for rank in self.ranked[:LEVELS]]
        return [(price, self.sizes[price]) for price in prices]


@cache
def recorded(shared: Path, name: str) -> tuple[Tape, Books]:
    """Trades and books of one file; the book from its snapshot on, after every change of depth."""
    path = shared / "data" / "orderbook" / "raw_feed" / f"{name}.gz"
    if not path.exists():
        pytest.skip(f"needs the recorded feed {name}, which is absent")
    trades: list[tuple[int, float, float, int]] = []
    instants: list[int] = []
    tops: list[tuple[list[tuple[float, float]], list[tuple[float, float]]]] = []
    sides: tuple[_Side, _Side] | None = None
    waiting: list[dict[str, Any]] = []  # changes that came before the snapshot, which may be older than they are
    with gzip.open(path, "rt") as lines:
        for line in lines:
            received, _, text = line.partition(" ")
            message = json.loads(text)
            data = message.get("data", message)
            if data.get("e") == "trade" and float(data["q"]) > 0:
                trades.append((int(received), float(data["p"]), float(data["q"]), -1 if data["m"] else 1))
            elif "lastUpdateId" in data:
                sides = _Side(1, data["bids"]), _Side(-1, data["asks"])
                waiting = [change for change in waiting if change["u"] > data["lastUpdateId"]]
            elif data.get("e") == "depthUpdate":
                waiting.append(data)
            if sides and waiting:
                for change in waiting:
                    sides[0].change(change["b"])
                    sides[1].change(change["a"])
                waiting = []
                instants.append(int(received))
                tops.append((sides[0].top(), sides[1].top()))
    columns = list(zip(*trades, strict=True))
    tape = Tape(
        np.array(columns[0], np.int64), np.array(columns[1]), np.array(columns[2]), np.array(columns[3], np.int64)
    )
    bids, asks = (np.array([top[number] for top in tops]) for number in (0, 1))
    return tape, Books(np.array(instants, np.int64), bids, asks)


@cache
def recorded_trades(shared: Path, name: str) -> Tape:
    """One file of trades, on the clock of the venue."""
    path = shared / "data" / "trades" / name
    if not path.exists():
        pytest.skip(f"needs the recorded trades {name}, which are absent")
    table = pq.read_table(path)
    aggressor = np.where(np.array(table["side"].to_pylist()) == "buy", 1, -1)
    at_ns = table["timestamp"].to_numpy() * 1_000_000
    return Tape(at_ns, table["price"].to_numpy(), table["amount"].to_numpy(), aggressor)
