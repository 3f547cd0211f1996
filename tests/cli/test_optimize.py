"""`optimize` as people and machines meet it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.app.minutes import invented
from tests.cli.calls import answer, promethean, refused

RANGES = ("--param", "period=5:14", "--param", "low=25:45", "--cash", "100000")


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(invented(tmp_path / "binance_spot_BTCUSDT_15m.csv", 40))


def test_a_search_answers_with_its_best_confirmed_and_its_doubts(home: Path, data: str) -> None:
    given = ("optimize", "reference_rsi", "--data", data, *RANGES, "--trials", "12", "--top", "3")
    found = answer(*given)
    assert {"combinations", "seconds", "top", "confirmed", "doubts", "stability", "walk_forward"} <= set(found)
    assert (found["combinations"], len(found["top"]), found["walk_forward"]) == (12, 3, None)
    assert {"parameters", "trades", "final_equity", "objective"} <= set(found["top"][0])
    assert found["confirmed"]["agrees"] is True
    page = promethean(*given, "--walk-forward", "2")
    assert page.status == 0, page.stderr
    for words in ("12 of 210", "12 of them were there already", "The best, step by step: ", "How far it is luck",
                  "Walk-forward", "Efficiency", "Nothing was changed"):  # fmt: skip
        assert words in page.stdout, page.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--param", "lwo=1,2"], "unknown parameter 'lwo'; did you mean 'low'"),
        (["--param", "period"], "--param is 'period'; write name=first:last, name=first:last:step or name=a,b,c"),
        (["--trials", "0"], "--trials is 0; write a number from 1 to 100,000"),
        (["--objective", "profit"], "--objective is 'profit'; write one of sharpe, return"),
        (["--walk-forward", "99"], "--walk-forward 99 cuts 40.0 days into 102 parts of 0.4 days"),
        (["--cash", "many"], "--cash is 'many'; write a number"),
        (["--set", "low"], "--set is 'low'; write it as name=value"),
        (["--from", "2030-01-01"], "no candle is in the range of --from and --to"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(home: Path, data: str, arguments: list[str], said: str) -> None:
    assert said in refused("optimize", "reference_rsi", "--data", data, *arguments)
    assert not home.exists(), "nothing is made for what cannot be"
