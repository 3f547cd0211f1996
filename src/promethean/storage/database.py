"""The door to PostgreSQL: connections with a role and a scope, and the schema's version.

Every connection takes the role `promethean_app`, which owns nothing and cannot pass row-level security.  It sees no
row until its transaction says for whom it works: `connection()` for the platform, `user_connection()` for one person.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from promethean.domain.errors import ConfigError, StoreError
from promethean.domain.ids import UserId
from promethean.domain.secret import Secret

MIGRATIONS = Path(__file__).parent / "migrations"
ROLE = "promethean_app"
SERVER_MIN = 16
SETTINGS = {
    "application_name": "promethean",
    "search_path": "public",  # the default begins with the role's name, and the role changes
    "timezone": "UTC",
    "jit": "off",  # slows short statements down
}
_CONNECT_TIMEOUT_S = 10.0
_MIGRATION_LOCK = 0x70726F6D  # any fixed number; one migration of a database at a time
_SCOPE = text("SELECT set_config('promethean.scope', :scope, true), set_config('promethean.user_id', :user_id, true)")


class Database:
    """Connections to one PostgreSQL database; belongs to the event loop that opened it.

    `open()` it, then `close()` it or use it in `async with`.
    """

    def __init__(self, address: Secret, pool_min: int, pool_max: int, statement_timeout_ms: int, ssl_mode: str | None):
        self._address = address
        self._statement_timeout_ms = statement_timeout_ms
        self._ssl_mode = ssl_mode
        self._engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._application_connection,
            pool_size=pool_min,
            max_overflow=pool_max - pool_min,
            pool_pre_ping=True,  # the server may have been restarted; asking costs a tenth of a millisecond
        )

    @classmethod
    async def open(
        cls,
        dsn: str | Secret,
        pool_min: int = 2,
        pool_max: int = 25,
        statement_timeout_ms: int = 5000,
        ssl_mode: str | None = None,
    ) -> Self:
        """Connect, and look whether this server and its schema are ones we can work with.

        dsn:                  `postgresql://user:password@host:port/database`, or with `?host=/socket/dir&port=N`.
        pool_min, pool_max:   connections kept, and connections at most.
        statement_timeout_ms: a statement that runs longer is cancelled by the server; 0 for no limit.
        ssl_mode:             as libpq's sslmode, unless the DSN has one of its own; None leaves it to the driver.
        Raises: ConfigError when nobody answers there, the server refuses us or is too old, its schema is newer than
                this program, or the pool cannot be.  The message never holds the password.
        """
        if not 1 <= pool_min <= pool_max:
            raise ConfigError(
                f"postgres.pool_min is {pool_min} and pool_max {pool_max}; choose 1 <= pool_min <= pool_max"
            )
        address = _plain_address(dsn.reveal() if isinstance(dsn, Secret) else dsn)
        database = cls(address, pool_min, pool_max, statement_timeout_ms, ssl_mode)
        try:
            connection = await database._owner_connection()
        except StoreError as error:
            raise ConfigError(f"{error}; check DATABASE_URL, or see the log of the embedded server") from error
        try:
            major = connection.get_server_version().major
            if major < SERVER_MIN:
                raise ConfigError(f"{database.where} runs PostgreSQL {major}; version {SERVER_MIN} or newer is needed")
            _refuse_newer(await _schema_version(connection), database.where)
        finally:
            await connection.close()
        return database

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def where(self) -> str:
        """The address for people: host, port and database, without user and password."""
        return _shown(self._address)

    async def migrate(self) -> str:
        """Bring the schema to this program's version; one query when it is there already.

        Returns: the schema version.
        Raises:  ConfigError when the schema is newer than this program, or the login role may not make what is needed;
                 StoreError when a migration fails, which leaves the schema as it was.
        """
        head = newest_revision()
        connection = await self._owner_connection()
        try:
            version = await _schema_version(connection)
        finally:
            await connection.close()
        _refuse_newer(version, self.where)
        if version != head:
            await self._upgrade()
        return head

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that works for the platform and sees every user's rows; commits at the end of the block.

        Raises: StoreError when the database cannot be reached or goes away.
        """
        async with self._transaction("service", "") as connection:
            yield connection

    @asynccontextmanager
    async def user_connection(self, user: UserId) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees and writes the rows of one user only; commits at the end of the block.

        Raises: StoreError when the database cannot be reached or goes away.
        """
        async with self._transaction("user", user) as connection:
            yield connection

    async def raw(self, *, durable: bool = True) -> Any:
        """An `asyncpg.Connection` of its own that works for the platform: COPY and pipelines of the journal's writer.

        durable: whether a commit waits for the disk.  Without, a power cut or a killed server may take the last half
                 second of commits, whole ones and from the end: for accounts that hold no money.
        The caller closes it.
        Raises: StoreError when the database cannot be reached.
        """
        connection = await self._application_connection()
        wait = "on" if durable else "off"
        await connection.execute(f"SET promethean.scope = 'service'; SET synchronous_commit = {wait}")
        return connection

    async def close(self) -> None:
        """Close every pooled connection.  Connections from `raw()` stay their owners' business."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(self, scope: str, user: str) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                # For this transaction only: a pooled connection never carries a scope to its next user.
                await connection.execute(_SCOPE, {"scope": scope, "user_id": user})
                yield connection
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            raise StoreError(f"the connection to {self.where} broke: {error.orig}") from error

    async def _application_connection(self) -> Any:
        connection = await self._owner_connection()
        try:
            await connection.execute(
                f"SET statement_timeout = {int(self._statement_timeout_ms)}; SET ROLE {ROLE}"  # one round trip
            )
        except asyncpg.InvalidParameterValueError as error:
            connection.terminate()
            raise StoreError(f"{self.where} holds no schema of ours yet; run `promethean migrate`") from error
        except asyncpg.InsufficientPrivilegeError as error:
            connection.terminate()
            raise ConfigError(
                f"the login role of {self.where} may not take the role {ROLE}; run GRANT {ROLE} TO <login role>"
            ) from error
        return connection

    async def _owner_connection(self) -> Any:
        dsn = self._address.reveal()
        options = {"ssl": self._ssl_mode} if self._ssl_mode and "sslmode=" not in dsn else {}
        try:
            return await asyncpg.connect(dsn, timeout=_CONNECT_TIMEOUT_S, server_settings=SETTINGS, **options)
        except ValueError:  # its text may repeat any part of the address
            raise ConfigError("DATABASE_URL is not an address of the form postgresql://user@host:port/db") from None
        except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
            raise StoreError(f"{self.where} refuses the user or the password") from error
        except asyncpg.InvalidCatalogNameError as error:
            raise StoreError(f"{self.where} has no such database; create it first") from error
        except TimeoutError as error:
            raise StoreError(f"{self.where} did not answer within {_CONNECT_TIMEOUT_S:g} s") from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreError(f"{self.where} cannot be reached: {error}") from error

    async def _upgrade(self) -> None:
        engine = create_async_engine("postgresql+asyncpg://", async_creator=self._owner_connection, poolclass=NullPool)
        try:
            async with engine.begin() as connection:
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
                await connection.run_sync(_run_migrations)
        except DBAPIError as error:
            message = f"the schema of {self.where} cannot be brought to version {newest_revision()}: {error.orig}"
            cause = getattr(error.orig, "__cause__", None)
            if isinstance(cause, asyncpg.InsufficientPrivilegeError | asyncpg.FeatureNotSupportedError):
                raise ConfigError(
                    f"{message}; let an administrator of the server run CREATE EXTENSION vector in the database, and "
                    "give the login role CREATEROLE and the ownership of the database"
                ) from error
            raise StoreError(message) from error
        finally:
            await engine.dispose()


def newest_revision() -> str:
    """The schema version this program works with: the number of its last migration, such as `0001`."""
    return max(revisions())


def revisions() -> list[str]:
    """Every migration of this program, oldest first, by the numbers of their files: nothing else is imported."""
    return sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9][0-9][0-9][0-9]_*.py"))


async def _schema_version(connection: Any) -> str | None:
    if await connection.fetchval("SELECT to_regclass('public.alembic_version')") is None:
        return None
    version: str | None = await connection.fetchval("SELECT version_num FROM public.alembic_version")
    return version


def _refuse_newer(version: str | None, where: str) -> None:
    if version is not None and version not in revisions():
        raise ConfigError(
            f"the schema of {where} is version {version}, newer than {newest_revision()} of this program; "
            "update the program, or restore the backup made before the update"
        )


def _run_migrations(connection: Any) -> None:
    from alembic import command  # slow, and needed by the first start after an update alone
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _plain_address(dsn: str) -> Secret:
    match = re.match(r"(postgres|postgresql|postgresql\+asyncpg)://", dsn)
    if match is None:
        raise ConfigError("DATABASE_URL does not begin with postgresql://")
    return Secret("postgresql://" + dsn[match.end() :])


def _shown(address: Secret) -> str:
    parts = urlsplit(address.reveal())
    options = parse_qs(parts.query)
    place = parts.netloc.rpartition("@")[2]
    host = options.get("host", [place])[0] or "localhost"
    port = f":{options['port'][0]}" if "port" in options else ""
    return f"PostgreSQL at {host}{port}{parts.path}"
