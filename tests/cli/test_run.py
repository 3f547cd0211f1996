"""`up`: what it refuses, and what a run tells people and machines."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.calls import answer, promethean, refused, refused_at_once

STRATEGY = """
strategy: {id: test, class: rsi_reversion}
market: {exchange: binance, symbol: BTC/USDT, market_type: spot, primary_timeframe: 1m}
parameters: {position_size_pct: 2.0}
exits: {stop_loss_pct: 1.0}
"""


def test_an_unknown_strategy_is_refused_with_the_closest_name(home: Path) -> None:
    assert "did you mean 'rsi_reversion.yaml'" in refused("up", "--feed", "synthetic", "--strategy", "rsi_reversoin")


def test_an_unknown_key_of_a_strategy_file_is_named(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(STRATEGY.replace("stop_loss_pct", "stop_los_pct"))
    line = refused("up", "--feed", "synthetic", "--strategy", str(file))
    assert "'stop_los_pct'" in line
    assert "'stop_loss_pct'" in line


def test_an_unknown_exchange_of_a_strategy_file_is_named_whatever_the_feed(home: Path, recording: Path) -> None:
    file = home.parent / "mine.yaml"
    file.write_text(STRATEGY.replace("binance", "binanse"))
    for feed in ("live", "synthetic", str(recording)):
        line = refused_at_once("up", "--feed", feed, "--strategy", str(file))
        assert f"{file}: market.exchange names an unknown exchange 'binanse'; did you mean 'binance'?" in line
    assert not (home / "postgres.lock").exists()


def test_a_recording_with_the_newest_row_first_is_said_to_be_read_in_reverse(
    copied_home: Path, recording: Path
) -> None:
    head, *rows = recording.read_text().splitlines()
    reverse = copied_home.parent / "reverse" / recording.name
    reverse.parent.mkdir()
    reverse.write_text("\n".join([head, *reversed(rows)]) + "\n")
    done = promethean("up", "--feed", str(reverse), "--speed", "max", "--until-end", "--json")
    assert f"The newest row of {recording.name} comes first, so it is read in reverse." in done.stderr
    assert done.status == 0


def test_a_recording_of_a_venue_that_we_do_not_know_brings_its_market(copied_home: Path, recording: Path) -> None:
    elsewhere = copied_home.parent / "kraken_spot_ETHUSDT_1m.csv"
    elsewhere.write_bytes(recording.read_bytes())
    report = answer("up", "--feed", str(elsewhere), "--speed", "max", "--until-end")
    assert (report["symbol"], report["finished"]) == ("ETH/USDT", True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("risk.daily_trade=10", "did you mean 'risk.daily_trades'"),
        ("risk.daily_trades=0", "risk.daily_trades is 0, below the minimum of 1; set it to 1 or more"),
        ("risk.total_exposure_pct=0.01", "below the minimum of 0.1"),
        ("execution.paper_latency_ms=150kg", "execution.paper_latency_ms is '150kg'"),
        ("risk.daily_trades", "write for example --set risk.daily_trades=10"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_limit_and_remedy(home: Path, given: str, words: str) -> None:
    assert words in refused_at_once("up", "--set", given)
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--speed", "fast"), "--speed is 'fast'; write max, or a number above 0"),
        (("--speed", "0"), "--speed is '0'"),
        (("--speed", "nan"), "--speed is 'nan'"),
        (("--for", "30"), "--for is '30'; write a duration such as 45s, 30m, 2h"),
        (("--for", "0s"), "--for is '0s'"),
        (("--role", "trader"), "--role trader is not available yet"),
        (("--strategy", "a", "--strategy", "b"), "2 strategies at once are not available yet"),
        (("--mode", "real"), "app.mode is 'real', not one of"),
    ],
)
def test_a_wrong_option_of_up_is_refused(home: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in refused_at_once("up", *arguments)
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--mode", "live"), "only paper trading is available yet"),
        (("--feed", "nothing.parquet"), "nothing.parquet"),
        (("--feed", "synthetic", "--until-end"), "--until-end needs a feed that ends"),
    ],
)
def test_what_up_finds_out_while_it_starts_is_refused_as_well(
    copied_home: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused("up", *arguments)


def test_a_home_that_cannot_be_written_is_refused() -> None:
    assert "the home /dev/null/x cannot be written" in refused("--home", "/dev/null/x", "up", "--feed", "synthetic")


def test_a_configured_port_that_is_in_use_is_refused(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in refused("up", "--feed", "synthetic", "--set", f"postgres.port={port}")


def test_a_damaged_key_file_is_refused_before_anything_starts(home: Path) -> None:
    home.mkdir()
    key = home / "vault.key"
    key.write_text("not a key\n")
    key.chmod(0o600)
    assert "is damaged; restore it from its backup" in refused("up", "--feed", "synthetic")
    assert not (home / "postgres").exists()


def test_a_file_without_the_needed_columns_is_refused(copied_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "binance_spot_BTCUSDT_1m.csv"
    file.write_text("timestamp,open,high,low,volume\n1747699200000,1,1,1,1\n")
    assert "close" in refused("up", "--feed", str(file), "--speed", "max", "--until-end")
    assert "close" in refused("data", "import", str(file))


def test_the_summary_of_a_run_is_one_object_with_the_agreed_fields(home: Path, homes: Path, used_home: Path) -> None:
    candles = homes / "binance_spot_BTCUSDT_1m.csv"
    report = answer("up", "--feed", str(candles), "--speed", "max", "--until-end")
    agreed = {
        "candles", "signals", "orders", "fills", "trades", "fees", "final_equity", "journal_hash", "events_per_s",
    }  # fmt: skip
    assert agreed <= set(report)
    assert (report["candles"], report["finished"], report["synthetic"]) == (300, True, False)
    assert re.fullmatch(r"\d+(\.\d+)?", report["final_equity"])


def test_a_person_gets_each_fact_and_a_summary(home: Path, homes: Path, used_home: Path) -> None:
    candles = homes / "binance_spot_BTCUSDT_1m.csv"
    done = promethean("up", "--feed", str(candles), "--speed", "max", "--until-end", "--plain")
    assert done.status == 0
    for words in ("PAPER trading starts", "signal", "order", "fill", "The recording has ended.", "promethean status"):
        assert words in done.stdout


def test_a_second_up_on_the_same_home_is_refused(
    running: Callable[..., subprocess.Popen[str]],
) -> None:
    first = running("--feed", "synthetic", "--speed", "600", "--plain")
    line = refused("up", "--feed", "synthetic")
    assert f"process {first.pid}" in line
