"""`kill` and `unkill`, from a second process and while nothing runs."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg
from tests.cli.calls import WAIT_S, answer, refused, status_of, until

from promethean.domain.accounts import AccountMode
from promethean.runtime.operations import AccountStatus
from promethean.storage.postgres_home import running_dsn


def test_a_kill_from_a_second_process_stops_a_running_platform_and_unkill_lets_it_go_on(
    copied_home: Path, running: Callable[..., subprocess.Popen[str]]
) -> None:
    process = running("--feed", "synthetic", "--speed", "600", "--plain")
    until(lambda: synthetic_account(copied_home) is not None)
    assert "add --yes" in refused("kill")
    killed = answer("kill", "--yes", "--reason", "a test")
    assert (killed["result"], killed["stored"], killed["left"]) == ("FLAT", True, [])
    report = status_of(copied_home)
    assert report.process == process.pid
    assert {account.mode for account in report.accounts} == {AccountMode.HALTED}
    assert "a test" in report.kill_switch[0]
    # A yes is not enough, and neither is the word of another kill.
    line = refused("unkill", "--yes")
    assert "lifting it needs a person" in line
    assert "is not the word of this kill" in refused("unkill", "--confirm", "lift-000000")
    word = line.rpartition(" ")[2]
    assert answer("unkill", "--confirm", word)["still_set"] == []
    until(lambda: "HaltLifted" in facts_of(copied_home))
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    for words in ("platform kill switch set by", "platform kill switch lifted", "Stopped; the same command goes on"):
        assert words in shown


def synthetic_account(home: Path) -> AccountStatus | None:
    found = [account for account in status_of(home).accounts if account.exchange == "synthetic"]
    return found[0] if found and found[0].last_event else None


def facts_of(home: Path) -> set[str]:
    """The types of the facts of the synthetic account."""
    account = synthetic_account(home)
    dsn = running_dsn(home)
    assert account is not None
    assert dsn is not None

    async def ask() -> set[str]:
        connection = await asyncpg.connect(dsn)
        try:
            rows = await connection.fetch("SELECT DISTINCT type FROM events WHERE stream = $1", f"account/{account.id}")
        finally:
            await connection.close()
        return {row["type"] for row in rows}

    return asyncio.run(ask())


def test_a_kill_works_while_nothing_runs_and_holds_until_it_is_lifted(home: Path) -> None:
    killed = answer("kill", "--yes")
    assert (killed["result"], killed["stored"]) == ("NOT_RUNNING", False)
    assert answer("status")["kill_switch"] != []


def test_an_unknown_account_cannot_be_killed(copied_home: Path) -> None:
    assert "unknown account 'mian'" in refused("kill", "--scope", "account", "mian", "--yes")
    assert "needs the account's label" in refused("kill", "--scope", "account", "--yes")
    assert "write --scope account main" in refused("kill", "main", "--yes")
    assert "write platform or account" in refused("kill", "--scope", "user", "--yes")
