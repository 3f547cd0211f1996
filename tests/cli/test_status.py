"""`status` and `doctor`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.calls import answer, promethean


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
    report = answer("doctor", status=1)
    (problem,) = [check for check in report["checks"] if not check["ok"]]
    assert problem["name"] == "Key file"
    assert "restore it from its backup" in problem["remedy"]


@pytest.mark.usefixtures("no_venue")
def test_the_doctor_on_an_empty_home_makes_nothing(home: Path) -> None:
    assert answer("doctor")["ok"] is True
    assert not home.exists()
