"""One embedded server for the storage tests, and a freshly migrated database for each test."""

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

from promethean.storage.database import Database
from promethean.storage.postgres_server import EmbeddedPostgres

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
