"""Sweeps: ranges as people write them, and outcomes that are those of the backtests they stand for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.evaluation.markets import MINUTE_NS, START_NS, Scripted, cases, compiled_books, desk, market, rules
from tests.evaluation.test_backtest import seat_of

from promethean.domain.candles import CandleSeries
from promethean.domain.errors import ConfigError
from promethean.evaluation.stepped import SteppedBacktest
from promethean.evaluation.sweep import COMBINATIONS_MAX, VALUES_MAX, combinations, parse_range, sweep
from promethean.exchanges.paper.venue import PaperTerms
from promethean.strategies.frame import Frame

D = Decimal

# -- ranges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("period=6:24:2", [str(n) for n in range(6, 25, 2)]),
        ("low=20:40:5", ["20", "25", "30", "35", "40"]),
        ("low=20:44:5", ["20", "25", "30", "35", "40"]),
        ("stop=0.1:0.3:0.1", ["0.1", "0.2", "0.3"]),
        ("low=30:10:-10", ["30", "20", "10"]),
        ("low=-1:1:1", ["-1", "0", "1"]),
        ("low=5:5:1", ["5"]),
        ("high=65,75", ["65", "75"]),
        ("high=0.5", ["0.5"]),
        (" high = 65 , 70 ", ["65", "70"]),
    ],
)
def test_a_range_holds_its_ends_and_a_list_is_taken_as_it_is(text: str, values: list[str]) -> None:
    assert parse_range(text) == (text.partition("=")[0].strip(), tuple(values))


@given(st.integers(-500, 500), st.integers(0, 300), st.integers(1, 40))
def test_a_range_of_hundredths_is_exact(first: int, steps: int, step: int) -> None:
    last = first + steps * step
    _, values = parse_range(f"x={D(first) / 100}:{D(last) / 100}:{D(step) / 100}")
    assert [D(value) for value in values] == [D(n) / 100 for n in range(first, last + 1, step)]


@pytest.mark.parametrize(
    "text",
    [
        "", "period", "period=", "=1:2:1", "period=1:2", "period=1:2:3:4", "period=1:9:0", "period=9:1:1",
        "period=1:9:-1", "period=a:b:c", "period=a,b", "period=1,,2", "period=1:9:x", "period=nan", "period=inf,1",
        "period=1:inf:1", "period=nan:1:1", "period=1:1000000:1", "period=1:2:0.00001", "period=:1:1",
    ],
)  # fmt: skip
def test_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write name=first:last:step or name=a,b,c, .* for example period=6:24:2"):
        parse_range(text)


def test_there_may_be_ten_thousand_values_and_not_one_more() -> None:
    assert len(parse_range(f"x=1:{VALUES_MAX}:1")[1]) == VALUES_MAX
    with pytest.raises(ConfigError):
        parse_range(f"x=0:{VALUES_MAX}:1")


def test_every_combination_comes_once_the_last_name_fastest() -> None:
    found = list(combinations([("a", ("1", "2")), ("b", ("3", "4", "5"))]))
    assert found == [{"a": a, "b": b} for a in "12" for b in "345"]


def test_a_name_given_twice_and_too_many_combinations_are_refused() -> None:
    with pytest.raises(ConfigError, match="--param names a twice; keep one"):
        list(combinations([("a", ("1",)), ("b", ("1",)), ("a", ("2",))]))
    many = tuple(map(str, range(1001)))
    with pytest.raises(ConfigError, match=f"1,002,001 combinations are more than {COMBINATIONS_MAX:,}"):
        list(combinations([("a", many), ("b", many)]))


# -- outcomes ---------------------------------------------------------------------------------------------------------


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_an_outcome_is_that_of_its_backtest(case: Any) -> None:
    seat, strategy, terms, series, cash = case
    variant = ({"x": "1"}, strategy, rules(seat, terms, cash))
    books = compiled_books(rules(seat, terms, cash), strategy.said, series)
    if books is None:
        with pytest.raises(ConfigError, match="with x=1 an order is larger than participation_max of its candle"):
            sweep([variant], Frame(series, "1m"))
        return
    (outcome,) = sweep([variant], Frame(series, "1m"))
    assert outcome.final_equity == pytest.approx(float(books.cash), abs=0.01)
    assert outcome.return_pct == pytest.approx(100 * (float(books.cash) / float(cash) - 1), abs=1e-3)
    assert outcome.trades == len(books.trades)
    assert outcome.wins == sum(trade.pnl > 0 for trade in books.trades)


@given(st.integers(1, 10**9), st.integers(0, 2**32 - 1))
def test_a_trade_that_comes_out_even_is_no_win(price: int, seed: int) -> None:
    """Floats may leave a trillionth of what was put in and taken out again."""
    random = np.random.default_rng(seed)
    count = 60
    values = np.full(count, price / 10**7)
    times = START_NS + MINUTE_NS * np.arange(count, dtype=np.int64)
    series = CandleSeries.from_columns(times, (values, values, values, values, np.full(count, 1e6)))
    instrument = market("0.0000001", "0.00001", futures=True)
    strategy = Scripted(instrument, random.choice([-1, 0, 1], count), random.integers(0, 2, count))
    seat = msgspec.structs.replace(seat_of(strategy, futures=True), instrument=instrument)
    terms = PaperTerms(D(0), D(0), D(0), 0, D(10) ** 9, False)
    how = rules(seat, terms, D("12345.67"))
    books = compiled_books(how, strategy.said, series)
    assert books is not None
    assert all(trade.pnl == 0 for trade in books.trades)
    (outcome,) = sweep([({}, strategy, how)], Frame(series, "1m"))
    assert (outcome.trades, outcome.wins) == (len(books.trades), 0)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_an_outcome_is_that_of_the_engines_steps(case: Any) -> None:
    seat, strategy, terms, series, cash = case
    if compiled_books(rules(seat, terms, cash), strategy.said, series) is None:
        return
    (outcome,) = sweep([({}, strategy, rules(seat, terms, cash))], Frame(series, "1m"))
    stepped = SteppedBacktest(desk(seat, strategy, series), terms, series, cash).run()
    assert (outcome.trades, outcome.wins) == (len(stepped.trades), sum(trade.pnl > 0 for trade in stepped.trades))
    assert outcome.final_equity == pytest.approx(float(stepped.cash), abs=0.01)


@settings(max_examples=20)
@given(cases(), cases())
def test_outcomes_come_in_the_order_of_their_variants_and_are_counted(one: Any, other: Any) -> None:
    seat, first, terms, series, cash = one
    second = Scripted(seat.instrument, other[1].said.side, other[1].said.leave)
    counted: list[int] = []
    variants = [({"n": "1"}, first, rules(seat, terms, cash)), ({"n": "2"}, second, rules(seat, terms, cash))]
    if any(compiled_books(how, each.said, series) is None for _, each, how in variants):
        return
    both = sweep(variants, Frame(series, "1m"), counted.append)
    assert counted == [1, 2]
    alone = [sweep([each], Frame(series, "1m"))[0] for each in variants]
    assert both == alone
    assert [outcome.parameters for outcome in both] == [{"n": "1"}, {"n": "2"}]
