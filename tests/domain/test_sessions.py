"""Sessions of the day by the hour, UTC."""

from __future__ import annotations

import pytest

from promethean.domain.instants import DAY_NS
from promethean.domain.sessions import HOUR_NS, MONDAY_NS, sessions_at


@pytest.mark.parametrize(
    ("hour", "sessions"),
    [(0, ("asia",)), (7, ("asia", "europe")), (8, ("europe",)), (13, ("europe", "us")), (16, ("us",)), (22, ())],
)
def test_a_session_holds_from_its_first_hour_to_its_end(hour: int, sessions: tuple[str, ...]) -> None:
    at_ns = MONDAY_NS + 9 * DAY_NS + hour * HOUR_NS
    assert sessions_at(at_ns) == sessions
    assert sessions_at(at_ns + HOUR_NS - 1) == sessions
