"""`account add` and `account list`."""

from __future__ import annotations

from pathlib import Path

from tests.cli.calls import answer, refused


def test_a_paper_account_is_added_once(copied_home: Path) -> None:
    made = answer("account", "add", "--exchange", "binance", "--label", "main")
    assert (made["label"], made["is_paper"]) == ("main", True)
    assert "main" in [account["label"] for account in answer("account", "list")["accounts"]]
    assert "choose another label" in refused("account", "add", "--exchange", "binance", "--label", "main")
    assert "did you mean 'binance'" in refused("account", "add", "--exchange", "binanc", "--label", "x")
    assert "not available yet" in refused("account", "add", "--exchange", "binance", "--label", "x", "--live")
