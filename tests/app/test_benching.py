"""The measurements of backtest and sweep: their fields, and that they are of the reference work."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from promethean.app import benching
from promethean.config.layers import load_settings
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.runtime.memory import peak_rss_mb

MINUTE_MS = 60_000


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(benching, "REPEATS", 1)
    monkeypatch.setattr(benching, "REPEATS_ON_CANDLE", 1)
    return load_settings({"app.home": "home"}, {}, Path.cwd())


@pytest.fixture
def candles(tmp_path: Path) -> Path:
    path = tmp_path / "binance_spot_BTCUSDT_1m.csv"
    lines = ["timestamp,open,high,low,close,volume"]
    for number in range(500):
        price = 100_000 - 50 * min(number % 60, 60 - number % 60)
        time = 1_747_699_200_000 + number * MINUTE_MS
        lines.append(f"{time},{price},{price + 20},{price - 20},{price},50.5")
    path.write_text("\n".join(lines) + "\n")
    return path


def assert_figures(found: dict[str, Any], names: set[str]) -> None:
    assert names <= set(found)
    for name, value in found.items():
        if isinstance(value, float):
            assert math.isfinite(value) and value >= 0, name


def test_the_backtest_is_measured(settings: Settings, candles: Path) -> None:
    found = benching.bench_backtest(settings, candles)
    assert_figures(
        found, {"candles", "trades", "final_equity", "candles_per_s", "seconds", "load_seconds", "peak_rss_mb"}
    )
    assert found["on_candle_candles_per_s"] * found["on_candle_seconds"] == pytest.approx(500, rel=0.01)
    assert found["moving_exits_candles_per_s"] * found["moving_exits_seconds"] == pytest.approx(500, rel=0.01)
    assert found["moving_exits_trades"] > 0
    assert (found["data"], found["candles"]) == (candles.name, 500)
    assert found["trades"] > 0
    assert found["candles_per_s"] * found["seconds"] == pytest.approx(500, rel=0.01)
    assert isinstance(found["final_equity"], str)


def test_the_sweep_is_measured_over_a_hundred_combinations(settings: Settings, candles: Path) -> None:
    found = benching.bench_sweep(settings, candles)
    assert_figures(
        found, {"combinations", "trades", "seconds", "seconds_per_combination", "candles_per_s", "peak_rss_mb"}
    )
    assert (found["combinations"], found["candles"]) == (100, 500)
    assert found["seconds_per_combination"] * 100 == pytest.approx(found["seconds"], rel=0.01, abs=1e-4)


def test_without_a_file_the_candles_are_invented_and_called_so(settings: Settings) -> None:
    found = benching.bench_backtest(settings, None)
    assert found["data"] == "synthetic candles, invented from the seed"
    assert (found["candles"], found["trades"] > 100) == (525_600, True)
    assert benching.bench_backtest(settings, None)["final_equity"] == found["final_equity"], "the seed decides"


def test_a_file_that_cannot_be_used_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        benching.bench_backtest(settings, tmp_path / "nowhere.parquet")


def test_memory_is_counted_in_mebibytes() -> None:
    assert 10 < peak_rss_mb() < 100_000


@pytest.mark.soak  # it compiles everything anew
def test_the_first_run_after_an_install_computes_for_less_than_ten_seconds(
    candles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    command = [sys.executable, "-m", "promethean", "backtest", "reference_rsi", "--data", str(candles), "--json"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert list((tmp_path / "kernels").rglob("*.nbi")), "it was the first run"
    # Of the processor's time: the clock on the wall tells how busy the machine is.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 10
