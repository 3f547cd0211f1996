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
