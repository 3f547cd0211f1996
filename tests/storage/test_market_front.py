"""The front: the vendor's own client against it, strangers, broken requests, and a second process that finds it."""

from __future__ import annotations

import asyncio
import http.client
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import numpy as np
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from promethean.domain.errors import ConfigError
from promethean.domain.instruments import MarketType
from promethean.storage.market_front import (
    ADDRESS_FILE,
    MarketFront,
    open_market_store,
    running_front,
    serve,
)
from promethean.storage.market_store import MarketStore
from promethean.storage.market_tables import SeriesKey, candle_rows

KEY = SeriesKey("binance", MarketType.SPOT, "BTC/USDT", "1m")
COUNT = """
import sys
from pathlib import Path
from promethean.storage.market_front import open_market_store
store = open_market_store(Path(sys.argv[1]))
print(store.engine_path is not None, store.count("ohlcv"))
store.close()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def engine(home: Path) -> Iterator[MarketStore]:
    store = open_market_store(home)
    values = {name: np.full(7, 100.0) for name in ("open", "high", "low", "close", "volume")}
    store.insert_candles(candle_rows(KEY, 60 * 10**9 * np.arange(7), values), source="test")
    yield store
    store.close()


@pytest.fixture
def front(engine: MarketStore, home: Path) -> Iterator[MarketFront]:
    front = serve(engine, home)
    yield front
    front.stop()


def client(front: MarketFront, **more: Any) -> Any:
    return clickhouse_connect.get_client(dsn=front.address, **more)


def token(home: Path) -> str:
    return str(json.loads((home / ADDRESS_FILE).read_text())["token"])


def ask(front: MarketFront, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=30)
    try:
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return reply.status, reply.read(), reply.headers
    finally:
        connection.close()


def in_second_process(home: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-c", COUNT, str(home)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_second_process_connects_to_the_running_server(front: MarketFront, home: Path) -> None:
    assert running_front(home) == front.address
    assert in_second_process(home) == ["False", "7"]


def test_the_address_is_readable_by_its_owner_only_and_goes_with_the_server(engine: MarketStore, home: Path) -> None:
    front = serve(engine, home)
    assert stat.S_IMODE((home / ADDRESS_FILE).stat().st_mode) == 0o600
    front.stop()
    front.stop()
    assert not (home / ADDRESS_FILE).exists()
    assert running_front(home) is None


def test_the_address_left_by_a_dead_process_is_not_used(engine: MarketStore, home: Path) -> None:
    front = serve(engine, home)
    left = (home / ADDRESS_FILE).read_text()
    front.stop()
    (home / ADDRESS_FILE).write_text(left)
    (home / ADDRESS_FILE).chmod(0o600)
    assert running_front(home) is None


def test_an_address_of_another_server_is_not_used(front: MarketFront, home: Path) -> None:
    content = json.loads((home / ADDRESS_FILE).read_text()) | {"token": "another"}
    (home / ADDRESS_FILE).write_text(json.dumps(content))
    assert running_front(home) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"port": "x", "token": "y"}', '{"port": 1}'])
def test_an_unreadable_address_file_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / ADDRESS_FILE).write_text(content)
    (tmp_path / ADDRESS_FILE).chmod(0o600)
    assert running_front(tmp_path) is None


def test_an_address_file_that_others_can_read_is_not_used(front: MarketFront, home: Path) -> None:
    (home / ADDRESS_FILE).chmod(0o644)
    assert running_front(home) is None


def test_stopping_leaves_the_address_of_a_later_server(engine: MarketStore, home: Path) -> None:
    first, second = serve(engine, home), serve(engine, home)
    first.stop()
    assert running_front(home) == second.address
    second.stop()


@pytest.mark.parametrize("compress", [True, False, "gzip", "zstd", "lz4"])
def test_the_vendors_client_inserts_and_reads_with_every_compression(front: MarketFront, compress: Any) -> None:
    one = client(front, compress=compress)
    one.command("CREATE OR REPLACE TABLE promethean.t (a Int64, b String) ENGINE = MergeTree ORDER BY a")
    rows = [[1, "it's\nFORMAT Native\n\\"], [2, "é"]]
    assert one.insert("promethean.t", rows, column_names=["a", "b"], settings={"max_threads": 1}).written_rows == 2
    assert [list(row) for row in one.query("SELECT a, b FROM promethean.t ORDER BY a").result_rows] == rows
    one.close()


def test_parameters_formats_settings_and_database_are_understood(front: MarketFront) -> None:
    one = client(front, database="promethean")
    found = one.query(
        "SELECT symbol, count() FROM ohlcv WHERE exchange = {exchange:String} GROUP BY symbol",
        parameters={"exchange": "binance"},
        settings={"max_threads": 2},
    )
    assert found.result_rows == [("BTC/USDT", 7)]
    assert one.query_np("SELECT close FROM ohlcv LIMIT 2").tolist() == [[100.0], [100.0]]
    assert one.query_arrow("SELECT count() AS rows FROM ohlcv").to_pylist() == [{"rows": 7}]
    assert one.command("SELECT count() FROM ohlcv WHERE 0") == 0
    setting = "SELECT value FROM system.settings WHERE name = 'max_threads'"
    assert one.command(setting, settings={"max_threads": 2}) == 2
    assert one.command(setting) != 2
    one.close()


def test_the_vendors_asynchronous_client_reads_as_well(front: MarketFront) -> None:
    async def read() -> Any:
        async with asyncio.timeout(60):
            one = await clickhouse_connect.get_async_client(dsn=front.address)
            try:
                return (await one.query("SELECT count() FROM promethean.ohlcv")).result_rows
            finally:
                await one.close()

    assert asyncio.run(read()) == [(7,)]


def test_an_error_of_the_engine_reaches_the_client_with_its_code(front: MarketFront) -> None:
    one = client(front)
    with pytest.raises(DatabaseError, match="code: 47"):
        one.query("SELECT nothing_of_that_name")
    assert one.command("SELECT 1") == 1
    one.close()


def test_ping_needs_no_token_and_everything_else_does(front: MarketFront, home: Path) -> None:
    assert ask(front, "GET", "/ping")[:2] == (200, b"Ok.\n")
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic ?"}, {"Authorization": "Basic eA=="}):
        status, body, _ = ask(front, "POST", "/", b"SELECT 1", **headers)
        assert status == 403
        assert token(home).encode() not in body
    assert ask(front, "POST", "/", b"SELECT 1", Authorization=f"Bearer {token(home)}")[:2] == (200, b"1\n")


def test_a_chunked_body_is_put_together(front: MarketFront, home: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=30)
    headers = {"Authorization": f"Bearer {token(home)}"}
    connection.request("POST", "/", iter([b"SELECT ", b"1 + 1 ", b"FORMAT CSV"]), headers, encode_chunked=True)
    assert connection.getresponse().read() == b"2\n"
    connection.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Length": "999999999999"}, 413),
        ({"Content_Length": "many"}, 400),
        ({"Content_Encoding": "rot13"}, 415),
        ({"Content_Encoding": "zstd"}, 400),
    ],
)
def test_a_broken_request_is_answered_and_the_server_goes_on(
    front: MarketFront, home: Path, headers: dict[str, str], status: int
) -> None:
    allowed = {"Authorization": f"Bearer {token(home)}"}
    assert ask(front, "POST", "/", b"SELECT 1", **allowed, **headers)[0] == status
    assert ask(front, "POST", "/", b"SELECT 1", **allowed)[0] == 200


def test_a_server_with_an_address_needs_no_front(front: MarketFront, tmp_path: Path) -> None:
    store = MarketStore.open(front.address)
    with pytest.raises(ConfigError, match="only the embedded market store"):
        serve(store, tmp_path)
    store.close()


def test_a_home_that_cannot_be_written_is_a_set_up_error(engine: MarketStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        serve(engine, tmp_path / "file")
