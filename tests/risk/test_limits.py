"""Limits: a record and back, and tightening that never loosens."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from promethean.risk.limits import Limits

NAMES = list(Limits.__struct_fields__)
values = st.decimals("0.01", 100_000, places=2)
records = st.dictionaries(st.sampled_from(NAMES), values)
foreign = st.dictionaries(st.sampled_from([*NAMES, "leverage_max", "unknown"]), values)


@given(records)
def test_a_record_is_read_back_as_it_was_written(record: dict[str, Decimal]) -> None:
    assert Limits.from_record(record).record() == record


def test_a_code_without_a_row_stays_missing() -> None:
    assert Limits.from_record({"something_else": Decimal(1)}) == Limits()
    assert Limits().record() == {}


@given(records, foreign)
def test_tightening_never_loosens_a_limit_and_never_fills_a_missing_one(
    record: dict[str, Decimal], file: dict[str, Decimal]
) -> None:
    before = Limits.from_record(record)
    after = before.stricter(file)
    assert set(after.record()) == set(record)
    for name, value in after.record().items():
        wanted = file.get(name, record[name])
        if name.endswith("_min"):
            assert value == max(wanted, record[name])
        else:
            assert value == min(wanted, record[name])
    assert after.stricter(file) == after
    assert before.stricter({}) == before
