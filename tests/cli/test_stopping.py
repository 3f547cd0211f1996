"""Ctrl-C, SIGTERM and a reader who goes away: one sentence before trading has begun, a clean stop afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.cli.calls import PROGRAM, WAIT_S, status_of, the_line

from promethean.storage.postgres_home import running_dsn

# The program, which gets a signal at the moment when it first imports a module.
SIGNALLED = """
import importlib.abc, signal, sys
moment, number = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by whoever was started in the background
del sys.argv[1:3]

class AtImport(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            sys.meta_path.remove(self)
            signal.raise_signal(number)

sys.meta_path.insert(0, AtImport())
from promethean.cli import main
main()
"""
WORDS = {signal.SIGINT: "the keyboard", signal.SIGTERM: "SIGTERM"}
MOMENTS = [
    "typer",
    "promethean.cli.run",
    "promethean.domain.errors",
    "promethean.config.layers",
    "promethean.app.running",
    "promethean.strategies.file",
    "promethean.storage.postgres_server",
    "promethean.storage.vault",
    "promethean.runtime.feeds.chosen",
    "promethean.exchanges.paper.venue",
    "promethean.runtime.watching",
]


@pytest.mark.parametrize("number", WORDS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_before_trading_has_begun_ends_up_with_one_sentence(
    copied_home: Path, moment: str, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", SIGNALLED, moment, str(int(number)), "up", "--feed", "synthetic", "--for", "5s"]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=WAIT_S, check=False)
    line = the_line(done.stderr, done.returncode, 128 + number)
    assert line == f"error: stopped by {WORDS[number]} before the work was done"
    assert done.stderr == line + "\n"
    assert done.stdout == ""
    assert running_dsn(copied_home) is None


@pytest.mark.parametrize("number", WORDS)
def test_a_signal_while_it_trades_ends_up_cleanly(
    running: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = running("--feed", "synthetic", "--speed", "600", "--plain")
    assert process.stdout is not None
    while "PAPER trading" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(number)
    shown, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert "Stopped; the same command goes on from here." in shown


@pytest.fixture
def talking(copied_home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the program with its output in pipes, and ends it."""
    with ExitStack() as closing:

        def start(*arguments: str) -> subprocess.Popen[str]:
            return closing.enter_context(
                subprocess.Popen(
                    [*PROGRAM, *arguments],
                    env=dict(os.environ),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )

        yield start


def test_a_reader_who_goes_away_ends_up_cleanly(
    copied_home: Path, talking: Callable[..., subprocess.Popen[str]]
) -> None:
    process = talking("up", "--feed", "synthetic", "--speed", "600", "--plain")
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline()
    process.stdout.close()
    _, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, errors) == (0, "")
    assert running_dsn(copied_home) is None
    synthetic = [account for account in status_of(copied_home).accounts if account.exchange == "synthetic"]
    assert [account.mode for account in synthetic] == ["ACTIVE"]


@pytest.mark.parametrize("arguments", [["catalogue"], ["catalogue", "--json"], ["version"], ["config", "reference"]])
def test_an_answer_whose_reader_goes_away_is_no_mistake(
    arguments: list[str], talking: Callable[..., subprocess.Popen[str]]
) -> None:
    process = talking(*arguments)
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
@pytest.mark.parametrize(
    "arguments", [["catalogue"], ["catalogue", "--json"], ["version"], ["up", "--feed", "synthetic", "--plain"]]
)
def test_an_answer_that_cannot_be_written_is_told_in_one_sentence(copied_home: Path, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, *arguments],
            env=dict(os.environ),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
    assert the_line(done.stderr, done.returncode, 1) == (
        "error: standard output cannot be written (No space left on device); make room there, or send it elsewhere"
    )
    assert done.stderr.count("\n") == 1
