"""Where the market store is: a folder for the engine in this process, or a server; and its errors in our words."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from promethean.domain.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Connection:
    """A client and, where it has one of its own, its pool of sockets."""

    client: Client
    pool: Any = None

    def close(self) -> None:
        """Let the client and its sockets go."""
        self.client.close()
        if self.pool is not None:
            self.pool.clear()


@dataclass(frozen=True, slots=True)
class Address:
    """Where the store is: a folder for the engine in this process, or a server."""

    path: Path | None
    options: Mapping[str, Any]

    @classmethod
    def parse(cls, dsn: str) -> Address:
        """Read `chdb:///absolute/folder`, `http://...` or `https://...`.  Raises ConfigError."""
        parts = urlsplit(dsn)
        if parts.scheme == "chdb" and not parts.netloc and parts.path.startswith("/") and parts.path != "/":
            return cls(Path(unquote(parts.path)), {})
        if parts.scheme in ("http", "https") and parts.hostname:
            return cls(None, _server_options(dsn))
        shown = f"{parts.scheme}://..." if parts.scheme else "that"
        raise ConfigError(
            f"MARKET_STORE_URL cannot be {shown}; use chdb:///absolute/folder, http://HOST:8123 or https://HOST:8443"
        )

    def connect(self) -> Connection:
        """A new client.  Raises ConfigError."""
        import clickhouse_connect
        from clickhouse_connect.driver.exceptions import ClickHouseError
        from clickhouse_connect.driver.httputil import get_pool_manager

        # What the driver would log is in the errors that we translate.
        logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
        if self.path is not None:
            self._make_folder(self.path)
            return self._start_engine(self.path)
        pool = get_pool_manager()  # our own: no proxy from the environment, and closed with the client
        try:
            return Connection(clickhouse_connect.get_client(**self.options, pool_mgr=pool), pool)
        except ClickHouseError as error:
            raise ConfigError(
                f"the market store at {self.options['host']}:{self.options['port']} does not answer as ClickHouse: "
                f"{_plain(error)}; start it there, or correct MARKET_STORE_URL"
            ) from error

    @staticmethod
    def _start_engine(path: Path) -> Connection:
        import clickhouse_connect
        from clickhouse_connect.driver.exceptions import ClickHouseError

        words: list[str] = []
        try:
            with _overheard() as words:
                return Connection(clickhouse_connect.get_client(interface="chdb", path=str(path)))
        except ClickHouseError as error:
            said = "".join(words) or _plain(error)
            raise ConfigError(f"the market store in {path} cannot be opened: {_engine_reason(said)}") from error

    @staticmethod
    def _make_folder(path: Path) -> None:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the market store cannot use {path}: {error.strerror}; choose another folder") from error


def _engine_reason(said: str) -> str:
    """Why the engine does not start, with the remedy.  said: its own words, `Code: 76. DB::Exception: ...`."""
    if "already running" in said:
        return "another process has it open; stop that one and try again"
    if (refused := re.search(r"strerror: ([^.(]+)", said)) is not None:
        return f"it cannot be written ({refused[1]}); allow this user to write there, or choose another folder"
    if (found := re.search(r"DB::\w+: (.+)", said)) is not None and "EmbeddedServer" not in found[1]:
        return f"{found[1][:200]}; bring it back from a copy, or move the folder away and import anew"
    return "this process has another store open, or the folder is damaged; close the other one, or use a copy"


def _server_options(dsn: str) -> dict[str, Any]:
    parts = urlsplit(dsn)
    try:
        port = parts.port or (8443 if parts.scheme == "https" else 8123)
    except ValueError:
        raise ConfigError("MARKET_STORE_URL has a port that is no number from 1 to 65535; correct it") from None
    return {
        "interface": parts.scheme,
        "host": parts.hostname,
        "port": port,
        "username": unquote(parts.username) if parts.username else "default",
        "password": unquote(parts.password) if parts.password else "",
        "connect_timeout": 10,
        "send_receive_timeout": TIMEOUT_S,
        "compress": False if _is_loopback(parts.hostname) else "lz4",
        "autogenerate_session_id": False,
    }


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Driver errors as StoreError, without the address: it may hold a password."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        yield
    except ClickHouseError as error:
        raise StoreError(f"the market store {what}: {_plain(error)}") from error


def _plain(error: Exception) -> str:
    """What the system says of a server that is not there, else the first line of a driver error.

    Web addresses in it may carry a password.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause.strerror or str(cause)
        cause = cause.__cause__ or cause.__context__
    return re.sub(r"https?://\S+", "its address", str(error).partition("\n")[0])[:300]


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What the engine writes to standard error meanwhile, past Python: its only word on why it does not start."""
    words: list[str] = []
    if sys.stderr is None:  # the process was started without one
        yield words
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield words
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            words.append(file.read().decode(errors="replace"))
