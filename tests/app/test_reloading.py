"""A strategy file that changes while `up` runs on it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.app.runs import FAST, Onlooker, Place

from promethean.app.database import Postgres, open_database
from promethean.app.desk import find_strategy_file, load_strategy
from promethean.app.register import register_everything
from promethean.app.running import UpOptions, up
from promethean.domain.events import OrderPlanned, SignalRaised, StrategyKept, StrategyReloaded
from promethean.runtime import reloading
from promethean.runtime.reloading import only_exits_tighten


class Editor(Onlooker):
    """Changes the strategy file when so many candles are handled, and keeps the state with each fact."""

    def __init__(self, file: Path, *edits: tuple[int, Callable[[str], str]]) -> None:
        super().__init__()
        self.file, self.edits = file, list(edits)
        self.seen: list[tuple[Any, Any]] = []
        self.edited_at: list[int] = []

    def told(self, facts: Sequence[tuple[Any, Any]]) -> None:
        super().told(facts)
        self.seen.extend(facts)

    def tick(self, state: Any, candles: int) -> None:
        if self.edits and candles >= self.edits[0][0]:
            _, edit = self.edits.pop(0)
            self.file.write_text(edit(self.file.read_text()))
            self.edited_at.append(state.now_ns)

    def of(self, kind: type) -> list[tuple[Any, Any]]:
        return [(fact, state) for fact, state in self.seen if type(fact) is kind]


@pytest.fixture
def file(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the strategy that comes with us; every look at it is a look."""
    monkeypatch.setattr(reloading, "LOOK_S", 0.0)
    copy = tmp_path / "own.yaml"
    shipped = find_strategy_file(place.settings(), "rsi_reversion").read_text()
    copy.write_text(shipped.replace("oversold: 30", "oversold: 35"))
    return copy


def changed(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return edit


def run(place: Place, file: Path, *edits: tuple[int, Callable[[str], str]]) -> tuple[Any, Editor]:
    editor = Editor(file, *edits)
    return up(place.settings(), UpOptions(str(file), speed=FAST.speed, until_end=True), editor), editor


def test_a_valid_change_applies_at_a_candle_at_which_nothing_is_open(place: Place, home: Path, file: Path) -> None:
    summary, editor = run(place, file, (500, changed("oversold: 35", "oversold: 20")))
    assert summary.finished
    [(fact, state)] = editor.of(StrategyReloaded)
    assert fact.at_ns >= editor.edited_at[0]
    assert not state.account.holdings and not state.account.orders
    assert fact.config_hash == load_strategy(file).config_hash
    reasons = {
        is_after: {signal.signal.reason.rpartition(", ")[2] for signal, _ in editor.of(SignalRaised)
                   if signal.signal.type == "BUY" and (signal.at_ns > fact.at_ns) is is_after}
        for is_after in (False, True)
    }  # fmt: skip
    assert reasons == {False: {"below 35"}, True: {"below 20"}}
    assert any("applies from now on" in text for text in editor.said)
    assert editor.runs[0].strategy.reading(state.view), "a screen shows the strategy that runs"


def test_a_broken_file_changes_nothing_and_its_mistake_is_told_once(place: Place, home: Path, file: Path) -> None:
    untouched, calm = run(place, file)
    summary, editor = run(place, file, (500, changed("oversold: 35", "oversold: 85")))
    [(fact, _)] = editor.of(StrategyKept)
    assert fact.reason.endswith("own.yaml: parameters.oversold is 85, not below parameters.overbought (70)")
    [alert] = [text for text in editor.said if "is not used" in text]
    assert "parameters.oversold is 85" in alert
    assert not editor.of(StrategyReloaded)
    names = ("trades", "fees", "realised", "final_equity", "orders", "fills", "signals")
    assert [getattr(summary, name) for name in names] == [getattr(untouched, name) for name in names]
    assert len(editor.of(OrderPlanned)) == len(calm.of(OrderPlanned)) > 0


def test_a_mended_file_is_taken_up_again(place: Place, home: Path, file: Path) -> None:
    _, editor = run(
        place, file, (500, changed("oversold: 35", "oversold: [")), (1500, changed("oversold: [", "oversold: 35"))
    )
    assert len(editor.of(StrategyKept)) == 1
    assert not editor.of(StrategyReloaded)
    assert editor.said[-1] == "the strategy file is again the running version"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("symbol: BTC/USDT", "symbol: ETH/USDT", "market: base changed, which only a new start can take up"),
        ("algorithm: bracket", "algorithm: bracket, fee_taker_pct: 1", "the simulated venue changed"),
    ],
)
def test_what_only_a_new_start_can_take_up_is_told(
    place: Place, home: Path, file: Path, old: str, new: str, complaint: str
) -> None:
    _, editor = run(place, file, (500, changed(old, new)))
    [(fact, _)] = editor.of(StrategyKept)
    assert complaint in fact.reason


def test_a_comment_is_no_change(place: Place, home: Path, file: Path) -> None:
    _, editor = run(place, file, (500, lambda text: f"# a remark\n{text}"))
    assert not editor.of(StrategyKept) and not editor.of(StrategyReloaded)
    assert not [text for text in editor.said if "strategy file" in text]


def test_a_removed_file_changes_nothing(place: Place, home: Path, file: Path) -> None:
    editor = Editor(file)

    def remove() -> None:
        file.unlink()

    editor.after, editor.at = 500, remove
    editor.tick = lambda state, candles: Onlooker.tick(editor, state, candles)  # type: ignore[method-assign]
    assert up(place.settings(), UpOptions(str(file), speed=None, until_end=True), editor).finished
    [(fact, _)] = editor.of(StrategyKept)
    assert "own.yaml cannot be read" in fact.reason


def test_a_reloaded_run_goes_on_with_the_new_version_after_its_database_was_killed(
    place: Place, home: Path, file: Path
) -> None:
    editor = Editor(file, (500, changed("oversold: 35", "oversold: 20")))
    edit = editor.tick

    def tick(state: Any, candles: int) -> None:
        edit(state, candles)
        if editor.of(StrategyReloaded) and editor.after is None:
            editor.after = candles
            os.kill(json.loads((home / "postgres.dsn").read_text())["pid"], signal.SIGQUIT)

    editor.tick = tick  # type: ignore[method-assign]
    summary = up(place.settings(), UpOptions(str(file), speed=None, until_end=True), editor)
    assert editor.after is not None, "the server was killed"
    assert any("Starting again from the journal" in text for text in editor.said)
    assert {run.account for run in editor.runs} == {summary.account}, "it is one account"
    reload_ns = editor.of(StrategyReloaded)[0][0].at_ns
    later = [fact.signal.reason for fact, _ in editor.of(SignalRaised) if fact.at_ns > reload_ns]
    assert later and not any("below 35" in reason for reason in later)


# -- what tightens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("stop_loss_pct: 1.0", "stop_loss_pct: 0.5", True),
        ("stop_loss_pct: 1.0", "stop_loss_pct: 1.5", False),
        ("target_pct: 2,", "target_pct: 1,", True),
        ("target_pct: 6,", "target_pct: 7,", False),
        ("close_pct: 34", "close_pct: 30", False),
        ("oversold: 35", "oversold: 34", False),
        ("name: RSI reversion", "name: Another name", True),
    ],
)
def test_exits_tighten_where_they_come_sooner_and_nothing_else_changes(
    file: Path, old: str, new: str, expected: bool
) -> None:
    register_everything()
    running = load_strategy(file)
    file.write_text(changed(old, new)(file.read_text()))
    assert only_exits_tighten(running, load_strategy(file)) is expected


def test_tighter_exits_apply_while_something_is_open(place: Place, home: Path, file: Path) -> None:
    editor = Editor(file)

    def tick(state: Any, candles: int) -> None:
        if not editor.edited_at and state.account.holdings:
            file.write_text(changed("stop_loss_pct: 1.0", "stop_loss_pct: 0.5")(file.read_text()))
            editor.edited_at.append(candles)

    editor.tick = tick  # type: ignore[method-assign]
    up(place.settings(), UpOptions(str(file), speed=None, until_end=True), editor)
    assert len(editor.of(StrategyReloaded)) == 1


def test_the_row_of_the_strategy_is_that_of_the_new_version(place: Place, home: Path, file: Path) -> None:
    run(place, file, (500, changed("oversold: 35", "oversold: 20")))

    async def read(dsn: str) -> list[str]:
        database = await open_database(place.settings(), dsn)
        try:
            async with database.connection() as connection:
                found = await connection.execute(text("SELECT config_hash FROM strategies"))
                return [row[0] for row in found]
        finally:
            await database.close()

    with Postgres(place.settings()) as postgres:
        assert asyncio.run(read(postgres.dsn)) == [load_strategy(file).config_hash]
