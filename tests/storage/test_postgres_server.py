"""The embedded server, on real processes: every test has a home of its own and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.storage.postgres_processes import answer, as_root, finish, participant, query

from promethean.domain.errors import ConfigError, StoreError
from promethean.storage import postgres_server
from promethean.storage.postgres_home import running_dsn, tcp_dsn
from promethean.storage.postgres_server import DatabaseInUseError, EmbeddedPostgres, connect_or_start, remove_database

NEEDS_RIGHTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")

# Starting and stopping


def test_the_first_start_makes_a_database_that_answers_as_our_role(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        dsn = server.start()
        assert dsn == f"postgresql://promethean@/postgres?host={home}/postgres.socket&port={server.port}"
        assert query(dsn, "SELECT current_user || ' ' || current_setting('TimeZone')") == "promethean UTC"
        assert query(dsn, "SHOW server_version_num").startswith("16")
        assert query(dsn, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C.UTF-8"
        assert [query(dsn, f"SHOW {name}") for name in ("fsync", "synchronous_commit")] == ["on", "on"]


def test_vectors_are_stored_and_compared(used_home: Path) -> None:
    with EmbeddedPostgres(used_home) as server:
        nearest = query(
            server.start(),
            "CREATE EXTENSION vector",
            "CREATE TABLE memory (name text, embedding vector(3))",
            "INSERT INTO memory VALUES ('far', '[9,9,9]'), ('near', '[1,2,4]')",
            "CREATE INDEX ON memory USING hnsw (embedding vector_cosine_ops)",
            "SELECT name FROM memory ORDER BY embedding <-> '[1,2,3]' LIMIT 1",
        )
    assert nearest == "near"


def test_what_was_committed_is_there_after_a_clean_stop_and_start(used_home: Path) -> None:
    with EmbeddedPostgres(used_home) as server:
        query(server.start(), "CREATE TABLE fills AS SELECT 42 AS quantity", "SELECT 1")
    with EmbeddedPostgres(used_home) as server:
        assert query(server.start(), "SELECT quantity FROM fills") == 42


def test_starting_a_running_server_again_changes_nothing(used_home: Path) -> None:
    with EmbeddedPostgres(used_home) as server:
        pid = server.pid
        assert server.start() == running_dsn(used_home)
        assert server.pid == pid


def test_a_server_that_cannot_start_is_reported_with_its_last_words(used_home: Path) -> None:
    (used_home / "postgres" / "global" / "pg_control").write_bytes(b"damaged")
    with pytest.raises(StoreError, match=r"pg_control"):
        EmbeddedPostgres(used_home).start()
    assert not (used_home / "postgres.dsn").exists()


def test_a_worker_thread_may_not_start_the_server(home: Path) -> None:
    failures: list[AssertionError] = []

    def start() -> None:
        try:
            EmbeddedPostgres(home).start()
        except AssertionError as error:
            failures.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(failures[0])


def test_a_large_log_is_put_aside(used_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedPostgres(used_home) as server:
        pass
    first = server.log_file.read_text()
    monkeypatch.setattr(postgres_server, "LOG_BYTES_MAX", 10)
    with EmbeddedPostgres(used_home):
        assert server.log_file.with_suffix(".log.1").read_text() == first


# Several processes


def test_a_second_process_connects_to_the_running_server(used_home: Path) -> None:
    with EmbeddedPostgres(used_home) as server, participant(used_home) as other:
        assert answer(other) == {"dsn": server.start(), "server_pid": None}
        finish(other)
        assert server.running
        assert connect_or_start(used_home) == (server.start(), None)


def test_of_several_processes_that_begin_together_one_starts_the_server(home: Path) -> None:
    with ExitStack() as stack:
        others = [stack.enter_context(participant(home)) for _ in range(3)]
        answers = [answer(other) for other in others]
        assert len({said["dsn"] for said in answers}) == 1
        assert sum(said["server_pid"] is not None for said in answers) == 1
        assert query(answers[0]["dsn"], "SELECT 1") == 1
        for other in others:
            finish(other)


def test_a_second_owner_is_refused_with_the_process_that_owns_the_home(used_home: Path) -> None:
    with EmbeddedPostgres(used_home), pytest.raises(DatabaseInUseError, match=f"process {os.getpid()} owns") as refused:
        EmbeddedPostgres(used_home).start()
    assert refused.value.owner_pid == os.getpid()


def test_a_process_that_meets_a_stopping_owner_becomes_the_owner(used_home: Path) -> None:
    owner = EmbeddedPostgres(used_home)
    owner._take_home()  # an owner whose server has gone but who has not let go yet
    timer = threading.Timer(0.3, owner.stop)
    timer.start()
    dsn, server = connect_or_start(used_home)
    timer.join()
    assert server is not None
    with server:
        assert query(dsn, "SELECT 1") == 1


def test_an_owner_whose_server_does_not_answer_is_named_after_the_wait(used_home: Path) -> None:
    owner = EmbeddedPostgres(used_home)
    owner._take_home()
    with pytest.raises(DatabaseInUseError, match=rf"process {os.getpid()} owns .* not answered for 0\.1 s"):
        connect_or_start(used_home, wait_s=0.1)
    owner.stop()


def test_a_forked_child_neither_stops_the_server_nor_keeps_the_home(used_home: Path) -> None:
    server = EmbeddedPostgres(used_home)
    dsn = server.start()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        server.stop()
        os.read(read_end, 1)  # lives on until the parent has looked
        os._exit(0)
    os.close(read_end)
    try:
        assert query(dsn, "SELECT 1") == 1
        server.stop()
        with EmbeddedPostgres(used_home) as again:
            assert again.running
    finally:
        os.close(write_end)
        os.waitpid(child, 0)


# Wrong set-ups


def test_a_configured_port_is_used(used_home: Path) -> None:
    port = postgres_server._free_port()
    with EmbeddedPostgres(used_home, port) as server:
        assert server.port == port
        assert query(tcp_dsn(used_home), "SELECT inet_server_port()") == port


def test_a_configured_port_in_use_is_refused_before_anything_is_written(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port is {port}.*choose another port"):
            connect_or_start(home, port)
    assert not home.exists()


def test_a_configured_port_in_use_is_refused_on_an_old_home_too(used_home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="choose another port"):
        EmbeddedPostgres(used_home, taken.getsockname()[1]).start()
    with EmbeddedPostgres(used_home):
        pass  # the refusal let go of the home


@pytest.mark.skipif(not NEEDS_RIGHTS.is_file() or int(NEEDS_RIGHTS.read_text()) < 81, reason="80 is for everybody here")
def test_a_port_that_the_server_may_not_use_is_refused_with_the_remedy(
    used_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = r"postgres\.port is 80, .*\(Permission denied\); choose 1024 or above, or set it to 0 for a free one"
    with pytest.raises(ConfigError, match=words):
        EmbeddedPostgres(used_home, 80).start()
    assert not caplog.records, "one sentence says it all"
    with EmbeddedPostgres(used_home):
        pass  # the refusal let go of the home


@pytest.mark.parametrize("port", [-1, 65536])
def test_an_impossible_port_is_refused(home: Path, port: int) -> None:
    with pytest.raises(ConfigError, match=f"port is {port}; it must be between 0"):
        EmbeddedPostgres(home, port)


def test_an_unwritable_home_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")  # refuses root, too
    home = tmp_path / "file" / "home"
    with pytest.raises(ConfigError, match=f"the home {home} is not writable"):
        connect_or_start(home)


@pytest.mark.parametrize("mode", [0o555, 0o500, 0o000, 0o777])
def test_a_database_folder_of_a_wrong_mode_is_refused_with_the_remedy(used_home: Path, mode: int) -> None:
    data = used_home / "postgres"
    data.chmod(mode)
    words = f"{data} has mode {mode:04o}, and its user alone has to read and write it; set it right: chmod 700 {data}"
    with pytest.raises(ConfigError, match=words):
        EmbeddedPostgres(used_home).start()
    data.chmod(0o700)
    with EmbeddedPostgres(used_home):
        pass  # the refusal let go of the home


# Places and users


def test_an_empty_folder_can_be_named_for_the_data(home: Path, folder: Path) -> None:
    data = folder / "elsewhere"
    data.mkdir()
    with EmbeddedPostgres(home, data_dir=data) as server:
        assert query(server.start(), "SHOW data_directory") == str(data)
    assert not (home / "postgres").exists()


def test_removing_the_database_leaves_only_the_lock_and_the_logs(used_home: Path) -> None:
    with EmbeddedPostgres(used_home), pytest.raises(DatabaseInUseError):
        remove_database(used_home)
    remove_database(used_home)
    assert sorted(path.name for path in used_home.iterdir()) == ["logs", "postgres.lock"]


@as_root
def test_a_database_that_became_unreachable_is_reported_and_not_made_anew(used_home: Path, state_root: Path) -> None:
    used_home.chmod(0o700)
    with pytest.raises(ConfigError, match="cannot be reached by the user nobody"):
        EmbeddedPostgres(used_home).start()
    assert list(state_root.iterdir()) == []
