"""Recorded feeds made by hand, in the form in which Binance's streams are recorded."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

S = 1_000_000_000
BEGIN = 1_700_000_000 * S
Line = tuple[float, dict[str, Any]]


def levels(sign: int, best: float = 100.0, size: float = 1.0, count: int = 30) -> list[list[str]]:
    """Levels a tenth apart, best first: bids below the mid for +1, asks above it for -1."""
    return [[f"{best - sign * (step + 1) / 10:.1f}", str(size)] for step in range(count)]


def snapshot(at_s: float, number: int, **sides: list[list[str]]) -> Line:
    return at_s, {"lastUpdateId": number, "bids": levels(1), "asks": levels(-1)} | sides


def change(
    at_s: float,
    first: int,
    last: int,
    bids: Sequence[tuple[float, float]] = (),
    asks: Sequence[tuple[float, float]] = (),
    symbol: str = "BTCUSDT",
    previous: int | None = None,
) -> Line:
    data: dict[str, Any] = {"e": "depthUpdate", "E": 0, "s": symbol, "U": first, "u": last}
    data |= {} if previous is None else {"pu": previous}
    sides = {"b": bids, "a": asks}
    data |= {name: [[str(price), str(size)] for price, size in side] for name, side in sides.items()}
    return at_s, {"stream": f"{symbol.lower()}@depth@100ms", "data": data}


def trade(at_s: float, price: float, quantity: float, *, sold: bool = False, symbol: str = "BTCUSDT") -> Line:
    data = {"e": "trade", "E": 0, "s": symbol, "t": 1, "p": str(price), "q": str(quantity), "T": 0, "m": sold}
    return at_s, {"stream": f"{symbol.lower()}@trade", "data": data}


def text_of(lines: Iterable[Line]) -> str:
    return "".join(f"{BEGIN + round(at_s * 1000) * 1_000_000} {json.dumps(message)}\n" for at_s, message in lines)


def write(path: Path, lines: Iterable[Line]) -> Path:
    path.write_bytes(gzip.compress(text_of(lines).encode(), 1, mtime=0))
    return path
