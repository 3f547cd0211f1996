"""Processes around an embedded server: another one of the platform, an ordinary user, and what becomes of them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

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
from promethean.storage.postgres_home import running_dsn
from promethean.storage.postgres_programs import packaged_binaries
from promethean.storage.postgres_server import EmbeddedPostgres
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
