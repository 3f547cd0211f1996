"""Files of single trades: what is understood, and what is refused with the row and the column that are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promethean.domain.errors import ConfigError
from promethean.domain.instants import format_instant
from promethean.storage.trade_files import TradeFile, read_trade_file

HEADER = "timestamp,trade_id,price,amount,side"
ROWS = ("1000000000001,7,100.5,2,buy", "1000000000000,6,100.25,1.5,sell", "1000000060000,9,101,1,Buy")


def written(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def numbers(file: TradeFile) -> list[int]:
    assert file.trades.number is not None
    return [int(number) for number in file.trades.number]


@pytest.mark.parametrize(
    ("name", "rows", "market", "first", "last"),
    [
        ("binance_spot_BTCUSDT_trades_2021-01-08.parquet", 2_001, "binance:BTC/USDT", "2021-01-08 00:00:00",
         "2021-01-08 00:00:46"),
        ("binance_spot_BTCUSDT_trades_2024-08-08.parquet", 9_757, "binance:BTC/USDT", "2024-08-08 23:54:15",
         "2024-08-09 00:00:01"),
        ("binance_spot_ETHUSDT_trades_2024-08-08.parquet", 6_106, "binance:ETH/USDT", "2024-08-08 23:54:15",
         "2024-08-09 00:00:00"),
        ("binance_spot_XRPETH_trades_2019-10.parquet", 12_477, "binance:XRP/ETH", "2019-10-11 00:00:11",
         "2019-10-13 11:19:28"),
        ("binance_usdm_BTCUSDT_trades_2024-08-08.parquet", 21_313, "binance:BTC/USDT-PERP", "2024-08-08 23:54:16",
         "2024-08-08 23:59:59"),
        ("btc_public_trades_2023-02-02.csv", 1_000, "None", "2023-02-02 09:20:00", "2023-02-02 09:23:27"),
    ],
)  # fmt: skip
def test_every_recorded_file_is_read_whole(
    shared: Path, name: str, rows: int, market: str, first: str, last: str
) -> None:
    path = shared / "data" / "trades" / name
    if not path.exists():
        pytest.skip(f"needs the recorded trades {name}, which are absent")
    found = read_trade_file(path)
    assert (len(found.trades), found.repeated, str(found.market)) == (rows, 0, market)
    assert [format_instant(int(found.trades.at_ns[place])) for place in (0, -1)] == [first, last]
    assert set(found.trades.aggressor.tolist()) == {1, -1}
    assert set(np.diff(numbers(found)).tolist()) == {1}, "the venue numbers its trades, and none is missing"


def test_trades_in_any_order_come_oldest_first(tmp_path: Path) -> None:
    found = read_trade_file(written(tmp_path / "some.csv", *ROWS))
    assert numbers(found) == [6, 7, 9]
    assert found.trades.at_ns.tolist() == [10**18, 10**18 + 10**6, 10**18 + 60 * 10**9]
    assert found.trades.price.tolist() == [100.25, 100.5, 101.0]
    assert found.trades.quantity.tolist() == [1.5, 2.0, 1.0]
    assert found.trades.aggressor.tolist() == [-1, 1, 1]
    assert found.market is None


def test_trades_of_one_instant_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    rows = (f"1000000000000,{number},100,1,buy" for number in (11, 9, 10))
    assert numbers(read_trade_file(written(tmp_path / "some.csv", *rows))) == [9, 10, 11]


def test_a_trade_that_is_there_twice_counts_once_and_is_counted(tmp_path: Path) -> None:
    found = read_trade_file(written(tmp_path / "some.csv", *ROWS, ROWS[0], ROWS[0]))
    assert (numbers(found), found.repeated) == ([6, 7, 9], 2)


def test_names_in_place_of_numbers_tell_trades_apart_and_prove_nothing(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    table = {"timestamp": [10**12] * 3, "trade_id": ["a-1", "a-2", "a-1"], "price": [1.0, 2.0, 1.0],
             "amount": [1.0] * 3, "side": ["buy", "sell", "buy"]}  # fmt: skip
    pq.write_table(pa.table(table), path)
    found = read_trade_file(path)
    assert (len(found.trades), found.repeated, found.trades.number) == (2, 1, None)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1000000000002,8,0,1,buy", "row 4, column price: 0.0 is not a number above 0; mend the row or leave it out"),
        ("1000000000002,8,100,-2,buy", r"row 4, column amount: -2.0 is not a number above 0"),
        ("1000000000002,8,dear,1,buy", "row 4, column price: dear is not a number above 0"),
        ("1000000000002,8,inf,1,buy", "row 4, column price: inf is not a number above 0"),
        ("1000000000002,8,100,,buy", "row 4, column amount: nothing is not a number above 0"),
        ("never,8,100,1,buy", "row 4, column timestamp: never is not an instant"),
        ("1000000000002,,100,1,buy", "row 4, column trade_id: nothing is not the number that the venue gave"),
        ("1000000000002,8,100,1,both", "row 4, column side: both is not buy or sell"),
        ("1000000000002,8,100,1,", "row 4, column side: nothing is not buy or sell"),
        ("1000000000002,7,100.5,2,buy", "rows 1 and 4, column trade_id: 7 is there twice, with another time, price or"),
        ("1000000000001,7,100.5,3,buy", "rows 1 and 4, column trade_id: 7 is there twice, with another time, price or"),
    ],
)
def test_a_row_that_is_no_trade_refuses_the_file(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"some\.csv, {said}"):
        read_trade_file(written(tmp_path / "some.csv", *ROWS, row))


def test_a_file_without_a_column_says_which_and_what_it_has(tmp_path: Path, shared: Path) -> None:
    with pytest.raises(ConfigError, match=r"some\.csv has no column price, side; found: timestamp, id, amount; a file"):
        read_trade_file(written(tmp_path / "some.csv", "1,2,3", header="timestamp,id,amount"))
    with pytest.raises(ConfigError, match="has no column trade_id, price, amount, side; found: timestamp, open, high"):
        read_trade_file(shared / "data/ohlcv/binance_usdm_XRPUSDT_1h_2021-11.parquet")


def test_a_file_that_is_empty_absent_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"some\.csv has no row; give a file with at least one trade"):
        read_trade_file(written(tmp_path / "some.csv"))
    (tmp_path / "empty.csv").write_text("\n")
    with pytest.raises(ConfigError, match=r"empty\.csv is empty; give a Parquet or CSV file with trades"):
        read_trade_file(tmp_path / "empty.csv")
    with pytest.raises(ConfigError, match="there is no file"):
        read_trade_file(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ConfigError, match=r"bad\.parquet is neither Parquet nor readable CSV"):
        read_trade_file(tmp_path / "bad.parquet")
