"""A database of its own for each test of the runner, migrated, on one embedded server for all of them."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest
from tests.runtime.world import Town

from promethean.storage.database import Database
from promethean.storage.postgres_server import EmbeddedPostgres

T = TypeVar("T")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_home() -> Iterator[Path]:
    """The home of the server, where every user can pass; memory, where there is some, is faster than a disk."""
    memory = Path("/dev/shm")
    parent = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    home = Path(tempfile.mkdtemp(prefix="promethean-test-", dir=parent))
    home.chmod(0o711)  # root's server runs as another user, who has to pass
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def server(postgres_home: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(postgres_home) as running:
        yield running


@pytest.fixture(scope="session")
def server_dsn(server: EmbeddedPostgres) -> str:
    """Address of the server's own database, as the owner."""
    return server.start()


@pytest.fixture(scope="session")
def migrated(server_dsn: str) -> str:
    """Name of a migrated database to copy."""

    async def migrate() -> None:
        async with await Database.open(server_dsn.replace("/postgres?", "/migrated?")) as database:
            await database.migrate()

    as_owner(server_dsn, "CREATE DATABASE migrated TEMPLATE template0")
    asyncio.run(migrate())
    return "migrated"


@pytest.fixture
def dsn(server_dsn: str, migrated: str) -> Iterator[str]:
    """A migrated database of the test's own, as the owner."""
    name = f"test_{next(_numbers)}"
    as_owner(server_dsn, f"CREATE DATABASE {name} TEMPLATE {migrated}")
    yield server_dsn.replace("/postgres?", f"/{name}?")
    as_owner(server_dsn, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def play(dsn: str, tmp_path: Path) -> Callable[[Callable[[Town], Awaitable[T]]], T]:
    """Runs a coroutine function on the open database of the test."""

    def runner(scenario: Callable[[Town], Awaitable[T]]) -> T:
        async def story() -> T:
            async with await Database.open(dsn) as database:
                return await scenario(Town(database, tmp_path))

        return asyncio.run(story())

    return runner


def as_owner(dsn: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())
