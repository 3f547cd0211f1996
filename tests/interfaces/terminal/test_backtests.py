"""What a backtest and a sweep came to, as a terminal shows it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.interfaces.terminal.test_pages import shown

from promethean.interfaces.terminal import backtests

NORMAL: dict[str, Any] = {
    "strategy": "mine", "symbol": "BTC/USDT", "timeframe": "1m", "data": "candles.parquet", "limits": "research",
    "candles": 525_600, "from": "2024-01-01 00:00:00", "to": "2024-12-30 23:59:00", "remarks": [], "seconds": 0.05,
    "candles_per_s": 10_512_000.0, "stepped": None, "unknown_conditions": 0, "refusals": 0, "trades": 2488,
    "refusals_by_reason": {},
    "wins": 800, "losses": 1688, "start_equity": Decimal(1_000_000), "final_equity": Decimal("954776.86"),
    "return_pct": -4.5223, "max_drawdown_pct": -6.1, "sharpe": -1.914, "sharpe_raw": -0.1002, "sortino": -2.5,
    "sortino_raw": -0.131, "reliable": True, "unreliable_because": None, "controls_not_applicable": (),
    "profit_factor": 0.871, "win_rate_pct": 32.1543, "exposure_pct": 41.25,
    "buy_and_hold_pct": 12.5, "fees": Decimal("49707.64"), "funding": Decimal(0),
    "leverage": Decimal(1), "liquidations": 0,
    "calmar": -0.741, "expected_value": -18.17, "best": 410.5,
    "worst": -1020.25, "average_hold_minutes": 61.4, "mae_pct": -0.31, "mae_worst_pct": -1.02, "mfe_pct": 0.24,
    "mfe_best_pct": 2.0, "win_streak": 7, "loss_streak": 21, "turnover": 49.7, "cost_share_pct": 88.4,
    "variants_tried": 12,
    "drawdown_from": "2024-01-03", "drawdown_to": "2024-12-30", "drawdown_recovered": None,
    "groups": {
        "setup": [{"name": "long: RSI < low", "parts": 2500, "won": 800, "pnl": Decimal("-45223.14")}],
        "regime": [{"name": "trend_up", "parts": 12, "won": 3, "pnl": Decimal("15.5")}],
    },
}  # fmt: skip
NONE: dict[str, Any] = {
    **NORMAL, "trades": 0, "wins": 0, "losses": 0, "final_equity": Decimal(1_000_000), "return_pct": 0.0,
    "max_drawdown_pct": 0.0, "sharpe": None, "sharpe_raw": None, "sortino": None, "sortino_raw": None,
    "profit_factor": None, "win_rate_pct": None, "exposure_pct": 0.0, "fees": Decimal(0), "reliable": False,
    "unreliable_because": "less than 30 days",
    "calmar": None, "drawdown_from": None,
}  # fmt: skip


def outcome(period: str, trades: int, wins: int, equity: str, return_pct: float) -> dict[str, Any]:
    parameters = {"period": period, "low": "20"}
    return {
        "parameters": parameters, "trades": trades, "wins": wins, "final_equity": equity, "return_pct": return_pct,
    }  # fmt: skip


SWEPT: dict[str, Any] = {
    "strategy": "mine", "symbol": "BTC/USDT", "data": "candles.parquet", "candles": 525_600, "remarks": [],
    "combinations": 100, "seconds": 0.25, "candles_per_s": 210_240_000.0,
    "top": [outcome("6", 40, 10, "10500.00", 5.0), outcome("8", 0, 0, "10000.00", 0.0)],
    "confirmed": {"parameters": {}, "trades": 40, "final_equity": Decimal("10500.001"), "agrees": True},
}  # fmt: skip


def text(found: dict[str, Any], width: int = 160) -> str:
    return "\n".join(line.rstrip() for line in shown(backtests.page(found, "USDT"), width))


def row(page: str, name: str) -> str:
    (line,) = [line for line in page.splitlines() if line.startswith(name)]
    return line.removeprefix(name).strip()


def test_a_backtest_shows_its_figures_with_their_units() -> None:
    page = text(NORMAL)
    assert page.splitlines()[0] == "mine on BTC/USDT"
    assert row(page, "Data") == ("candles.parquet, 525,600 candles of 1m, 2024-01-01 00:00:00 to 2024-12-30 23:59:00")
    assert row(page, "Trades") == "2,488: 800 won, 1,688 lost (32.2 % won)"
    assert row(page, "Equity").endswith("-4.52 %")
    assert "1,000,000.00" in row(page, "Equity") and "954,776.86 USDT" in row(page, "Equity")
    assert row(page, "Buy and hold") == "+12.50 %"
    assert row(page, "Drawdown") == "-6.10 %, 2024-01-03 to 2024-12-30, not made good"
    assert row(page, "Calmar") == "-0.74"
    assert row(page, "A trade") == "-18.17 USDT on average, best +410.50, worst -1,020.25; held 61 minutes"
    assert row(page, "Excursions").startswith("against it -0.31 % on average, -1.02 % at worst; with it 0.24 %")
    assert row(page, "In a row") == "7 won, 21 lost"
    assert row(page, "Turnover").endswith("; fees took 88 % of what the gaining trades gained")
    assert row(page, "Sharpe") == "-1.91 a year (-0.100 a day)"
    assert row(page, "Sortino") == "-2.50 a year (-0.131 a day)"
    assert row(page, "Profit factor") == "0.87"
    assert row(page, "Fees") == "49,707.64 USDT"
    assert row(page, "In the market") == "41.2 % of the time"
    assert row(page, "Controls").startswith("research: ")
    assert row(page, "Speed") == "10.51 million candles a second in 0.050 s, compiled"
    assert page.endswith("Past prices promise nothing.")
    assert "say little" not in page and "unreliable" not in page and "Note" not in page


def test_a_backtest_shows_where_its_result_comes_from() -> None:
    lines = [" ".join(line.split()) for line in text(NORMAL).splitlines()]
    at = lines.index("By set-up")
    assert lines[at - 1] == "Parts Won After fees, USDT"
    assert lines[at + 1 : at + 4] == [
        "long: RSI < low 2,500 32 % -45,223.14", "By regime at the entry", "trend_up 12 25 % +15.50",
    ]  # fmt: skip
    assert "By regime at the entry" not in text(NONE)


def test_less_than_thirty_days_are_marked_beside_every_figure_of_a_year() -> None:
    page = text({**NORMAL, "reliable": False, "unreliable_because": "less than 30 days"})
    for name in ("Sharpe", "Sortino", "Calmar"):
        assert ", unreliable: less than 30 days" in row(page, name)


def test_a_drawdown_that_was_made_good_says_when() -> None:
    assert row(text({**NORMAL, "drawdown_recovered": "2025-02-01"}), "Drawdown").endswith("made good 2025-02-01")


def test_without_a_trade_what_cannot_be_known_is_called_unknown() -> None:
    page = text(NONE)
    assert row(page, "Trades") == "none"
    assert {row(page, name) for name in ("Sharpe", "Sortino", "Profit factor", "Calmar")} == {"unknown"}
    assert "0 trades say little: below 30 chance decides." in page


def test_refused_entries_are_told() -> None:
    refused = {"cooldown": 4, "insufficient_balance": 1_200}
    told = text({**NONE, "refusals_by_reason": refused})
    assert "Entries were refused 1,204 times: not enough cash" in told and "a cooldown after a stop (4)" in told
    assert "refused" not in text(NORMAL)


@pytest.mark.parametrize(
    ("leverage", "liquidations", "told"),
    [
        (1, 0, None),
        (1, 1, "1 x; 1 position liquidated, with the whole margin lost"),
        (5, 0, "5 x; no position liquidated"),
        (20, 1_200, "20 x; 1,200 positions liquidated, with the whole margin lost"),
    ],
)
def test_leverage_and_what_it_cost_are_told(leverage: int, liquidations: int, told: str | None) -> None:
    page = text({**NORMAL, "leverage": Decimal(leverage), "liquidations": liquidations})
    if told is None:
        assert "Leverage" not in page
    else:
        assert row(page, "Leverage") == told


def test_ratios_of_less_than_a_month_are_marked_unreliable() -> None:
    page = text({**NORMAL, "reliable": False, "unreliable_because": "less than 30 days"})
    assert row(page, "Sharpe") == "-1.91 a year (-0.100 a day, unreliable: less than 30 days)"
    assert row(page, "Sortino").endswith("unreliable: less than 30 days)")


@pytest.mark.parametrize(("trades", "warns"), [(29, True), (30, False)])
def test_a_small_sample_is_warned_of(trades: int, warns: bool) -> None:
    assert (f"{trades} trades say little" in text({**NORMAL, "trades": trades})) == warns


def test_remarks_unknown_conditions_and_the_way_it_ran_are_told() -> None:
    page = text(
        {**NORMAL, "remarks": ["2.00% of the candles are missing"], "unknown_conditions": 1_030,
         "stepped": "limit entries", "limits": "user", "profit_factor": "inf"}
    )  # fmt: skip
    assert "Note: 2.00% of the candles are missing." in page
    assert "1,030 times and counted as not met" in page
    assert row(page, "Speed").endswith("step by step (limit entries)")
    assert row(page, "Controls") == "the limits of the account; not applicable to these data: none"
    lacking = text({**NORMAL, "limits": "user", "controls_not_applicable": ("price_fresh", "cooldown")})
    assert row(lacking, "Controls").endswith("; not applicable to these data: price_fresh, cooldown")
    assert row(page, "Profit factor") == "infinite, nothing was lost"


@pytest.mark.parametrize("name", ["[bold]", "[/nothing]", "x" * 300])
@pytest.mark.parametrize("width", [40, 80, 160])
def test_a_files_name_is_shown_as_it_is(name: str, width: int) -> None:
    lines = shown(backtests.page({**NORMAL, "data": name, "strategy": name}, "USDT"), width)
    assert all(len(line) <= width for line in lines)
    assert name[:20] in "\n".join(lines)


def test_a_sweep_shows_its_best_in_a_table_and_warns_of_luck() -> None:
    lines = [line.rstrip() for line in shown(backtests.sweep_page(SWEPT, "USDT"), 160)]
    (first,) = [line for line in lines if "period=6" in line]
    assert first.split() == ["period=6,", "low=20", "10,500.00", "+5.00", "%", "40", "25", "%"]
    (second,) = [line for line in lines if "period=8" in line]
    assert second.split()[-1] == "-", "no share of no trades"
    assert "The best, step by step: 40 trades, 10,500.00 USDT." in lines
    assert "The best of 100 is partly luck" in lines[-1]
    assert any(line.endswith("100 in 0.25 s, 210 million candles a second") for line in lines)


def test_a_sweep_that_the_engine_contradicts_says_so() -> None:
    changed = {**SWEPT, "confirmed": {**SWEPT["confirmed"], "agrees": False}, "remarks": ["something"]}
    page = "\n".join(shown(backtests.sweep_page(changed, "USDT"), 160))
    assert "10,500.00 USDT; the sweep says otherwise." in page
    assert "Note: something." in page
    assert "step by step" not in "\n".join(shown(backtests.sweep_page({**SWEPT, "confirmed": None}, "USDT"), 160))
