"""Homes for the tests of the command line, and a platform that runs on one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.calls import PROGRAM, WAIT_S, falling_candles, until

from promethean.runtime.home import running_process
from promethean.storage.postgres_server import remove_database


@pytest.fixture(scope="session")
def homes() -> Iterator[Path]:
    """A folder that every user can pass through: root's database server runs as another user."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    path = Path(tempfile.mkdtemp(prefix="promethean-test-", dir=memory if roomy else None))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def home(homes: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of the test's own, which `promethean` uses."""
    path = Path(tempfile.mkdtemp(prefix="home-", dir=homes)) / "home"
    path.parent.chmod(0o711)
    monkeypatch.setenv("PROMETHEAN_HOME", str(path))
    yield path
    remove_database(path)


@pytest.fixture(scope="session")
def recording(homes: Path) -> Path:
    """A short file of candles."""
    path = homes / "binance_spot_BTCUSDT_1m.csv"
    path.write_text(falling_candles(300))
    return path


@pytest.fixture(scope="session")
def used_home(homes: Path, recording: Path) -> Path:
    """A home on which a short recording has run to its end, stopped; tests copy it or only read."""
    path = homes / "used" / "home"
    path.parent.mkdir(mode=0o711)
    environment = {**os.environ, "PROMETHEAN_HOME": str(path)}
    command = [*PROGRAM, "up", "--feed", str(recording), "--speed", "max", "--until-end", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def copied_home(home: Path, used_home: Path) -> Path:
    subprocess.run(["cp", "-a", str(used_home), str(home)], check=True)
    return home


@pytest.fixture
def running(copied_home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `promethean up` on the copied home in the background, and ends it."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*PROGRAM, "up", *arguments],
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        until(lambda: process.poll() is not None or running_process(copied_home) == process.pid)
        assert process.poll() is None, process.stdout and process.stdout.read()
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_S)
