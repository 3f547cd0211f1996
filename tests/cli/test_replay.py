"""`replay`: its answer, its trade list beside that of `backtest`, and its exit statuses."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path

import pytest
from tests.cli.calls import answer, promethean, refused, refused_at_once

from promethean.interfaces.terminal.view import QuietView

AGREED = {
    "candles", "events", "signals", "orders", "fills", "trades", "fees", "final_equity", "journal_hash", "seconds",
    "events_per_s",
}  # fmt: skip


def test_backtest_and_replay_write_the_same_trade_list_line_by_line(
    home: Path, recording: Path, tmp_path: Path
) -> None:
    given = ("reference_rsi", "--data", str(recording), "--cash", "50000", "--set", "low=35")
    lists = {name: tmp_path / f"{name}.csv" for name in ("backtest", "replay")}
    found = {name: answer(name, *given, "--trades", str(path)) for name, path in lists.items()}
    assert set(found["replay"]) >= AGREED
    assert lists["replay"].read_text() == lists["backtest"].read_text()
    with lists["replay"].open() as file:
        reasons = [row["reason"] for row in csv.DictReader(file)]
    assert reasons
    for name in ("candles", "trades", "wins", "losses", "final_equity", "fees"):
        assert found["replay"][name] == found["backtest"][name]
    with_list = answer("replay", *given)
    assert with_list["trade_list"] == answer("backtest", *given)["trade_list"]
    assert with_list["journal_hash"] == found["replay"]["journal_hash"]


def test_a_person_gets_a_summary(home: Path, recording: Path) -> None:
    done = promethean("replay", "reference_rsi", "--data", str(recording))
    assert done.status == 0, done.stderr
    for words in ("The recording has ended.", "Journal hash", "Controls: research", "Past prices promise nothing."):
        assert words in done.stdout


def test_a_wrong_replay_is_refused_before_anything_is_made(home: Path, recording: Path) -> None:
    given = ("replay", "reference_rsi", "--data", str(recording))
    assert "--limits is 'all'; write research or user" in refused_at_once(*given, "--limits", "all")
    assert "--cash is 'much'" in refused_at_once(*given, "--cash", "much")
    assert "--from is 'may'" in refused_at_once(*given, "--from", "may")
    assert "gone.csv" in refused_at_once(*given[:2], "--data", "gone.csv")
    assert not (home / "postgres.lock").exists()


def test_a_trade_list_that_cannot_be_written_is_refused(home: Path, recording: Path) -> None:
    line = refused("replay", "reference_rsi", "--data", str(recording), "--trades", "/dev/null/trades.csv")
    assert "/dev/null/trades.csv cannot be written" in line


def test_a_replay_that_is_stopped_on_the_way_has_not_done_its_work(
    home: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("replay", "reference_rsi", "--data", str(recording))
    with monkeypatch.context() as patch:
        patch.setattr(QuietView, "tick", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        assert answer(*given, status=1)["finished"] is False
    assert answer(*given)["finished"] is True
