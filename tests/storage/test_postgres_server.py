"""The embedded server, on real processes: every test has a home of its own and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from promethean.domain.errors import ConfigError, StoreError
from promethean.storage import postgres_server
from promethean.storage.postgres_server import (
    DatabaseInUseError,
    EmbeddedPostgres,
    connect_or_start,
    packaged_binaries,
    remove_database,
    running_dsn,
    tcp_dsn,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run the server as another user")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")

# Another process of the platform: connects or starts, says what it got, and stops when its standard input ends.
PARTICIPANT = """
import json, sys
from pathlib import Path
from promethean.storage.postgres_server import connect_or_start
dsn, server = connect_or_start(Path(sys.argv[1]))
print(json.dumps({"dsn": dsn, "server_pid": server.pid if server else None}), flush=True)
sys.stdin.read()
if server:
    server.stop()
"""

# An ordinary user: everything is imported first, because the interpreter itself may be out of that user's reach.
ORDINARY_USER = """
import json, os, pwd, sys
from pathlib import Path
from promethean.storage.postgres_server import EmbeddedPostgres, packaged_binaries, running_dsn
packaged_binaries()
account = pwd.getpwnam("nobody")
os.setgroups([]); os.setgid(account.pw_gid); os.setuid(account.pw_uid)
home = Path(sys.argv[1])
with EmbeddedPostgres(home) as server:
    print(json.dumps({"dsn": server.start(), "same": running_dsn(home) == server.start()}), flush=True)
"""


@contextmanager
def open_folder(parent: Path | None) -> Iterator[Path]:
    """A folder that every user can pass through (pytest's own is closed), removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="promethean-test-", dir=parent))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


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
    monkeypatch.setattr(postgres_server, "STATE_ROOT", path)
    return path


@pytest.fixture
def closed_home(folder: Path, state_root: Path) -> Iterator[Path]:
    """A home that only its owner can enter, like the one of root."""
    path = folder / "closed" / "home"
    path.parent.mkdir(mode=0o700)
    path.mkdir(mode=0o700)
    yield path
    remove_database(path)


def query(dsn: str, *statements: str) -> Any:
    """Run the statements on one connection; the first column of the last one's first row."""

    async def run() -> Any:
        connection = await asyncpg.connect(dsn, timeout=10)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Wait for a condition; the bound only keeps a broken test from hanging."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def gone(pid: int) -> bool:
    """True when the process is no more, or only waits to be reaped by whoever adopted it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return sys.platform == "linux" and (not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z")


def permissions(*paths: Path) -> dict[Path, tuple[int, int, int]]:
    """Mode, user and group of all folders above `paths`."""
    above = {parent for path in paths for parent in path.parents}
    return {path: (path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above}


@contextmanager
def participant(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARTICIPANT, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    said: dict[str, Any] = json.loads(line)
    return said


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors


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


def test_tcp_asks_for_the_password_and_the_socket_is_closed_to_other_users(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        assert query(tcp_dsn(home), "SELECT 1") == 1
        with pytest.raises(asyncpg.InvalidPasswordError):
            query(f"postgresql://promethean:wrong@127.0.0.1:{server.port}/postgres", "SELECT 1")
        assert stat.S_IMODE((home / "postgres.socket").stat().st_mode) == 0o700
    with pytest.raises(StoreError, match="no database server runs"):
        tcp_dsn(home)


def test_what_was_committed_is_there_after_a_clean_stop_and_start(used_home: Path) -> None:
    with EmbeddedPostgres(used_home) as server:
        query(server.start(), "CREATE TABLE fills AS SELECT 42 AS quantity", "SELECT 1")
    with EmbeddedPostgres(used_home) as server:
        assert query(server.start(), "SELECT quantity FROM fills") == 42


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


def test_starting_a_running_server_again_changes_nothing(used_home: Path) -> None:
    with EmbeddedPostgres(used_home) as server:
        pid = server.pid
        assert server.start() == running_dsn(used_home)
        assert server.pid == pid


def test_a_path_too_long_for_a_socket_gets_a_short_socket_directory(folder: Path) -> None:
    home = folder / ("long" * 25) / "h"
    home.parent.mkdir(mode=0o711)
    with EmbeddedPostgres(home) as server:
        assert query(server.start(), "SELECT 1") == 1
        socket_dir = Path(json.loads((home / "postgres.dsn").read_text())["socket_dir"])
        assert len(str(socket_dir)) < 40
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    assert not socket_dir.exists()


def test_a_server_that_cannot_start_is_reported_with_its_last_words(used_home: Path) -> None:
    (used_home / "postgres" / "global" / "pg_control").write_bytes(b"damaged")
    with pytest.raises(StoreError, match=r"pg_control"):
        EmbeddedPostgres(used_home).start()
    assert not (used_home / "postgres.dsn").exists()


def test_a_server_that_does_not_stop_is_reported_with_its_process(
    used_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_server, "FAST_STOP_TIMEOUT_S", 0.1)
    monkeypatch.setattr(postgres_server, "IMMEDIATE_STOP_TIMEOUT_S", 0.1)
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


# Crashes


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


@pytest.mark.parametrize("port", [-1, 65536])
def test_an_impossible_port_is_refused(home: Path, port: int) -> None:
    with pytest.raises(ConfigError, match=f"port is {port}; it must be between 0"):
        EmbeddedPostgres(home, port)


def test_an_unwritable_home_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")  # refuses root, too
    home = tmp_path / "file" / "home"
    with pytest.raises(ConfigError, match=f"the home {home} is not writable"):
        connect_or_start(home)


def test_a_directory_with_other_files_is_not_taken_for_a_database(used_home: Path) -> None:
    (used_home / "postgres" / "PG_VERSION").rename(used_home / "postgres" / "elsewhere")
    with pytest.raises(ConfigError, match="holds files but no database"):
        EmbeddedPostgres(used_home).start()


def test_a_database_of_another_version_is_refused(used_home: Path) -> None:
    (used_home / "postgres" / "PG_VERSION").write_text("18\n")
    with pytest.raises(ConfigError, match="written by PostgreSQL 18, this is 16"):
        EmbeddedPostgres(used_home).start()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may choose the user")
def test_an_ordinary_user_cannot_choose_another_user(home: Path) -> None:
    with pytest.raises(ConfigError, match="only when root starts it"):
        EmbeddedPostgres(home, user="root").start()


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
def test_under_root_the_server_runs_as_an_unprivileged_user_and_no_permission_changes(home: Path) -> None:
    home.mkdir(mode=0o711)
    before = permissions(home / "postgres", packaged_binaries() / "postgres")
    with EmbeddedPostgres(home) as server:
        assert (home / "postgres").stat().st_uid == Path(f"/proc/{server.pid}").stat().st_uid != 0
        assert permissions(home / "postgres", packaged_binaries() / "postgres") == before


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
def test_a_database_that_became_unreachable_is_reported_and_not_made_anew(used_home: Path, state_root: Path) -> None:
    used_home.chmod(0o700)
    with pytest.raises(ConfigError, match="cannot be reached by the user nobody"):
        EmbeddedPostgres(used_home).start()
    assert list(state_root.iterdir()) == []


@as_root
def test_no_place_for_the_data_is_a_clear_refusal(closed_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (closed_home / "file").write_text("not a folder")
    monkeypatch.setattr(postgres_server, "STATE_ROOT", closed_home / "file")
    with pytest.raises(ConfigError, match=r"cannot be reached by the user nobody.*PROMETHEAN_HOME.*DATABASE_URL"):
        EmbeddedPostgres(closed_home).start()


@as_root
@pytest.mark.parametrize(("user", "says"), [("no-such-user", "there is no system user"), ("root", "refuses to run as")])
def test_an_unusable_user_is_refused(home: Path, user: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        EmbeddedPostgres(home, user=user).start()


@as_root
def test_a_database_of_another_user_is_refused(used_home: Path) -> None:
    with pytest.raises(ConfigError, match="belongs to nobody, but the server would run as daemon"):
        EmbeddedPostgres(used_home, user="daemon").start()


@as_root
def test_binaries_that_the_server_user_cannot_reach_are_copied_once() -> None:
    with open_folder(None) as folder:  # on a real disk: memory is often mounted without execution
        home = folder / "home"
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        package = packaged_binaries().parents[1]
        for part in (package / "pginstall", package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, closed / part.relative_to(package.parent), ignore=shutil.ignore_patterns("include"))
        binaries = closed / package.name / "pginstall" / "bin"
        with EmbeddedPostgres(home, binaries=binaries) as server:
            assert query(server.start(), "CREATE EXTENSION vector", "SELECT 1") == 1
            (copy,) = home.glob("postgres.install-*")
            made = copy.stat().st_ctime_ns
            program = Path(f"/proc/{server.pid}/exe").readlink()
            assert program.is_relative_to(copy)
        with EmbeddedPostgres(home, binaries=binaries):
            assert [path.stat().st_ctime_ns for path in home.glob("postgres.install-*")] == [made]
        program.write_bytes(b"")  # as after a power cut
        with EmbeddedPostgres(home, binaries=binaries) as server:
            assert query(server.start(), "SELECT 1") == 1
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_an_ordinary_user_runs_the_server_without_another_user(folder: Path) -> None:
    if not postgres_server._server_user(None).can_run(packaged_binaries()):
        pytest.skip("the installed binaries are out of reach for an ordinary user")
    home = folder / "home"
    home.mkdir(mode=0o700)
    shutil.chown(home, "nobody")
    command = [sys.executable, "-c", ORDINARY_USER, str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["same"]
    assert {path.stat().st_uid for path in home.rglob("*")} == {home.stat().st_uid}
