"""Ctrl-C, SIGTERM and a reader who goes away: one sentence before trading has begun, a clean stop afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.calls import WAIT_S, the_line

from promethean.storage.postgres_home import running_dsn

# The program, which gets a signal at the moment when it first imports a module.
SIGNALLED = """
import importlib.abc, signal, sys
moment, number = sys.argv[1], int(sys.argv[2])
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
