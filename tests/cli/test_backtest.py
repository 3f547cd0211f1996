"""`backtest`, `sweep` and `bench`: answers for machines and people, and one sentence for every mistake."""

from __future__ import annotations

import csv
import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.cli.calls import FIRST_MS, MINUTE_MS, answer, promethean, refused

from promethean.app import benching

BTC = Path("data", "ohlcv", "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet")
ETH = Path("data", "ohlcv", "binance_spot_ETHUSDT_15m_2023-04_2024-04.parquet")
TESTNET = Path("data", "ohlcv", "bybit_TESTNET_linear_BTCUSDT_1m_gapped_2024-09_2025-09.parquet")
FEEDS = [Path("data", "orderbook", "raw_feed", f"binance_{name}_btcusdt_20240808.gz") for name in ("spot", "usdm")]
ROOT = Path(__file__).resolve().parents[2]
CASH = ("--cash", "100000")


def candles(path: Path, count: int) -> str:
    lines = ["timestamp,open,high,low,close,volume"]
    for number in range(count):
        price = 100_000 - 50 * min(number % 60, 60 - number % 60)
        lines.append(f"{FIRST_MS + number * MINUTE_MS},{price},{price + 20},{price - 20},{price},50.5")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def short(tmp_path: Path) -> str:
    return candles(tmp_path / "binance_spot_BTCUSDT_1m.csv", 600)


def strictly(*arguments: str) -> Any:
    """The answer, read by somebody who takes JSON by its word: neither NaN nor Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    done = promethean(*arguments, "--json")
    assert done.status == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1], parse_constant=refuse)


# -- backtest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [BTC, ETH], ids=lambda path: path.stem)
def test_a_backtest_of_real_candles_answers_with_every_field(shared: Path, file: Path) -> None:
    found = strictly("backtest", "reference_rsi", "--data", str(shared / file), *CASH)
    fields = {
        "candles", "seconds", "candles_per_s", "trades", "wins", "losses", "final_equity", "return_pct",
        "max_drawdown_pct", "sharpe", "sortino", "profit_factor", "fees", "funding", "trade_list",
    }  # fmt: skip
    assert fields <= set(found)
    assert found["trades"] > 100
    assert Decimal(found["final_equity"]) == 100_000 + sum(Decimal(row["pnl"]) for row in found["trade_list"])
    assert Decimal(found["fees"]) == sum(Decimal(row["fees"]) for row in found["trade_list"])


def test_a_range_is_from_the_first_day_to_before_the_last(short: str) -> None:
    found = strictly(
        "backtest", "reference_rsi", "--data", short, "--from", "2025-05-20T01:00", "--to", "2025-05-20T04:00"
    )
    assert (found["candles"], found["from"], found["to"]) == (180, "2025-05-20 01:00:00", "2025-05-20 03:59:00")
    shifted = ("--from", "2025-05-20T03:00+02:00", "--to", "2025-05-20T04:00Z")
    assert strictly("backtest", "reference_rsi", "--data", short, *shifted)["candles"] == 180


def test_values_are_set_by_name_and_by_path(short: str) -> None:
    plain = strictly("backtest", "reference_rsi", "--data", short, *CASH)
    other = strictly("backtest", "reference_rsi", "--data", short, *CASH, "--set", "low=45")
    dear = strictly("backtest", "reference_rsi", "--data", short, *CASH, "--set", "execution.fee_taker_pct=1")
    assert other["trade_list"] != plain["trade_list"]
    assert Decimal(dear["fees"]) > Decimal(plain["fees"])


def test_one_candle_and_no_trade_are_answers_like_any_other(tmp_path: Path) -> None:
    one = candles(tmp_path / "binance_spot_BTCUSDT_1m.csv", 1)
    found = strictly("backtest", "reference_rsi", "--data", one)
    assert (found["candles"], found["trades"], found["sharpe"], found["profit_factor"]) == (1, 0, None, None)
    done = promethean("backtest", "reference_rsi", "--data", one)
    assert done.status == 0
    assert "Trades          none" in done.stdout
    assert "0 trades say little: below 30 chance decides." in done.stdout


def test_a_run_that_lost_nothing_answers_in_json(short: str) -> None:
    free = (
        "--set",
        "execution.fee_taker_pct=0",
        "--set",
        "execution.fee_maker_pct=0",
        "--set",
        "risk.stop_loss_pct=50",
    )
    assert strictly("backtest", "reference_rsi", "--data", short, *CASH, *free)["profit_factor"] == "inf"


def test_holes_are_refused_and_taken_when_asked_to(shared: Path) -> None:
    line = refused("backtest", "reference_rsi", "--data", str(shared / TESTNET))
    assert "has 20.02% of the candles between its first and its last, below 95%" in line
    found = strictly("backtest", "reference_rsi", "--data", str(shared / TESTNET), "--allow-gaps")
    assert any("79.98% of the candles are missing" in remark for remark in found["remarks"])


def test_the_trades_go_into_a_file_instead_of_the_answer(short: str, tmp_path: Path) -> None:
    out = tmp_path / "trades.csv"
    rows = strictly("backtest", "reference_rsi", "--data", short, *CASH)["trade_list"]
    found = strictly("backtest", "reference_rsi", "--data", short, *CASH, "--trades", str(out))
    assert "trade_list" not in found
    with out.open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [{name: str(value) for name, value in row.items()} for row in rows] == written


def test_single_trades_are_read_and_named_in_the_answer(short: str, tmp_path: Path) -> None:
    tape = tmp_path / "some_trades.csv"
    rows = (f"{FIRST_MS + number * MINUTE_MS},{number},100000,50.5,buy" for number in range(600))
    tape.write_text("\n".join(["timestamp,id,price,amount,side", *rows]) + "\n")
    found = strictly("backtest", "vwap_reversion", "--data", short, "--tape", str(tape))
    assert found["tape"] == "some_trades.csv"
    assert found["remarks"][-1] == "vwap-btc-1m reads the VWAP over single trades at 600 of 600 candles (100.0%)"
    bare = strictly("backtest", "vwap_reversion", "--data", short)
    assert bare["tape"] is None and "made of candles" in bare["remarks"][-1]


@pytest.mark.parametrize("command", ["backtest", "replay", "validate", "sweep", "optimize"])
def test_every_command_over_candles_takes_a_tape(command: str, short: str, tmp_path: Path) -> None:
    line = refused(command, "vwap_reversion", "--data", short, "--tape", str(tmp_path / "none.parquet"))
    assert "there is no file" in line and "none.parquet" in line


def test_the_limits_of_the_account_are_another_speed(short: str) -> None:
    found = strictly("backtest", "reference_rsi", "--data", short, *CASH, "--limits", "user")
    assert found["limits"] == "user"
    assert found["stepped"] == "limits that the compiled loop does not know"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["refrence_rsi"], "unknown strategy file 'refrence_rsi'; did you mean 'reference_rsi.yaml'"),
        (["reference_rsi", "--limits", "usr"], "--limits is 'usr'; write research or user"),
        (["reference_rsi", "--cash", "many"], "--cash is 'many'; write a number, for example 10000"),
        (["reference_rsi", "--cash", "nan"], "--cash is nan; write a finite number"),
        (["reference_rsi", "--cash", "Infinity"], "--cash is Infinity; write a finite number"),
        (["reference_rsi", "--cash", "0"], "--cash is 0; it lies between 0.01 and"),
        (["reference_rsi", "--cash", "-5"], "--cash is -5; it lies between 0.01 and"),
        (["reference_rsi", "--cash", "1e400"], "--cash is 1e+400; it lies between 0.01 and 1,000,000,000,000"),
        (["reference_rsi", "--set", "low"], "--set is 'low'; write it as name=value, for example low=25"),
        (["reference_rsi", "--set", "low="], "--set is 'low='; write it as name=value"),
        (["reference_rsi", "--set", "low=1", "--set", "low=2"], "--set names low twice; keep one"),
        (["reference_rsi", "--set", "lwo=25"], "unknown parameter 'lwo'; did you mean 'low'"),
        (["reference_rsi", "--set", "risk.stop_los_pct=1"], "did you mean 'stop_loss_pct'"),
        (["reference_rsi", "--set", "period=0"], "the period of an RSI is at least 1, not 0"),
        (["reference_rsi", "--from", "May"], "--from is 'May'; write a day or an instant, for example 2025-06-01"),
        (["reference_rsi", "--to", "2025-13-01"], "--to is '2025-13-01'; write a day or an instant"),
        (["reference_rsi", "--from", "2030-01-01"], "no candle is in the range of --from and --to"),
        (["reference_rsi", "--trades", "nowhere/out.csv"], "nowhere/out.csv cannot be written (No such file"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_and_status_2(short: str, arguments: list[str], said: str) -> None:
    assert said in refused("backtest", *arguments, "--data", short)
    assert said in answer("backtest", *arguments, "--data", short, status=2)["error"]


def test_data_that_is_not_there_or_is_none_is_named(tmp_path: Path) -> None:
    assert "there is no file nowhere.csv; check the path" in refused(
        "backtest", "reference_rsi", "--data", "nowhere.csv"
    )
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and nothing else")
    assert "is a damaged Parquet file" in refused("backtest", "reference_rsi", "--data", str(broken))
    assert "has a header but no rows" in refused(
        "backtest", "reference_rsi", "--data", candles(tmp_path / "binance_spot_BTCUSDT_1m.csv", 0)
    )


@pytest.fixture
def on_books(tmp_path: Path) -> str:
    """The strategy file that comes with the platform, without its exit after minutes: a feed is not much longer."""
    lines = (ROOT / "config" / "strategies" / "order_book_imbalance.yaml").read_text().splitlines(keepends=True)
    path = tmp_path / "books.yaml"
    path.write_text("".join(line for line in lines if "max_hold_time_minutes" not in line))
    return str(path)


@pytest.mark.parametrize("file", FEEDS, ids=lambda path: path.stem)
def test_a_recorded_order_book_feed_is_data(shared: Path, file: Path, on_books: str) -> None:
    found = strictly("backtest", on_books, "--data", str(shared / file))
    assert (found["strategy"], found["timeframe"], found["data"]) == ("order-book-imbalance", "1s", file.name)
    assert found["trades"] > 0
    assert Decimal(found["final_equity"]) == 10_000 + sum(Decimal(row["pnl"]) for row in found["trade_list"])
    done = promethean("backtest", on_books, "--data", str(shared / file))
    assert done.status == 0
    assert "candles of 1s" in done.stdout
    assert "is not known everywhere" in done.stdout


def test_a_strategy_that_reads_books_says_what_it_needs(
    shared: Path, on_books: str, short: str, tmp_path: Path
) -> None:
    assert "this data holds no order books; give a recorded feed" in refused("backtest", on_books, "--data", short)
    broken = tmp_path / "broken.gz"
    content = (shared / FEEDS[0]).read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    assert "broken.gz is damaged after line " in refused("backtest", on_books, "--data", str(broken))
    broken.write_bytes(gzip.compress(Path(short).read_bytes()))
    assert "broken.gz: line 1 begins with 'timestamp,open," in refused("backtest", on_books, "--data", str(broken))
    wrong = refused("backtest", on_books, "--data", str(shared / FEEDS[0]), "--set", "snapshots=0")
    assert "parameters.snapshots is 0; it lies between 1 and 300" in wrong
    for feed in ("live", "synthetic"):
        line = refused("up", "--feed", feed, "--strategy", on_books)
        assert "reads order books, which neither the live nor the synthetic feed brings yet" in line


# -- sweep ------------------------------------------------------------------------------------------------------------


def test_a_sweep_answers_with_its_best_confirmed(short: str) -> None:
    found = strictly(
        "sweep",
        "reference_rsi",
        "--data",
        short,
        *CASH,
        "--param",
        "low=20:40:5",
        "--param",
        "high=60,75",
        "--top",
        "3",
    )
    assert {"combinations", "seconds", "seconds_per_combination", "candles_per_s", "trades"} <= set(found)
    assert (found["combinations"], len(found["top"])) == (10, 3)
    best, confirmed = found["top"][0], found["confirmed"]
    assert confirmed["agrees"] is True
    assert (confirmed["parameters"], confirmed["trades"]) == (best["parameters"], best["trades"])
    sets = [part for name, value in best["parameters"].items() for part in ("--set", f"{name}={value}")]
    alone = strictly("backtest", "reference_rsi", "--data", short, *CASH, *sets)
    assert alone["trades"] == best["trades"]
    assert abs(Decimal(alone["final_equity"]) - Decimal(best["final_equity"])) <= Decimal("0.01")


def test_a_sweep_shows_a_table_and_warns_of_luck(short: str) -> None:
    done = promethean("sweep", "reference_rsi", "--data", short, *CASH, "--param", "low=20,40")
    assert done.status == 0
    assert "low=20" in done.stdout and "low=40" in done.stdout
    assert "The best, step by step: " in done.stdout
    assert "The best of 2 is partly luck" in done.stdout


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ([], "there is nothing to vary; give for example --param period=6:24:2"),
        (["period"], "--param is 'period'; write name=first:last:step or name=a,b,c"),
        (["period=6:24:0"], "--param is 'period=6:24:0'; write"),
        (["period=nan"], "--param is 'period=nan'; write"),
        (["low=1", "low=2"], "--param names low twice; keep one"),
        (["lwo=1,2"], "unknown parameter 'lwo'; did you mean 'low'"),
        (["period=0,14"], "the period of an RSI is at least 1, not 0"),
        (["risk.max_daily_trades=3"], "a sweep does not know limits that the file sets; use backtest for it"),
    ],
)
def test_a_sweep_that_cannot_be_made_is_one_sentence_and_status_2(short: str, params: list[str], said: str) -> None:
    given = [part for param in params for part in ("--param", param)]
    assert said in refused("sweep", "reference_rsi", "--data", short, *given)


# -- bench ------------------------------------------------------------------------------------------------------------


def test_bench_answers_with_its_figures(short: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benching, "REPEATS", 1)
    found = strictly("bench", "backtest", "--data", short)
    assert {"candles", "trades", "final_equity", "candles_per_s", "load_seconds", "peak_rss_mb"} <= set(found)
    swept = strictly("bench", "sweep", "--data", short)
    assert {"combinations", "trades", "seconds_per_combination", "candles_per_s", "peak_rss_mb"} <= set(swept)
    assert swept["combinations"] == 100
    page = promethean("bench", "backtest", "--data", short)
    assert page.status == 0
    assert "candles_per_s" in page.stdout


def test_bench_of_nothing_is_one_sentence() -> None:
    assert "there is no file nowhere.parquet" in refused("bench", "backtest", "--data", "nowhere.parquet")
    assert "there is no file nowhere.parquet" in refused("bench", "sweep", "--data", "nowhere.parquet")
