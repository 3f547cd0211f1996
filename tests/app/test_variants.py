"""What was tried on the same data is on record, whichever command tried it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.app.minutes import options

from promethean.app.backtest_answers import as_object, write_report
from promethean.app.backtesting import run_backtest
from promethean.app.sweeping import run_sweep, sweep_object
from promethean.app.validating import ValidateOptions, run_validation
from promethean.config.layers import load_settings
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.storage.variants import FILE, count_variants


def test_backtest_sweep_and_validate_add_to_one_count(settings: Settings, short: Path) -> None:
    counts = [run_backtest(settings, options(short, overrides={"low": low})).tried.forms for low in ("30", "25", "30")]
    assert counts == [1, 2, 2]
    for _ in range(2):
        swept = sweep_object(run_sweep(settings, options(short), ["low=20:40:5"], lambda *_: None), 1)
        assert (swept["combinations"], swept["variants_tried"]) == (5, 7)
    asked = options(short, overrides={"low": "25"})
    report = run_validation(settings, ValidateOptions(asked, runs=100, random_runs=20))
    assert report.tried.forms == 7, "a backtest has tried this form"
    assert len(report.tried.sharpes) <= 2


def test_the_record_has_the_ratio_of_the_backtest(settings: Settings, shared: Path) -> None:
    data = shared / "data" / "ohlcv" / "binance_usdm_ETHUSDT_15m_2023-01_2024-06.parquet"
    report = run_backtest(settings, options(data))
    assert report.metrics.sharpe_raw is not None
    home, bench = settings.app.home, report.bench
    assert count_variants(home, bench.sha256, bench.file.id).sharpes == (report.metrics.sharpe_raw,)


def test_the_page_tells_how_many_were_tried(settings: Settings, short: Path, tmp_path: Path) -> None:
    run_backtest(settings, options(short, overrides={"low": "25"}))
    report = run_backtest(settings, options(short))
    assert as_object(report, with_trades=False)["variants_tried"] == 2
    write_report(report, tmp_path / "page.html")
    assert "tried on the same data, as far as is known</td><td>2</td>" in (tmp_path / "page.html").read_text()


def test_a_home_that_cannot_be_written_is_told_and_stops_nothing(short: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = load_settings({"app.home": str(tmp_path / "file")}, {}, Path.cwd())
    found = as_object(run_backtest(settings, options(short)), with_trades=True)
    assert found["trades"] > 2 and found["variants_tried"] == 1
    swept = sweep_object(run_sweep(settings, options(short), ["low=20,30"], lambda *_: None), 1)
    assert swept["variants_tried"] == 2
    for answer in (found, swept):
        assert any("what was tried is not on record: the home" in remark for remark in answer["remarks"])


def test_an_input_that_cannot_be_used_leaves_no_trace(settings: Settings, short: Path) -> None:
    with pytest.raises(ConfigError, match="unknown parameter 'lwo'"):
        run_backtest(settings, options(short, overrides={"lwo": "25"}))
    with pytest.raises(ConfigError, match="unknown parameter 'lwo'"):
        run_sweep(settings, options(short), ["lwo=1,2"], lambda *_: None)
    assert not (settings.app.home / FILE).exists()
