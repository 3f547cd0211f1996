"""`validate` over strategy files: planted mistakes are flagged, the strategies that come with the platform pass."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.planted import (
    AHEAD,
    SHORT,
    Centred,
    NextCandle,
    Planted,
    ShortWindow,
    write_planted,
    write_walk,
)

from promethean.app.backtesting import BacktestOptions, prepare, run_backtest
from promethean.app.validating import ValidateOptions, ValidationReport, run_validation, validation_object
from promethean.app.variants import remember
from promethean.config.layers import load_settings
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.strategies.catalogue import STRATEGIES

D = Decimal
OHLCV = Path("data", "ohlcv")
BTC = OHLCV / "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet"
FUTURES = OHLCV / "binance_usdm_BTCUSDT_15m_2023-01_2024-06.parquet"
GAPPED = OHLCV / "binance_spot_BTCUSDT_1h_2017-08_2021-12.parquet"
FAST = {"runs": 200, "random_runs": 20}

HOURLY = (
    "strategy: {id: hourly}\n"
    "market: {exchange: binance, symbol: BTC/USDT, primary_timeframe: 1m}\n"
    "indicators: [{name: rsi, as: RSI}, {name: sma, as: MA, params: {period: 5}, timeframes: [15m, 1h]}]\n"
    "entry: {side: buy, conditions: ['crosses_below(RSI, 40)', MA_15m < MA_1h]}\n"
    "exit: {conditions: [PRICE > MA_1h]}\n"
    "risk: {position_size_pct: 5, stop_loss_pct: 1}\n"
    "execution: {order_type: market}\n"
)
ENDLESS = (
    "strategy: {id: endless}\n"
    "market: {exchange: binance, symbol: BTC/USDT, primary_timeframe: 1m}\n"
    "indicators: [{name: obv, as: OBV}, {name: rsi, as: RSI}]\n"
    "entry: {side: buy, conditions: [RSI < 30, 'OBV > OBV[5]']}\n"
    "exit: {conditions: [RSI > 60]}\n"
    "risk: {position_size_pct: 5, stop_loss_pct: 1}\n"
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"app.home": str(tmp_path / "home")}, {}, Path.cwd())


@pytest.fixture
def short(tmp_path: Path) -> Path:
    return write_walk(tmp_path / "binance_spot_BTCUSDT_1m.csv", 3_000)


def validate(settings: Settings, strategy: str | Path, data: Path, **given: Any) -> ValidationReport:
    of_backtest = {name: given.pop(name) for name in ("since", "until", "allow_gaps", "overrides") if name in given}
    asked = BacktestOptions(str(strategy), str(data), cash=D(100_000), **of_backtest)
    return run_validation(settings, ValidateOptions(asked, **{**FAST, **given}))


def verdicts(report: ValidationReport) -> dict[str, str]:
    return {check.name: str(check.verdict) for check in report.checks}


def sentence(report: ValidationReport, name: str) -> str:
    (found,) = [check.sentence for check in report.checks if check.name == name]
    return found


# -- planted ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", AHEAD.values(), ids=AHEAD)
def test_a_planted_look_ahead_is_flagged(
    settings: Settings, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: type[Planted]
) -> None:
    report = validate(settings, write_planted(tmp_path, made, monkeypatch), short)
    assert verdicts(report)["look_ahead"] == "failed"
    assert not report.is_sound


@pytest.mark.parametrize("made", SHORT.values(), ids=SHORT)
def test_a_planted_short_warm_up_is_flagged(
    settings: Settings, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: type[Planted]
) -> None:
    report = validate(settings, write_planted(tmp_path, made, monkeypatch), short)
    assert (verdicts(report)["look_ahead"], verdicts(report)["warm_up"]) == ("passed", "failed")
    assert not report.is_sound


@pytest.mark.parametrize("made", [Centred, NextCandle, ShortWindow])
def test_planted_mistakes_are_flagged_on_real_candles(
    shared: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: type[Planted]
) -> None:
    strategy, until = write_planted(tmp_path, made, monkeypatch), datetime(2025, 5, 27, tzinfo=UTC)
    assert not validate(settings, strategy, shared / BTC, until=until).is_sound


def test_a_look_ahead_can_look_significant_which_is_why_it_decides(
    settings: Settings, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = validate(settings, write_planted(tmp_path, NextCandle, monkeypatch), short)
    assert report.significance is not None and report.significance.p_value == pytest.approx(1 / 21)
    assert not report.is_sound


# -- honest -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["rsi_reversion", "reference_rsi"])
def test_the_strategies_that_come_with_us_are_sound_on_real_candles(
    shared: Path, settings: Settings, strategy: str
) -> None:
    report = validate(settings, strategy, shared / BTC)
    found = verdicts(report)
    assert (found["look_ahead"], found["warm_up"]) == ("passed", "passed")
    assert report.is_sound
    assert report.metrics.trades > 500
    # It loses to its fees, and the other checks say so.
    assert {found[name] for name in ("walk_forward", "monte_carlo", "deflated_sharpe")} == {"failed"}


def test_both_sides_of_a_future_are_compared(shared: Path, settings: Settings) -> None:
    report = validate(settings, "rsi_reversion", shared / FUTURES)
    assert report.is_sound
    assert report.significance is not None
    assert report.significance.random_trades == pytest.approx(report.significance.trades, rel=0.05)  # as many as fit


def test_larger_timeframes_are_sound(settings: Settings, short: Path, tmp_path: Path) -> None:
    (tmp_path / "hourly.yaml").write_text(HOURLY)
    data = write_walk(tmp_path / "binance_spot_BTCUSDT_1m.csv", 20_000)
    report = validate(settings, tmp_path / "hourly.yaml", data)
    assert (verdicts(report)["look_ahead"], verdicts(report)["warm_up"]) == ("passed", "passed")
    assert report.metrics.trades > 5


def test_what_no_window_decides_is_not_judged(settings: Settings, short: Path, tmp_path: Path) -> None:
    (tmp_path / "endless.yaml").write_text(ENDLESS)
    report = validate(settings, tmp_path / "endless.yaml", short)
    assert (verdicts(report)["look_ahead"], verdicts(report)["warm_up"]) == ("passed", "not judged")
    assert sentence(report, "warm_up") == "no window decides OBV, which depends on all candles there ever were"
    assert report.is_sound


def test_a_strategy_with_a_state_of_its_own_is_not_judged(
    settings: Settings, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        window = 1

        def __init__(self, **given: Any) -> None:
            self.id, self.instrument, self.timeframe = given["id"], given["instrument"], given["timeframe"]

        def on_event(self, event: Any, view: Any) -> tuple[()]:
            return ()

        def reading(self, view: Any) -> dict[str, float]:
            return {}

    path = write_planted(tmp_path, Planted, monkeypatch)
    monkeypatch.setitem(STRATEGIES._entries, "planted_planted", Silent)
    report = validate(settings, path, short, until=None)
    assert set(verdicts(report).values()) == {"not judged"}
    assert report.is_sound


# -- data as they come ------------------------------------------------------------------------------------------------


def test_a_file_with_gaps_is_read_as_a_backtest_reads_it(shared: Path, settings: Settings) -> None:
    report = validate(settings, "reference_rsi", shared / GAPPED)
    alone = run_backtest(settings, BacktestOptions("reference_rsi", str(shared / GAPPED), cash=D(100_000)))
    assert report.result.books.cash == alone.result.books.cash
    assert report.remarks == alone.bench.remarks
    assert report.is_sound


def test_too_many_gaps_are_refused_unless_asked_for(settings: Settings, tmp_path: Path) -> None:
    holes = frozenset(range(100, 300))
    data = write_walk(tmp_path / "binance_spot_BTCUSDT_1m.csv", 3_000, missing=holes)
    with pytest.raises(ConfigError, match=r"below 95%; fill the gaps, .*--allow-gaps"):
        validate(settings, "reference_rsi", data)
    assert any(
        "of the candles are missing" in told
        for told in validate(settings, "reference_rsi", data, allow_gaps=True).remarks
    )


@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_handful_of_candles_judge_nothing_but_the_look_ahead(settings: Settings, tmp_path: Path, count: int) -> None:
    data = write_walk(tmp_path / "binance_spot_BTCUSDT_1m.csv", count)
    report = validate(settings, "reference_rsi", data)
    assert {name for name, verdict in verdicts(report).items() if verdict != "not judged"} == {"look_ahead"}
    assert sentence(report, "significance") == sentence(report, "monte_carlo") == "no trade; chance decides below 30"
    assert (report.monte_carlo, report.significance, report.deflated) == (None, None, None)
    validation_object(report)


def test_few_trades_are_shown_and_not_judged(settings: Settings, short: Path) -> None:
    report = validate(settings, "reference_rsi", short, until=None, overrides={"low": "22"})
    assert 0 < report.metrics.trades < 30
    assert {verdicts(report)[name] for name in ("monte_carlo", "significance", "deflated_sharpe")} == {"not judged"}
    assert report.monte_carlo is not None and report.significance is not None
    assert "below 30" in sentence(report, "significance")


# -- how many were tried ----------------------------------------------------------------------------------------------


def test_every_form_that_is_tried_on_the_same_data_counts(settings: Settings, short: Path) -> None:
    numbers = [
        validate(settings, "reference_rsi", short, overrides={"low": low}).tried.forms for low in ("30", "25", "30")
    ]
    assert numbers == [1, 2, 2]
    bench = prepare(settings, BacktestOptions("reference_rsi", str(short)))
    tried, remark = remember(bench, "sweep", None, forms=40, varied=["low=20:30:1"])
    assert (tried.forms, remark) == (42, None)
    report = validate(settings, "reference_rsi", short)
    assert validation_object(report)["variants_tried"] == 42


def test_more_trials_than_are_on_record_can_be_given(shared: Path, settings: Settings) -> None:
    alone = validate(settings, "reference_rsi", shared / FUTURES, overrides={"risk.position_size_quote": "1000"})
    many = validate(
        settings, "reference_rsi", shared / FUTURES, overrides={"risk.position_size_quote": "1000"}, trials=500
    )
    assert alone.deflated is not None and many.deflated is not None
    assert (alone.deflated.trials, many.deflated.trials) == (1, 500)
    assert many.deflated.expected_maximum > alone.deflated.expected_maximum == 0.0
    assert many.deflated.probability is not None and alone.deflated.probability is not None
    assert many.deflated.probability < alone.deflated.probability
    assert many.tried.forms == 1


def test_a_home_that_cannot_be_written_is_told_and_stops_nothing(short: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    report = validate(load_settings({"app.home": str(tmp_path / "file")}, {}, Path.cwd()), "reference_rsi", short)
    assert report.tried.forms == 1
    assert any("what was tried is not on record: the home" in remark for remark in report.remarks)


# -- the same again ---------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_answer(settings: Settings, short: Path) -> None:
    first, second = (validation_object(validate(settings, "reference_rsi", short)) for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"windows": 1}, "--windows is 1; it lies between 2 and 1,000"),
        ({"runs": 0}, "--runs is 0; it lies between 100 and 1,000,000"),
        ({"random_runs": 19}, "--random-runs is 19; it lies between 20 and 100,000"),
        ({"trials": 0}, "--trials is 0; it lies between 1 and"),
        ({"ruin_pct": D(0)}, "--ruin-pct is 0; it lies between 0 and 100"),
        ({"ruin_pct": D(100)}, "--ruin-pct is 100; it lies between 0 and 100"),
    ],
)
def test_a_number_that_cannot_be_used_is_refused(
    settings: Settings, short: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        validate(settings, "reference_rsi", short, **given)
