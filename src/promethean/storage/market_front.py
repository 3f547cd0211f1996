"""The market store of this process, served to other processes of the same person.

The embedded engine belongs to one process.  `promethean up` serves it on the loopback in ClickHouse's HTTP dialect, as
far as our client speaks it, and writes address and token into `market_store.json` of the home (readable by its owner
only).  Every other command uses that address while it is alive and opens the engine itself when it is not:
`open_market_store` decides.  Without the token nobody gets an answer, so other users of the machine cannot read.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import http.client
import json
import logging
import os
import re
import secrets
import socket
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from promethean.domain.errors import ConfigError, PrometheanError
from promethean.storage.market_store import MarketStore

log = logging.getLogger(__name__)

ADDRESS_FILE = "market_store.json"
STORE_FOLDER = "market"
USER = "promethean"
BODY_MAX_BYTES = 256 * 1024 * 1024
ALIVE_TIMEOUT_S = 2.0
IDLE_TIMEOUT_S = 300.0
POLL_S = 0.05  # how long stopping may wait
_CHUNK_LINE_MAX = 1024

# What the HTTP transport means for itself; the rest of a request's parameters are settings of the engine.
_TRANSPORT = frozenset(
    {
        "query", "database", "default_format", "session_id", "session_timeout", "session_check", "query_id",
        "quota_key", "compress", "decompress", "wait_end_of_query", "buffer_size", "client_protocol_version", "role",
        "user", "password", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
        "enable_http_compression", "cancel_http_readonly_queries_on_client_close",
    }
)  # fmt: skip
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TRAILING_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_INSERT = re.compile(rb"\s*(INSERT\s+INTO\s.{1,65536}?)\s+FORMAT\s+(\w+)[ \t\r]*(?:\n|$)", re.IGNORECASE | re.DOTALL)
_GIVES_ROWS = re.compile(rb"\s*(SELECT|WITH|SHOW|DESCRIBE|DESC|EXISTS|EXPLAIN)\b", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)")


@dataclass(frozen=True, slots=True)
class _Reply:
    content: bytes
    format: str | None
    rows_key: str
    rows: int


class _BadRequestError(PrometheanError):
    """A request that is no ClickHouse request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Engine:
    """One connection to the engine; one statement at a time."""

    def __init__(self, folder: Path) -> None:
        import chdb

        self._connection: Any = chdb.connect(os.path.realpath(folder))
        self._lock = threading.Lock()
        self._settings: dict[str, str] = {}
        self._database = "default"

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def run(self, statement: bytes, parameters: Mapping[str, str]) -> _Reply:
        """Run one statement with the parameters of its request.  Raises _BadRequestError."""
        values = {name[6:]: value for name, value in parameters.items() if name.startswith("param_")}
        settings = {
            name: value
            for name, value in parameters.items()
            if name not in _TRANSPORT and not name.startswith("param_") and _SETTING.fullmatch(name)
        }
        database = parameters.get("database", "__default__")
        with self._lock:
            if self._connection is None:
                raise _BadRequestError(503, "the market store is closing")
            try:
                self._use("default" if database == "__default__" else database)
                self._set(settings)
                insert = _INSERT.match(statement)
                if insert is not None:
                    return self._insert(insert[1], insert[2].decode(), statement[insert.end() :])
                return self._query(statement, parameters.get("default_format", "TabSeparated"), values)
            except RuntimeError as error:  # the base of what the engine raises; two packages define its subclass
                raise _BadRequestError(500, str(error)) from error

    def _use(self, database: str) -> None:
        if database != self._database:
            self._connection.query("USE `{}`".format(database.replace("\\", "\\\\").replace("`", "\\`")), "Null")
            self._database = database

    def _set(self, settings: dict[str, str]) -> None:
        """Change the settings that differ from the request before; clients mostly send the same ones."""
        for name in [name for name in self._settings if name not in settings]:
            self._connection.query(f"SET {name} = DEFAULT", "Null")
            del self._settings[name]
        for name, value in settings.items():
            if self._settings.get(name) != value:
                self._connection.query(f"SET {name} = {_quoted(value)}", "Null")
                self._settings[name] = value

    def _query(self, statement: bytes, default_format: str, values: dict[str, str]) -> _Reply:
        trailing = _TRAILING_FORMAT.search(statement)
        name = trailing[1].decode() if trailing is not None else default_format
        result = self._connection.query(statement.decode(), name, params=values)
        gives_rows = trailing is not None or _GIVES_ROWS.match(statement) is not None
        return _Reply(result.bytes() or b"", name if gives_rows else None, "read_rows", result.rows_read())

    def _insert(self, head: bytes, name: str, rows: bytes) -> _Reply:
        with tempfile.NamedTemporaryFile(suffix=".rows") as file:
            file.write(rows)
            file.flush()
            statement = f"{head.decode()} FROM INFILE {_quoted(file.name)} COMPRESSION 'none' FORMAT {name}"
            result = self._connection.query(statement, "Null")
        return _Reply(b"", None, "written_rows", result.rows_read())


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


class _Handler(BaseHTTPRequestHandler):
    """One request in ClickHouse's HTTP dialect."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_TIMEOUT_S
    wbufsize = -1  # head and body leave together; apart, the client's delayed acknowledgement costs 40 ms
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        log.debug("market store request", extra={"client": self.client_address[0], "answer": format % args})

    def _answer(self) -> None:
        target = urlsplit(self.path)
        if target.path == "/ping":
            self._send(200, b"Ok.\n", {})
            return
        try:
            reply = self._run(dict(parse_qsl(target.query, keep_blank_values=True)))
        except _BadRequestError as error:
            found = _CODE.search(str(error))
            headers = {"X-ClickHouse-Exception-Code": found[1] if found else "1000"}
            self._send(error.status, f"{error}\n".encode(), headers)
            return
        headers = {
            "X-ClickHouse-Summary": json.dumps({reply.rows_key: str(reply.rows)}),
            "X-ClickHouse-Timezone": "UTC",
            "Content-Type": "application/octet-stream",
        }
        if reply.format is not None:
            headers["X-ClickHouse-Format"] = reply.format
        self._send(200, reply.content, headers)

    def _run(self, parameters: dict[str, str]) -> _Reply:
        if not self._is_allowed():
            self.close_connection = True  # the body of a stranger is not read
            raise _BadRequestError(403, "Code: 516. DB::Exception: wrong user or token. (AUTHENTICATION_FAILED)")
        body = self._body()
        return self.server.engine.run(_statement(parameters.get("query", ""), body), parameters)

    def _is_allowed(self) -> bool:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        given = ""
        if scheme == "Basic":
            try:
                given = base64.b64decode(value, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        elif scheme == "Bearer":
            given = value
        return hmac.compare_digest(given.encode(), self.server.token.encode())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            raw = self._chunks()
        else:
            raw = self._exactly(_length(self.headers.get("Content-Length", "0")))
        return _decoded(raw, self.headers.get("Content-Encoding", "identity"))

    def _exactly(self, size: int) -> bytes:
        if size > BODY_MAX_BYTES:
            self.close_connection = True
            raise _BadRequestError(
                413, f"the request has {size} bytes, the limit is {BODY_MAX_BYTES}; send less at once"
            )
        content = self.rfile.read(size)
        if len(content) < size:
            self.close_connection = True
            raise _BadRequestError(400, "the request ended early")
        return content

    def _chunks(self) -> bytes:
        content = bytearray()
        while True:
            line = self.rfile.readline(_CHUNK_LINE_MAX)
            size = _length(line.split(b";")[0].strip().decode("ascii", "replace"), 16)
            content += self._exactly(size if size + len(content) <= BODY_MAX_BYTES else BODY_MAX_BYTES + 1)
            self.rfile.readline(_CHUNK_LINE_MAX)
            if size == 0:
                return bytes(content)

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _length(text: str, base: int = 10) -> int:
    try:
        size = int(text, base)
    except ValueError:
        size = -1
    if size < 0:
        raise _BadRequestError(400, f"{text!r} is not a length")
    return size


def _statement(query: str, body: bytes) -> bytes:
    """The statement of a request: `query=` goes before what the body holds."""
    if not query:
        return body
    return query.encode() + (b"\n" + body if body else b"")


def _decoded(raw: bytes, encoding: str) -> bytes:
    import pyarrow as pa

    if encoding == "identity":
        return raw
    if encoding not in ("gzip", "lz4", "zstd"):
        raise _BadRequestError(415, f"Content-Encoding {encoding} is not spoken here; use gzip, lz4 or zstd")
    try:
        with pa.CompressedInputStream(pa.BufferReader(raw), encoding) as stream:
            content: bytes = stream.read(BODY_MAX_BYTES + 1)
    except OSError as error:
        raise _BadRequestError(400, f"the body is not {encoding}: {error}") from error
    if len(content) > BODY_MAX_BYTES:
        raise _BadRequestError(413, f"the request is larger than {BODY_MAX_BYTES} bytes; send less at once")
    return content


class _Server(ThreadingHTTPServer):
    """Accepts on the loopback; knows its open connections, so that stopping ends them."""

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, engine: _Engine, token: str) -> None:
        self.engine = engine
        self.token = token
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is its own affair, and no reason for a stack trace on the terminal."""
        log.debug("market store connection ended", exc_info=True)

    def end_connections(self) -> None:
        with self._open_lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # it was closed by the other side just now
                    continue


class MarketFront:
    """The engine of this process, answering on the loopback until stopped."""

    def __init__(self, store: MarketStore, home: Path) -> None:
        if store.engine_path is None:
            raise ConfigError("only the embedded market store needs a front; a server has an address already")
        self._file = home / ADDRESS_FILE
        self._token = secrets.token_urlsafe(32)
        self._engine = _Engine(store.engine_path)
        self._server = _Server(self._engine, self._token)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), name="market-front", daemon=True
        )
        self._thread.start()
        try:
            _write_address(self._file, self.port, self._token)
        except ConfigError:
            self.stop()
            raise

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        """The address with the token in it: a secret, for `MarketStore.open`."""
        return _address(self.port, self._token)

    def stop(self) -> None:
        """Take no more requests, finish the running statement, remove the address.  May be called twice."""
        self._server.shutdown()
        self._server.end_connections()
        self._server.server_close()
        self._thread.join()
        self._engine.close()
        found = _read_address(self._file)
        if found is not None and found.token == self._token:  # and not the one of a process that came after us
            self._file.unlink(missing_ok=True)


def serve(store: MarketStore, home: Path) -> MarketFront:
    """Serve the embedded engine of `store` and write the address into `home`.  Stop it before closing the store."""
    return MarketFront(store, home)


def running_front(home: Path) -> str | None:
    """The address (with its token) of the process that serves this home's market store; None when none is alive."""
    found = _read_address(home / ADDRESS_FILE)
    if found is None or not _answers(found):
        return None
    return _address(found.port, found.token)


def open_market_store(home: Path, *, url: str | None = None, database: str = "promethean") -> MarketStore:
    """The market store of this home, with its tables.

    url: MARKET_STORE_URL where it is set; else the running process of this home; else the engine in this process.
    Raises ConfigError when it cannot be opened, StoreError when its tables cannot be made.
    """
    dsn = url or running_front(home) or f"chdb://{quote(str(home.resolve() / STORE_FOLDER))}"
    store = MarketStore.open(dsn, database)
    try:
        store.create_tables()
    except PrometheanError:
        store.close()
        raise
    return store


@dataclass(frozen=True, slots=True)
class _Found:
    port: int
    token: str


def _address(port: int, token: str) -> str:
    return f"http://{USER}:{token}@127.0.0.1:{port}"


def _write_address(path: Path, port: int, token: str) -> None:
    content = json.dumps({"host": "127.0.0.1", "port": port, "user": USER, "token": token, "pid": os.getpid()})
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; make the folder writable") from error


def _read_address(path: Path) -> _Found | None:
    """What the file says; None when there is none, or when others could have written or read it."""
    try:
        status = path.stat()
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            log.warning("market store address ignored: other users can reach the file", extra={"path": str(path)})
            return None
        content = json.loads(path.read_text())
        return _Found(int(content["port"]), str(content["token"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("market store address unreadable", extra={"path": str(path), "error": str(error)})
        return None


def _answers(found: _Found) -> bool:
    """Whether a front that knows the token listens there: after a crash the port may belong to anybody."""
    connection = http.client.HTTPConnection("127.0.0.1", found.port, timeout=ALIVE_TIMEOUT_S)
    try:
        connection.request("GET", "/?query=SELECT%201", headers={"Authorization": f"Bearer {found.token}"})
        reply = connection.getresponse()
        return reply.status == 200 and reply.read(16).strip() == b"1"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
