"""The embedded PostgreSQL server: the binaries come from a wheel, the supervision is ours.

One process owns the server of a home: it holds a lock on `<home>/postgres.lock` for its life, starts the server, and
publishes `<home>/postgres.dsn` once the server answers.  Every other process reads that file and connects.

    <home>/postgres            the database; under root it may live elsewhere, see `EmbeddedPostgres._data_directory`
    <home>/postgres.location   where the database is, when it is not in the home
    <home>/postgres.lock       held by the owner; never deleted, or two processes could hold two files of one name
    <home>/postgres.dsn        present while the server answers; 0600
    <home>/postgres.password   for connections over TCP; 0600
    <home>/logs/postgres.log   what the server says

Beside the database directory: `<name>.socket` (the Unix socket), `<name>.install-<version>` (a copy of the binaries,
only when the server's user cannot reach the installed ones) and `<name>.initdb-<token>` (an unfinished first start).

The functions here block (a warm start takes about a tenth of a second); call them before the event loop starts.
"""
# ruff: noqa: S603 - every program started here is named by a full path of ours, without a shell on user input

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import quote

from promethean.domain.errors import ConfigError, StoreError
from promethean.storage.postgres_ending import POLL_S, PREVIOUS_SERVER_TIMEOUT_S, await_previous_server, shut_down
from promethean.storage.postgres_home import (
    STATE_ROOT,
    HomeLock,
    Location,
    dsn_file,
    make_socket_dir,
    password,
    password_file,
    running_dsn,
    socket_dir_of,
    write_private,
)
from promethean.storage.postgres_initdb import initialise, is_initialised
from promethean.storage.postgres_programs import (
    DATABASE,
    LOG_TAIL_LINES,
    ROLE,
    ServerUser,
    answers,
    die_with_parent,
    packaged_binaries,
    reachable_binaries,
    server_user,
)

log = logging.getLogger(__name__)
START_TIMEOUT_S = 60.0  # a long crash recovery is part of a start
LOG_BYTES_MAX = 10_000_000
_NO_SOCKET = re.compile(r"could not bind IPv4 address \S+: (.+)")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "minimal",  # nothing replicates from here, and bulk loads write less
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_error_statement": "panic",  # a failing statement may carry a secret; the message alone is enough
}


class DatabaseInUseError(StoreError):
    """Another process owns the database of this home.

    owner_pid: its process id, None when it has not written it yet.
    """

    def __init__(self, message: str, owner_pid: int | None) -> None:
        super().__init__(message)
        self.owner_pid = owner_pid


class EmbeddedPostgres:
    """Owner of the server of one home.  Start it from the main thread; `stop()` or leave the `with` block to end it.

    home:     the folder of this installation; made when missing.
    port:     TCP port on 127.0.0.1; 0 takes a free one at every start.
    user:     system account for the server when we are root (default `nobody`); otherwise only our own name is right.
    data_dir: database directory, instead of the place chosen by `_data_directory`.
    binaries: folder with `postgres` and `initdb`, instead of the packaged ones.

    When this process dies without `stop()`, the kernel tells the server to stop (Linux).  Elsewhere the next start
    finds the old server by its pid file and stops it.
    """

    def __init__(
        self,
        home: Path,
        port: int = 0,
        *,
        user: str | None = None,
        data_dir: Path | None = None,
        binaries: Path | None = None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise ConfigError(f"postgres.port is {port}; it must be between 0 (a free one) and 65535")
        self.home = home.expanduser().resolve()
        self.data_dir = data_dir.expanduser().resolve() if data_dir is not None else None
        self.log_file = self.home / "logs" / "postgres.log"
        self._configured_port = port
        self._configured_data_dir = self.data_dir
        self._user_name = user
        self._packaged = binaries
        self._lock = HomeLock(self.home / "postgres.lock")
        self._process: subprocess.Popen[bytes] | None = None
        self._port = port
        self._socket_dir: Path | None = None
        self._dsn = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """True while our server process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id of the server while it lives."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def port(self) -> int:
        """TCP port of the running server; the configured one before the first start."""
        return self._port

    def start(self) -> str:
        """Start the server, or start it again when it has died, and wait until it answers.

        Returns: `postgresql://promethean@/postgres?host=<socket directory>&port=<number>`.
        Raises:  ConfigError for a port in use, an unwritable home, or a database that belongs to somebody else;
                 DatabaseInUseError when another process owns this home; StoreError with the server's last words when
                 it does not come up.
        """
        # The death signal follows the thread that forked, not the process: a worker thread's end would stop the server.
        assert threading.current_thread() is threading.main_thread(), "start the database from the main thread"
        if self.running:
            return self._dsn
        if not self._lock.path.exists():
            require_free_port(self._configured_port)  # before anything is written
        with ExitStack() as undo:
            self._take_home()
            undo.callback(self.stop)
            try:
                self._start_server()
            except OSError as error:
                raise StoreError(f"the database of {self.home} cannot be started: {error}") from error
            undo.pop_all()
        return self._dsn

    def stop(self) -> None:
        """Stop the server (fast, then immediate), take back the DSN file and let go of the home.  Safe to call twice.

        Raises: StoreError naming the process when the server does not end.
        """
        if not self._lock.held:
            return  # never started, already stopped, or this is a forked child, whose parent is the owner
        process, self._process = self._process, None
        try:
            dsn_file(self.home).unlink(missing_ok=True)  # first: nobody shall connect to a server that is leaving
            if process is not None:
                shut_down(process)
                if self._socket_dir is not None:
                    shutil.rmtree(self._socket_dir, ignore_errors=True)  # a crash may have left a socket there
        finally:
            self._lock.release()

    def _take_home(self) -> None:
        try:
            # Under root the server's user must pass through; what is secret in a home is 0600 by itself.
            self.home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            self.log_file.parent.mkdir(mode=0o700, exist_ok=True)
            taken = self._lock.acquire()
        except OSError as error:
            raise ConfigError(
                f"the home {self.home} is not writable ({error.strerror}); "
                "allow this user to write there, or choose another folder with PROMETHEAN_HOME"
            ) from error
        if not taken:
            owner = self._lock.owner_pid()
            raise DatabaseInUseError(
                f"process {owner or 'unknown'} owns the database of {self.home}; stop it first", owner
            )

    def _start_server(self) -> None:
        began = time.monotonic()
        user = server_user(self._user_name)
        data = self._data_directory(user)
        self.data_dir = data
        await_previous_server(data)
        require_free_port(self._configured_port)
        binaries = reachable_binaries(self._packaged or packaged_binaries(), data, user)
        first = not is_initialised(data, user)
        if first:
            initialise(data, binaries, user, password(self.home))
            Location(self.home).mark_initialised()
        self._socket_dir = make_socket_dir(data, user)
        self._launch(data, binaries, user)
        self._publish()
        log.info(
            "database started",
            extra={
                "data_dir": str(data),
                "port": self._port,
                "server_pid": self.pid,
                "first_start": first,
                "start_seconds": round(time.monotonic() - began, 3),
            },
        )

    def _data_directory(self, user: ServerUser) -> Path:
        """Where the database is.  In the home, unless we are root and the server's user cannot reach the home.

        Root's own home is 0700, and opening it to everybody is not ours to do.  The data then go to a directory of
        their own under /var/lib, which is made for durable data of services and open to all.  Its name is random and
        kept in `<home>/postgres.location`: a name made from the home's path would give a deleted and newly made home
        the old database.  Once made, the choice stays; data are never left behind silently.
        """
        location = Location(self.home)
        inside = self.home / "postgres"
        if self._configured_data_dir is not None:
            data = self._configured_data_dir
            data.parent.mkdir(parents=True, exist_ok=True)
        elif location.file.exists():
            data = location.read()
        elif inside.exists() or user.can_enter(self.home):
            data = inside
        else:
            data = location.choose(user)
        if not user.can_enter(data.parent):
            raise ConfigError(
                f"the database directory {data} cannot be reached by the user {user.name}, who has to run PostgreSQL; "
                f"let that user pass through {data.parent} and the folders above it, or run as another user than root"
            )
        return data

    def _launch(self, data: Path, binaries: Path, user: ServerUser) -> None:
        """Start the postmaster and wait until it answers; once more when it only met the remains of its predecessor."""
        deadline = time.monotonic() + PREVIOUS_SERVER_TIMEOUT_S
        while True:
            self._port = self._configured_port or _free_port()
            log_start = _rotate(self.log_file)
            self._process = self._spawn(data, binaries, user)
            if self._await_ready(self._process):
                return
            said = _tail(self.log_file, log_start)
            status, self._process = self._process.returncode, None
            if self._configured_port and (refusal := _NO_SOCKET.search(said)):
                raise _port_refused(self._configured_port, refusal[1])
            if time.monotonic() > deadline or not self._may_pass(said):
                raise StoreError(
                    f"the database server ended with status {status} while starting on {data}; "
                    f"its last words (all in {self.log_file}):\n{said or '(none)'}"
                )
            time.sleep(0.2)

    def _may_pass(self, said: str) -> bool:
        """Whether a failed start is worth another try: a predecessor's processes are ending, or a port was taken."""
        leaving = 'lock file "postmaster.pid" already exists' in said or "pre-existing shared memory block" in said
        return leaving or (self._configured_port == 0 and "could not create any TCP/IP sockets" in said)

    def _spawn(self, data: Path, binaries: Path, user: ServerUser) -> subprocess.Popen[bytes]:
        command = [str(binaries / "postgres"), "-D", str(data), "-k", str(self._socket_dir), "-p", str(self._port)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        with _open_private(self.log_file) as output:
            return subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl+C in the terminal is for us; we stop the server when we are done
                preexec_fn=die_with_parent(signal.SIGINT),
                umask=0o077,
                **user.popen_options(),
            )

    def _await_ready(self, server: subprocess.Popen[bytes]) -> bool:
        """True when the server answers, False when it ended."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while server.poll() is None:
            if answers(str(self._socket_dir), self._port):
                return True
            if time.monotonic() > deadline:
                raise StoreError(
                    f"the database server (process {server.pid}) did not answer within {START_TIMEOUT_S:.0f} s; "
                    f"see {self.log_file}, then try again"
                )
            time.sleep(POLL_S)
        return False

    def _publish(self) -> None:
        self._dsn = f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(self._socket_dir))}&port={self._port}"
        write_private(
            dsn_file(self.home),
            json.dumps(
                {
                    "dsn": self._dsn,
                    "pid": self.pid,
                    "port": self._port,
                    "socket_dir": str(self._socket_dir),
                    "owner_pid": os.getpid(),
                }
            ),
        )


def connect_or_start(home: Path, port: int = 0, *, wait_s: float = 15.0) -> tuple[str, EmbeddedPostgres | None]:
    """The running server of `home`, or a new one of ours; call it from the main thread.

    home, port: as for `EmbeddedPostgres`; the port matters only when we start the server.
    wait_s:     seconds to wait for another process that owns the home and is starting or stopping its server.
    Returns:    the DSN, and the server when it is ours to stop (None when another process owns it).
    Raises:     as `EmbeddedPostgres.start`; DatabaseInUseError after `wait_s`.

    The owner may stop right after we have looked; whoever then cannot connect calls again.
    """
    deadline = time.monotonic() + wait_s
    while True:
        server = EmbeddedPostgres(home, port)
        try:
            # First, because the lock knows more: after its owner's death a server still answers for a moment.
            return server.start(), server
        except DatabaseInUseError as error:
            if (dsn := running_dsn(home)) is not None:
                return dsn, None
            if time.monotonic() > deadline:
                raise DatabaseInUseError(
                    f"process {error.owner_pid or 'unknown'} owns the database of {server.home}, but its server has "
                    f"not answered for {wait_s:g} s; stop that process and try again, or see {server.log_file}",
                    error.owner_pid,
                ) from error
        time.sleep(0.05)


def remove_database(home: Path) -> None:
    """Delete the database of `home` and what belongs to it, wherever it is.  There is no way back.

    Raises: DatabaseInUseError while a process owns it.
    """
    server = EmbeddedPostgres(home)
    if not server.home.exists():
        return
    server._take_home()
    try:
        outside = Location(server.home).read_path()
        if outside is not None:
            _remove_data(outside)
            if outside.parent.parent == STATE_ROOT:
                outside.parent.rmdir()
        _remove_data(server.home / "postgres")
        for path in (dsn_file(home), password_file(home), Location(server.home).file):
            path.unlink(missing_ok=True)  # the lock file stays: see the top of this module
    finally:
        server._lock.release()


def _remove_data(data: Path) -> None:
    await_previous_server(data)
    beside = [path for path in data.parent.glob(f"{data.name}.*") if path.is_dir()]
    for directory in (data, socket_dir_of(data), *beside):
        if directory.exists():
            shutil.rmtree(directory)


def require_free_port(port: int) -> None:
    """Raises ConfigError naming the reason and the remedy when this TCP port of 127.0.0.1 cannot be used; 0 always can.

    A port that is free for us may still be refused to the server, which under root runs as another user.
    """
    if port == 0:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does: closing ones do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise _port_refused(port, error.strerror) from error


def _port_refused(port: int, reason: str | None) -> ConfigError:
    denied = reason == os.strerror(errno.EACCES)  # to root's server, too, which runs as another user
    remedy = "choose 1024 or above" if denied else "stop the program that listens there, choose another port"
    return ConfigError(
        f"postgres.port is {port}, which cannot be used on 127.0.0.1 ({reason}); "
        f"{remedy}, or set it to 0 for a free one"
    )


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _open_private(log_file: Path) -> BinaryIO:
    return os.fdopen(os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")


def _rotate(log_file: Path) -> int:
    """Put a large log aside (one is kept).  Returns the length of the log, in bytes, before what comes now."""
    length = log_file.stat().st_size if log_file.exists() else 0
    if length <= LOG_BYTES_MAX:
        return length
    log_file.replace(log_file.with_suffix(".log.1"))
    return 0


def _tail(log_file: Path, start: int) -> str:
    """The last lines that were written after byte `start`."""
    with log_file.open("rb") as file:
        file.seek(start)
        return "\n".join(file.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:])
