"""The platform as one call: started, stopped, restarted under way, and refused before anything is made."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.app.runs import FAST, ROWS, Onlooker, Place, assert_same

from promethean.app import running
from promethean.app.desk import DEFAULT_STRATEGY, find_strategy_file, load_strategy
from promethean.app.register import register_everything
from promethean.app.running import UpOptions, up
from promethean.domain.errors import ConfigError
from promethean.runtime.clock import SystemClock
from promethean.runtime.feeds import chosen
from promethean.runtime.feeds.live import Connection
from promethean.runtime.home import only_one, prepare_home


def test_a_recording_runs_to_its_end_and_the_next_run_opens_a_new_account(place: Place, whole: Any) -> None:
    assert whole.finished
    assert whole.candles == ROWS
    assert whole.trades > 0
    onlooker = Onlooker()
    again = up(place.settings("home-whole"), FAST, onlooker)
    assert_same(again, whole)
    assert again.account != whole.account
    [run] = onlooker.runs
    assert (run.total, run.continued, run.is_synthetic) == (ROWS, False, False)


def test_a_run_that_was_stopped_goes_on_to_the_end_of_the_uninterrupted_one(
    place: Place, home: Path, whole: Any
) -> None:
    stopped = up(place.settings(), FAST, Onlooker(1000, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert not stopped.finished
    assert 1000 <= stopped.candles < ROWS
    onlooker = Onlooker()
    assert_same(up(place.settings(), FAST, onlooker), whole)
    assert onlooker.runs[0].continued


@pytest.mark.scenario("B5")
def test_a_run_goes_on_after_its_database_server_was_killed(place: Place, home: Path, whole: Any) -> None:
    def kill_server() -> None:
        os.kill(json.loads((home / "postgres.dsn").read_text())["pid"], signal.SIGQUIT)

    onlooker = Onlooker(1000, kill_server)
    assert_same(up(place.settings(), FAST, onlooker), whole)
    assert any("Starting again from the journal" in text for text in onlooker.said)


def test_what_people_are_told_is_the_journal_once(place: Place, home: Path, whole: Any) -> None:
    onlooker = Onlooker()
    summary = up(place.settings(), FAST, onlooker)
    assert len(onlooker.facts) == summary.events - summary.candles


def test_a_home_in_use_is_refused(place: Place, home: Path) -> None:
    with only_one(prepare_home(home)), pytest.raises(ConfigError, match="already runs"):
        up(place.settings(), FAST, Onlooker())


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, UpOptions(strategy="rsi_reversoin"), "rsi_reversion"),
        ({"app__feed": "missing.parquet"}, FAST, "missing.parquet"),
        ({"app__feed": "synthetic"}, FAST, "--until-end"),
        ({"app__feed": "live"}, FAST, "--until-end"),
        ({"app__mode": "live"}, FAST, "only paper trading"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_made(
    place: Place, changes: dict[str, str], options: UpOptions, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        up(place.settings("nothing", **changes), options, Onlooker())
    assert not (place.path / "nothing").exists()


def test_live_data_come_over_the_connection_that_the_settings_describe(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    class NewJournal:
        async def newest_candle(self, stream: str) -> None:
            return None

    async def no_network(*arguments: Any) -> None:
        given.extend(arguments)

    monkeypatch.setattr(chosen, "live_feed", no_network)
    changes = {"app.feed": "live", "market.websocket_enabled": "false", "market.queue_size": "20"}
    settings = place.settings(**changes, **{"market.reconnect_base_s": "3", "market.reconnect_max_s": "7"})
    register_everything()
    file = load_strategy(find_strategy_file(settings, DEFAULT_STRATEGY))
    journal: Any = NewJournal()
    feed = asyncio.run(running._make_feed(settings, UpOptions(), file, journal, SystemClock(), Onlooker()))
    assert given[-1] == Connection(streams=False, queue_limit=20, reconnect_base_s=3.0, reconnect_max_s=7.0)
    assert feed.is_synthetic
