"""`status` and `doctor`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from tests.cli.calls import answer, promethean

from promethean.storage.latches import LatchFiles
from promethean.storage.tables import LatchScope


def test_looking_at_an_empty_home_makes_nothing(home: Path) -> None:
    report = answer("status")
    assert (report["process"], report["accounts"], report["kill_switch"]) == (None, [], [])
    assert answer("account", "list") == {"accounts": []}
    assert answer("audit", "verify") == {"ok": True, "rows": 0, "streams": []}
    assert not home.exists()


def test_a_recording_runs_to_its_end_and_is_summed_up(used_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEAN_HOME", str(used_home))
    (account,) = answer("status")["accounts"]
    assert account["finished"] is True
    assert account["last_event"] == "RunFinished"
    report = answer("audit", "verify")
    assert report["ok"] is True
    assert [stream["rows"] for stream in report["streams"] if stream["stream"].startswith("market/")] == [300]
    page = promethean("status").stdout
    assert "not running" in page
    assert account["label"] in page


@pytest.fixture
def no_venue(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue is a closed port of this machine."""
    monkeypatch.setenv("PROMETHEAN_EXCHANGE_BINANCE_BASE_URL", "http://127.0.0.1:9")


@pytest.mark.usefixtures("no_venue")
def test_the_doctor_finds_a_good_home_fine_and_names_what_is_wrong_with_a_bad_one(copied_home: Path) -> None:
    report = answer("doctor")
    assert report["ok"] is True, report
    (copied_home / "vault.key").write_text("not a key\n")
    (copied_home / "vault.key").chmod(0o600)
    report = answer("doctor", status=2)
    (problem,) = [check for check in report["checks"] if not check["ok"]]
    assert problem["name"] == "Key file"
    assert "restore it from its backup" in problem["remedy"]


@pytest.mark.usefixtures("no_venue")
def test_the_doctor_on_an_empty_home_makes_nothing(home: Path) -> None:
    assert answer("doctor")["ok"] is True
    assert not home.exists()


def problem_found(name: str) -> dict[str, Any]:
    """The one problem that the doctor finds, and what it is called."""
    report = answer("doctor", status=2)
    assert (report["ok"], report["problems"]) == (False, 1), report
    (problem,) = [check for check in report["checks"] if not check["ok"]]
    assert problem["name"] == name
    found: dict[str, Any] = problem
    return found


@pytest.mark.usefixtures("no_venue")
@pytest.mark.parametrize("made", ["home", "copied_home"])
def test_the_doctor_sees_that_another_program_has_the_configured_port(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    home = request.getfixturevalue(made)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PROMETHEAN_POSTGRES_PORT", str(port))
        problem = problem_found("PostgreSQL")
    assert f"postgres.port is {port}, which cannot be used" in problem["detail"]
    assert "choose another port" in problem["remedy"]
    assert home.exists() == (made == "copied_home")


@pytest.mark.usefixtures("no_venue")
def test_the_doctor_warns_of_a_kill_switch_and_says_how_to_lift_it(copied_home: Path) -> None:
    files = LatchFiles(copied_home / "latches")
    files.set(LatchScope.PLATFORM, "", "a test", "ann")
    problem = problem_found("Kill switch")
    assert problem["is_warning"]
    assert "platform: a test (by ann" in problem["detail"]
    assert problem["remedy"].startswith("nothing new is traded, and what is open is closed, until you lift it")
    assert problem["remedy"].endswith("with: promethean unkill")
    page = promethean("doctor").stdout
    assert "Everything is fine" not in page
    assert "warning" in page
    (account,) = answer("account", "list")["accounts"]
    files.set(LatchScope.ACCOUNT, account["id"], "a test", "ann")
    assert problem_found("Kill switch")["remedy"].endswith(
        "with: promethean unkill and promethean unkill --scope account LABEL"
    )
