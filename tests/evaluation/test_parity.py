"""The compiled loop, the engine's steps and the real runner come to the same trades."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.evaluation.markets import cases, desk, rules

from promethean.evaluation.backtest import compiled_books, find_path
from promethean.evaluation.stepped import SteppedBacktest

seen: Counter[str] = Counter()


@settings(max_examples=2_000, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(cases())
def test_the_compiled_loop_and_the_engine_come_to_the_same_trades(case: Any) -> None:
    seat, strategy, terms, series, cash = case
    compiled = compiled_books(rules(seat, terms, cash), strategy.said, series)
    if compiled is None:
        return  # too thin a candle: the engine alone may do it
    stepped = SteppedBacktest(desk(seat, strategy, series), terms, series, cash).run()
    seen.update(part.reason for part in compiled.parts)
    assert compiled.parts == stepped.parts
    assert compiled.trades == stepped.trades
    assert (compiled.cash, compiled.fees) == (stepped.cash, stepped.fees)


def test_the_cases_held_every_kind_of_exit() -> None:
    if not seen:
        pytest.skip("counts what the test before it saw, which was not run here")
    assert all(seen[reason] > 100 for reason in ("stop", "target", "signal", "end")), seen


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(cases())
def test_the_money_of_the_compiled_loop_is_that_of_the_books_within_a_cent(case: Any) -> None:
    seat, strategy, terms, series, cash = case
    found = find_path(rules(seat, terms, cash), strategy.said, series)
    books = compiled_books(rules(seat, terms, cash), strategy.said, series)
    if found is None or books is None:
        return
    count = len(found.cash_after)
    assert found.cash_after == pytest.approx(books.cash_after[:count], abs=0.01)
