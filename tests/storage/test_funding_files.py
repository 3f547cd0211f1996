"""Funding files: what is understood, and what is refused with the row that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from promethean.domain.errors import ConfigError
from promethean.domain.instants import NS_PER_MINUTE, format_instant
from promethean.storage.funding_files import read_funding_file

BTC = "data/funding/binance_usdm_BTCUSDT_funding_2023-01_2024-06.parquet"
EIGHT_HOURS_NS = 480 * NS_PER_MINUTE


def written(path: Path, *lines: str, header: str = "timestamp,funding_rate") -> Path:
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


def test_real_rates_stand_on_whole_hours_although_they_were_published_late(shared: Path) -> None:
    found = read_funding_file(shared / BTC)
    assert len(found) == 1_641
    assert str(found.market) == "binance:BTC/USDT-PERP"
    assert format_instant(int(found.at_ns[0])) == "2023-01-01 00:00:00"
    assert set(np.diff(found.at_ns).tolist()) == {EIGHT_HOURS_NS}
    assert found.funding_rate[:3].tolist() == [0.0001, 0.0001, 6.91e-06]


@pytest.mark.parametrize("name", ["ETHUSDT_funding_2023-01_2024-06", "SOLUSDT_funding_2025-03_2025-06",
                                  "XRPUSDT_funding_2021-11_2021-12"])  # fmt: skip
def test_every_recorded_file_is_read_whole(shared: Path, name: str) -> None:
    found = read_funding_file(shared / f"data/funding/binance_usdm_{name}.parquet")
    assert set(np.diff(found.at_ns).tolist()) == {EIGHT_HOURS_NS}
    assert np.abs(found.funding_rate).max() < 0.01


@pytest.mark.parametrize(
    "header",
    [
        "calc_time,funding_interval_hours,last_funding_rate",
        "fundingTime,symbol,fundingRate",
        "time,x,funding_rate",
    ],
)
def test_the_names_of_the_venue_are_understood(tmp_path: Path, header: str) -> None:
    found = read_funding_file(written(tmp_path / "rates.csv", "1672560000008,8,-0.0001", "1672531200000,8,0.0001",
                                      header=header))  # fmt: skip
    assert [format_instant(at) for at in found.at_ns.tolist()] == ["2023-01-01 00:00:00", "2023-01-01 08:00:00"]
    assert found.funding_rate.tolist() == [0.0001, -0.0001]
    assert found.market is None


def test_a_row_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    found = read_funding_file(written(tmp_path / "rates.csv", "1672531200000,0.0001", "1672531200009,0.0001"))
    assert found.funding_rate.tolist() == [0.0001]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("1672531200000,0.0001", "1672531200009,0.0002"), "row 2: the minute has two different funding rates"),
        (("1672531200000,0.0001", "1672560000000,"), "row 2: no time or no number"),
        (("never,0.0001",), "row 1: no time or no number"),
        (("1672531200000,0.2",), r"a funding rate of 0.2 is above 0.1; rates are fractions, 0.0001 for 0.01 %"),
        ((), "has no row"),
    ],
)
def test_a_row_that_is_no_funding_rate_refuses_the_file(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_funding_file(written(tmp_path / "rates.csv", *lines))


def test_a_file_of_candles_is_refused_by_its_columns(shared: Path) -> None:
    with pytest.raises(ConfigError, match="a funding file needs timestamp and funding_rate"):
        read_funding_file(shared / "data/ohlcv/binance_usdm_XRPUSDT_1h_2021-11.parquet")


def test_a_file_that_is_not_there_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        read_funding_file(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ConfigError, match=r"bad\.parquet is neither Parquet nor readable CSV"):
        read_funding_file(tmp_path / "bad.parquet")
