"""A database is made once, completely, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.storage.postgres_processes import as_root, eventually, participant, query

from promethean.domain.errors import ConfigError
from promethean.storage.postgres_home import tcp_dsn
from promethean.storage.postgres_server import EmbeddedPostgres


def test_a_first_start_that_was_killed_halfway_is_done_again(home: Path) -> None:
    with participant(home) as owner:
        assert eventually(lambda: any(home.glob("postgres.initdb-*/data/*")))
        owner.kill()
        owner.wait()
    assert not (home / "postgres").exists()
    with EmbeddedPostgres(home) as server:
        assert query(server.start(), "SELECT 1") == 1
        assert query(tcp_dsn(home), "SELECT 1") == 1
    with EmbeddedPostgres(home):
        pass  # what a dying initdb wrote after its removal is removed now
    assert not list(home.glob("postgres.initdb-*"))


def test_a_directory_with_other_files_is_not_taken_for_a_database(used_home: Path) -> None:
    (used_home / "postgres" / "PG_VERSION").rename(used_home / "postgres" / "elsewhere")
    with pytest.raises(ConfigError, match="holds files but no database"):
        EmbeddedPostgres(used_home).start()


def test_a_database_of_another_version_is_refused(used_home: Path) -> None:
    (used_home / "postgres" / "PG_VERSION").write_text("18\n")
    with pytest.raises(ConfigError, match="written by PostgreSQL 18, this is 16"):
        EmbeddedPostgres(used_home).start()


@as_root
def test_a_database_of_another_user_is_refused(used_home: Path) -> None:
    with pytest.raises(ConfigError, match="belongs to nobody, but the server would run as daemon"):
        EmbeddedPostgres(used_home, user="daemon").start()
