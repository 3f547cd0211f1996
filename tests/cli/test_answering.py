"""What every command does with an error: one sentence, one object, and our own mistakes in the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.calls import answer, promethean

from promethean.app import asking


def test_machines_get_the_error_as_the_last_object(home: Path) -> None:
    report = answer("up", "--speed", "fast", status=2)
    assert report["error"].startswith("--speed is 'fast'")


def test_our_own_mistake_gives_a_sentence_and_leaves_the_story_in_the_log(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: object) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(asking, "status", broken)
    found = promethean("status")
    log = home / "logs" / "promethean.log"
    assert found.status == 1
    assert f"ZeroDivisionError: of ours); the details are in {log}" in found.stderr
    assert "Traceback" not in found.stderr
    assert "ZeroDivisionError: of ours" in json.loads(log.read_text())["exception"]
