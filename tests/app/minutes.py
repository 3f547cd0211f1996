"""Short files of candles, and what a backtest of them is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from promethean.app.backtesting import BacktestOptions

D = Decimal
FIRST_MS, MINUTE_MS = 1_747_699_200_000, 60_000  # 2025-05-20


def options(data: Path, strategy: str = "reference_rsi", cash: int = 100_000, **given: Any) -> BacktestOptions:
    return BacktestOptions(strategy, str(data), cash=D(cash), **given)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def candles(path: Path, count: int, missing: frozenset[int] = frozenset()) -> Path:
    """Minutes that fall for half an hour and rise for the next."""
    lines = ["timestamp,open,high,low,close,volume"]
    for number in range(count):
        price = 100_000 - 50 * min(number % 60, 60 - number % 60)
        if number not in missing:
            lines.append(f"{FIRST_MS + number * MINUTE_MS},{price},{price + 20},{price - 20},{price},50.5")
    path.write_text("\n".join(lines) + "\n")
    return path
