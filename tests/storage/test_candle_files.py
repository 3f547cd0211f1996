"""Candle files: the real ones beside the checkout, and small ones for every way a file can be wrong."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promethean.domain.errors import ConfigError
from promethean.domain.instruments import MarketType
from promethean.storage.candle_files import CandleFile, MarketName, read_candle_file
from promethean.storage.quality import Defect

NOW_NS = 1_790_000_000 * 10**9
START_MS = 1_747_699_200_000
NAME = "binance_spot_BTCUSDT_1m_2025-05.csv"
SPOT = MarketName("binance", "BTC", "USDT", MarketType.SPOT)
HEADER = "timestamp,open,high,low,close,volume"


def read(path: Path, **more: Any) -> CandleFile:
    return read_candle_file(path, now_ns=NOW_NS, **more)


def line(row: int, *, unit: int = 1) -> str:
    return f"{(START_MS + 60_000 * row) * unit},100,101,99,100.5,2.5"


def csv(folder: Path, *lines: str, name: str = NAME) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def parquet(folder: Path, rows: int = 20, name: str = "binance_spot_BTCUSDT_1m_x.parquet", **columns: Any) -> Path:
    table: dict[str, Any] = {
        "timestamp": START_MS + 60_000 * np.arange(rows),
        "open": np.full(rows, 100.0),
        "high": np.full(rows, 101.0),
        "low": np.full(rows, 99.0),
        "close": np.full(rows, 100.5),
        "volume": np.full(rows, 2.5),
    }
    table |= columns
    path = folder / name
    pq.write_table(pa.table({key: values for key, values in table.items() if values is not None}), path)
    return path


# -- real files -------------------------------------------------------------------------------------------------------


def test_every_real_file_of_traded_candles_is_read_without_a_false_alarm(shared: Path) -> None:
    files = [path for path in sorted((shared / "data" / "ohlcv").glob("*.parquet")) if "_mark_" not in path.name]
    unnamed = MarketName("unknownvenue", "BTC", "USD", MarketType.FUTURES)
    assert len(files) >= 29
    rows = alarms = 0
    for path in files:
        file = read(path, market=unnamed if "unknownvenue" in path.name else None)
        assert len(file) + len(file.quarantined) + file.duplicates == file.rows
        if "TESTNET" not in path.name:
            rows += file.rows
            alarms += len(file.quarantined)
    assert alarms <= rows / 1000


def test_the_dirty_test_network_file_keeps_its_good_rows_under_an_exchange_of_its_own(shared: Path) -> None:
    file = read(shared / "data/ohlcv/bybit_TESTNET_linear_BTCUSDT_1m_gapped_2024-09_2025-09.parquet")
    assert str(file.market) == "bybit_testnet:BTC/USDT-PERP"
    assert 0 < file.quarantined_by_reason()["outlier"] < file.rows / 100
    assert file.gaps >= 524
    assert file.missing >= 419_724


def test_known_holes_of_a_real_file_are_counted(shared: Path) -> None:
    file = read(shared / "data/ohlcv/binance_spot_BTCUSDT_1h_2017-08_2021-12.parquet")
    assert (file.gaps, file.missing) == (27, 127)


def test_mark_prices_are_not_taken_for_traded_candles(shared: Path) -> None:
    path = shared / "data/ohlcv/binance_usdm_XRPUSDT_1h_mark_2021-11.parquet"
    with pytest.raises(ConfigError, match="mark prices"):
        read(path)
    named = read(path, market=MarketName.parse("binance:XRP/USDT-PERP"))
    assert named.quarantined_by_reason() == {"not a number": 100}


def test_a_funding_file_is_refused_by_its_columns(shared: Path) -> None:
    with pytest.raises(ConfigError, match=r"no column open, high, low, close, volume; found: timestamp, funding_rate"):
        read(shared / "data/funding/binance_usdm_BTCUSDT_funding_2023-01_2024-06.parquet")


# -- the market's name ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "market", "timeframe"),
    [
        ("binance_spot_BTCUSDT_1m_2025-05.csv", "binance:BTC/USDT", "1m"),
        ("binance_usdm_ETHUSDT_1m_2025.csv", "binance:ETH/USDT-PERP", "1m"),
        ("okx_swap_SOLUSDC_1m.csv", "okx:SOL/USDC-PERP", "1m"),
        ("bybit_ADAUSDT_1m_2025-05.csv", "bybit:ADA/USDT", "1m"),
        ("binance_spot_XMRBTC_1m.csv", "binance:XMR/BTC", "1m"),
    ],
)
def test_the_name_of_a_file_tells_its_market(tmp_path: Path, name: str, market: str, timeframe: str) -> None:
    file = read(csv(tmp_path, HEADER, line(0), line(1), name=name))
    assert (str(file.market), file.timeframe) == (market, timeframe)
    assert file.market_type_assumed == ("bybit" in name)


@pytest.mark.parametrize(
    "name", ["candles.csv", "BTCUSDT-1m-2025-01.csv", "venue_spot_BTC_1m.csv", "a_spot_\u0412TCUSDT_1m.csv"]
)
def test_a_name_without_a_market_asks_for_it_and_takes_the_given_one(tmp_path: Path, name: str) -> None:
    path = csv(tmp_path, HEADER, line(0), line(1), name=name)
    with pytest.raises(ConfigError, match=r"give the market|is not a symbol"):
        read(path)
    assert read(path, market=SPOT).timeframe == "1m"


def test_market_names_are_read_back_from_their_text() -> None:
    for text in ("binance:BTC/USDT", "bybit_testnet:ETH/USDC-PERP"):
        assert str(MarketName.parse(text)) == text
    assert MarketName.parse("binance:BTC/USDT-PERP").instrument == "binance:BTCUSDT-PERP"


@pytest.mark.parametrize("text", ["BTC/USDT", "binance:BTCUSDT", "Binance:BTC/USDT", "binance:", ""])
def test_a_wrong_market_name_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ConfigError, match="write it as"):
        MarketName.parse(text)


def test_the_timeframe_is_inferred_from_the_usual_step(tmp_path: Path) -> None:
    path = csv(tmp_path, HEADER, *(line(5 * row) for row in (0, 1, 2, 3, 7, 8)), name="mine.csv")
    assert read(path, market=SPOT).timeframe == "5m"


def test_an_unknown_step_asks_for_the_timeframe(tmp_path: Path) -> None:
    path = csv(tmp_path, HEADER, *(line(7 * row) for row in range(5)), name="mine.csv")
    with pytest.raises(ConfigError, match=r"usual step of 420 s.*give --timeframe"):
        read(path, market=SPOT)


def test_a_name_that_contradicts_its_rows_is_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, HEADER, *(line(row) for row in range(30)), name="binance_spot_BTCUSDT_1h_x.csv")
    with pytest.raises(ConfigError, match=r"says 1h, but its rows are 1m apart"):
        read(path)


# -- what is read -----------------------------------------------------------------------------------------------------


def test_csv_and_parquet_give_the_same_columns(tmp_path: Path) -> None:
    from_csv = read(csv(tmp_path, HEADER, *(line(row) for row in range(20))))
    from_parquet = read(parquet(tmp_path))
    for name in ("open_time_ns", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(from_csv, name), getattr(from_parquet, name))
        assert getattr(from_csv, name).dtype == getattr(from_parquet, name).dtype
    assert from_csv.open_time_ns[1] == (START_MS + 60_000) * 1_000_000


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = csv(tmp_path, HEADER, line(0), line(1))
    assert read(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("unit", [1, 1000])
def test_binance_klines_are_read_with_and_without_header_in_ms_and_us(tmp_path: Path, header: bool, unit: int) -> None:
    rows = [f"{line(row, unit=unit)},{START_MS + 60_000 * row + 59_999},251.25,42,1.5,150.75,0" for row in range(12)]
    file = read(csv(tmp_path, *([KLINE_HEADER] if header else []), *rows))
    assert file.rows == len(file) == 12
    assert file.open_time_ns[0] == START_MS * 1_000_000
    assert {name: values[3] for name, values in file.extras.items()} == {
        "quote_volume": 251.25,
        "trades": 42,
        "taker_buy_volume": 1.5,
        "taker_buy_quote_volume": 150.75,
    }


@pytest.mark.parametrize("text", ["2025-05-20T00:0{}:00Z", "2025-05-20 00:0{}:00", "2025-05-20T02:0{}:00+02:00"])
def test_dates_in_text_are_times_in_utc(tmp_path: Path, text: str) -> None:
    file = read(csv(tmp_path, HEADER, *(f"{text.format(row)},100,101,99,100.5,2.5" for row in range(3))))
    assert file.open_time_ns.tolist() == [(START_MS + 60_000 * row) * 1_000_000 for row in range(3)]


@pytest.mark.parametrize("per_s", [1, 10**3, 10**6, 10**9])
def test_the_unit_of_times_is_told_by_their_size(tmp_path: Path, per_s: int) -> None:
    times = (START_MS // 1000 + 60 * np.arange(20)) * per_s
    assert read(parquet(tmp_path, timestamp=times)).open_time_ns[1] == (START_MS + 60_000) * 1_000_000


@pytest.mark.parametrize(
    "times",
    [
        pa.array((START_MS + 60_000 * np.arange(20)) * 1000, pa.timestamp("us", "UTC")),
        (START_MS + 60_000 * np.arange(20)).astype(np.float64),
        [str(START_MS + 60_000 * row) for row in range(20)],
    ],
    ids=["timestamps", "floats", "texts"],
)
def test_times_come_in_several_types(tmp_path: Path, times: Any) -> None:
    assert read(parquet(tmp_path, timestamp=times)).open_time_ns[1] == (START_MS + 60_000) * 1_000_000


def test_numbers_may_be_integers_or_text_and_columns_may_be_more(tmp_path: Path) -> None:
    file = read(
        parquet(tmp_path, open=np.full(20, 100), close=["100.5"] * 20, volume=["2.5"] * 19 + ["?"], note=["x"] * 20)
    )
    assert len(file) == 19
    assert file.open[0] == 100.0
    assert json.loads(file.quarantined[0].payload)["volume"] == "?"


def test_a_file_with_the_newest_row_first_is_turned_round(tmp_path: Path) -> None:
    lines = [line(row) for row in range(10)]
    lines[4] = lines[4].replace("100.5", "nan")
    file = read(csv(tmp_path, HEADER, *reversed(lines)))
    assert len(file) == 9
    assert file.open_time_ns[0] == START_MS * 1_000_000
    assert [(row.number, row.reason) for row in file.quarantined] == [(6, Defect.NOT_A_NUMBER)]


# -- bad rows never fail the file -------------------------------------------------------------------------------------


def test_bad_rows_are_set_aside_with_their_place_reason_and_content(tmp_path: Path) -> None:
    lines = [line(row) for row in range(12)]
    lines[2] = lines[2].replace("100.5", "abc")
    lines[3] = lines[3].replace(",99,", ",102,")
    lines[4] = lines[4].replace("2.5", "-1")
    lines[5] = "1790000040000,100,101,99,100.5,2.5"
    lines[6], lines[7] = lines[7], lines[6]
    lines[8] = "yesterday,100,101,99,100.5,2.5"
    lines[9] = lines[9].replace("100,", ",", 1)
    file = read(csv(tmp_path, HEADER, *lines, lines[11], lines[11].replace("100.5", "100.6")))
    assert {row.number: row.reason for row in file.quarantined} == {
        3: Defect.NOT_A_NUMBER,
        4: Defect.INCONSISTENT,
        5: Defect.NOT_POSITIVE,
        6: Defect.FUTURE,
        8: Defect.OUT_OF_ORDER,
        9: Defect.NOT_A_NUMBER,
        10: Defect.NOT_A_NUMBER,
        14: Defect.DUPLICATE,
    }
    assert json.loads(file.quarantined[0].payload)["close"] == "abc"
    assert (file.rows, len(file), file.duplicates) == (14, 5, 1)


def test_lines_with_too_few_or_too_many_fields_are_set_aside(tmp_path: Path) -> None:
    file = read(csv(tmp_path, HEADER, line(0), "1,2,3", line(1), f"{line(2)},7,8", line(3).replace("100.5", "x")))
    assert [(row.number, row.reason) for row in file.quarantined] == [
        (2, Defect.NOT_A_NUMBER),
        (4, Defect.NOT_A_NUMBER),
        (5, Defect.NOT_A_NUMBER),
    ]
    assert json.loads(file.quarantined[0].payload) == {"line": "1,2,3"}
    assert (file.rows, len(file)) == (5, 2)


def test_a_file_of_bad_rows_alone_gives_no_candles_and_no_error(tmp_path: Path) -> None:
    file = read(csv(tmp_path, HEADER, *(line(row).replace("100.5", "nan") for row in range(3))))
    assert (len(file), file.quarantined_by_reason()) == (0, {"not a number": 3})


def test_empty_and_infinite_values_in_parquet_are_set_aside(tmp_path: Path) -> None:
    close = pa.array([100.5, None, float("inf"), float("nan")] + [100.5] * 16)
    file = read(parquet(tmp_path, close=close))
    assert [row.number for row in file.quarantined] == [2, 3, 4]
    assert json.loads(file.quarantined[1].payload)["close"] == "inf"


# -- what fails the file ----------------------------------------------------------------------------------------------


def test_missing_columns_are_named_with_those_found_and_those_needed(tmp_path: Path) -> None:
    needed = "candles need timestamp, open, high, low, close, volume"
    with pytest.raises(ConfigError, match=rf"no column low, volume; found: timestamp, open, high, close; {needed}"):
        read(csv(tmp_path, "timestamp,open,high,close", "1,2,3,4"))
    with pytest.raises(ConfigError, match="no column close; found: timestamp, open, high, low, volume"):
        read(parquet(tmp_path, close=None))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (f"{HEADER}\n".encode(), "no rows"),
        (b"PAR1 and then nothing of the kind", "damaged Parquet"),
        (b"\x00\x01\x02\x03", "neither Parquet nor CSV"),
        (b"\xff\xfe\xfd,\xff\n", "neither Parquet nor CSV"),
        (b"1,2,3\n4,5,6\n", "no header and 3 columns"),
        (b"a story without any columns\nand more\n", "no column timestamp"),
        (f"{HEADER},close\n{line(0)},7\n".encode(), "more than one column for close"),
    ],
)
def test_a_file_that_is_no_candle_file_is_refused_in_plain_words(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / NAME
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read(path)


def test_an_absent_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        read(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path)


def test_a_compressed_file_is_told_from_candles(tmp_path: Path) -> None:
    path = tmp_path / "binance_spot_BTCUSDT_1m.csv.gz"
    path.write_bytes(gzip.compress(b"timestamp,open,high,low,close,volume\n"))
    with pytest.raises(ConfigError, match="is compressed with gzip, as recorded order book feeds are"):
        read_candle_file(path, now_ns=NOW_NS)
