"""The program as people and scripts meet it: real processes, exit statuses, last lines."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from typer.testing import CliRunner

from promethean.app import asking
from promethean.cli.root import cli
from promethean.config.layers import load_settings
from promethean.runtime.operations import PlatformStatus
from promethean.storage.postgres_server import connect_or_start

WAIT_S = 60.0
CANDLE_HEAD = "timestamp,open,high,low,close,volume\n"
MINUTE_MS = 60_000
FIRST_MS = 1_747_699_200_000  # 2025-05-20
PROGRAM = (sys.executable, "-m", "promethean")
# These have signal handlers, or a store of which a process can open one; everything else is asked within this process.
IN_A_PROCESS = frozenset({"up", "data", "backtest"})


@dataclass(frozen=True, slots=True)
class Done:
    status: int
    stdout: str
    stderr: str


def promethean(*arguments: str) -> Done:
    if not IN_A_PROCESS.intersection(arguments[:3]):
        found = CliRunner().invoke(cli, list(arguments))
        return Done(found.exit_code, found.stdout, found.stderr)
    done = subprocess.run(
        [*PROGRAM, *arguments],
        env=dict(os.environ),  # said, because readline writes a COLUMNS of its own past os.environ
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def answer(*arguments: str, status: int = 0) -> Any:
    """The object on the last line of standard output."""
    done = promethean(*arguments, "--json")
    assert done.status == status, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def refused(*arguments: str, status: int = 2) -> str:
    """The one line that a person gets."""
    done = promethean(*arguments)
    return the_line(done.stderr, done.status, status)


def refused_at_once(*arguments: str) -> str:
    """As `refused`, within this process: for what `up` refuses before anything starts."""
    found = CliRunner().invoke(cli, list(arguments))
    return the_line(found.stderr, found.exit_code, 2)


def the_line(stderr: str, status: int, expected: int) -> str:
    assert status == expected, stderr
    assert "Traceback" not in stderr
    (line,) = [line for line in stderr.splitlines() if line.startswith("error: ")]
    return line


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


def status_of(home: Path) -> PlatformStatus:
    """As `promethean status`, without a process of its own."""
    return asking.status(load_settings({"app.home": str(home)}, {}, Path.cwd()))


def falling_candles(count: int) -> str:
    rows = [CANDLE_HEAD]
    for number in range(count):
        price = 100_000 - 50 * (number % 60) + 2_900 * (number // 60 % 2)
        rows.append(f"{FIRST_MS + number * MINUTE_MS},{price},{price + 20},{price - 20},{price},50.12345\n")
    return "".join(rows)


def edit_database(home: Path, *statements: str) -> list[Any]:
    """What a person with all rights does to the database of a stopped home; the first column of the last answer."""

    async def edit(dsn: str) -> list[Any]:
        connection = await asyncpg.connect(dsn)
        try:
            answers = [await connection.fetch(statement) for statement in statements]
            return [row[0] for row in answers[-1]]
        finally:
            await connection.close()

    dsn, server = connect_or_start(home)
    assert server is not None, "somebody runs on this home"
    try:
        return asyncio.run(edit(dsn))
    finally:
        server.stop()
