"""order_book_imbalance: books made by hand, and recorded ones."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from promethean.domain.books import BookSeries
from promethean.domain.candles import Candle, CandleSeries
from promethean.domain.errors import ConfigError
from promethean.domain.events import CandleClosed
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.market import MarketView
from promethean.domain.signals import SignalSource, SignalType
from promethean.storage.book_recordings import read_book_recording
from promethean.strategies.arrays import CLOSES_ALL, ArrayStrategy, Prepared, ReadsBooks, Said
from promethean.strategies.frame import Frame
from promethean.strategies.order_book_imbalance import OrderBookImbalance

BTC = InstrumentId("binance:BTCUSDT")
S = 10**9
BEGIN = 1_700_000_000 * S
FEEDS = [Path("data", "orderbook", "raw_feed", f"binance_{name}_btcusdt_20240808.gz") for name in ("spot", "usdm")]


def following(*, can_short: bool = True, **parameters: Any) -> OrderBookImbalance:
    return OrderBookImbalance(
        id=StrategyId("books"),
        instrument=BTC,
        timeframe="1s",
        parameters={name: value if isinstance(value, bool) else Decimal(value) for name, value in parameters.items()},
        can_short=can_short,
    )


def candles(count: int, missing: frozenset[int] = frozenset(), silent: frozenset[int] = frozenset()) -> CandleSeries:
    made = []
    for number in range(count):
        if number not in missing:
            begin, volume = BEGIN + number * S, 0.0 if number in silent else 1.0
            made.append(Candle(BTC, "1s", begin, begin + S, 100.0, 100.0, 100.0, 100.0, volume))
    return CandleSeries.of(made, keep=max(1, count))


def heavy(shares: list[float], tape: float = 1.0, spread: float = 0.01, levels: int = 12) -> BookSeries:
    """Books around 100 whose bids are these shares of everything shown; takers bought `tape` more than they sold."""
    rows = len(shares)
    sides = []
    for sign, part in ((-1, np.array(shares)), (1, 1 - np.array(shares))):
        price = np.broadcast_to(100 + sign * (spread / 2 + 0.1 * np.arange(levels)), (rows, levels))
        sides.append(np.stack((price, np.repeat(part[:, None], levels, axis=1)), axis=2))
    bought, sold = np.full(rows, 1 + tape), np.full(rows, 1 - tape)
    return BookSeries(sides[0], sides[1], bought, sold, np.zeros(rows, np.int8))


def say(books: BookSeries, series: CandleSeries | None = None, **given: Any) -> Said:
    quick = {"tape_candles": 1} | given
    return following(**quick).say(Frame(series or candles(len(books)), "1s", books))


def test_three_snapshots_in_a_row_with_heavy_bids_are_a_buy() -> None:
    shares = [0.64, 0.66, 0.65, 0.7, 0.9, 0.64, 0.65, 0.65, 0.64]
    assert say(heavy(shares)).side.tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert say(heavy(shares), snapshots=1).side.tolist() == [0, 1, 1, 1, 1, 0, 1, 1, 0]
    assert say(heavy(shares), snapshots=3, imbalance_threshold="0.66").side.tolist() == [0] * 9


def test_heavy_asks_mirror_heavy_bids() -> None:
    shares = [0.64, 0.66, 0.65, 0.7, 0.9, 0.64]
    mirrored = heavy([1 - share for share in shares], tape=-1.0)
    assert say(mirrored).side.tolist() == (-say(heavy(shares)).side).tolist() == [0, 0, 0, -1, -1, 0]
    assert say(mirrored).confidence.tolist() == say(heavy(shares)).confidence.tolist() == shares


def test_on_a_spot_market_heavy_asks_close() -> None:
    said = say(heavy([0.2] * 4, tape=-1.0), can_short=False)
    assert said.side.tolist() == [0] * 4
    assert said.leave.tolist() == [0, 0, CLOSES_ALL, CLOSES_ALL]


def test_the_first_ten_levels_are_weighed() -> None:
    books = heavy([0.8] * 3)
    books.bids[:, 10:, 1], books.asks[:, 10:, 1] = 0.1, 50.0
    assert say(books).side.tolist() == [0, 0, 1]
    assert say(books, depth_levels=11).side.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("spread", "acts"), [(0.049, True), (0.05, False), (0.051, False)])
def test_the_spread_lies_below_five_hundredths_of_a_percent(spread: float, acts: bool) -> None:
    assert bool(say(heavy([0.8] * 3, spread=spread)).side[-1]) is acts


@pytest.mark.parametrize(("tape", "acts"), [(0.11, True), (0.1, False), (0.0, False), (-0.5, False)])
def test_the_tape_has_to_agree(tape: float, acts: bool) -> None:
    assert bool(say(heavy([0.8] * 3, tape=tape)).side[-1]) is acts
    assert bool(say(heavy([0.2] * 3, tape=-tape)).side[-1]) is acts


def test_the_tape_is_that_of_the_last_candles() -> None:
    books = heavy([0.8] * 8, tape=-1.0)
    books.bought[3], books.sold[3] = 100.0, 0.0
    assert say(books, tape_candles=3).side.tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert say(books, tape_candles=5).side.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(("spoofed", "buys", "sells"), [(1, False, True), (-1, True, False), (0, True, True)])
def test_a_side_that_spoofs_is_not_followed(spoofed: int, buys: bool, sells: bool) -> None:
    flags = np.full(3, spoofed, np.int8)
    assert bool(say(replace(heavy([0.8] * 3), spoofed=flags)).side[-1]) is buys
    assert bool(say(replace(heavy([0.2] * 3, tape=-1.0), spoofed=flags)).side[-1]) is sells


def test_an_unknown_book_says_nothing_and_is_counted() -> None:
    books = heavy([0.8] * 8)
    books.bids[3], books.asks[3] = np.nan, np.nan
    said = say(books)
    assert said.side.tolist() == [0, 0, 1, 0, 0, 0, 1, 1]
    assert said.unknown == 1


def test_nothing_is_said_at_a_candle_in_which_nothing_traded() -> None:
    assert say(heavy([0.8] * 5), candles(5, silent=frozenset({3}))).side.tolist() == [0, 0, 1, 0, 1]
    quiet = replace(heavy([0.8] * 5), bought=np.zeros(5), sold=np.zeros(5))
    assert say(quiet).side.tolist() == [0] * 5


def test_snapshots_on_both_sides_of_a_hole_are_not_in_a_row() -> None:
    series = candles(9, missing=frozenset({4}))
    assert say(heavy([0.8] * 8), series).side.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert say(heavy([0.8] * 8), series, tape_candles=4).side.tolist() == [0, 0, 0, 1, 0, 0, 0, 1]


def test_over_fewer_candles_than_it_looks_at_nothing_is_said() -> None:
    for rows in range(3):
        said = say(heavy([0.8] * rows), tape_candles=10)
        assert said.side.tolist() == [0] * rows


def test_a_signal_names_its_source_and_its_reason() -> None:
    frame = Frame(candles(3), "1s", heavy([0.8] * 3, tape=0.5))
    prepared = Prepared(following(tape_candles=1), frame)
    last = Candle(BTC, "1s", BEGIN + 2 * S, BEGIN + 3 * S, 100.0, 100.0, 100.0, 100.0, 1.0)
    (signal,) = prepared.on_event(CandleClosed(last, last.close_time_ns), MarketView())
    assert (signal.type, signal.source, signal.confidence) == (SignalType.BUY, SignalSource.ORDERBOOK, 0.8)
    assert signal.reason == "bids are 80.0 % of 10 levels at 3 snapshots, the spread is 0.0100 % and the tape +0.50"
    selling = following(tape_candles=1)
    said = selling.say(Frame(candles(3), "1s", heavy([0.2] * 3, tape=-0.5)))
    assert selling.reason(said, 2).startswith("asks are 80.0 % of 10 levels at 3 snapshots")


def test_data_without_books_are_refused() -> None:
    assert isinstance(following(), ArrayStrategy)
    assert isinstance(following(), ReadsBooks)
    with pytest.raises(ConfigError, match="this data holds no order books; give a recorded feed"):
        following().say(Frame(candles(3), "1s"))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"snapshot": 3}, "unknown parameter of order_book_imbalance 'snapshot'; did you mean 'snapshots'"),
        ({"snapshots": "2.5"}, "parameters.snapshots is 2.5; write a whole number from 1 to 300"),
        ({"snapshots": 0}, "parameters.snapshots is 0; it lies between 1 and 300"),
        ({"depth_levels": 21}, "parameters.depth_levels is 21; it lies between 1 and 20"),
        ({"imbalance_threshold": "0.5"}, "parameters.imbalance_threshold is 0.5; it lies between 0.51 and 1"),
        ({"spread_max_pct": True}, "parameters.spread_max_pct is True; write a number from 0.0001 to 10"),
        ({"tape_delta": "NaN"}, "parameters.tape_delta is NaN; it lies between 0 and 0.99"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        following(**parameters)


@pytest.mark.parametrize("path", FEEDS, ids=lambda path: path.stem)
def test_on_a_recorded_feed_a_trailing_window_says_what_the_whole_does(shared: Path, path: Path) -> None:
    if not (shared / path).exists():
        pytest.skip("needs the recorded feed, which is absent")
    found, trailing = read_book_recording(shared / path), following()
    columns = (found.open, found.high, found.low, found.close, found.volume)
    series = CandleSeries.from_columns(found.open_time_ns, columns, keep=len(found))
    whole = trailing.say(Frame(series, "1s", found.books))
    assert (whole.side != 0).sum() > 10
    for stop in range(trailing.window, len(found) + 1):
        rows = slice(stop - trailing.window, stop)
        part = CandleSeries.from_columns(found.open_time_ns[rows], [column[rows] for column in columns])
        said = trailing.say(Frame(part, "1s", found.books.rows(rows)))
        assert (said.side[-1], said.leave[-1]) == (whole.side[stop - 1], whole.leave[stop - 1])
        for name, values in said.readings.items():
            assert values[-1] == pytest.approx(whole.readings[name][stop - 1], rel=1e-12, nan_ok=True)
