"""What a home holds of its database: the owner's lock, the published address, the password, where the data are.

The files are listed at the top of `postgres_server`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import secrets
import weakref
from pathlib import Path
from typing import Any
from urllib.parse import quote

from promethean.domain.errors import ConfigError, StoreError
from promethean.storage.postgres_programs import DATABASE, ROLE, ServerUser, answers

log = logging.getLogger(__name__)

STATE_ROOT = Path("/var/lib")  # for the data of a home that the unprivileged user cannot reach
SOCKET_DIR_BYTES_MAX = 87  # 103 bytes on the strictest system, less "/.s.PGSQL.65535" and a final zero


def running_dsn(home: Path) -> str | None:
    """The DSN of the server that runs for `home`, None when there is none that answers."""
    published = _published(home)
    if published is None or not _is_alive(published["pid"]):
        return None
    return published["dsn"] if answers(published["socket_dir"], published["port"]) else None


def tcp_dsn(home: Path) -> str:
    """The DSN of the running server over TCP, for drivers without Unix sockets.  It holds the password: do not log it.

    Raises: StoreError when no server is published or the password file is gone.
    """
    published = _published(home)
    file = password_file(home)
    if published is None:
        raise StoreError(f"no database server runs for {home}; start the platform first")
    if not file.exists():
        raise StoreError(
            f"{file} is gone; give {ROLE} a new password with ALTER ROLE over the socket, and write it there"
        )
    return f"postgresql://{ROLE}:{quote(file.read_text())}@127.0.0.1:{published['port']}/{DATABASE}"


class HomeLock:
    """An flock on a file: the kernel lets go of it when the owner dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether the lock is ours."""
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


class Location:
    """`<home>/postgres.location`: where the database is when it is not in the home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / "postgres.location"

    def choose(self, user: ServerUser) -> Path:
        """A new place under /var/lib, recorded.

        Raises: ConfigError when it cannot be made.
        """
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
        """Record that the place holds a database from now on."""
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
        write_private(self.file, json.dumps({"data_dir": str(data), "initialised": initialised}))


def _make_passage(directory: Path) -> None:
    """A directory of ours that others may pass through but not list."""
    directory.mkdir(mode=0o711, exist_ok=True)
    directory.chmod(0o711)  # whatever the umask took away


def make_socket_dir(data: Path, user: ServerUser) -> Path:
    """A directory for the Unix socket, which only the server's user (and root) can enter."""
    directory = socket_dir_of(data)
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


def socket_dir_of(data: Path) -> Path:
    """Where the socket of a database is: beside it, or in a short path when that one is too long."""
    directory = data.with_name(f"{data.name}.socket")
    if len(os.fsencode(directory)) <= SOCKET_DIR_BYTES_MAX:
        return directory
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Path("/tmp") / f"promethean-{digest}"  # noqa: S108 - short by tradition; its owner is checked when it is made


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it lives, under another user
    return True


def dsn_file(home: Path) -> Path:
    """The file with the address of the running server."""
    return home.expanduser().resolve() / "postgres.dsn"


def password_file(home: Path) -> Path:
    """The file with the password for connections over TCP."""
    return home.expanduser().resolve() / "postgres.password"


def _published(home: Path) -> dict[str, Any] | None:
    """What the owner wrote about its server; None when there is nothing, or nothing readable."""
    try:
        published = json.loads(dsn_file(home).read_text())
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
        log.warning("the file of the running database is damaged", extra={"file": str(dsn_file(home))})
        return None  # the next start of the server writes it anew


def password(home: Path) -> str:
    """The password of this home, made when there is none yet."""
    file = password_file(home)
    if not file.exists():
        write_private(file, secrets.token_urlsafe(24))
    return file.read_text()


def write_private(path: Path, text: str) -> None:
    """Write a 0600 file that is there completely or not at all, also after a power cut."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make sure that what was made or renamed in a directory is there after a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
