"""Single trades in backtests, replays and validations: the VWAP is theirs where they cover the session."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.app.minutes import FIRST_MS, MINUTE_MS, candles
from tests.app.runs import Onlooker, Place

from promethean.app import backtesting
from promethean.app.backtest_answers import as_object, write_report
from promethean.app.backtesting import BacktestOptions, prepare, run_backtest
from promethean.app.optimising import Wanted, run_optimize
from promethean.app.optimising_answers import optimize_object
from promethean.app.replaying import replay_object, run_replay
from promethean.app.sweeping import run_sweep, sweep_object
from promethean.app.validating import ValidateOptions, run_validation, validation_object
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.evaluation.stepped import SteppedBacktest
from promethean.indicators.volume.true_vwap import minute_tallies, quiet_minutes, true_vwap
from promethean.indicators.volume.vwap import OF_CANDLES
from promethean.runtime.stopping import Stopping
from promethean.storage.postgres_server import remove_database
from promethean.strategies.arrays import ArrayStrategy, Said
from promethean.strategies.frame import Frame

XRP = "binance_spot_XRPETH"
DEVIATIONS = 0.8
EAGER_FILE = """
strategy: {id: eager, class: vwap_reversion, aggregation_mode: weighted, signal_threshold: 0.6}
market: {exchange: binance, symbol: XRP/ETH, market_type: spot, primary_timeframe: TIMEFRAME}
parameters: {deviations: 0.8, warmup_minutes: 0, position_size_pct: 50}
exits: {stop_loss_pct: 2, max_hold_time_minutes: 240}
execution: {order_type: market, slippage_bps: 1, latency_ms: 0, participation_max: unlimited}
"""


def material(shared: Path, *parts: str) -> Path:
    path = shared.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"needs the recorded {path.name}, which is absent")
    return path


def eager(folder: Path, timeframe: str = "1m") -> str:
    path = folder / f"eager_{timeframe}.yaml"
    path.write_text(EAGER_FILE.replace("TIMEFRAME", timeframe))
    return str(path)


def asked(shared: Path, folder: Path, timeframe: str = "1m", **given: Any) -> BacktestOptions:
    """Two days and a half of XRP/ETH, whose candles were made of these trades; quiet minutes have none."""
    return BacktestOptions(
        eager(folder, timeframe),
        str(material(shared, "ohlcv", f"{XRP}_{timeframe}_2019-10.parquet")),
        **{"tape": str(material(shared, "trades", f"{XRP}_trades_2019-10.parquet")), "allow_gaps": True, **given},
    )


def said_by(settings: Settings, options: BacktestOptions) -> Said:
    bench = prepare(settings, options)
    strategy = bench.strategy()
    assert isinstance(strategy, ArrayStrategy)
    return strategy.say(bench.frame())


def recorded(options: BacktestOptions) -> tuple[Any, Any, Any]:
    """Instants in ns, prices and amounts of the file of trades, by nothing of ours."""
    table = pq.read_table(options.tape)
    at_ms, price, amount = (np.array(table[name].to_pylist()) for name in ("timestamp", "price", "amount"))
    return at_ms, price, amount


# -- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeframe", ["1m", "5m"])
def test_every_candle_has_the_average_of_the_trades_of_its_day_up_to_its_close(
    settings: Settings, shared: Path, tmp_path: Path, timeframe: str
) -> None:
    options = asked(shared, tmp_path, timeframe)
    said, opens = said_by(settings, options), prepare(settings, options).candles.open_time_ns
    at_ms, price, amount = recorded(options)
    assert np.isnan(said.readings["VWAP (candles)"]).all()
    minutes = int(timeframe[:-1])
    for place, open_ms in enumerate((opens // 10**6).tolist()):
        rows = (at_ms >= open_ms // 86_400_000 * 86_400_000) & (at_ms < open_ms + minutes * MINUTE_MS)
        weight = math.fsum(amount[rows])
        mean = math.fsum(amount[rows] * price[rows]) / weight
        reach = DEVIATIONS * math.sqrt(math.fsum(amount[rows] * (price[rows] - mean) ** 2) / weight)
        found = [said.readings[name][place] for name in ("VWAP", "upper band", "lower band")]
        assert found == pytest.approx([mean, mean + reach, mean - reach], rel=1e-12, abs=1e-12 * mean), place


def test_the_readings_are_those_of_the_indicator(settings: Settings, shared: Path, tmp_path: Path) -> None:
    options = asked(shared, tmp_path)
    said, c = said_by(settings, options), prepare(settings, options).candles
    at_ms, price, amount = recorded(options)
    number = np.array(pq.read_table(options.tape)["trade_id"].to_pylist(), np.int64)
    tallies, quiet = minute_tallies(at_ms * 10**6, price, amount), quiet_minutes(at_ms // MINUTE_MS, number)
    found = true_vwap(c.open_time_ns, c.high, c.low, c.close, c.volume, tallies, deviations=DEVIATIONS, quiet=quiet)
    assert not found.approximation.any() and len(quiet) > 1000
    for name, values in (("VWAP", found.vwap), ("upper band", found.upper), ("lower band", found.lower)):
        assert said.readings[name] == pytest.approx(values, rel=1e-12, nan_ok=True)
    unproven = true_vwap(c.open_time_ns, c.high, c.low, c.close, c.volume, tallies, deviations=DEVIATIONS)
    assert unproven.approximation.mean() > 0.9, "without the numbers a minute without a candle may be anything"


def test_with_its_trades_the_backtest_of_real_candles_is_another_one(
    settings: Settings, shared: Path, tmp_path: Path
) -> None:
    true = run_backtest(settings, asked(shared, tmp_path))
    rough = run_backtest(settings, asked(shared, tmp_path, tape=None))
    found, bare = (as_object(report, with_trades=True) for report in (true, rough))
    assert found["trades"] == bare["trades"] == 5
    assert found["trade_list"] != bare["trade_list"]
    assert (f"{found['final_equity']:.2f}", f"{bare['final_equity']:.2f}") == ("8822.25", "8821.77")
    assert (found["tape"], bare["tape"]) == (f"{XRP}_trades_2019-10.parquet", None)
    told = "eager reads the VWAP over single trades at 2,469 of 2,469 candles (100.0%)"
    assert told in found["remarks"] and not any(OF_CANDLES in remark for remark in found["remarks"])
    assert OF_CANDLES in bare["remarks"]
    page = tmp_path / "page.html"
    write_report(true, page)
    assert "12,477 of binance_spot_XRPETH_trades_2019-10.parquet" in page.read_text()


def test_a_day_without_its_trades_is_as_without_a_tape(settings: Settings, shared: Path, tmp_path: Path) -> None:
    options = asked(shared, tmp_path)
    table, border_ms = pq.read_table(options.tape), 1_570_838_400_000  # 2019-10-12
    first = tmp_path / f"{XRP}_trades_first_day.parquet"
    pq.write_table(table.filter(table["timestamp"].to_numpy() < border_ms), first)
    half, bare = (said_by(settings, asked(shared, tmp_path, tape=tape)) for tape in (str(first), None))
    border = int(np.searchsorted(prepare(settings, options).candles.open_time_ns, border_ms * 10**6))
    assert np.isnan(half.readings["VWAP"][border:]).all() and not np.isnan(half.readings["VWAP"][:border]).any()
    for name, values in bare.readings.items():
        assert np.array_equal(half.readings[name][border:], values[border:], equal_nan=True), name
    assert np.array_equal(half.side[border:], bare.side[border:])
    assert (half.side != 0)[border:].any() and (half.readings["upper band"] != bare.readings["upper band"])[
        :border
    ].any()


def test_compiled_stepped_and_replayed_it_comes_to_the_same(place: Place, shared: Path, tmp_path: Path) -> None:
    settings, options = place.settings("home-trades"), asked(shared, tmp_path)
    report = run_backtest(settings, options)
    bench = report.bench
    assert report.result.stepped is None
    stepped = SteppedBacktest(backtesting.desk_of(bench, bench.candles), bench.terms, bench.candles, bench.cash).run()
    try:
        replayed = run_replay(settings, options, Onlooker(), Stopping())
        without = run_replay(settings, asked(shared, tmp_path, tape=None), Onlooker(), Stopping())
    finally:
        remove_database(settings.app.home)
    assert stepped.parts == replayed.books.parts == report.result.books.parts
    assert without.books.parts != replayed.books.parts
    found = replay_object(replayed, with_trades=False)
    assert found["tape"] == f"{XRP}_trades_2019-10.parquet"
    assert not any(OF_CANDLES in remark for remark in found["remarks"])


def test_a_replay_that_was_stopped_goes_on_with_the_same_trades_alone(
    place: Place, shared: Path, tmp_path: Path
) -> None:
    settings, whole = place.settings("home-tapes"), asked(shared, tmp_path)
    assert whole.tape is not None
    fewer = tmp_path / "fewer.parquet"
    pq.write_table(pq.read_table(whole.tape).slice(0, 5_000), fewer)

    def stop_early(tape: str | None) -> str:
        stopping = Stopping()
        report = run_replay(settings, asked(shared, tmp_path, tape=tape), Onlooker(1, stopping.ask), stopping)
        assert not report.summary.finished
        return report.summary.account

    tapes = [whole.tape, None, str(fewer)]
    try:
        names = [stop_early(tape) for tape in tapes]
        assert len(set(names)) == 3
        assert [stop_early(tape) for tape in tapes] == names
    finally:
        remove_database(settings.app.home)


def test_a_part_of_the_candles_has_the_trades_of_that_part(settings: Settings, shared: Path, tmp_path: Path) -> None:
    since, until = datetime(2019, 10, 12, tzinfo=UTC), datetime(2019, 10, 13, tzinfo=UTC)
    options = asked(shared, tmp_path, since=since, until=until)
    trades = prepare(settings, options).trades
    assert trades is not None
    at_ns = recorded(options)[0] * 10**6
    inside = (at_ns >= since.timestamp() * 1e9) & (at_ns < until.timestamp() * 1e9)
    assert trades.at_ns.tolist() == at_ns[inside].tolist()
    whole = said_by(settings, asked(shared, tmp_path)).readings["VWAP"]
    opens = prepare(settings, asked(shared, tmp_path)).candles.open_time_ns
    first, last = np.searchsorted(opens, [int(since.timestamp()) * 10**9, int(until.timestamp()) * 10**9]).tolist()
    assert np.array_equal(said_by(settings, options).readings["VWAP"], whole[first:last])


def test_it_is_sound_with_its_trades(settings: Settings, shared: Path, tmp_path: Path) -> None:
    report = run_validation(settings, ValidateOptions(asked(shared, tmp_path), runs=100, random_runs=20))
    found = validation_object(report)
    assert {check["name"]: check["verdict"] for check in found["checks"][:2]} == {
        "look_ahead": "passed",
        "warm_up": "passed",
    }
    assert found["tape"] == f"{XRP}_trades_2019-10.parquet"
    assert any("at 2,469 of 2,469 candles" in remark for remark in found["remarks"])


def test_a_strategy_that_reads_later_trades_is_found_out(
    settings: Settings, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shorter histories do not have them."""
    honest = Frame.true_vwap

    def knowing(frame: Frame, deviations: float) -> Any:
        found = honest(frame, deviations)
        last = frame.trades.price[-1] if frame.trades is not None else 1.0
        return found._replace(vwap=found.vwap + last)

    monkeypatch.setattr(Frame, "true_vwap", knowing)
    report = run_validation(settings, ValidateOptions(asked(shared, tmp_path), runs=100, random_runs=20))
    assert not report.is_sound


def test_a_sweep_and_a_search_read_the_trades_too(settings: Settings, shared: Path, tmp_path: Path) -> None:
    options = asked(shared, tmp_path)
    alone = run_backtest(settings, asked(shared, tmp_path, overrides={"deviations": "1"})).result.books
    report = run_sweep(settings, options, ["deviations=0.8,1"], lambda *_: None)
    outcome = next(each for each in report.outcomes if each.parameters["deviations"] == "1")
    assert outcome.final_equity == pytest.approx(float(alone.cash), abs=1e-6)
    found = sweep_object(report, 2)
    assert found["confirmed"]["agrees"] and found["tape"] == f"{XRP}_trades_2019-10.parquet"
    try:
        search = run_optimize(
            settings, options, Wanted(params=("deviations=0.8,1",), trials=2, objective="return", trades_min=1),
            lambda *_: None,
        )  # fmt: skip
    finally:
        remove_database(settings.app.home)
    assert optimize_object(search, 2)["tape"] == f"{XRP}_trades_2019-10.parquet"
    best = max(report.outcomes, key=lambda each: each.final_equity)
    assert search.found.tried[0].parameters == best.parameters


def test_minutes_at_the_end_of_a_day_leave_its_average_to_the_candles(
    settings: Settings, shared: Path, tmp_path: Path
) -> None:
    days: dict[str, Any] = {"since": datetime(2024, 8, 8, tzinfo=UTC), "until": datetime(2024, 8, 10, tzinfo=UTC)}
    data = str(material(shared, "ohlcv", "binance_spot_BTCUSDT_1m_2024-07_2024-08.parquet"))
    tape = str(material(shared, "trades", "binance_spot_BTCUSDT_trades_2024-08-08.parquet"))
    options = BacktestOptions(eager(tmp_path), data, tape=tape, **days)
    true, rough = said_by(settings, options), said_by(settings, BacktestOptions(eager(tmp_path), data, **days))
    assert np.isnan(true.readings["VWAP"]).all()
    for name, values in rough.readings.items():
        assert np.array_equal(true.readings[name], values, equal_nan=True)
    assert as_object(run_backtest(settings, options), with_trades=False)["remarks"] == [
        "finer data hold all of 5 of 2,880 candles and say there what was touched first; "
        "elsewhere a stop goes before a target",
        "eager reads the VWAP over single trades at 0 of 2,880 candles (0.0%)",
        f"elsewhere {OF_CANDLES}",
    ]


# -- what is refused, and what is told --------------------------------------------------------------------------------


@pytest.fixture
def short(tmp_path: Path) -> Iterator[Path]:
    yield candles(tmp_path / f"{XRP}_1m.csv", 600)  # 2025-05-20, ten hours


def tape(path: Path, *at_ms: int, again: bool = False) -> str:
    rows = [f"{each},{number},100000,1,buy" for number, each in enumerate(at_ms)]
    path.write_text("\n".join(["timestamp,trade_id,price,amount,side", *rows, *rows[:1] * again]) + "\n")
    return str(path)


def remarks(settings: Settings, data: Path, given: str, strategy: str = "vwap_reversion") -> list[str]:
    found: list[str] = as_object(
        run_backtest(settings, BacktestOptions(strategy, str(data), cash=Decimal(100_000), tape=given)),
        with_trades=False,
    )["remarks"]
    return found


def test_trades_that_came_before_are_left_out_and_told(settings: Settings, short: Path, tmp_path: Path) -> None:
    told = remarks(settings, short, tape(tmp_path / "some.csv", FIRST_MS, FIRST_MS + 5, again=True))
    assert told[0] == "rows of some.csv left out because their trade_id came before: 1"
    assert "hold all of 0 of 600 candles" in told[1]
    assert "at 0 of 600 candles" in told[2]


def test_trades_of_another_venue_are_told(settings: Settings, short: Path, tmp_path: Path) -> None:
    told = remarks(settings, short, tape(tmp_path / "bybit_spot_XRPETH_trades.csv", FIRST_MS))
    assert told[0] == "the trades are those of bybit, the candles those of binance"


@pytest.mark.parametrize(
    ("name", "at_ms", "said"),
    [
        ("binance_spot_ETHUSDT_trades.csv", FIRST_MS, "holds trades of ETH/USDT by its name, and XRP/ETH is traded"),
        (
            "binance_usdm_XRPETH_trades.csv",
            FIRST_MS,
            "holds trades of binance:XRP/ETH-PERP by its name, and XRP/ETH is",
        ),
        (
            "some.csv",
            FIRST_MS - 1,
            r"some\.csv has trades of 2025-05-19 23:59:59 to .*, none of 2025-05-20 00:00:00 to",
        ),
        ("some.csv", FIRST_MS + 600 * MINUTE_MS, "none of 2025-05-20 00:00:00 to 2025-05-20 10:00:00; give the trades"),
    ],
)
def test_trades_that_do_not_belong_to_the_candles_are_refused(
    settings: Settings, short: Path, tmp_path: Path, name: str, at_ms: int, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        remarks(settings, short, tape(tmp_path / name, at_ms))


def test_a_strategy_that_reads_no_trades_has_what_a_candle_touched_first(
    settings: Settings, short: Path, tmp_path: Path
) -> None:
    told = remarks(settings, short, tape(tmp_path / "some.csv", FIRST_MS), "reference_rsi")
    assert any("and say there what was touched first" in remark for remark in told)
    assert not any("VWAP" in remark for remark in told)


def test_candles_shorter_than_a_minute_are_given_none(settings: Settings, shared: Path, tmp_path: Path) -> None:
    feed = material(shared, "orderbook", "raw_feed", "binance_spot_btcusdt_20240808.gz")
    given = str(material(shared, "trades", "binance_spot_BTCUSDT_trades_2024-08-08.parquet"))
    options = BacktestOptions(eager(tmp_path, "1s"), str(feed), tape=given)
    with pytest.raises(ConfigError, match="trades are added up by the minute, longer than candles of 1s; leave --tape"):
        prepare(settings, options)
