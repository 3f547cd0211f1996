"""A folder with a recording, the run over all of it, and a short file of candles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.app.minutes import candles
from tests.app.runs import FAST, ROWS, Onlooker, Place
from tests.test_crash import folder, write_feed

from promethean.app.running import up
from promethean.config.layers import load_settings
from promethean.config.tree import Settings
from promethean.storage.postgres_server import remove_database


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    beside = Path(__file__).resolve().parents[3] / "shared"
    with folder() as path:
        yield Place(path, write_feed(path, beside if beside.is_dir() else None, ROWS))


@pytest.fixture(scope="session")
def whole(place: Place) -> Any:
    """What the uninterrupted run comes to."""
    return up(place.settings("home-whole"), FAST, Onlooker())


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


@pytest.fixture
def settings() -> Settings:
    return load_settings({"app.home": "home"}, {}, Path.cwd())


@pytest.fixture
def short(tmp_path: Path) -> Path:
    return candles(tmp_path / "binance_spot_BTCUSDT_1m.csv", 600)
