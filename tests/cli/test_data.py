"""`data import` and `data list`."""

from __future__ import annotations

from pathlib import Path

from tests.cli.calls import FIRST_MS, MINUTE_MS, answer, falling_candles, promethean, refused_at_once


def test_an_import_shows_what_came_in_and_what_was_left_out_and_may_be_repeated(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "binance_spot_BTCUSDT_1m.csv"
    good = falling_candles(30).splitlines()
    broken = f"{FIRST_MS + 40 * MINUTE_MS},100,90,110,100,1"  # its high is below its low
    file.write_text("\n".join([*good, broken]) + "\n")
    first = answer("data", "import", str(file))
    assert (first["rows_read"], first["imported"], sum(first["quarantined"].values())) == (31, 30, 1)
    again = answer("data", "import", str(file))
    assert (again["imported"], again["already_present"]) == (0, 30)
    (stored,) = answer("data", "list")["series"]
    assert (stored["rows"], stored["missing"], stored["key"]["symbol"]) == (30, 0, "BTC/USDT")


def test_an_assumed_market_type_is_said(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "bybit_BTCUSDT_1m.csv"
    file.write_text(falling_candles(5))
    page = promethean("data", "import", str(file)).stdout
    assert "bybit:BTC/USDT, 1m  the name does not say spot or futures, so spot is assumed" in page
    named = answer("data", "import", str(file), "--market", "bybit:BTC/USDT-PERP")
    assert (named["market_type_assumed"], named["imported"]) == (False, 5)
    assert "write it as binance:BTC/USDT" in refused_at_once("data", "import", str(file), "--market", "BTC")


def test_what_is_missing_is_shown_with_its_place_and_its_size(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "binance_spot_BTCUSDT_1m.csv"
    lines = falling_candles(30).splitlines()
    file.write_text("\n".join([*lines[:11], *lines[14:21], *lines[22:]]) + "\n")
    answer("data", "import", str(file))
    (found,) = answer("data", "gaps")["series"]
    assert (found["series"], found["rows"], found["missing"]) == ("binance:BTC/USDT:1m", 26, 4)
    first_ns = FIRST_MS * 10**6
    minute_ns = MINUTE_MS * 10**6
    assert [(gap["from_ns"] - first_ns) // minute_ns for gap in found["gaps"]] == [10, 20]
    assert [(gap["to_ns"] - first_ns) // minute_ns for gap in found["gaps"]] == [13, 21]
    assert [gap["candles"] for gap in found["gaps"]] == [3, 1]
    assert "86.67% of 30 stored" in promethean("data", "gaps", "binance:BTC/USDT:1m").stdout
    assert "did you mean 'binance:BTC/USDT:1m'" in promethean("data", "gaps", "binance:BTC/USDT:5m").stderr


def test_nothing_stored_has_no_gaps(home: Path) -> None:
    assert answer("data", "gaps") == {"series": []}
    assert "nothing is stored yet" in refused_at_once("data", "gaps", "binance:BTC/USDT:1m")


def test_what_is_exported_can_be_imported_and_backtested(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "binance_spot_BTCUSDT_1m.csv"
    file.write_text(falling_candles(30))
    answer("data", "import", str(file))
    for suffix in ("csv", "parquet"):
        out = tmp_path / f"binance_spot_BTCUSDT_1m_out.{suffix}"
        assert answer("data", "export", "binance:BTC/USDT:1m", str(out))["rows"] == 30
        again = answer("data", "import", str(out))
        assert (again["imported"], again["already_present"]) == (0, 30)
    from_file = answer("backtest", "reference_rsi", "--data", str(file))
    from_store = answer("backtest", "reference_rsi", "--data", "binance:BTC/USDT:1m")
    for name in ("candles", "from", "to", "trades", "final_equity", "buy_and_hold_pct"):
        assert from_file[name] == from_store[name]
    assert "neither .parquet nor .csv" in promethean("data", "export", "binance:BTC/USDT:1m", "out.txt").stderr
    assert "cannot be written" in promethean("data", "export", "binance:BTC/USDT:1m", "/nowhere/out.csv").stderr


def test_a_file_with_the_newest_row_first_is_said_to_be_read_in_reverse(home: Path, tmp_path: Path) -> None:
    head, *rows = falling_candles(5).splitlines()
    file = tmp_path / "binance_spot_BTCUSDT_1m.csv"
    words = "its newest row comes first, so it was read in reverse"
    file.write_text("\n".join([head, *reversed(rows)]) + "\n")
    assert words in promethean("data", "import", str(file)).stdout
    assert answer("data", "import", str(file))["read_in_reverse"] is True
    file.write_text("\n".join([head, *rows]) + "\n")
    assert words not in promethean("data", "import", str(file)).stdout
    assert answer("data", "import", str(file))["read_in_reverse"] is False
