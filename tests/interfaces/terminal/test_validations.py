"""What the checks of a strategy came to, as a terminal shows it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.interfaces.terminal.test_pages import shown

from promethean.interfaces.terminal import validations

BY_PERCENTILE = {"p5": -10.0, "p50": 0.0, "p95": 20.0}
FULL: dict[str, Any] = {
    "strategy": "mine", "symbol": "BTC/USDT", "timeframe": "1m", "data": "candles.parquet", "candles": 525_600,
    "from": "2024-01-01 00:00:00", "to": "2024-12-30 23:59:00", "remarks": ["a [bold] one"], "trades": 2488,
    "start_equity": Decimal(10_000), "final_equity": Decimal(9_000), "return_pct": -10.0, "sound": True,
    "refusals": 0,
    "refusals_by_reason": {},
    "checks": [
        {"name": "look_ahead", "verdict": "passed", "sentence": "the same"},
        {"name": "warm_up", "verdict": "failed", "sentence": "line [5] differs"},
        {"name": "significance", "verdict": "not judged", "sentence": "no trade"},
    ],
    "walk_forward": [
        {"from": "2024-01-01 00:00:00", "to": "2024-06-30 23:59:00", "trades": 4, "wins": 1, "return_pct": 1.5,
         "sharpe": 0.7, "max_drawdown_pct": -3.0},
        {"from": "2024-07-01 00:00:00", "to": "2024-12-30 23:59:00", "trades": 0, "wins": 0, "return_pct": 0.0,
         "sharpe": None, "max_drawdown_pct": 0.0},
    ],
    "monte_carlo": {
        "runs": 10_000, "block_trades": 13, "final_equity": {"p5": "9000.00", "p50": "10000.00", "p95": "12000.00"},
        "final_return_pct": BY_PERCENTILE, "max_drawdown_pct": BY_PERCENTILE, "time_under_water_pct": BY_PERCENTILE,
        "longest_under_water_days": BY_PERCENTILE,
    },
    "significance": {
        "runs": 200, "random_trades": 2480.4, "profit_a_trade": "-0.41000000", "p_value": 0.4,
        "random_profit_a_trade": {"p5": "-1.00000000", "p50": "-0.50000000", "p95": "0.10000000"},
    },
    "deflated_sharpe": {
        "sharpe": 1.25, "days": 365, "skewness": -0.5, "kurtosis": 4.0, "luck_sharpe": 2.5, "trials": 1_000,
        "variance_from": "sampling error",
    },
    "variants_tried": 1_000,
}  # fmt: skip
BARE: dict[str, Any] = {**FULL, "monte_carlo": None, "significance": None, "deflated_sharpe": None, "variants_tried": 1}


def text(found: dict[str, Any], width: int = 160) -> str:
    return "\n".join(line.rstrip() for line in shown(validations.page(found, "USDT"), width))


def test_every_check_and_figure_is_on_the_page() -> None:
    page = text(FULL)
    for words in (
        "1,000 forms of this strategy on this data", "Look-ahead      passed      the same.", "line [5] differs.",
        "2024-01-01 00:00:00 to 2024-06-30 23:59:00", "25 %", "unknown", "10,000 runs, blocks of 13 trades",
        "9,000.00", "-0.5 USDT a trade (-1 to +0.1), the strategy -0.41; 200 runs of 2,480 trades",
        "2.50 a year from the best of 1,000 without skill", "Note: a [bold] one.", "Past prices promise nothing.",
    ):  # fmt: skip
        assert words in page, words
    assert "no figure counts" not in page


def test_refused_entries_are_told_because_they_may_be_all_there_were() -> None:
    assert "refused" not in text(FULL)
    refused = {"insufficient_balance": 1_017}
    assert "Entries were refused 1,017 times: not enough cash" in text(
        {**FULL, "trades": 0, "refusals_by_reason": refused}
    )


def test_what_there_was_nothing_for_is_left_out() -> None:
    page = text(BARE)
    assert "1 form of this strategy on this data" in page
    for words in ("Random entries", "runs, blocks", "a year"):
        assert words not in page


def test_a_strategy_that_is_not_sound_is_warned_of() -> None:
    assert "until that is mended, no figure counts" in text({**FULL, "sound": False})


@pytest.mark.parametrize("width", [40, 80, 160])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert all(len(line) <= width for line in text(FULL, width).splitlines())
