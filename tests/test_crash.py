"""The real process, killed without a word: the same command on the same home comes to the same end."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest

from promethean.storage.postgres_home import running_dsn
from promethean.storage.postgres_server import EmbeddedPostgres, remove_database

FILE = "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet"
ROWS = 15_000
KILLS = 25
PATIENCE_S = 90.0
POLL_S = 0.002
SAME = ("trades", "wins", "losses", "fees", "realised", "final_equity", "journal_hash", "candles", "orders", "fills")

# Where in a run it is killed: a share of the time until the first candle, or of the journal's rows.
_draw = random.Random(7)
STARTING = [("time", round(share, 3)) for share in (0.05, 0.3, 0.55, 0.75, 0.9, 1.0)]
RUNNING = [("rows", round(_draw.random(), 3)) for _ in range(KILLS - len(STARTING) - 1)] + [("rows", 1.0)]
MOMENTS = STARTING + RUNNING


@dataclass(frozen=True)
class Ground:
    """What every kill is compared with.

    feed: the candle file.  expected: the last line of the uninterrupted run.  rows: events in its journal.
    start_s: seconds until its first candle.  migrated: a home whose database is ready, to be copied.
    """

    feed: Path
    expected: dict[str, Any]
    rows: int
    start_s: float
    migrated: Path


# ---------------------------------------------------------------- processes


def begin(home: Path, feed: Path) -> subprocess.Popen[str]:
    """`promethean up` on a home of its own."""
    command = [sys.executable, "-X", "faulthandler", "-m", "promethean", "up"]
    command += ["--feed", str(feed), "--speed", "max", "--until-end", "--json"]
    return subprocess.Popen(
        command,
        env={**os.environ, "PROMETHEAN_HOME": str(home)},
        cwd=feed.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(home: Path, feed: Path, patience_s: float = PATIENCE_S) -> dict[str, Any]:
    """The command to its end: its answer."""
    process = begin(home, feed)
    try:
        said, complained = process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # it says where it stands
        log = home / "logs" / "postgres.log"
        pytest.fail(f"no end within {patience_s:g} s: {process.communicate()[1][-5000:]}\n{log.read_text()[-3000:]}")
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, f"status {process.returncode}: {complained[-3000:]}{said[-500:]}"
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def kill(process: subprocess.Popen[str]) -> bool:
    """SIGKILL, by its pid.  Whether it was still running."""
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return running


def kill_after(process: subprocess.Popen[str], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return kill(process)


def kill_at_row(process: subprocess.Popen[str], home: Path, row: int) -> bool:
    """Kill the process when its journal holds so many rows; it looks every few milliseconds."""

    async def watch() -> None:
        connection = None
        while process.poll() is None:
            try:
                if connection is None:
                    dsn = running_dsn(home)
                    connection = await asyncpg.connect(dsn) if dsn is not None else None
                elif await journal_rows(connection) >= row:
                    break
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
                # The server starts or stops, or the schema is not there yet: asked again on a fresh connection.
                if connection is not None:
                    connection.terminate()
                connection = None
            await asyncio.sleep(POLL_S)
        if connection is not None:
            connection.terminate()

    try:
        asyncio.run(asyncio.wait_for(watch(), PATIENCE_S))
    finally:
        was_running = kill(process)
    return was_running


async def journal_rows(connection: Any) -> int:
    found: int = await connection.fetchval(
        "SELECT coalesce(sum(rows), 0)::bigint FROM "
        "(SELECT max(sequence) AS rows FROM events GROUP BY stream) AS streams"
    )
    return found


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that the database's own user can pass through, in memory where there is some; removed afterwards."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    path = Path(tempfile.mkdtemp(prefix="promethean-test-", dir=memory if roomy else None))
    path.chmod(0o711)
    try:
        yield path
    finally:
        try:
            for home in path.glob("home*"):
                remove_database(home)
        finally:
            shutil.rmtree(path)


def copied(ground: Ground, path: Path) -> Path:
    """A home whose database is ready and empty: a copy takes a tenth of the time of a first start."""
    home = path / "home"
    subprocess.run(["cp", "-a", str(ground.migrated), str(home)], check=True)
    return home


def rows_in(home: Path) -> int:
    """Rows that the journal of a stopped home holds."""

    async def ask(dsn: str) -> int:
        connection = await asyncpg.connect(dsn)
        try:
            return await journal_rows(connection)
        finally:
            await connection.close()

    with EmbeddedPostgres(home) as server:
        return asyncio.run(ask(server.start()))


# ---------------------------------------------------------------- the ground


def write_feed(path: Path, shared: Path | None, rows: int | None) -> Path:
    """The first rows of the recording, all of them for None; invented ones when it is not there."""
    import pyarrow
    import pyarrow.parquet as pq

    if shared is not None:
        table = pq.read_table(shared / "data" / "ohlcv" / FILE)
    else:
        draw = np.random.default_rng(3)
        count = rows or 105_120
        close = np.round(100_000 * np.exp(np.cumsum(draw.normal(0, 0.001, count))), 2)
        opened = np.concatenate([[100_000.0], close[:-1]])
        table = pyarrow.table(
            {
                "timestamp": 1_747_699_200_000 + 60_000 * np.arange(count, dtype=np.int64),
                "open": opened,
                "high": np.round(np.maximum(opened, close) * 1.0005, 2),
                "low": np.round(np.minimum(opened, close) * 0.9995, 2),
                "close": close,
                "volume": np.round(draw.exponential(10, count), 5),
            }
        )
    feed = path / FILE
    pq.write_table(table if rows is None else table.slice(0, rows), feed)
    return feed


def lay_ground(path: Path, rows: int | None) -> Ground:
    beside = Path(__file__).resolve().parents[2] / "shared"
    feed = write_feed(path, beside if beside.is_dir() else None, rows)
    migrated, whole = path / "home-migrated", path / "home-whole"
    command = [sys.executable, "-m", "promethean", "migrate"]
    environment = {**os.environ, "PROMETHEAN_HOME": str(migrated)}
    subprocess.run(command, env=environment, cwd=path, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE_S)
    expected = finish(whole, feed, 600)
    assert expected["finished"], "the uninterrupted run comes to the end of its feed"
    assert expected["trades"] > 10, "a run in which nothing happens proves nothing"
    return Ground(feed, expected, rows_in(whole), expected["start_seconds"], migrated)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with folder() as path:
        yield lay_ground(path, ROWS)


@pytest.fixture(scope="module")
def whole_ground() -> Iterator[Ground]:
    with folder() as path:
        yield lay_ground(path, None)


def assert_same(answer: dict[str, Any], ground: Ground) -> None:
    found = {name: answer[name] for name in SAME}
    assert found == {name: ground.expected[name] for name in SAME}
    assert answer["finished"]


def kill_at(process: subprocess.Popen[str], home: Path, moment: tuple[str, float], ground: Ground) -> bool:
    what, share = moment
    if what == "time":
        return kill_after(process, share * ground.start_s)
    return kill_at_row(process, home, max(1, int(share * ground.rows)))


# ---------------------------------------------------------------- tests


def test_two_empty_homes_give_the_same_end_and_the_same_hash(ground: Ground) -> None:
    with folder() as path:
        assert_same(finish(path / "home", ground.feed), ground)


def test_a_finished_home_opens_a_new_account_that_comes_to_the_same_end(ground: Ground) -> None:
    with folder() as path:
        home = copied(ground, path)
        first, second = finish(home, ground.feed), finish(home, ground.feed)
        assert_same(first, ground)
        assert_same(second, ground)
        assert first["account"] != second["account"]


@pytest.mark.scenario("B1")
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[0]}-{moment[1]}")
def test_a_process_killed_at_any_moment_goes_on_to_the_end_of_the_uninterrupted_run(
    ground: Ground, moment: tuple[str, float]
) -> None:
    with folder() as path:
        home = path / "home" if moment in STARTING else copied(ground, path)
        process = begin(home, ground.feed)
        was_running = kill_at(process, home, moment, ground)
        assert was_running or moment[1] == 1.0, "it ended before it was killed"
        assert_same(finish(home, ground.feed), ground)


@pytest.mark.scenario("B2")
@pytest.mark.parametrize("seed", range(2))
def test_a_home_killed_several_times_in_a_row_goes_on_to_the_end_of_the_uninterrupted_run(
    ground: Ground, seed: int
) -> None:
    draw = random.Random(seed)
    with folder() as path:
        home = copied(ground, path)
        for share in sorted(draw.random() * 0.9 for _ in range(3)):
            kill_at(begin(home, ground.feed), home, ("rows", share), ground)
            kill_after(begin(home, ground.feed), draw.uniform(0.5, 1.0) * ground.start_s)  # while it recovers
        assert_same(finish(home, ground.feed), ground)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[0]}-{moment[1]}")
def test_a_run_over_the_whole_recording_killed_at_any_moment_comes_to_the_same_end(
    whole_ground: Ground, moment: tuple[str, float]
) -> None:
    with folder() as path:
        home = path / "home"
        kill_at(begin(home, whole_ground.feed), home, moment, whole_ground)
        assert_same(finish(home, whole_ground.feed, 600), whole_ground)
