"""Instants: integers in UTC, exact to the microsecond where people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.instants import DAY_NS, NS_PER_S, day_of, format_instant, to_datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.integers(0, 7_000_000_000_000_000))
def test_a_datetime_keeps_every_microsecond(microseconds: int) -> None:
    assert to_datetime(microseconds * 1000) == EPOCH + timedelta(microseconds=microseconds)


def test_an_instant_reads_as_utc_in_whole_seconds() -> None:
    assert format_instant(1_747_699_200 * NS_PER_S + 999_999_999) == "2025-05-20 00:00:00"


@pytest.mark.parametrize(("instant_ns", "day"), [(0, 0), (DAY_NS - 1, 0), (DAY_NS, 1), (-1, -1)])
def test_a_day_lasts_from_midnight_to_the_nanosecond_before_the_next(instant_ns: int, day: int) -> None:
    assert day_of(instant_ns) == day
