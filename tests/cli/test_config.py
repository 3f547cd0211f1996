"""`config show`, `config check` and `config reference`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.calls import answer, promethean

from promethean.config.pages import reference_page


def test_settings_are_shown_with_their_origin_and_secrets_are_not(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hidden@127.0.0.1/x")
    rows = {row["path"]: row for row in answer("config", "show", "--set", "risk.daily_trades=7")["settings"]}
    assert (rows["risk.daily_trades"]["value"], rows["risk.daily_trades"]["origin"]) == ("7", "command line")
    assert rows["postgres.url"]["value"] == "***"
    assert "hidden" not in promethean("config", "show").stdout
    assert answer("config", "check")["ok"] is True


def test_the_reference_page_is_the_one_in_the_documentation() -> None:
    assert promethean("config", "reference").stdout == reference_page()
