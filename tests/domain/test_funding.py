"""Funding instants at recorded candles."""

from __future__ import annotations

import pickle
from decimal import Decimal

import numpy as np

from promethean.domain.candles import CandleSeries
from promethean.domain.funding import FundingDue, FundingTable
from promethean.domain.ids import InstrumentId

D = Decimal
PERP = InstrumentId("binance:BTCUSDT-PERP")
HOUR_NS = 3600 * 10**9


def candles(*hours: int) -> CandleSeries:
    """Candles that open at these hours; the one of hour h closes at 100 + h."""
    times = np.array(hours, np.int64) * HOUR_NS
    close = 100.0 + np.array(hours)
    return CandleSeries.from_columns(times, (close, close, close, close, np.ones(len(hours))), keep=len(hours))


def table(rates: dict[float, float], series: CandleSeries) -> FundingTable:
    at_ns = np.array([int(hour * HOUR_NS) for hour in rates], np.int64)
    return FundingTable.at_candles(PERP, at_ns, np.array(list(rates.values())), series)


def test_an_instant_is_due_at_the_candle_that_opens_then_at_the_close_before_it() -> None:
    found = table({8: 0.0001}, candles(6, 7, 8, 9))
    assert found.due_at(8 * HOUR_NS) == [FundingDue(8 * HOUR_NS, 8 * HOUR_NS, D("0.0001"), D("107.0"))]
    assert [list(found.due_at(hour * HOUR_NS)) for hour in (6, 7, 9)] == [[], [], []]


def test_an_instant_inside_a_candle_or_in_a_hole_is_due_at_the_next_candle() -> None:
    found = table({7.5: 0.0001, 9: -0.0002, 11: 0.0003}, candles(6, 7, 8, 12))
    assert [due.at_ns // HOUR_NS for due in found.due_at(8 * HOUR_NS)] == [7]
    assert [(due.at_ns // HOUR_NS, due.mark_price) for due in found.due_at(12 * HOUR_NS)] == [(9, D(108)), (11, D(108))]


def test_instants_without_a_candle_before_and_after_them_are_left_out() -> None:
    assert [at // HOUR_NS for at in table({0: 0.1, 6: 0.1, 7: 0.1, 9: 0.1}, candles(6, 7, 8)).at_ns] == [7]


def test_what_is_owed_grows_at_the_candles_where_it_is_due() -> None:
    series = candles(6, 7, 8, 9, 10)
    found = table({7: 0.01, 8.5: -0.02, 9: 0.01}, series)
    assert found.owed(series).tolist() == [0.0, 1.06, 1.06, 1.06 - 0.01 * 108, 1.06 - 0.01 * 108]
    assert found.places(series).tolist() == [1, 3]
    assert found.owed(candles(8, 9)).tolist() == [0.0, -0.01 * 108]  # of a part of the recording, from its start on
    assert found.owed(series)[1] == 1.06


def test_equal_tables_are_told_from_others_by_what_they_hold() -> None:
    series = candles(6, 7, 8)
    one, same, other = table({7: 0.01}, series), table({7: 0.01}, series), table({7: 0.02}, series)
    assert (one, hash(one), repr(one)) == (same, hash(same), repr(same))
    assert one != other
    assert repr(one) != repr(other)
    one.owed(series)
    again = pickle.loads(pickle.dumps(one))
    assert again == one
