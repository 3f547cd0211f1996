"""`optimize` on a real database: each trial is a backtest, the best is confirmed, and nothing is lost by a kill."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from tests.app.minutes import D, invented, options
from tests.test_crash import folder

from promethean.app import optimising
from promethean.app.backtesting import BacktestOptions, prepare, run_backtest
from promethean.app.optimising import OptimizeReport, Wanted, run_optimize
from promethean.app.optimising_answers import optimize_object
from promethean.config.layers import load_settings
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.evaluation.judging import Judge, Stretch, excerpt
from promethean.storage.postgres_server import EmbeddedPostgres, connect_or_start

DAYS = 60
BTC = Path("data", "ohlcv", "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet")
RANGES = ("period=5:14", "low=25:45", "high=55:75:5")
WAIT_S = 60.0


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home whose server runs: tests of this module find it there."""
    with folder() as path:
        invented(path / "binance_spot_BTCUSDT_15m.csv", DAYS)
        with EmbeddedPostgres(path / "home"):
            yield path / "home"


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings({"app.home": str(home)}, {}, Path.cwd())


@pytest.fixture
def asked(home: Path) -> BacktestOptions:
    return options(home.parent / "binance_spot_BTCUSDT_15m.csv")


def run(settings: Settings, asked: BacktestOptions, **wanted: Any) -> OptimizeReport:
    return run_optimize(settings, asked, Wanted(**{"params": RANGES, "trials": 20, **wanted}), lambda *_: None)


# -- the record of what was tried ------------------------------------------------------------------------------------


def test_what_a_search_tried_is_on_record_once_as_far_as_it_came(settings: Settings, asked: BacktestOptions) -> None:
    there = run_backtest(settings, replace(asked, overrides={"low": "21"})).tried.forms
    for trials in (3, 5, 5):
        report = run(settings, asked, study="on record", trials=trials)
        assert report.found.count == trials
        assert optimize_object(report, 1)["variants_tried"] == report.tried.forms == there + trials
    assert run_backtest(settings, replace(asked, overrides={"low": "21"})).tried.forms == there + 5


# -- trials are backtests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["sharpe", "return", "profit_factor", "sortino", "calmar"])
def test_every_trial_is_the_backtest_with_its_values(
    settings: Settings, asked: BacktestOptions, objective: str
) -> None:
    report = run(settings, asked, objective=objective, trials=6)
    assert len(report.found.tried) == 6
    for tried in report.found.tried:
        found = run_backtest(settings, replace(asked, overrides=tried.parameters)).metrics
        figures = {
            "sharpe": found.sharpe,
            "return": found.return_pct,
            "profit_factor": found.profit_factor,
            "sortino": found.sortino,
            "calmar": -found.return_pct * 365 / found.days / found.max_drawdown_pct,
        }
        assert tried.value == figures[objective]
        assert (tried.result["trades"], tried.result["return_pct"]) == (found.trades, found.return_pct)


def test_the_best_is_confirmed_through_the_engine(settings: Settings, asked: BacktestOptions) -> None:
    report = run(settings, asked)
    found = optimize_object(report, 5)
    values = [row["objective"] for row in found["top"]]
    assert (len(values), values) == (5, sorted(values, reverse=True))
    assert found["confirmed"]["agrees"] is True
    assert found["confirmed"]["parameters"] == found["top"][0]["parameters"]
    assert found["confirmed"]["final_equity"] == report.books.cash
    assert found["confirmed"]["trades"] == found["top"][0]["trades"]
    assert (found["combinations"], found["combinations_possible"]) == (20, 10 * 21 * 5)


def test_keys_of_the_file_and_classes_are_searched_too(
    settings: Settings, asked: BacktestOptions, tmp_path: Path
) -> None:
    strategy = tmp_path / "mine.yaml"
    strategy.write_text(
        "strategy: {id: mine, class: rsi_reversion}\n"
        "market: {exchange: binance, symbol: BTC/USDT, primary_timeframe: 15m}\n"
        "parameters: {rsi_period: 14, oversold: 30, overbought: 70, position_size_pct: 5}\n"
        "exits: {stop_loss_pct: 1}\n"
        "execution: {order_type: market, latency_ms: 0, participation_max: unlimited}\n"
    )
    wanted = ("exits.stop_loss_pct=0.5:3", "oversold=30:70:10", "overbought=40:70:10")
    report = run(settings, replace(asked, strategy=str(strategy)), params=wanted, trials=40, sampler="random")
    assert any("oversold" in reason for reason in report.found.pruned), report.found.pruned
    assert all(int(t.parameters["oversold"]) < int(t.parameters["overbought"]) for t in report.found.tried)
    assert report.best.stepped is None


def test_limits_of_the_file_are_kept_step_by_step(settings: Settings, asked: BacktestOptions) -> None:
    limited = replace(asked, overrides={"risk.max_daily_trades": "1"})
    report = run(settings, limited, trials=3, walk_forward=1, trades_min=1)
    (fold,) = report.folds
    assert fold.outside is not None and fold.outside.stepped is not None
    assert 1 <= fold.outside.metrics.trades <= fold.outside.metrics.days
    found = optimize_object(report, 3)
    assert any("step by step, which is slow: limits that" in remark for remark in found["remarks"])
    one = run_backtest(settings, replace(limited, overrides={**limited.overrides, **report.found.tried[0].parameters}))
    assert one.metrics.sharpe == report.found.tried[0].value
    assert found["confirmed"]["agrees"] is True


def test_without_ranges_the_numbers_of_the_file_are_varied_and_it_is_said(
    settings: Settings, asked: BacktestOptions
) -> None:
    found = optimize_object(run(settings, asked, params=(), trials=15, trades_min=1), 3)
    assert set(found["ranges"]) == {"period", "low", "high"}
    assert any(remark.startswith("no --param was given") for remark in found["remarks"])


# -- what it says about luck ------------------------------------------------------------------------------------------


def test_doubts_and_the_map_are_those_of_what_was_tried(settings: Settings, asked: BacktestOptions) -> None:
    found = optimize_object(run(settings, asked, trials=30), 3)
    doubts, stability = found["doubts"], found["stability"]
    assert (doubts["combinations"], doubts["days"]) == (30, DAYS)
    assert 0 <= doubts["probability_of_overfitting"] <= 1
    assert 0 <= doubts["deflated_sharpe"] <= 1
    assert set(stability["importance"]) == {"period", "low", "high"}
    assert all(0 <= share <= 1 for share in stability["importance"].values())
    best = found["top"][0]["parameters"]
    for neighbour in stability["neighbours"]:
        assert sum(neighbour["parameters"][name] != best[name] for name in best) == 1
    for rows in stability["map"].values():
        assert sum(row["combinations"] for row in rows) == 30
        assert max(row["objective_best"] for row in rows) == found["top"][0]["objective"]


def test_walk_forward_judges_on_candles_that_the_choice_has_not_seen(
    settings: Settings, asked: BacktestOptions
) -> None:
    report = run(settings, asked, trials=12, walk_forward=4, trades_min=3)
    found = optimize_object(report, 3)["walk_forward"]
    assert len(found["folds"]) == 4
    for fold, each in zip(found["folds"], report.folds, strict=True):
        assert fold["in_sample"]["to"] < fold["out_of_sample"]["from"]
        assert each.best is not None and each.inside is not None and each.outside is not None
        assert each.inside.value == each.best.value, "what was chosen is what was seen"
        assert fold["out_of_sample"]["return_pct"] == each.outside.metrics.return_pct
    gains = [fold["out_of_sample"]["return_pct"] for fold in found["folds"]]
    assert found["out_of_sample_return_pct"] == pytest.approx(100 * (np.prod([1 + g / 100 for g in gains]) - 1))
    assert found["profitable_folds"] == sum(gain > 0 for gain in gains)


def test_a_stretch_is_judged_as_if_its_indicators_had_seen_what_came_before(
    settings: Settings, asked: BacktestOptions
) -> None:
    hunt = optimising._Hunt(prepare(settings, asked), asked, Wanted(RANGES), lambda *_: None)
    variant = hunt._variant({"period": "14", "low": "40", "high": "60"})
    frame, stretch = hunt._frame, Stretch(1000, 3000)
    said = variant.strategy.say(frame)
    part = excerpt(said, stretch)
    assert np.array_equal(part.side, said.side[1000:3000])
    assert {name: len(array) for name, array in part.readings.items()} == dict.fromkeys(part.readings, 2000)
    assert not np.isnan(next(iter(part.readings.values()))).any(), "warm from the first candle on"
    judged = Judge(frame, stretch, "return", 1)(variant)
    assert judged.metrics.trades > 5
    assert len(judged.daily) == judged.metrics.days == 22


# -- the same search goes on ------------------------------------------------------------------------------------------


def test_the_same_search_goes_on_and_another_seed_is_another_search(settings: Settings, asked: BacktestOptions) -> None:
    first = run(settings, asked, trials=10, seed=5)
    more = run(settings, asked, trials=14, seed=5)
    assert (first.found.before, more.found.before, more.found.count) == (0, 10, 14)
    assert first.study == more.study != run(settings, asked, trials=2, seed=6).study


def test_two_searches_with_one_seed_under_two_names_find_the_same(settings: Settings, asked: BacktestOptions) -> None:
    ways = [run(settings, asked, study=name, trials=16) for name in ("one", "two")]
    assert [t.parameters for t in ways[0].found.tried] == [t.parameters for t in ways[1].found.tried]
    assert ways[0].found.before == ways[1].found.before == 0


@pytest.mark.parametrize(
    ("change", "wanted", "said"),
    [
        ({"cash": D(50_000)}, {}, "cash was 100000, is 50000"),
        ({"overrides": {"risk.stop_loss_pct": "3"}}, {}, "strategy was reference-rsi, content"),
        ({"overrides": {"execution.fee_taker_pct": "0.2"}}, {}, "orders was content"),
        ({}, {"objective": "return"}, "objective was sharpe, of 10 trades and more, is return, of 10"),
        ({}, {"trades_min": 5}, "objective was sharpe, of 10 trades and more, is sharpe, of 5"),
        ({}, {"params": ("period=5:15", *RANGES[1:])}, "ranges was period=5,6..14"),
    ],
)
def test_a_study_that_was_made_of_something_else_is_refused_with_what_differs(
    settings: Settings, asked: BacktestOptions, change: dict[str, Any], wanted: dict[str, Any], said: str
) -> None:
    run(settings, asked, study="kept", trials=2, sampler="random")
    with pytest.raises(ConfigError, match="the study kept was made of something else: ") as refused:
        run(settings, replace(asked, **change), **{"study": "kept", "trials": 2, **wanted})
    assert said in str(refused.value)
    assert "choose another name with --study" in str(refused.value)


def test_other_candles_under_one_name_are_refused(settings: Settings, asked: BacktestOptions, home: Path) -> None:
    run(settings, asked, study="candles", trials=2)
    (home.parent / "other").mkdir(exist_ok=True)
    other = invented(home.parent / "other" / "binance_spot_BTCUSDT_15m.csv", DAYS, seed=2)
    with pytest.raises(ConfigError, match=r"data was BTC/USDT 15m, content \w+, is BTC/USDT 15m, content"):
        run(settings, replace(asked, data=str(other)), study="candles", trials=2)


# -- processes --------------------------------------------------------------------------------------------------------


def started(home: Path, *arguments: str) -> subprocess.Popen[str]:
    params = [part for param in RANGES for part in ("--param", param)]
    data = str(home.parent / "binance_spot_BTCUSDT_15m.csv")
    return subprocess.Popen(
        [sys.executable, "-m", "promethean", "--home", str(home), "optimize", "reference_rsi", "--data", data,
         "--cash", "100000", *params, *arguments, "--json"],
        env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def trials_of(home: Path, name: str) -> int:
    """Finished trials of a study, asked of the running server."""

    async def ask(dsn: str) -> int:
        connection = await asyncpg.connect(dsn)
        try:
            if await connection.fetchval("SELECT to_regclass('optuna.trials')") is None:
                return 0
            query = (
                "SELECT count(*) FROM optuna.trials JOIN optuna.studies USING (study_id) "
                "WHERE study_name = $1 AND state IN ('COMPLETE', 'PRUNED')"
            )
            return int(await connection.fetchval(query, name))
        finally:
            await connection.close()

    dsn, server = connect_or_start(home)
    assert server is None, "the module's server runs"
    return asyncio.run(ask(dsn))


def await_trials(home: Path, name: str, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while trials_of(home, name) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_search_killed_on_its_way_goes_on_to_what_it_would_have_found(
    settings: Settings, asked: BacktestOptions, home: Path
) -> None:
    process = started(home, "--study", "killed", "--trials", "300")
    await_trials(home, "killed", 8, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=WAIT_S)
    there = trials_of(home, "killed")
    assert 8 <= there < 300
    again = run(settings, asked, study="killed", trials=there + 4)
    assert (again.found.before, again.found.count) == (there, there + 4)
    whole = run(settings, asked, study="whole", trials=there + 4)
    known = {each.picks: each.value for each in whole.found.tried}
    same = sum(known.get(each.picks) == each.value for each in again.found.tried)
    assert same >= there, "what was there before the kill is what a search without one has tried"


def test_two_processes_share_one_study(home: Path) -> None:
    processes = [started(home, "--study", "shared", "--trials", "20") for _ in range(2)]
    answers = []
    for process in processes:
        out, err = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0, f"{out}\n{err}"
        answers.append(json.loads(out.splitlines()[-1]))
    assert 20 <= trials_of(home, "shared") <= 21, "each looks before it begins a trial"
    assert answers[0]["confirmed"] == answers[1]["confirmed"]
    assert answers[0]["confirmed"]["agrees"] is True


def test_a_search_goes_on_when_the_process_that_ran_the_server_is_killed() -> None:
    with folder() as path:
        home = path / "home"
        invented(path / "binance_spot_BTCUSDT_15m.csv", DAYS)
        with owner(home) as server:
            search = started(home, "--study", "own", "--trials", "40")
            await_trials(home, "own", 3, search)
            server.send_signal(signal.SIGKILL)
            out, err = search.communicate(timeout=WAIT_S)
        assert search.returncode == 0, f"{out}\n{err}"
        assert err == ""
        assert json.loads(out.splitlines()[-1])["combinations"] == 40


@contextmanager
def owner(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the server of a home and does nothing else."""
    program = (
        "import sys, time, pathlib\n"
        "from promethean.storage.postgres_server import EmbeddedPostgres\n"
        "EmbeddedPostgres(pathlib.Path(sys.argv[1])).start()\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=WAIT_S)


# -- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"objective": "sharp"}, "--objective is 'sharp'; write one of sharpe, return, profit_factor, sortino, calmar"),
        ({"trials": 0}, "--trials is 0; write a number from 1 to 100,000"),
        ({"trials": 100_001}, "--trials is 100001"),
        ({"trades_min": 0}, "--trades-min is 0; write 1 or more"),
        ({"study": " "}, "--study is ' '; a name has 1 to 100 printable characters"),
        ({"study": "a\nb"}, "a name has 1 to 100 printable characters"),
        ({"study": "x" * 101}, "a name has 1 to 100 printable characters"),
        ({"sampler": "cmaes"}, "--sampler is 'cmaes'; write one of tpe, random, grid"),
        ({"seed": -1}, "--seed is -1"),
        ({"walk_forward": -2}, "--walk-forward is -2; write a number from 1 to 100"),
        ({"walk_forward": 60}, r"cuts 60\.0 days into 63 parts of 1\.0 days, and each needs 2; give 26 or fewer"),
        ({"params": ("lwo=20:30",)}, "unknown parameter 'lwo'; did you mean 'low'"),
        ({"params": ("risk.stop_los_pct=1:3",)}, "unknown key 'stop_los_pct'; did you mean 'stop_loss_pct'"),
        ({"params": ("period=0,-1",)}, "the period of an RSI is at least 1"),
        ({"params": ("low=1:2",), "trials": 5}, "none of 2 parameter sets is of use; 2 times: fewer than 10 trades"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    settings: Settings, asked: BacktestOptions, wanted: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        run(settings, asked, **wanted)


def test_too_little_cash_is_told_as_what_it_is(settings: Settings, asked: BacktestOptions) -> None:
    with pytest.raises(ConfigError, match="not enough cash"):
        run(settings, replace(asked, cash=D(5)), trials=4)


# -- real candles -----------------------------------------------------------------------------------------------------


def test_real_minutes_are_searched_and_confirmed(shared: Path, settings: Settings) -> None:
    report = run(settings, options(shared / BTC), params=("period=6:24:2", "low=20:35"), trials=12)
    found = optimize_object(report, 10)
    assert found["candles"] == 105_120
    assert found["confirmed"]["agrees"] is True
    assert found["top"][0]["trades"] >= 10
