"""Where PostgreSQL is, and the migrated database on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Self, TypeVar

from promethean.config.tree import Settings
from promethean.domain.errors import StoreError

if TYPE_CHECKING:
    from promethean.storage.database import Database
    from promethean.storage.postgres_server import EmbeddedPostgres

T = TypeVar("T")
SERVER_WAIT_S = 20.0


class Postgres:
    """Where PostgreSQL is: DATABASE_URL, else the embedded server of the home, started when nobody runs it.

    Use it in `with`, from the main thread.  Raises ConfigError and StoreError as the server does.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: EmbeddedPostgres | None = None

    def __enter__(self) -> Self:
        self.dsn = self._find()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stop()

    @property
    def is_ours(self) -> bool:
        """Whether this process started the server and will stop it."""
        return self._server is not None

    def find_again(self) -> None:
        """After a failure: start our own server again, or look where the one of another process has gone."""
        if self._server is None:
            self.dsn = self._find()
        elif not self._server.running:
            self.dsn = self._server.start()

    def _find(self) -> str:
        if self._settings.postgres.url is not None:
            return self._settings.postgres.url.reveal()
        from promethean.storage.postgres_server import connect_or_start

        dsn, self._server = connect_or_start(self._settings.app.home, self._settings.postgres.port)
        return dsn


async def open_database(settings: Settings, dsn: str) -> Database:
    """A migrated database."""
    from promethean.storage.database import Database

    pg = settings.postgres
    ssl_mode = None if settings.postgres.url is None else pg.ssl_mode
    database = await Database.open(dsn, pg.pool_min, pg.pool_max, pg.statement_timeout_ms, ssl_mode)
    await database.migrate()
    return database


def has_database(settings: Settings) -> bool:
    """Whether there is a database to ask; looking makes none."""
    return settings.postgres.url is not None or (settings.app.home / "postgres.lock").exists()


def with_database(settings: Settings, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """What `work` answers on the migrated database, started for the moment when nobody runs it.

    Raises ConfigError and StoreError as the server and the database do.
    """

    async def story(dsn: str) -> T:
        database = await open_database(settings, dsn)
        try:
            return await work(database)
        finally:
            await database.close()

    if (dsn := _dsn_of_running(settings)) is not None:
        return asyncio.run(story(dsn))
    with Postgres(settings) as database:
        return asyncio.run(story(database.dsn))


def _dsn_of_running(settings: Settings) -> str | None:
    """The address of the running platform's own server; None when nothing runs or the server is not ours.

    While it starts, it is waited for: a server of this command's own would end with the command, under the platform.
    """
    from promethean.runtime.home import running_process
    from promethean.storage.postgres_home import running_dsn

    if settings.postgres.url is not None:
        return None
    home = settings.app.home
    deadline = time.monotonic() + SERVER_WAIT_S
    while (process := running_process(home)) is not None:
        dsn = running_dsn(home)
        if dsn is not None:
            return dsn
        if time.monotonic() > deadline:
            raise StoreError(f"process {process} runs the platform, and its database does not answer; see {home}/logs")
        time.sleep(0.05)
    return None
