from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from promethean.domain.errors import ConfigError, StoreError
from promethean.domain.ids import UserId
from promethean.domain.secret import Secret
from promethean.storage import database as database_module
from promethean.storage.database import Database, newest_revision, revisions

Run = Callable[[Callable[[Database], Awaitable[Any]]], Any]


def attempt(dsn: str, **options: Any) -> str:
    """The message of the ConfigError that opening this address gives."""

    async def story() -> None:
        async with await Database.open(dsn, **options):
            pass

    with pytest.raises(ConfigError) as refused:
        asyncio.run(story())
    return str(refused.value)


async def scalar(database: Database, sql: str) -> Any:
    async with database.connection() as connection:
        return (await connection.execute(text(sql))).scalar_one()


def owner_executes(dsn: str, sql: str) -> None:
    async def story() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    asyncio.run(story())


def test_an_empty_database_is_brought_to_the_newest_schema(empty_dsn: str) -> None:
    async def story() -> None:
        async with await Database.open(empty_dsn) as database:
            assert await database.migrate() == newest_revision()
            assert await database.migrate() == newest_revision()
            assert await scalar(database, "SELECT count(*) FROM limit_profiles") == 4

    asyncio.run(story())


def test_processes_that_migrate_at_the_same_time_make_one_schema(empty_dsn: str) -> None:
    async def migrate() -> str:
        async with await Database.open(empty_dsn) as database:
            return await database.migrate()

    async def story() -> list[str]:
        return await asyncio.gather(*(migrate() for _ in range(3)))

    assert asyncio.run(story()) == [newest_revision()] * 3


def test_a_migrated_database_is_found_so_without_importing_alembic(dsn: str) -> None:
    script = (
        "import asyncio, sys\n"
        "from promethean.storage.database import Database\n"
        "async def story():\n"
        "    async with await Database.open(sys.argv[1]) as database:\n"
        "        await database.migrate()\n"
        "asyncio.run(story())\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, dsn], check=False).returncode == 0


def test_a_schema_newer_than_the_program_is_refused(dsn: str) -> None:
    owner_executes(dsn, "UPDATE alembic_version SET version_num = '9999'")
    message = attempt(dsn)
    assert "9999" in message
    assert newest_revision() in message


def test_migrations_are_numbered_without_gaps() -> None:
    assert revisions() == [f"{number:04d}" for number in range(1, len(revisions()) + 1)]


def test_a_failed_migration_leaves_the_schema_as_it_was(empty_dsn: str) -> None:
    owner_executes(empty_dsn, "CREATE TABLE risk_limits (mine int)")

    async def story() -> None:
        async with await Database.open(empty_dsn) as database:
            await database.migrate()

    with pytest.raises(StoreError, match="risk_limits"):
        asyncio.run(story())
    with pytest.raises(asyncpg.UndefinedTableError):
        owner_executes(empty_dsn, "SELECT * FROM orders")


def test_a_login_role_that_may_not_migrate_is_told_what_it_needs(empty_dsn: str) -> None:
    owner_executes(empty_dsn, "DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN")

    async def story() -> None:
        async with await Database.open(empty_dsn.replace("promethean@", "weak@")) as database:
            await database.migrate()

    with pytest.raises(ConfigError, match="let an administrator"):
        asyncio.run(story())


def test_an_ordinary_owner_of_a_database_migrates_and_works_as_the_application_role(
    migrated: str, empty_dsn: str
) -> None:
    name = empty_dsn.split("?")[0].rsplit("/", 1)[1]
    owner_executes(
        empty_dsn,
        f"DROP ROLE IF EXISTS tenant; CREATE ROLE tenant LOGIN CREATEROLE; ALTER DATABASE {name} OWNER TO tenant;"
        "CREATE EXTENSION vector; ALTER SCHEMA public OWNER TO tenant; "
        "GRANT promethean_app TO tenant WITH ADMIN OPTION",
    )

    async def story() -> str:
        async with await Database.open(empty_dsn.replace("promethean@", "tenant@")) as database:
            await database.migrate()
            return str(await scalar(database, "SELECT current_user"))

    assert asyncio.run(story()) == "promethean_app"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        owner_executes(empty_dsn.replace("promethean@", "tenant@"), "DELETE FROM events")


def test_every_connection_works_as_the_role_without_power(run: Run) -> None:
    async def story(database: Database) -> None:
        async with database.connection() as connection:
            assert (await connection.execute(text("SELECT current_user"))).scalar_one() == "promethean_app"
        raw = await database.raw()
        assert await raw.fetchval("SELECT current_user") == "promethean_app"
        assert not await raw.fetchval("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        await raw.close()

    run(story)


def test_a_pooled_connection_does_not_carry_its_scope_to_the_next_transaction(dsn: str) -> None:
    user = UserId("018f0000-0000-7000-8000-000000000001")

    async def story() -> None:
        async with await Database.open(dsn, pool_min=1, pool_max=1) as database:
            scope = text("SELECT current_setting('promethean.scope') || current_setting('promethean.user_id')")
            async with database.connection() as connection:
                assert (await connection.execute(scope)).scalar_one() == "service"
            async with database.user_connection(user) as connection:
                assert (await connection.execute(scope)).scalar_one() == f"user{user}"
            async with database.connection() as connection:
                assert (await connection.execute(scope)).scalar_one() == "service"

    asyncio.run(story())


def test_a_statement_that_runs_too_long_is_cancelled(dsn: str) -> None:
    async def story() -> None:
        async with await Database.open(dsn, statement_timeout_ms=50) as database:
            await scalar(database, "SELECT count(*) FROM pg_sleep(60)")

    with pytest.raises(Exception, match="statement timeout"):
        asyncio.run(story())


def test_nobody_listening_is_a_set_up_error_that_names_the_address_and_not_the_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    message = attempt(f"postgresql://someone:hunter2@127.0.0.1:{port}/trading")
    assert f"127.0.0.1:{port}/trading" in message
    assert "hunter2" not in message


def test_an_unknown_host_is_a_set_up_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    message = attempt("postgresql://someone:hunter2@no-such-host/trading")
    assert "no-such-host" in message
    assert "hunter2" not in message


def test_a_wrong_password_is_a_set_up_error(dsn: str) -> None:
    port = dsn.rsplit("port=", 1)[1]
    message = attempt(f"postgresql+asyncpg://promethean:hunter2@127.0.0.1:{port}/postgres")
    assert "password" in message
    assert "hunter2" not in message


def test_a_missing_database_is_a_set_up_error(server_dsn: str) -> None:
    assert "no such database" in attempt(server_dsn.replace("/postgres?", "/nowhere?"))


@pytest.mark.parametrize("dsn", ["mysql://u:hunter2@h/db", "postgresql://u:hunter2@h:port/db", "", "hunter2"])
def test_what_is_not_a_postgresql_address_is_refused_without_repeating_it(dsn: str) -> None:
    message = attempt(dsn)
    assert "postgresql://" in message
    assert "hunter2" not in message


def test_a_pool_without_room_is_refused(server_dsn: str) -> None:
    assert "pool_min" in attempt(server_dsn, pool_min=5, pool_max=4)


def test_an_older_server_is_refused(server_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "SERVER_MIN", 99)
    assert "99" in attempt(server_dsn)


def test_the_address_may_be_a_secret(dsn: str) -> None:
    async def story() -> str:
        async with await Database.open(Secret(dsn)) as database:
            return database.where

    assert asyncio.run(story()).startswith("PostgreSQL at /")


def test_a_database_without_schema_says_how_to_get_one(empty_dsn: str, dsn: str) -> None:
    owner_executes(dsn, "SELECT")  # the role exists in the server, the tables do not exist in the empty database

    async def story() -> None:
        async with await Database.open(empty_dsn) as database:
            await scalar(database, "SELECT count(*) FROM orders")

    with pytest.raises(Exception, match="orders"):
        asyncio.run(story())


def test_a_connection_that_breaks_is_a_store_error(run: Run, dsn: str) -> None:
    async def story(database: Database) -> None:
        async with database.connection() as connection:
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            owner = await asyncpg.connect(dsn)
            await owner.execute(f"SELECT pg_terminate_backend({pid})")
            await owner.close()
            await connection.execute(text("SELECT 1"))

    with pytest.raises(StoreError, match="broke"):
        run(story)
