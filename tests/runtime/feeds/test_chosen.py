"""Which feed a run gets: what none can bring is refused before anything is opened."""

from __future__ import annotations

import asyncio

import pytest

from promethean.domain.errors import ConfigError
from promethean.domain.instruments import MarketType
from promethean.runtime.clock import SystemClock
from promethean.runtime.feeds.chosen import Wanted, live_feed
from promethean.runtime.feeds.live import USUAL_CONNECTION


def test_candles_of_a_second_come_from_recordings_alone() -> None:
    wanted = Wanted("binance", "BTC", "USDT", MarketType.SPOT, "1s", 0)
    with pytest.raises(ConfigError, match="candles of 1s come from recordings alone"):
        asyncio.run(live_feed(wanted, None, None, SystemClock(), print, USUAL_CONNECTION))
