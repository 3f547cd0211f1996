"""What the tests of whole runs share: a recording, somebody who looks on, and what a run comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promethean.app.running import UpOptions
from promethean.config.layers import load_settings
from promethean.config.tree import Settings

ROWS = 3_000
FAST = UpOptions(speed=None, until_end=True)
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


def assert_same(found: Any, whole: Any) -> None:
    assert {name: getattr(found, name) for name in SAME} == {name: getattr(whole, name) for name in SAME}
    assert found.finished
