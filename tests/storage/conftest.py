"""One embedded server for the storage tests, a migrated database for each test, homes of servers, and market stores."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest
from tests.storage.postgres_processes import open_folder

from promethean.domain.instruments import MarketType
from promethean.storage import postgres_home, postgres_server
from promethean.storage.database import Database
from promethean.storage.market_front import serve
from promethean.storage.market_store import MarketStore
from promethean.storage.market_tables import SeriesKey
from promethean.storage.postgres_server import EmbeddedPostgres, remove_database

T = TypeVar("T")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """Address of the server's own database, as the owner; memory, where there is some, is faster than a disk."""
    memory = Path("/dev/shm")
    parent = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    home = Path(tempfile.mkdtemp(prefix="promethean-test-", dir=parent))
    home.chmod(0o711)  # root's server runs as another user, who has to pass
    with EmbeddedPostgres(home) as server:
        yield server.start()
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def make_database(server_dsn: str) -> Callable[[str], str]:
    """Makes a database from a template and answers its DSN."""

    def make(template: str) -> str:
        name = f"test_{next(_numbers)}"
        as_owner(server_dsn, f"CREATE DATABASE {name} TEMPLATE {template}")
        return server_dsn.replace("/postgres?", f"/{name}?")

    return make


@pytest.fixture(scope="session")
def migrated(make_database: Callable[[str], str]) -> str:
    """Name of a migrated database to copy."""

    async def migrate(dsn: str) -> None:
        async with await Database.open(dsn) as database:
            await database.migrate()

    dsn = make_database("template0")
    asyncio.run(migrate(dsn))
    return database_name(dsn)


@pytest.fixture
def dsn(server_dsn: str, make_database: Callable[[str], str], migrated: str) -> Iterator[str]:
    """A migrated database of the test's own, as the owner."""
    address = make_database(migrated)
    yield address
    as_owner(server_dsn, f"DROP DATABASE {database_name(address)} WITH (FORCE)")


@pytest.fixture
def empty_dsn(server_dsn: str, make_database: Callable[[str], str]) -> Iterator[str]:
    """A database of the test's own with nothing in it."""
    address = make_database("template0")
    yield address
    as_owner(server_dsn, f"DROP DATABASE {database_name(address)} WITH (FORCE)")


@pytest.fixture
def run(dsn: str) -> Callable[[Callable[[Database], Awaitable[T]]], T]:
    """Runs a coroutine function on the open database of the test."""

    def runner(scenario: Callable[[Database], Awaitable[T]]) -> T:
        async def story() -> T:
            async with await Database.open(dsn) as database:
                return await scenario(database)

        return asyncio.run(story())

    return runner


@pytest.fixture(scope="session")
def fast_disk() -> Path | None:
    """Memory, where there is enough of it: a database is a thousand files, which some disks take a second to make."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    return memory if roomy else None


@pytest.fixture
def folder(fast_disk: Path | None) -> Iterator[Path]:
    with open_folder(fast_disk) as path:
        yield path


@pytest.fixture
def home(folder: Path) -> Iterator[Path]:
    path = folder / "home"
    yield path
    remove_database(path)


@pytest.fixture(scope="session")
def stopped_home(fast_disk: Path | None) -> Iterator[Path]:
    """The home of a server that was started and stopped once, to be copied."""
    with open_folder(fast_disk) as path:
        with EmbeddedPostgres(path):
            pass
        yield path


@pytest.fixture
def used_home(home: Path, stopped_home: Path) -> Path:
    """As `home`, with a database in it; a copy takes a tenth of the time of a first start."""
    subprocess.run(["cp", "-a", str(stopped_home), str(home)], check=True)
    return home


@pytest.fixture
def state_root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /var/lib."""
    path = folder / "state"
    path.mkdir(mode=0o755)
    for module in (postgres_home, postgres_server):
        monkeypatch.setattr(module, "STATE_ROOT", path)
    return path


@pytest.fixture
def closed_home(folder: Path, state_root: Path) -> Iterator[Path]:
    """A home that only its owner can enter, like the one of root."""
    path = folder / "closed" / "home"
    path.parent.mkdir(mode=0o700)
    path.mkdir(mode=0o700)
    yield path
    remove_database(path)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, MarketStore]]:
    """One engine for the module, seen from inside and through HTTP."""
    home = tmp_path_factory.mktemp("home")
    inside = MarketStore.open(f"chdb://{home}/market")
    inside.create_tables()
    front = serve(inside, home)
    outside = MarketStore.open(front.address)
    yield {"chdb": inside, "http": outside}
    outside.close()
    front.stop()
    inside.close()


@pytest.fixture(params=["chdb", "http"])
def store(stores: dict[str, MarketStore], request: pytest.FixtureRequest) -> MarketStore:
    return stores[request.param]


@pytest.fixture
def key() -> SeriesKey:
    """A series of this test's own."""
    return SeriesKey(f"venue{next(_numbers)}", MarketType.SPOT, "BTC/USDT", "1m")


def database_name(dsn: str) -> str:
    return dsn.split("?")[0].rsplit("/", 1)[1]


def as_owner(dsn: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())
