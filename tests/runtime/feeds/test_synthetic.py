"""The invented market: the same everywhere, continuous, well formed and lively enough to trade."""

from __future__ import annotations

import asyncio
import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from promethean.domain.candles import Candle
from promethean.domain.errors import ConfigError
from promethean.domain.instants import NS_PER_S
from promethean.runtime.feeds.columns import CandleColumns
from promethean.runtime.feeds.port import FeedItem
from promethean.runtime.feeds.synthetic import (
    BLOCK_CANDLES,
    FIRST_OPEN_NS,
    FIRST_START,
    SYNTHETIC_BTC,
    SyntheticFeed,
    synthetic_block,
)

COLUMNS = ("open", "high", "low", "close", "volume")


def blocks(seed: int, count: int) -> list[CandleColumns]:
    start, found = FIRST_START, []
    for number in range(count):
        columns, start = synthetic_block(seed, number, start)
        found.append(columns)
    return found


def digest(columns: CandleColumns) -> str:
    return hashlib.sha256(b"".join(getattr(columns, name).tobytes() for name in COLUMNS)).hexdigest()


def collect(feed: SyntheticFeed, after: int = 0) -> list[FeedItem]:
    async def read() -> list[FeedItem]:
        return [item async for batch in feed.batches(after) for item in batch]

    return asyncio.run(read())


def candles(feed: SyntheticFeed, after: int = 0) -> list[Candle]:
    return [item.event.candle for item in collect(feed, after)]  # type: ignore[union-attr]


def test_a_seed_gives_the_same_market_on_every_machine() -> None:
    first, *_, last = blocks(seed=7, count=5)
    assert digest(first) == "64ce6f7237b410fa6cd415bc703612d0cd4dd73e599d059ca22ce95565b85b75"
    assert digest(last) == "42a458bdfb320982244b6710efe0bd75bd05ef92709e4c71dde3ac98c1639699"


def test_another_seed_gives_another_market(clock: Any) -> None:
    assert candles(SyntheticFeed(0, clock, speed=None, limit=50)) != candles(
        SyntheticFeed(1, clock, speed=None, limit=50)
    )


def test_each_candle_opens_where_the_one_before_closed_also_across_blocks(clock: Any) -> None:
    market = candles(SyntheticFeed(3, clock, speed=None, limit=2 * BLOCK_CANDLES + 10))
    assert len(market) == 2 * BLOCK_CANDLES + 10
    assert all(later.open == earlier.close for earlier, later in pairwise(market))
    assert all(later.open_time_ns == earlier.close_time_ns for earlier, later in pairwise(market))
    assert market[0].open_time_ns == FIRST_OPEN_NS == 1_735_689_600 * NS_PER_S


@pytest.mark.parametrize("seed", range(5))
def test_prices_lie_on_the_tick_grid_and_volumes_on_the_lot_grid(clock: Any, seed: int) -> None:
    for candle in candles(SyntheticFeed(seed, clock, speed=None, limit=300)):
        for price in (candle.open, candle.high, candle.low, candle.close):
            assert float(SYNTHETIC_BTC.price_from_float(price)) == price
        assert round(candle.volume, 5) == candle.volume > 0


@pytest.mark.parametrize("after", [0, 1, 999, 1000, BLOCK_CANDLES, BLOCK_CANDLES + 1, 3 * BLOCK_CANDLES - 1])
def test_reading_on_gives_the_items_that_an_uninterrupted_reader_sees(clock: Any, after: int) -> None:
    whole = collect(SyntheticFeed(0, clock, speed=None, limit=3 * BLOCK_CANDLES))
    assert [item.sequence for item in whole] == list(range(1, 3 * BLOCK_CANDLES + 1))
    assert collect(SyntheticFeed(0, clock, speed=None, limit=3 * BLOCK_CANDLES), after) == whole[after:]


def test_the_market_goes_on_without_a_limit(clock: Any) -> None:
    async def far_ahead() -> FeedItem:
        batches = SyntheticFeed(0, clock, speed=None).batches(500_000)
        batch = await anext(batches)
        await batches.aclose()  # type: ignore[attr-defined]
        return batch[0]

    item = asyncio.run(far_ahead())
    assert item.sequence == 500_001
    assert item.event.at_ns == FIRST_OPEN_NS + 500_001 * 60 * NS_PER_S


def test_by_default_a_minute_candle_appears_each_second(clock: Any) -> None:
    begun_ns = clock.now_ns()
    collect(SyntheticFeed(0, clock, limit=4))
    assert [wait - begun_ns for wait in clock.waits] == [0, NS_PER_S, 2 * NS_PER_S, 3 * NS_PER_S]


def test_returns_have_fat_tails_clustered_volatility_and_volume_that_follows_the_moves() -> None:
    market = blocks(seed=1, count=60)
    close = np.concatenate([columns.close for columns in market])
    volume = np.concatenate([columns.volume for columns in market])
    returns = np.diff(np.log(close))
    moves = np.abs(returns)
    kurtosis = ((returns - returns.mean()) ** 4).mean() / returns.var() ** 2
    assert kurtosis > 5.0
    assert np.corrcoef(moves[:-10], moves[10:])[0, 1] > 0.1
    assert np.corrcoef(moves, volume[1:])[0, 1] > 0.4
    assert 0.0003 < returns.std() < 0.0012


def test_the_relative_strength_index_is_extreme_as_often_as_in_a_real_market() -> None:
    talib = pytest.importorskip("talib")
    close = np.concatenate([columns.close for columns in blocks(seed=2, count=60)])
    rsi = talib.RSI(close, 14)
    assert 0.03 < (rsi < 30).mean() < 0.10
    assert 0.03 < (rsi > 70).mean() < 0.10


def test_it_says_in_capitals_that_the_prices_are_invented(clock: Any) -> None:
    feed = SyntheticFeed(5, clock)
    assert (feed.name, feed.provenance) == ("synthetic-5", "SYNTHETIC market (invented prices, seed 5)")
    assert feed.is_synthetic
    assert list(feed.instruments) == ["synthetic:BTCUSDT"]


@pytest.mark.parametrize(("seed", "changes"), [(-1, {}), (0, {"speed": 0.0}), (0, {"limit": 0})])
def test_an_impossible_setting_is_refused_with_the_remedy(clock: Any, seed: int, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="give "):
        SyntheticFeed(seed, clock, **changes)
