"""`audit verify` finds what was edited."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.calls import answer, edit_database, refused

ACCOUNT = "(SELECT stream FROM events WHERE stream LIKE 'account/%' LIMIT 1)"
MARKET = "(SELECT stream FROM events WHERE stream LIKE 'market/%' LIMIT 1)"


def test_a_row_edited_by_hand_is_named(copied_home: Path) -> None:
    (stream,) = edit_database(
        copied_home,
        "UPDATE events SET payload = jsonb_set(payload, '{event,balance}', '\"99999\"')"
        f" WHERE stream = {ACCOUNT} AND sequence = 1 RETURNING stream",
    )
    assert f"journal stream {stream} is damaged at row 1" in refused("audit", "verify", status=2)
    report = answer("audit", "verify", status=2)
    assert report["ok"] is False
    assert "damaged at row 1" in report["error"]


def test_the_rows_that_are_there_are_counted_when_one_in_the_middle_is_missing(copied_home: Path) -> None:
    before = answer("audit", "verify")
    (stream,) = edit_database(
        copied_home, f"DELETE FROM events WHERE stream = {MARKET} AND sequence = 100 RETURNING stream"
    )
    after = answer("audit", "verify", status=2)
    (check,) = [check for check in after["streams"] if check["stream"] == stream]
    assert check["rows"] == 299
    assert check["damaged_row"] == 100
    assert after["rows"] == before["rows"] - 1


def test_an_account_of_which_every_row_was_removed_is_named(copied_home: Path) -> None:
    removed = edit_database(copied_home, "DELETE FROM events WHERE stream LIKE 'account/%' RETURNING stream")
    report = answer("audit", "verify", status=2)
    (check,) = [check for check in report["streams"] if check["stream"] == removed[0]]
    assert (check["rows"], check["damaged_row"]) == (0, 1)
    assert f"rows 1 to {len(removed)} were there once" in check["problem"]


def test_an_account_that_only_the_ledger_remembers_is_named(copied_home: Path) -> None:
    removed = edit_database(
        copied_home,
        "DELETE FROM event_offsets",
        "DELETE FROM events WHERE stream LIKE 'account/%' RETURNING stream",
    )
    assert f"journal stream {removed[0]} is damaged at row 1" in refused("audit", "verify")


def test_market_rows_that_only_the_facts_of_an_account_name_are_missed(copied_home: Path) -> None:
    removed = edit_database(
        copied_home,
        "DELETE FROM event_offsets",
        "DELETE FROM events WHERE stream LIKE 'market/%' RETURNING stream",
    )
    report = answer("audit", "verify", status=2)
    (check,) = [check for check in report["streams"] if check["damaged_row"] is not None]
    assert (check["stream"], check["rows"], check["damaged_row"]) == (removed[0], 0, 1)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET type = 'Reconciled' WHERE type = 'RunFinished'",
        "DELETE FROM events WHERE stream LIKE 'account/%' AND (sequence = 2 OR type = 'RunFinished')",
        "UPDATE events SET received_at_ns = 5 WHERE stream LIKE 'market/%' AND sequence = 300",
    ],
    ids=["an edited fact", "a missing fact", "an edited candle"],
)
def test_up_refuses_a_damaged_journal_in_the_words_of_the_audit(
    copied_home: Path, recording: Path, damage: str
) -> None:
    edit_database(copied_home, damage)
    found = refused("audit", "verify", status=2)
    assert "damaged at row" in found
    assert "; bring back a copy of the database from before, or choose another PROMETHEAN_HOME" in found
    assert refused("up", "--feed", str(recording), "--speed", "max", "--until-end", status=2) == found
