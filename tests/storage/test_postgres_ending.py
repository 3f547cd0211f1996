"""How servers end: stopped, killed, or left alone by their owner, and nothing committed is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.storage.postgres_processes import answer, eventually, gone, on_linux, participant, query

from promethean.domain.errors import StoreError
from promethean.storage import postgres_ending
from promethean.storage.postgres_home import running_dsn
from promethean.storage.postgres_server import EmbeddedPostgres, connect_or_start


def test_a_server_that_does_not_stop_is_reported_with_its_process(
    used_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_ending, "FAST_STOP_TIMEOUT_S", 0.1)
    monkeypatch.setattr(postgres_ending, "IMMEDIATE_STOP_TIMEOUT_S", 0.1)
    server = EmbeddedPostgres(used_home)
    server.start()
    process = server._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(StoreError, match=f"kill -9 {process.pid}"):
        server.stop()
    process.kill()
    process.wait()
    with EmbeddedPostgres(used_home) as again:
        assert query(again.start(), "SELECT 1") == 1


def test_a_killed_server_is_started_again_with_all_that_was_committed(used_home: Path) -> None:
    with EmbeddedPostgres(used_home) as server:
        query(server.start(), "CREATE TABLE fills AS SELECT 42 AS quantity", "SELECT 1")
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not server.running)
        assert running_dsn(used_home) is None
        assert query(server.start(), "SELECT quantity FROM fills") == 42
        assert server.pid != pid


@on_linux
def test_the_server_stops_when_its_owner_is_killed_and_the_next_start_works(used_home: Path) -> None:
    with participant(used_home) as owner:
        said = answer(owner)
        query(said["dsn"], "CREATE TABLE fills AS SELECT 42 AS quantity", "SELECT 1")
        owner.kill()
        owner.wait()
        dsn, server = connect_or_start(used_home)
    assert server is not None
    with server:
        assert gone(said["server_pid"])
        assert query(dsn, "SELECT quantity FROM fills") == 42


@on_linux
def test_a_server_without_an_owner_stops_although_nobody_starts_another(used_home: Path) -> None:
    with participant(used_home) as owner:
        said = answer(owner)
        owner.kill()
        assert eventually(lambda: gone(said["server_pid"]))


def test_a_kill_of_owner_and_server_together_loses_nothing_committed(used_home: Path) -> None:
    with participant(used_home) as owner:
        said = answer(owner)
        query(said["dsn"], "CREATE TABLE fills AS SELECT 42 AS quantity", "SELECT 1")
        os.kill(said["server_pid"], signal.SIGKILL)
        owner.kill()
        owner.wait()
    assert (used_home / "postgres" / "postmaster.pid").exists()
    with EmbeddedPostgres(used_home) as server:
        assert query(server.start(), "SELECT quantity FROM fills") == 42
