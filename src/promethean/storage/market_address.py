"""Where the market store is: a folder for the engine in this process, or a server; and its errors in our words."""

from __future__ import annotations

import ipaddress
import re
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

        if self.path is not None:
            self._make_folder(self.path)
        try:
            if self.path is not None:
                return Connection(clickhouse_connect.get_client(interface="chdb", path=str(self.path)))
            pool = get_pool_manager()  # our own: no proxy from the environment, and closed with the client
            return Connection(clickhouse_connect.get_client(**self.options, pool_mgr=pool), pool)
        except ClickHouseError as error:
            raise ConfigError(self._refusal(error)) from error

    @staticmethod
    def _make_folder(path: Path) -> None:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the market store cannot use {path}: {error.strerror}; choose another folder") from error

    def _refusal(self, error: Exception) -> str:
        if self.path is None:
            where = f"{self.options['host']}:{self.options['port']}"
            return f"the market store at {where} does not answer as ClickHouse: {_plain(error)}; check MARKET_STORE_URL"
        if "EmbeddedServer" in str(error):
            return (
                f"the market store in {self.path} cannot be opened: another process has it open (stop it and try "
                "again), this process has another store open, or the folder is damaged"
            )
        return f"the market store in {self.path} cannot be opened: {_plain(error)}"


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
    """The first line of a driver error; web addresses in it may carry a password."""
    return re.sub(r"https?://\S+", "its address", str(error).partition("\n")[0])[:300]
