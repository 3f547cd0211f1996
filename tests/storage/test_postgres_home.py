"""What a home holds of its database: published, protected, moved elsewhere under root, and removed."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import asyncpg
import pytest
from tests.storage.postgres_processes import as_root, gone, permissions, query

from promethean.domain.errors import ConfigError, StoreError
from promethean.storage import postgres_home
from promethean.storage.postgres_home import running_dsn, tcp_dsn
from promethean.storage.postgres_programs import packaged_binaries
from promethean.storage.postgres_server import EmbeddedPostgres, remove_database


def test_tcp_asks_for_the_password_and_the_socket_is_closed_to_other_users(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        assert query(tcp_dsn(home), "SELECT 1") == 1
        with pytest.raises(asyncpg.InvalidPasswordError):
            query(f"postgresql://promethean:wrong@127.0.0.1:{server.port}/postgres", "SELECT 1")
        assert stat.S_IMODE((home / "postgres.socket").stat().st_mode) == 0o700
    with pytest.raises(StoreError, match="no database server runs"):
        tcp_dsn(home)


def test_the_running_server_is_published_in_a_private_file_until_the_stop(used_home: Path) -> None:
    server = EmbeddedPostgres(used_home)
    dsn, pid, file = server.start(), server.pid, used_home / "postgres.dsn"
    published = json.loads(file.read_text())
    secrets = [file, used_home / "postgres.password", used_home / "postgres.lock", server.log_file]
    assert published.items() >= {"dsn": dsn, "pid": pid, "port": server.port, "owner_pid": os.getpid()}.items()
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    server.stop()
    assert pid is not None
    assert gone(pid)
    assert not file.exists()
    assert not (used_home / "postgres.socket").exists()
    assert running_dsn(used_home) is None
    server.stop()  # twice does no harm


def test_a_path_too_long_for_a_socket_gets_a_short_socket_directory(folder: Path) -> None:
    home = folder / ("long" * 25) / "h"
    home.parent.mkdir(mode=0o711)
    with EmbeddedPostgres(home) as server:
        assert query(server.start(), "SELECT 1") == 1
        socket_dir = Path(json.loads((home / "postgres.dsn").read_text())["socket_dir"])
        assert len(str(socket_dir)) < 40
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    assert not socket_dir.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"dsn": "x", "pid": "y", "port": 1, "socket_dir": "/"}'])
def test_a_damaged_dsn_file_is_not_believed(home: Path, text: str) -> None:
    home.mkdir()
    (home / "postgres.dsn").write_text(text)
    assert running_dsn(home) is None


def test_a_dsn_file_whose_process_id_went_to_a_stranger_is_not_believed(home: Path) -> None:
    home.mkdir()
    stale = {"dsn": "postgresql://", "pid": os.getpid(), "port": 5, "socket_dir": str(home)}
    (home / "postgres.dsn").write_text(json.dumps(stale))
    assert running_dsn(home) is None


@as_root
def test_under_root_a_home_that_only_root_can_enter_keeps_its_data_in_the_state_folder(
    closed_home: Path, state_root: Path
) -> None:
    before = permissions(closed_home / "x", state_root / "x", packaged_binaries() / "x")
    with EmbeddedPostgres(closed_home) as server:
        query(server.start(), "CREATE TABLE fills AS SELECT 42 AS quantity", "SELECT 1")
        data = Path(query(server.start(), "SHOW data_directory"))
        assert data.parent.parent == state_root
        assert json.loads((closed_home / "postgres.location").read_text())["data_dir"] == str(data)
    assert permissions(closed_home / "x", state_root / "x", packaged_binaries() / "x") == before
    with EmbeddedPostgres(closed_home) as server:
        assert query(server.start(), "SELECT quantity FROM fills") == 42
    remove_database(closed_home)
    assert list(state_root.iterdir()) == []


@as_root
def test_a_new_home_in_the_place_of_a_deleted_one_begins_empty(closed_home: Path) -> None:
    with EmbeddedPostgres(closed_home) as server:
        query(server.start(), "CREATE TABLE fills AS SELECT 42 AS quantity", "SELECT 1")
    shutil.rmtree(closed_home)
    with EmbeddedPostgres(closed_home) as server:
        assert query(server.start(), "SELECT to_regclass('fills')") is None


@as_root
def test_a_database_outside_the_home_that_has_vanished_is_not_replaced_by_an_empty_one(
    closed_home: Path, state_root: Path
) -> None:
    with EmbeddedPostgres(closed_home):
        pass
    (base,) = state_root.iterdir()
    shutil.move(base / "postgres", base / "kept")
    with pytest.raises(StoreError, match="is not there any more; bring it back"):
        EmbeddedPostgres(closed_home).start()
    shutil.move(base / "kept", base / "postgres")
    with EmbeddedPostgres(closed_home) as server:
        assert server.running


@as_root
def test_a_damaged_location_file_is_refused(closed_home: Path) -> None:
    (closed_home / "postgres.location").write_text("{}")
    with pytest.raises(ConfigError, match=r"postgres\.location is damaged"):
        EmbeddedPostgres(closed_home).start()
    (closed_home / "postgres.location").unlink()


@as_root
def test_no_place_for_the_data_is_a_clear_refusal(closed_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (closed_home / "file").write_text("not a folder")
    monkeypatch.setattr(postgres_home, "STATE_ROOT", closed_home / "file")
    with pytest.raises(ConfigError, match=r"cannot be reached by the user nobody.*PROMETHEAN_HOME.*DATABASE_URL"):
        EmbeddedPostgres(closed_home).start()
