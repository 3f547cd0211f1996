"""What the commands ask, of an empty home and of one on which a run has ended."""

from __future__ import annotations

from typing import Any

from tests.app.runs import Place

from promethean.app import asking
from promethean.app.database import has_database


def test_looking_at_an_empty_home_makes_nothing(place: Place) -> None:
    settings = place.settings("nothing")
    assert not has_database(settings)
    assert asking.list_accounts(settings) == ()
    assert asking.status(settings).process is None
    assert not (place.path / "nothing").exists()


def test_the_journal_of_a_run_holds(place: Place, whole: Any) -> None:
    looked: list[tuple[int, int]] = []
    checks = asking.verify_journal(place.settings("home-whole"), lambda done, todo: looked.append((done, todo)))
    assert sum(check.rows for check in checks) >= whole.events
    assert looked
