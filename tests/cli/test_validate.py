"""`validate`: answers for machines and people, exit statuses, and one sentence for every mistake."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.cli.calls import answer, promethean, refused
from tests.evaluation.planted import NextCandle, Planted, ShortWindow, write_planted, write_walk

BTC = Path("data", "ohlcv", "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet")
TESTNET = Path("data", "ohlcv", "bybit_TESTNET_linear_BTCUSDT_1m_gapped_2024-09_2025-09.parquet")
FAST = ("--cash", "100000", "--runs", "200", "--random-runs", "20")


@pytest.fixture
def short(tmp_path: Path) -> str:
    return str(write_walk(tmp_path / "binance_spot_BTCUSDT_1m.csv", 3_000))


def strictly(*arguments: str, status: int = 0) -> Any:
    """The answer, read by somebody who takes JSON by its word: neither NaN nor Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    done = promethean("validate", *arguments, *FAST, "--json")
    assert done.status == status, done.stderr
    return json.loads(done.stdout.splitlines()[-1], parse_constant=refuse)


def test_an_answer_on_real_candles_has_every_field(shared: Path) -> None:
    found = strictly("reference_rsi", "--data", str(shared / BTC), "--windows", "4")
    assert [check["name"] for check in found["checks"]] == [
        "look_ahead", "warm_up", "walk_forward", "monte_carlo", "significance", "deflated_sharpe",
    ]  # fmt: skip
    assert {check["verdict"] for check in found["checks"]} <= {"passed", "failed", "not judged"}
    assert len(found["walk_forward"]) == 4
    assert sum(window["trades"] for window in found["walk_forward"]) == found["trades"] > 500
    final = found["monte_carlo"]["final_equity"]
    assert Decimal(final["p5"]) < Decimal(final["p50"]) < Decimal(final["p95"])
    assert isinstance(found["significance"]["profit_a_trade"], str), "money is a decimal string"
    assert 0 < found["significance"]["p_value"] <= 1
    assert found["deflated_sharpe"]["trials"] == found["variants_tried"] == 1
    assert found["seconds"] > 0 and found["sound"] is True


@pytest.mark.parametrize(
    ("made", "check", "words"), [(NextCandle, 0, "it looks ahead"), (ShortWindow, 1, "live trading would differ")]
)
def test_a_planted_mistake_has_status_1_and_is_shown(
    short: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: type[Planted], check: int, words: str
) -> None:
    path = str(write_planted(tmp_path, made, monkeypatch))
    found = strictly(path, "--data", short, status=1)
    assert found["sound"] is False
    assert found["checks"][check]["verdict"] == "failed"
    assert words in found["checks"][check]["sentence"]
    page = promethean("validate", path, "--data", short, *FAST)
    assert page.status == 1
    assert "no figure counts" in page.stdout and "Traceback" not in page.stderr


def test_a_page_shows_every_check_and_every_table(shared: Path) -> None:
    done = promethean("validate", "reference_rsi", "--data", str(shared / BTC), *FAST, "--trials", "50")
    assert done.status == 0, done.stderr
    for words in (
        "Look-ahead", "Warm-up", "Walk-forward", "Monte Carlo", "Significance", "Deflated Sharpe",
        "200 runs, blocks of 8", "Random entries", "a year from the best of 50", "1 form of this strategy on this data",
        "Past prices promise nothing",
    ):  # fmt: skip
        assert words in done.stdout, words


@pytest.mark.parametrize("count", [1, 40])
def test_hardly_any_candles_are_an_answer_like_any_other(tmp_path: Path, count: int) -> None:
    data = str(write_walk(tmp_path / "binance_spot_BTCUSDT_1m.csv", count))
    found = strictly("reference_rsi", "--data", data)
    assert (found["trades"], found["monte_carlo"], found["significance"], found["deflated_sharpe"]) == (
        0,
        None,
        None,
        None,
    )
    page = promethean("validate", "reference_rsi", "--data", data, *FAST)
    assert page.status == 0
    assert "not judged" in page.stdout


def test_a_range_and_values_are_set_as_for_a_backtest(short: str) -> None:
    found = strictly(
        "reference_rsi", "--data", short, "--from", "2025-05-20T10:00", "--to", "2025-05-21", "--set", "low=40"
    )
    assert (found["candles"], found["from"], found["to"]) == (840, "2025-05-20 10:00:00", "2025-05-20 23:59:00")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["refrence_rsi"], "unknown strategy file 'refrence_rsi'; did you mean 'reference_rsi.yaml'"),
        (["reference_rsi", "--cash", "0"], "--cash is 0; it lies between 0.01 and"),
        (["reference_rsi", "--set", "lwo=25"], "unknown parameter 'lwo'; did you mean 'low'"),
        (["reference_rsi", "--from", "2030-01-01"], "no candle is in the range of --from and --to"),
        (["reference_rsi", "--windows", "1"], "--windows is 1; it lies between 2 and 1,000"),
        (["reference_rsi", "--ruin-pct", "all"], "--ruin-pct is 'all'; write a number"),
        (["reference_rsi", "--ruin-pct", "nan"], "--ruin-pct is nan; write a finite number"),
        (["reference_rsi", "--ruin-pct", "100"], "--ruin-pct is 100; it lies between 0 and 100, both excluded"),
        (["reference_rsi", "--trials", "0"], "--trials is 0; it lies between 1 and 1,000,000,000"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(short: str, arguments: list[str], said: str) -> None:
    assert said in refused("validate", *arguments, "--data", short)
    assert said in answer("validate", *arguments, "--data", short, status=2)["error"]


def test_holes_are_refused_as_a_backtest_refuses_them(shared: Path) -> None:
    line = refused("validate", "reference_rsi", "--data", str(shared / TESTNET))
    assert "has 20.02% of the candles between its first and its last, below 95%" in line
    assert "there is no file nowhere.csv; check the path" in refused(
        "validate", "reference_rsi", "--data", "nowhere.csv"
    )
