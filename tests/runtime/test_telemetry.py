"""Log lines: all into the home, the alarming ones to the terminal."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from promethean.runtime.telemetry import log_file, start_logging


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[logging.Logger]:
    """The root logger, as it was before."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield root
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)


def test_a_line_of_the_log_is_one_object_with_its_facts_as_fields(tmp_path: Path) -> None:
    assert start_logging(tmp_path) == log_file(tmp_path)
    logging.getLogger("promethean.test").info("order sent", extra={"order_id": "o-1"})
    entry = json.loads(log_file(tmp_path).read_text())
    assert (entry["event"], entry["order_id"], entry["level"]) == ("order sent", "o-1", "info")
    assert entry["logger"] == "promethean.test"
    assert entry["timestamp"].endswith("Z")


def test_warnings_are_shown_in_plain_words_and_smaller_lines_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_logging(tmp_path)
    log = logging.getLogger("promethean.test")
    log.info("all is well")
    log.warning("order rejected", extra={"order_id": "o-1", "reason": "funds"})
    assert capsys.readouterr().err == "warning: order rejected (order_id: o-1, reason: funds)\n"


def test_the_level_of_the_settings_is_kept(tmp_path: Path) -> None:
    start_logging(tmp_path, "ERROR")
    logging.getLogger("promethean.test").warning("not that important")
    assert log_file(tmp_path).read_text() == ""


def test_text_for_people_is_written_when_asked_for(tmp_path: Path) -> None:
    start_logging(tmp_path, layout="text")
    logging.getLogger("promethean.test").info("order sent", extra={"order_id": "o-1"})
    written = log_file(tmp_path).read_text()
    assert "order sent" in written
    assert "order_id=o-1" in written
    assert not written.startswith("{")


def test_a_second_start_writes_each_line_once(tmp_path: Path) -> None:
    start_logging(tmp_path)
    start_logging(tmp_path)
    logging.getLogger("promethean.test").info("once")
    assert len(log_file(tmp_path).read_text().splitlines()) == 1


def test_a_home_that_cannot_be_written_leaves_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert start_logging(Path("/dev/null/x")) is None
    logging.getLogger("promethean.test").warning("still here")
    assert "still here" in capsys.readouterr().err
