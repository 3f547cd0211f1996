"""True VWAP: trades one by one, by minutes and all at once give the definition; the candles answer where they lack."""

from __future__ import annotations

import csv
import math
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.volume.markets import MINUTE_NS, Columns, candles

from promethean.domain.candles import FloatArray, IntArray
from promethean.indicators.volume.true_vwap import (
    NOTHING,
    MinuteTallies,
    Tally,
    TrueVwap,
    VwapTape,
    minute_tallies,
    true_vwap,
)
from promethean.indicators.volume.vwap import Vwap, VwapWindow, vwap

MIDNIGHT = 20_000 * 1440  # a minute, counted from 1970
WINDOWS = [VwapWindow(), VwapWindow("rolling", 1), VwapWindow("rolling", 15), VwapWindow("anchored")]


class Trades(NamedTuple):
    """Oldest first."""

    at_ns: IntArray
    price: FloatArray
    quantity: FloatArray

    def rows(self, chosen: Any) -> Trades:
        return Trades(self.at_ns[chosen], self.price[chosen], self.quantity[chosen])


def some_trades(seed: int, count: int, minutes: int) -> Trades:
    """Trades of every size around one price, with a print far away now and then, as the seed has it."""
    random = np.random.default_rng(seed)
    at = MIDNIGHT * MINUTE_NS + np.sort(random.integers(-5 * MINUTE_NS, minutes * MINUTE_NS, count))
    price = float(random.choice([1e-6, 1.0, 6e4])) * np.exp(random.normal(0, random.choice([1e-7, 1e-4, 0.1]), count))
    quantity = np.exp(random.normal(0, random.choice([0.1, 5.0]), count))
    if count and random.random() < 0.3:
        price[random.integers(0, count)] *= random.choice([0.5, 2.0])
    return Trades(at.astype(np.int64), price, quantity)


def defined(trades: Trades, window: VwapWindow, at_ns: int) -> tuple[float, float, float]:
    """Quantity, average and sigma of the window that holds an instant, by the definition, in fractions."""
    first = window.first_minute(at_ns // MINUTE_NS) * MINUTE_NS
    inside = (trades.at_ns >= first) & (trades.at_ns <= at_ns)
    rows = [
        (Fraction(price), Fraction(quantity))
        for price, quantity in zip(trades.price[inside].tolist(), trades.quantity[inside].tolist(), strict=True)
    ]
    total = sum((quantity for _, quantity in rows), Fraction(0))
    if not total:
        return 0.0, math.nan, math.nan
    mean = sum((price * quantity for price, quantity in rows), Fraction(0)) / total
    variance = sum((quantity * (price - mean) ** 2 for price, quantity in rows), Fraction(0)) / total
    return float(total), float(mean), math.sqrt(variance)


def agree(tally: Tally, other: tuple[float, float, float]) -> bool:
    """Quantity, average and both bands agree within 1e-12 of themselves."""
    quantity, mean, sigma = other
    if quantity == 0:
        return tally == NOTHING
    bands = tally.bands(mean)[:3]
    wanted = (mean, mean + 2 * sigma, mean - 2 * sigma)
    near = (
        math.isclose(got, want, rel_tol=1e-12, abs_tol=1e-12 * mean) for got, want in zip(bands, wanted, strict=True)
    )
    return math.isclose(tally.quantity, quantity, rel_tol=1e-12) and all(near)


def one_by_one(trades: Trades, window: VwapWindow) -> VwapTape:
    tape = VwapTape(window)
    columns = (trades.price.tolist(), trades.quantity.tolist(), trades.at_ns.tolist())
    for price, quantity, at_ns in zip(*columns, strict=True):
        tape = tape.after(price, quantity, at_ns)
    return tape


def by_minutes(trades: Trades, window: VwapWindow) -> VwapTape:
    tape, minutes = VwapTape(window), minute_tallies(*trades)
    for row, minute in enumerate(minutes.minute.tolist()):
        tape = tape.after_minute(minute, minutes.tally(row))
    return tape


# -- golden -----------------------------------------------------------------------------------------------------------


def test_a_hand_computed_tally_comes_out() -> None:
    # 10 x 1 + 13 x 2 = 36 of 3; squares 1 x 4 + 2 x 1 = 6.
    tally = NOTHING.after(10.0, 1.0).after(13.0, 2.0)
    assert tally == pytest.approx((3.0, 12.0, 6.0), rel=1e-15)
    assert Tally.of(np.array([10.0, 13.0]), np.array([1.0, 2.0])) == pytest.approx(tally, rel=1e-15)
    bands = tally.bands(13.0)
    root = math.sqrt(2)
    assert bands == pytest.approx((12.0, 12 + 2 * root, 12 - 2 * root, 1 / 12, 0.5 + 1 / (4 * root)), rel=1e-14)


def test_sums_relative_to_any_price_make_the_same_tally() -> None:
    # From 10: first sum 2 x 3 = 6, second 2 x 9 = 18.  From 0: 36 and 100 + 2 x 169 = 438.
    tally = Tally(3.0, 12.0, 6.0)
    assert tally.sums(10.0) == pytest.approx((3.0, 6.0, 18.0), rel=1e-15)
    assert tally.sums() == pytest.approx((3.0, 36.0, 438.0), rel=1e-15)
    assert Tally.of_sums(3.0, 6.0, 18.0, 10.0) == pytest.approx(tally, rel=1e-14)
    assert Tally.of_sums(3.0, 36.0, 438.0) == pytest.approx(tally, rel=1e-12)


def test_a_small_deviation_at_a_large_price_keeps_its_digits_and_plain_sums_lose_them() -> None:
    price, quantity = np.array([60_000.0, 60_000.001, 60_000.002]), np.ones(3)
    tally = Tally.of(price, quantity)
    expected = defined(Trades(np.zeros(3, np.int64), price, quantity), VwapWindow("anchored"), 0)[2]
    assert tally.sigma == pytest.approx(expected, rel=1e-12)
    assert NOTHING.after(60_000.0, 1.0).after(60_000.001, 1.0).after(60_000.002, 1.0).sigma == pytest.approx(
        expected,
        rel=1e-7,  # the average itself is known to 1e-11, a hundred-millionth of the deviation
    )
    plain = Tally.of_sums(3.0, float(price.sum()), float((price**2).sum()))
    assert plain.sigma != pytest.approx(expected, rel=1e-2)


def test_no_trades_have_no_average() -> None:
    assert math.isnan(NOTHING.sigma)
    assert all(math.isnan(value) for value in NOTHING.bands(10.0))
    assert Tally.of(np.empty(0), np.empty(0)) == NOTHING
    assert Tally.of_sums(0.0, 0.0, 0.0) == NOTHING
    assert NOTHING.sums(5.0) == (0.0, 0.0, 0.0)
    one = Tally(2.0, 10.0, 0.0)
    assert one.merged(NOTHING) == NOTHING.merged(one) == one
    assert math.isnan(one.bands(10.0).position)  # one price has no bands


# -- trades one by one, by minutes and at once ------------------------------------------------------------------------


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 60),
    st.sampled_from([1, 3, 40, 2000]),
    st.sampled_from([*WINDOWS, VwapWindow("anchored", anchor_ns=(MIDNIGHT + 2) * MINUTE_NS)]),
    st.integers(0, 3 * MINUTE_NS),
)
def test_trades_in_any_portions_give_the_definition(
    seed: int, count: int, minutes: int, window: VwapWindow, later_ns: int
) -> None:
    trades = some_trades(seed, count, minutes)
    now_ns = (int(trades.at_ns[-1]) if count else MIDNIGHT * MINUTE_NS) + later_ns
    expected = defined(trades, window, now_ns)
    assert agree(one_by_one(trades, window).tally(now_ns), expected)
    assert agree(by_minutes(trades, window).tally(now_ns), expected)
    first = window.first_minute(now_ns // MINUTE_NS) * MINUTE_NS
    inside = trades.rows(trades.at_ns >= first)
    assert agree(Tally.of(inside.price, inside.quantity), expected)


@given(st.integers(0, 2**32 - 1), st.sampled_from(WINDOWS))
def test_trades_that_come_late_count_in_their_minute(seed: int, window: VwapWindow) -> None:
    random = np.random.default_rng(seed)
    trades = some_trades(seed, 50, 20)
    arrived = np.argsort(trades.at_ns + random.integers(0, 3 * MINUTE_NS, 50))
    now_ns = int(trades.at_ns[-1])
    expected = defined(trades, window, now_ns)
    assert agree(one_by_one(trades.rows(arrived), window).tally(now_ns), expected)
    assert minute_tallies(*trades.rows(arrived)).minute.tolist() == minute_tallies(*trades).minute.tolist()
    if window.minutes == 15:
        kept, ordered = one_by_one(trades.rows(arrived), window).minutes(), one_by_one(trades, window).minutes()
        assert kept.minute.tolist() == ordered.minute.tolist()


def test_a_late_trade_of_a_session_that_is_over_changes_nothing() -> None:
    tape = VwapTape(VwapWindow()).after(10.0, 1.0, MIDNIGHT * MINUTE_NS)
    assert tape.after(99.0, 1.0, MIDNIGHT * MINUTE_NS - 1) is tape


def test_a_rolling_tape_hands_out_its_minutes_and_the_others_have_none() -> None:
    trades = Trades(np.array([0, 1, 2 * MINUTE_NS]), np.array([10.0, 13.0, 20.0]), np.array([1.0, 2.0, 5.0]))
    minutes = one_by_one(trades, VwapWindow("rolling", 15)).minutes()
    assert minutes.minute.tolist() == [0, 2]
    assert minutes.vwap.tolist() == [12.0, 20.0]
    assert minutes.squares.tolist() == [6.0, 0.0]
    assert VwapTape(VwapWindow("rolling", 15)).minutes().minute.shape == (0,)
    with pytest.raises(ValueError, match="a window of kind session does not remember its single minutes"):
        VwapTape(VwapWindow()).minutes()


@pytest.mark.parametrize(("price", "quantity"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, math.nan), (math.inf, 1.0)])
def test_what_is_no_trade_is_refused(price: float, quantity: float) -> None:
    with pytest.raises(ValueError, match="a trade has a price and a quantity above 0"):
        VwapTape(VwapWindow()).after(price, quantity, 0)
    with pytest.raises(ValueError, match=r"a trade has a (price|quantity) above 0"):
        minute_tallies(np.zeros(1, np.int64), np.array([price]), np.array([quantity]))


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="as many instants"):
        minute_tallies(np.zeros(2, np.int64), np.ones(1), np.ones(2))


# -- along candles ----------------------------------------------------------------------------------------------------


def candles_of(trades: Trades, first: int, last: int) -> Columns:
    """One-minute candles of trades, also of the minutes without any."""
    minutes = np.arange(first, last + 1)
    columns = {name: np.full(len(minutes), 10.0) for name in ("high", "low", "close")} | {
        "open_time_ns": minutes * MINUTE_NS,
        "volume": np.zeros(len(minutes)),
    }
    for row, minute in enumerate(minutes.tolist()):
        inside = trades.rows(trades.at_ns // MINUTE_NS == minute)
        if len(inside.price):
            columns["high"][row], columns["low"][row] = inside.price.max(), inside.price.min()
            columns["close"][row], columns["volume"][row] = inside.price[-1], inside.quantity.sum()
    return columns


def along(columns: Columns, tallies: MinuteTallies, **how: Any) -> TrueVwap:
    opened, high, low, close, volume = (columns[name] for name in ("open_time_ns", "high", "low", "close", "volume"))
    return true_vwap(opened, high, low, close, volume, tallies, **how)


def by_candles(columns: Columns, **how: Any) -> Vwap:
    opened, high, low, close, volume = (columns[name] for name in ("open_time_ns", "high", "low", "close", "volume"))
    return vwap(opened, high, low, close, volume, **how)


HOWS: list[dict[str, Any]] = [
    {},
    {"window": "rolling", "minutes": 3},
    {"window": "rolling", "minutes": 15, "deviations": 1.0},
    {"window": "anchored", "anchor_ns": (MIDNIGHT + 3) * MINUTE_NS},
]


@given(st.integers(0, 2**32 - 1), st.sampled_from(HOWS), st.booleans())
def test_each_candle_has_the_trades_of_its_window_or_the_candle_form(
    seed: int, how: dict[str, Any], complete: bool
) -> None:
    random = np.random.default_rng(seed)
    trades = some_trades(seed, 60, 30)
    columns = candles_of(trades, MIDNIGHT - 6, MIDNIGHT + 32)
    stored = trades if complete else trades.rows(random.random(60) > 0.02)
    if not complete and random.random() < 0.5:
        kept = random.random(len(columns["volume"])) > 0.03
        columns = {name: values[kept] for name, values in columns.items()}
    values, rough = along(columns, minute_tallies(*stored), **how), by_candles(columns, **how)
    window = VwapWindow(how.get("window", "session"), how.get("minutes", 60), how.get("anchor_ns", 0))
    there = dict(zip((columns["open_time_ns"] // MINUTE_NS).tolist(), columns["volume"].tolist(), strict=True))
    for row, minute in enumerate(there):
        inside = range(window.first_minute(minute), minute + 1)
        missing = 0.0
        for each in inside:
            known = float(stored.quantity[stored.at_ns // MINUTE_NS == each].sum())
            wanted = there.get(each)
            if wanted is None:
                missing += 1
            elif not math.isclose(wanted, known, rel_tol=1e-9):
                missing += abs(wanted - known) / max(wanted, known)
        assert values.approximation[row] == (missing > 0.01 * len(inside)), (row, missing)
        if values.approximation[row]:
            expected = [column[row] for column in rough]
            assert np.array_equal([column[row] for column in values[:5]], expected, equal_nan=True)
            continue
        _, mean, sigma = defined(stored, window, (minute + 1) * MINUTE_NS - 1)
        reach = how.get("deviations", 2.0) * sigma
        for got, want in zip(values[:3], (mean, mean + reach, mean - reach), strict=True):
            assert got[row] == pytest.approx(want, rel=1e-12, abs=1e-12 * mean, nan_ok=True)
        assert values.distance[row] == pytest.approx(
            columns["close"][row] / mean - 1, rel=1e-12, abs=1e-12, nan_ok=True
        )
        if sigma > 1e-9 * mean:
            place = (columns["close"][row] - (mean - reach)) / (2 * reach)
            assert values.position[row] == pytest.approx(place, rel=1e-5, abs=1e-5)


@given(st.integers(0, 2**32 - 1), st.sampled_from(HOWS), st.integers(0, 39))
def test_no_value_sees_a_later_candle_or_trade(seed: int, how: dict[str, Any], cut: int) -> None:
    trades = some_trades(seed, 60, 30)
    columns = candles_of(trades, MIDNIGHT - 6, MIDNIGHT + 32)
    whole = along(columns, minute_tallies(*trades), **how)
    earlier = {name: values[:cut] for name, values in columns.items()}
    for tallies in (
        minute_tallies(*trades),
        minute_tallies(*trades.rows(trades.at_ns // MINUTE_NS < MIDNIGHT - 6 + cut)),
    ):
        for known, then in zip(along(earlier, tallies, **how), whole, strict=True):
            assert np.array_equal(known, then[:cut], equal_nan=known.dtype != np.bool_)


def a_trade_a_minute(minutes: int) -> tuple[Columns, MinuteTallies]:
    at_ns = (MIDNIGHT + np.arange(minutes)) * MINUTE_NS
    prices: FloatArray = 100.0 + np.arange(minutes, dtype=np.float64) % 3
    trades = Trades(at_ns, prices, np.ones(minutes))
    return candles_of(trades, MIDNIGHT, MIDNIGHT + minutes - 1), minute_tallies(*trades)


def some_minutes(tallies: MinuteTallies, rows: Any) -> MinuteTallies:
    return MinuteTallies(tallies.minute[rows], tallies.quantity[rows], tallies.vwap[rows], tallies.squares[rows])


def without(tallies: MinuteTallies, rows: list[int]) -> MinuteTallies:
    return some_minutes(tallies, np.delete(np.arange(len(tallies.minute)), rows))


@pytest.mark.parametrize(
    ("missing", "approximation"), [([], False), ([150], False), ([150, 151], True), ([99, 150], False)]
)
def test_one_of_a_hundred_minutes_may_be_missing_and_not_two(missing: list[int], approximation: bool) -> None:
    columns, tallies = a_trade_a_minute(200)
    values = along(columns, without(tallies, missing), window="rolling", minutes=100)
    assert bool(values.approximation[-1]) is approximation


@pytest.mark.parametrize(("share", "approximation"), [(0.999, False), (1.0, False), (1.001, True)])
def test_a_minute_lacks_the_share_that_its_trades_do_not_account_for(share: float, approximation: bool) -> None:
    # Two minutes lack half of `share` each: 1 % of the window is one minute.
    columns, tallies = a_trade_a_minute(100)
    tallies.quantity[[40, 60]] = 1 - share / 2
    values = along(columns, tallies, window="rolling", minutes=100)
    assert bool(values.approximation[-1]) is approximation
    tallies.quantity[[40, 60]] = 1 / (1 - share / 2)  # trades counted twice are no better
    assert bool(along(columns, tallies, window="rolling", minutes=100).approximation[-1]) is approximation


def test_the_candle_form_answers_with_the_values_of_the_candles() -> None:
    columns, tallies = a_trade_a_minute(30)
    values = along(columns, without(tallies, [20]))
    rough = by_candles(columns)
    assert values.approximation.tolist() == [False] * 20 + [True] * 10
    for got, want in zip(values[:5], rough, strict=True):
        assert np.array_equal(got[20:], want[20:], equal_nan=True)


def test_a_quiet_minute_with_a_candle_lacks_nothing_and_one_without_a_candle_does() -> None:
    columns, tallies = a_trade_a_minute(30)
    quiet = {name: values.copy() for name, values in columns.items()}
    quiet["volume"][20] = 0.0
    assert not along(quiet, without(tallies, [20])).approximation.any()
    gap = {name: np.delete(values, 20) for name, values in columns.items()}
    assert along(gap, without(tallies, [20])).approximation.tolist() == [False] * 20 + [True] * 9
    unknown = {name: values.copy() for name, values in columns.items()}
    unknown["volume"][20] = np.nan
    assert along(unknown, tallies).approximation.tolist() == [False] * 20 + [True] * 10


def test_without_candles_there_is_nothing_to_say() -> None:
    columns, tallies = a_trade_a_minute(3)
    values = along({name: column[:0] for name, column in columns.items()}, tallies)
    assert [column.shape for column in values] == [(0,)] * 6


def test_tallies_that_do_not_rise_are_refused() -> None:
    columns, tallies = a_trade_a_minute(3)
    with pytest.raises(ValueError, match="oldest first, one for each minute"):
        along(columns, some_minutes(tallies, [0, 0, 1]))


# -- recorded trades --------------------------------------------------------------------------------------------------


def trades_of(path: Path) -> Trades:
    if path.suffix == ".csv":
        with path.open() as lines:
            rows = [(int(row["timestamp"]), float(row["price"]), float(row["amount"])) for row in csv.DictReader(lines)]
        at_ms, price, quantity = (np.array(column) for column in zip(*rows, strict=True))
    else:
        table = pq.read_table(path)
        at_ms, price, quantity = (table[name].to_numpy() for name in ("timestamp", "price", "amount"))
    return Trades(at_ms.astype(np.int64) * 1_000_000, price, quantity)


def recorded(shared: Path, name: str) -> Trades:
    path = shared / "data" / "trades" / name
    if not path.exists():
        pytest.skip(f"needs the recorded trades {name}, which are absent")
    return trades_of(path)


FILES = [
    "binance_spot_BTCUSDT_trades_2021-01-08.parquet",
    "binance_spot_BTCUSDT_trades_2024-08-08.parquet",
    "binance_spot_ETHUSDT_trades_2024-08-08.parquet",
    "binance_spot_XRPETH_trades_2019-10.parquet",
    "binance_usdm_BTCUSDT_trades_2024-08-08.parquet",
    "btc_public_trades_2023-02-02.csv",
]


@pytest.mark.parametrize("name", FILES)
def test_recorded_trades_in_any_portions_give_the_definition(name: str, shared: Path) -> None:
    trades = recorded(shared, name)
    for window in [*WINDOWS, VwapWindow("anchored", anchor_ns=int(trades.at_ns[len(trades.at_ns) // 2]))]:
        tape = VwapTape(window)
        checks = {len(trades.at_ns) // 3, 2 * len(trades.at_ns) // 3, len(trades.at_ns) - 1}
        columns = (trades.price.tolist(), trades.quantity.tolist(), trades.at_ns.tolist())
        for row, (price, quantity, at_ns) in enumerate(zip(*columns, strict=True)):
            tape = tape.after(price, quantity, at_ns)
            if row in checks:
                seen = trades.rows(slice(row + 1))
                expected = defined(seen, window, at_ns)
                assert agree(tape.tally(at_ns), expected)
                assert agree(by_minutes(seen, window).tally(at_ns), expected)


def test_the_minutes_of_recorded_trades_are_the_recorded_candles(shared: Path) -> None:
    trades = recorded(shared, "binance_spot_BTCUSDT_trades_2024-08-08.parquet")
    columns = candles(shared / "data" / "ohlcv" / "binance_spot_BTCUSDT_1m_2024-07_2024-08.parquet")
    tallies = minute_tallies(*trades)
    whole = tallies.minute[1:-1]  # the recording begins and ends within a minute
    assert [minute % 1440 for minute in whole.tolist()] == [1435, 1436, 1437, 1438, 1439]
    rows = np.searchsorted(columns["open_time_ns"], whole * MINUTE_NS)
    assert columns["open_time_ns"][rows].tolist() == (whole * MINUTE_NS).tolist()
    assert tallies.quantity[1:-1] == pytest.approx(columns["volume"][rows], rel=1e-12)
    assert (tallies.vwap[1:-1] > columns["low"][rows]).all()
    assert (tallies.vwap[1:-1] < columns["high"][rows]).all()


def test_all_minutes_of_a_quiet_pair_are_its_candles(shared: Path) -> None:
    trades = recorded(shared, "binance_spot_XRPETH_trades_2019-10.parquet")
    columns = candles(shared / "data" / "ohlcv" / "binance_spot_XRPETH_1m_2019-10.parquet")
    tallies = minute_tallies(*trades)
    inner = slice(1, -1)
    minutes = columns["open_time_ns"][inner] // MINUTE_NS
    rows = np.searchsorted(tallies.minute, minutes)
    assert len(minutes) == 2467
    assert tallies.minute[rows].tolist() == minutes.tolist()
    assert tallies.quantity[rows] == pytest.approx(columns["volume"][inner], rel=1e-12)


def test_where_recorded_trades_cover_the_window_they_answer_and_else_the_candles(shared: Path) -> None:
    trades = recorded(shared, "binance_spot_BTCUSDT_trades_2024-08-08.parquet")
    columns = candles(shared / "data" / "ohlcv" / "binance_spot_BTCUSDT_1m_2024-07_2024-08.parquet")
    how: dict[str, Any] = {"window": "rolling", "minutes": 5}
    values, rough = along(columns, minute_tallies(*trades), **how), by_candles(columns, **how)
    exact = np.flatnonzero(~values.approximation)
    assert len(exact) == 1  # from 23:55 to 23:59, both included
    last = int(exact[0])
    assert columns["open_time_ns"][last] // MINUTE_NS % 1440 == 1439
    _, mean, sigma = defined(trades, VwapWindow("rolling", 5), int(columns["open_time_ns"][last]) + MINUTE_NS - 1)
    assert values.vwap[last] == pytest.approx(mean, rel=1e-12)
    assert values.upper[last] == pytest.approx(mean + 2 * sigma, rel=1e-12)
    assert values.vwap[last] != rough.vwap[last]
    assert values.vwap[last] == pytest.approx(rough.vwap[last], rel=1e-4)
