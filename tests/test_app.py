"""The platform as one call: started, stopped, restarted under way, and refused before anything is made."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.test_crash import folder, write_feed

from promethean import app
from promethean.config import Settings, load_settings
from promethean.domain.errors import ConfigError
from promethean.runtime.clock import SystemClock
from promethean.runtime.feeds import chosen
from promethean.runtime.feeds.live import Connection
from promethean.runtime.home import only_one, prepare_home
from promethean.storage.postgres_server import remove_database

ROWS = 3_000
FAST = app.UpOptions(speed=None, until_end=True)
SAME = ("trades", "wins", "losses", "fees", "realised", "final_equity", "journal_hash", "candles", "orders", "fills")


@dataclass
class Onlooker:
    """Keeps what a run tells; `at` is called once when so many candles are handled."""

    after: int | None = None
    at: Callable[[], None] | None = None
    said: list[str] = field(default_factory=list)
    runs: list[Any] = field(default_factory=list)
    facts: list[Any] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def started(self, run: Any) -> None:
        self.runs.append(run)

    def told(self, facts: Sequence[tuple[Any, Any]]) -> None:
        self.facts.extend(fact for fact, _ in facts)

    def tick(self, state: Any, candles: int) -> None:
        if self.at is not None and self.after is not None and candles >= self.after:
            act, self.at = self.at, None
            act()


@dataclass(frozen=True)
class Place:
    """A folder with a recording; every home in it is removed with its database."""

    path: Path
    feed: Path

    def settings(self, home: str = "home", **changes: str) -> Settings:
        given = {"app.feed": str(self.feed), "app.home": str(self.path / home)}
        return load_settings(
            {**given, **{key.replace("__", "."): value for key, value in changes.items()}}, {}, self.path
        )


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    beside = Path(__file__).resolve().parents[2] / "shared"
    with folder() as path:
        yield Place(path, write_feed(path, beside if beside.is_dir() else None, ROWS))


@pytest.fixture(scope="module")
def whole(place: Place) -> Any:
    """What the uninterrupted run comes to."""
    return app.up(place.settings("home-whole"), FAST, Onlooker())


@pytest.fixture
def home(place: Place) -> Iterator[Path]:
    path = place.path / "home"
    yield path
    remove_database(path)
    for file in sorted(path.rglob("*"), reverse=True):
        if file.is_dir():
            file.rmdir()
        else:
            file.unlink()


def assert_same(found: Any, whole: Any) -> None:
    assert {name: getattr(found, name) for name in SAME} == {name: getattr(whole, name) for name in SAME}
    assert found.finished


def test_a_recording_runs_to_its_end_and_the_next_run_opens_a_new_account(place: Place, whole: Any) -> None:
    assert whole.finished
    assert whole.candles == ROWS
    assert whole.trades > 0
    onlooker = Onlooker()
    again = app.up(place.settings("home-whole"), FAST, onlooker)
    assert_same(again, whole)
    assert again.account != whole.account
    [run] = onlooker.runs
    assert (run.total, run.continued, run.is_synthetic) == (ROWS, False, False)


def test_a_run_that_was_stopped_goes_on_to_the_end_of_the_uninterrupted_one(
    place: Place, home: Path, whole: Any
) -> None:
    stopped = app.up(place.settings(), FAST, Onlooker(1000, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert not stopped.finished
    assert 1000 <= stopped.candles < ROWS
    onlooker = Onlooker()
    assert_same(app.up(place.settings(), FAST, onlooker), whole)
    assert onlooker.runs[0].continued


@pytest.mark.scenario("B5")
def test_a_run_goes_on_after_its_database_server_was_killed(place: Place, home: Path, whole: Any) -> None:
    def kill_server() -> None:
        os.kill(json.loads((home / "postgres.dsn").read_text())["pid"], signal.SIGQUIT)

    onlooker = Onlooker(1000, kill_server)
    assert_same(app.up(place.settings(), FAST, onlooker), whole)
    assert any("Starting again from the journal" in text for text in onlooker.said)


def test_what_people_are_told_is_the_journal_once(place: Place, home: Path, whole: Any) -> None:
    onlooker = Onlooker()
    summary = app.up(place.settings(), FAST, onlooker)
    assert len(onlooker.facts) == summary.events - summary.candles


def test_a_home_in_use_is_refused(place: Place, home: Path) -> None:
    with only_one(prepare_home(home)), pytest.raises(ConfigError, match="already runs"):
        app.up(place.settings(), FAST, Onlooker())


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, app.UpOptions(strategy="rsi_reversoin"), "rsi_reversion"),
        ({"app__feed": "missing.parquet"}, FAST, "missing.parquet"),
        ({"app__feed": "synthetic"}, FAST, "--until-end"),
        ({"app__feed": "live"}, FAST, "--until-end"),
        ({"app__mode": "live"}, FAST, "only paper trading"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_made(
    place: Place, changes: dict[str, str], options: app.UpOptions, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        app.up(place.settings("nothing", **changes), options, Onlooker())
    assert not (place.path / "nothing").exists()


def test_looking_at_an_empty_home_makes_nothing(place: Place) -> None:
    settings = place.settings("nothing")
    assert not app.has_database(settings)
    assert app.list_accounts(settings) == ()
    assert app.status(settings).process is None
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
    app.register_everything()
    file = app.load_strategy(app.find_strategy_file(settings, app.DEFAULT_STRATEGY))
    journal: Any = NewJournal()
    feed = asyncio.run(app._make_feed(settings, app.UpOptions(), file, journal, SystemClock(), Onlooker()))
    assert given[-1] == Connection(streams=False, queue_limit=20, reconnect_base_s=3.0, reconnect_max_s=7.0)
    assert feed.is_synthetic


def test_the_journal_of_a_run_holds(place: Place, whole: Any) -> None:
    looked: list[tuple[int, int]] = []
    checks = app.verify_journal(place.settings("home-whole"), lambda done, todo: looked.append((done, todo)))
    assert sum(check.rows for check in checks) >= whole.events
    assert looked
