"""Recorded feeds: real ones against another reader and the venue's own trades, damaged and short ones made by hand."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.indicators.order_flow.recorded import recorded
from tests.storage.feeds import BEGIN, Line, S, change, levels, snapshot, text_of, trade, write

from promethean.domain.errors import ConfigError
from promethean.storage.book_recordings import LEVELS, BookRecording, is_book_recording, read_book_recording

FEEDS = Path("data", "orderbook", "raw_feed")
REAL = {
    "binance_spot_btcusdt_20240808": ("binance:BTC/USDT", "binance_spot_BTCUSDT_trades_2024-08-08", 41_249),
    "binance_usdm_btcusdt_20240808": ("binance:BTC/USDT-PERP", "binance_usdm_BTCUSDT_trades_2024-08-08", 93_954),
}
COLUMNS = ("open", "high", "low", "close", "volume")
DEEP = '{"data":' * 9000 + "{}" + "}" * 9000


@cache
def real(shared: Path, name: str) -> BookRecording:
    path = shared / FEEDS / f"{name}.gz"
    if not path.exists():
        pytest.skip(f"needs the recorded feed {name}, which is absent")
    return read_book_recording(path)


@pytest.fixture(params=REAL)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# -- real feeds -------------------------------------------------------------------------------------------------------


def test_a_real_feed_is_read_whole(shared: Path, name: str) -> None:
    found = real(shared, name)
    assert (str(found.market), found.lines) == (REAL[name][0], REAL[name][2])
    assert (found.gaps, found.crossed) == (0, 0)
    assert len(found) in range(340, 347)
    assert (np.diff(found.open_time_ns) == S).all()


def test_the_trades_of_a_real_feed_are_those_of_its_file_of_trades(shared: Path, name: str) -> None:
    path = shared / "data" / "trades" / f"{REAL[name][1]}.parquet"
    if not path.exists():
        pytest.skip("needs the file of recorded trades, which is absent")
    table, tape = pq.read_table(path), real(shared, name).tape
    assert tape.price.tolist() == table["price"].to_pylist()
    assert tape.quantity.tolist() == table["amount"].to_pylist()
    assert [{1: "buy", -1: "sell"}[side] for side in tape.aggressor.tolist()] == table["side"].to_pylist()


def test_every_candle_of_a_real_feed_is_what_its_trades_make(shared: Path, name: str) -> None:
    found = real(shared, name)
    tape, last = found.tape, np.nan
    for place, opened in enumerate(found.open_time_ns.tolist()):
        inside = (tape.at_ns >= opened) & (tape.at_ns < opened + S)
        price, quantity = tape.price[inside], tape.quantity[inside]
        candle = [float(getattr(found, column)[place]) for column in COLUMNS]
        if len(price):
            assert candle[:4] == [price[0], price.max(), price.min(), price[-1]]
        else:
            assert candle == [last, last, last, last, 0.0]
        assert candle[4] == pytest.approx(quantity.sum(), abs=1e-12)
        assert found.books.bought[place] == pytest.approx(quantity[tape.aggressor[inside] > 0].sum(), abs=1e-12)
        assert found.books.sold[place] == pytest.approx(quantity[tape.aggressor[inside] < 0].sum(), abs=1e-12)
        last = candle[3]
    covered = (tape.at_ns >= found.open_time_ns[0]) & (tape.at_ns < found.open_time_ns[-1] + S)
    assert found.volume.sum() == pytest.approx(tape.quantity[covered].sum())


def test_the_book_of_a_real_feed_is_never_crossed_and_in_order(shared: Path, name: str) -> None:
    found = real(shared, name)
    for bids, asks in ((found.books.bids, found.books.asks), (found.snapshots.bids, found.snapshots.asks)):
        known = ~np.isnan(bids[:, 0, 0])
        assert known.mean() > 0.8
        assert (bids[known, 0, 0] < asks[known, 0, 0]).all()
        assert (np.diff(bids[known, :, 0], axis=1) < 0).all()
        assert (np.diff(asks[known, :, 0], axis=1) > 0).all()
        assert (bids[known, :, 1] > 0).all()
        assert np.isnan(bids[~known]).all()
        assert np.isnan(asks[~known]).all()


def test_the_book_at_each_close_is_that_of_another_reader(shared: Path, name: str) -> None:
    found, (_, others) = real(shared, name), recorded(shared, name)
    closes = found.open_time_ns + S
    places = np.searchsorted(others.at_ns, closes) - 1
    known = ~np.isnan(found.books.bids[:, 0, 0])
    assert np.array_equal(found.books.bids[known], others.bids[places[known]])
    assert np.array_equal(found.books.asks[known], others.asks[places[known]])
    # It does not ask whether a price lies beyond the snapshot, where what rests was never told; here that is all.
    first = json.loads(next(line for line in _lines(shared, name) if b"lastUpdateId" in line).partition(b" ")[2])
    lowest, highest = float(first["bids"][-1][0]), float(first["asks"][-1][0])
    deepest = others.bids[places, LEVELS - 1, 0], others.asks[places, LEVELS - 1, 0]
    assert np.array_equal(known, (places >= 0) & (deepest[0] >= lowest) & (deepest[1] <= highest))


def _lines(shared: Path, name: str) -> list[bytes]:
    return gzip.decompress((shared / FEEDS / f"{name}.gz").read_bytes()).splitlines(keepends=True)


@pytest.mark.parametrize("share", [0.02, 0.31, 0.77])
def test_what_comes_later_changes_nothing(shared: Path, name: str, share: float, tmp_path: Path) -> None:
    whole, lines = real(shared, name), _lines(shared, name)
    path = tmp_path / "part.gz"
    path.write_bytes(gzip.compress(b"".join(lines[: int(share * len(lines))]), 1))
    part = read_book_recording(path)
    rows = slice(0, len(part))
    assert 0 < len(part) < len(whole)
    assert np.array_equal(part.open_time_ns, whole.open_time_ns[rows])
    for column in COLUMNS:
        assert np.array_equal(getattr(part, column), getattr(whole, column)[rows])
    for field in ("bids", "asks", "bought", "sold", "spoofed"):
        assert np.array_equal(getattr(part.books, field), getattr(whole.books, field)[rows], equal_nan=True)


# -- made by hand -----------------------------------------------------------------------------------------------------


def calm(until_s: int) -> list[Line]:
    """A snapshot, then a change and a trade in the middle of each second."""
    lines = [snapshot(0.0, 10), trade(0.1, 100.0, 1.0)]
    for second in range(until_s):
        lines.append(change(second + 0.4, 11 + second, 11 + second, [(99.9, 2.0 + second)]))
        lines.append(trade(second + 0.5, 100.0 + second, 1.0 + second, sold=second % 2 == 1))
    return [*lines, trade(float(until_s), 1.0, 1.0)]


def read(tmp_path: Path, lines: list[Line]) -> BookRecording:
    return read_book_recording(write(tmp_path / "feed.gz", sorted(lines, key=lambda line: line[0])))


def known(found: BookRecording) -> list[bool]:
    return [not unknown for unknown in np.isnan(found.books.bids[:, 0, 0])]


def test_candles_and_books_of_whole_seconds(tmp_path: Path) -> None:
    found = read(tmp_path, calm(3))
    assert found.open_time_ns.tolist() == [BEGIN, BEGIN + S, BEGIN + 2 * S]
    assert found.close.tolist() == [100.0, 101.0, 102.0]
    assert found.volume.tolist() == [2.0, 2.0, 3.0]
    assert found.books.bids[:, 0].tolist() == [[99.9, 2.0], [99.9, 3.0], [99.9, 4.0]]
    assert found.books.asks[:, 0].tolist() == [[100.1, 1.0]] * 3
    assert found.books.bought.tolist() == [2.0, 0.0, 3.0]
    assert found.books.sold.tolist() == [0.0, 2.0, 0.0]
    assert str(found.market) == "binance:BTC/USDT"
    assert found.unknown == 0


def test_a_second_without_a_trade_stands_at_the_close_before_it(tmp_path: Path) -> None:
    found = read(tmp_path, [line for line in calm(4) if not 1 <= line[0] < 3 or "lastUpdateId" in line[1]])
    assert found.close.tolist() == [100.0, 100.0, 100.0, 103.0]
    assert found.open[1:3].tolist() == found.high[1:3].tolist() == found.low[1:3].tolist() == [100.0, 100.0]
    assert found.volume.tolist() == [2.0, 0.0, 0.0, 4.0]


def test_before_the_first_trade_there_is_no_candle(tmp_path: Path) -> None:
    found = read(tmp_path, [line for line in calm(4) if line[0] >= 2.45 or line[1].get("lastUpdateId")])
    assert found.open_time_ns.tolist() == [BEGIN + 2 * S, BEGIN + 3 * S]


def test_a_second_that_was_not_heard_from_its_beginning_or_to_its_end_is_none(tmp_path: Path) -> None:
    late = [(at + 0.3, message) for at, message in calm(3)[:-1]]
    assert read(tmp_path, late).open_time_ns.tolist() == [BEGIN + S]


def test_the_book_is_unknown_before_its_snapshot(tmp_path: Path) -> None:
    found = read(tmp_path, [snapshot(2.7, 12), *calm(4)[1:]])  # newer than the first changes, older than the third
    assert found.open_time_ns.tolist() == [BEGIN + S, BEGIN + 2 * S, BEGIN + 3 * S]
    assert known(found) == [False, True, True]
    assert found.books.bids[1, 0].tolist() == [99.9, 4.0]  # what had come before the snapshot and is newer
    assert found.unknown == 1


def test_without_a_snapshot_the_book_is_never_known(tmp_path: Path) -> None:
    assert known(read(tmp_path, calm(3)[1:])) == [False, False]


def test_a_missing_change_makes_the_book_unknown_until_the_next_snapshot(tmp_path: Path) -> None:
    lines = [line for line in calm(6) if line[1].get("data", {}).get("u") != 12]
    found = read(tmp_path, lines)
    assert known(found) == [True, True, False, False, False, False]  # the second close has nothing newer
    assert found.gaps == 1
    again = read(tmp_path, [*lines, snapshot(4.2, 14)])
    assert known(again) == [True, True, False, False, True, True]
    assert again.books.bids[4, 0].tolist() == [99.9, 6.0]


def test_a_snapshot_that_is_older_than_the_book_is_passed_over(tmp_path: Path) -> None:
    found = read(tmp_path, [*calm(4), snapshot(2.7, 12)])
    assert known(found) == [True] * 4
    assert found.books.bids[2, 0].tolist() == [99.9, 4.0]


def test_a_snapshot_that_the_changes_do_not_reach_leaves_the_book_unknown(tmp_path: Path) -> None:
    lines = calm(3)
    lines[0][1]["lastUpdateId"] = 5
    found = read(tmp_path, lines)
    assert found.gaps == 1
    assert known(found) == [False] * 3


def test_futures_number_their_changes_by_the_one_before(tmp_path: Path) -> None:
    lines: list[Line] = [snapshot(0.0, 100), trade(0.1, 100.0, 1.0)]
    lines += [change(0.4, 95, 110, [(99.9, 2.0)], previous=90), change(1.4, 130, 140, [(99.9, 3.0)], previous=110)]
    found = read(tmp_path, [*lines, trade(2.0, 1.0, 1.0)])
    assert str(found.market) == "binance:BTC/USDT-PERP"
    assert known(found) == [True, True]
    lines[-1][1]["data"]["pu"] = 120
    assert read(tmp_path, [*lines, trade(2.0, 1.0, 1.0)]).gaps == 1


def test_a_crossed_book_is_not_shown(tmp_path: Path) -> None:
    lines = [*calm(1)[:-1], change(1.4, 12, 12, [(100.1, 1.0)]), change(2.4, 13, 13, [(100.1, 0.0)])]
    found = read(tmp_path, [*lines, trade(3.0, 1.0, 1.0)])
    assert (known(found), found.crossed) == ([True, False, True], 1)


def test_what_lies_beyond_the_snapshot_is_not_guessed(tmp_path: Path) -> None:
    gone = [(float(price), 0.0) for price, _ in levels(1)[: 30 - LEVELS + 1]]
    lines = [*calm(1)[:-1], change(1.4, 12, 12, gone), change(2.4, 13, 13, [(99.9, 1.0)])]
    found = read(tmp_path, [*lines, trade(3.0, 1.0, 1.0)])
    assert known(found) == [True, False, True]


def test_a_book_that_has_not_changed_for_five_seconds_is_not_known(tmp_path: Path) -> None:
    lines = [line for line in calm(9) if line[0] < 2 or line[1].get("data", {}).get("e") == "trade"]
    assert known(read(tmp_path, lines)) == [True] * 6 + [False] * 3


def test_seconds_in_which_the_feed_was_silent_are_missing(tmp_path: Path) -> None:
    lines = [line for line in calm(20) if not 3 <= line[0] < 12]
    found = read(tmp_path, lines)
    assert ((found.open_time_ns - BEGIN) // S).tolist() == [0, 1, *range(13, 20)]


def test_settlements_are_no_trades(tmp_path: Path) -> None:
    assert len(read(tmp_path, [*calm(2), trade(0.7, 5.0, 0.0)]).tape.at_ns) == 4


# -- what cannot be used ----------------------------------------------------------------------------------------------


def without(field: str, line: Line) -> Line:
    return line[0], {"data": {key: value for key, value in line[1]["data"].items() if key != field}}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (change(0.6, 12, 12, symbol="ETHUSDT"), "line 5: it is of ETHUSDT, and the lines above are of BTCUSDT"),
        (change(0.6, 12, 12, previous=11), "line 5: it is of futures, and the lines above are of spot"),
        (without("U", change(0.6, 12, 12)), r"line 5: the change of the book lacks its numbers \(U, u\)"),
        (without("b", change(0.6, 12, 12)), "line 5: the change of the book lacks its numbers"),
        (without("m", trade(0.6, 1.0, 1.0)), "line 5: the trade does not say who waited"),
        (trade(0.6, 0.0, 1.0), "line 5: the trade has the price 0.0"),
        (trade(0.6, float("nan"), 1.0), "line 5: 'nan' is not a price"),
        (without("p", trade(0.6, 1.0, 1.0)), "line 5: None is not a price"),
        (change(0.6, 12, 12, [(-1.0, 1.0)]), "line 5: '-1.0' is not a price"),
        (change(0.6, 12, 12, [(1.0, float("inf"))]), "line 5: 'inf' is not a price"),
        (change(0.6, 12, 12, [(0.0, 1.0)]), "line 5: a level of the book has the price 0.0"),
    ],
)
def test_a_line_that_no_venue_sends_is_named(tmp_path: Path, bad: Line, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, [*calm(2), bad])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hello\n", "line 3 begins with 'hello'; a recorded feed has the receive time in nanoseconds"),
        ("1700000000 {}\n", "line 3 begins with '1700000000 {}'"),
        ("\n", "line 3 begins with ''"),
        (f"{BEGIN + S} {{]\n", "line 3 is damaged: JSON is malformed"),
        (f"{BEGIN + S}\n", "line 3 begins with|line 3 is damaged"),
        (f'{BEGIN + S} {{"e": 5}}\n', "line 3 is damaged: Expected `str"),
        (f'{BEGIN + S} {{"e": "\xff"}}\n', "line 3 is damaged: 'utf-8' codec can't decode"),
        (f"{BEGIN + S} {DEEP}\n", "line 3 is damaged: maximum recursion depth"),
        (f"{BEGIN} {{}}\n", f"line 3 was received at {BEGIN}, before the line above it"),
    ],
)
def test_a_garbled_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    lines = text_of(calm(3)).splitlines(keepends=True)
    path = tmp_path / "feed.gz"
    path.write_bytes(gzip.compress("".join([*lines[:2], line, *lines[2:]]).encode("latin1")))
    with pytest.raises(ConfigError, match=said):
        read_book_recording(path)


def test_a_file_that_breaks_off_is_named_with_its_last_line(shared: Path, name: str, tmp_path: Path) -> None:
    content = (shared / FEEDS / f"{name}.gz").read_bytes()
    path = tmp_path / "short.gz"
    for cut in (len(content) // 2, len(content) - 3):
        path.write_bytes(content[:cut])
        with pytest.raises(ConfigError, match=r"short.gz is damaged after line [\d,]+: Compressed file ended"):
            read_book_recording(path)
    path.write_bytes(content[: len(content) // 2] + b"\0" * 100 + content[len(content) // 2 + 100 :])
    with pytest.raises(ConfigError, match=r"short.gz(: line \d+ (is damaged|begins)| is damaged after line [\d,]+)"):
        read_book_recording(path)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "holds no change of an order book"),
        ([trade(0.1, 1.0, 1.0)], "holds no change of an order book"),
        ([snapshot(0.0, 1), change(0.1, 2, 2), change(1.0, 3, 3)], "no whole second with a known price"),
        (calm(1)[:-1], "no whole second with a known price"),
        ([change(0.1, 2, 2, symbol="WHAT")], "is of 'WHAT', which is not a pair with a known quote coin"),
    ],
)
def test_a_feed_without_what_is_needed_is_refused(tmp_path: Path, lines: list[Line], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, lines)


def test_a_recorded_feed_is_told_by_its_content(tmp_path: Path) -> None:
    path = write(tmp_path / "whatever", calm(2))
    assert is_book_recording(path)
    other: Any = tmp_path / "other.gz"
    assert not is_book_recording(other)
    other.write_text("timestamp,open\n")
    assert not is_book_recording(other)
    assert not is_book_recording(tmp_path)
    with pytest.raises(ConfigError, match="there is no file"):
        read_book_recording(tmp_path / "absent.gz")
