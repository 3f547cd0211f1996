"""What people read of the settings: every value with its origin, the reference page, and no secret."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from tests.config.loading import ADDRESS, KEY, OTHER_KEY, load

from promethean.config.leaves import paths
from promethean.config.pages import describe, reference_page

ROOT = Path(__file__).parents[2]


def test_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    environ = {"ENCRYPTION_KEY": KEY, "DATABASE_URL": ADDRESS, "PROMETHEAN_VAULT_PREVIOUS_KEYS": OTHER_KEY}
    settings = load(tmp_path, environ=environ)
    rows = describe(settings)
    shown = f"{settings!r} {settings!s} {settings.vault!r} {settings.model_dump()} {rows}"
    for secret in (KEY, OTHER_KEY, "hunter2"):
        assert secret not in shown
    values = {row.path: row.value for row in rows}
    assert values["vault.key"] == values["postgres.url"] == values["vault.previous_keys"] == "***"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(settings)
    with pytest.raises(Exception, match="Unable to serialize"):
        settings.model_dump_json()


def test_describe_lists_every_key_once_with_origin_unit_and_help(tmp_path: Path) -> None:
    rows = describe(load(tmp_path, environ={"PROMETHEAN_RISK_PRICE_FRESH_PAPER_S": "2s"}))
    assert [row.path for row in rows] == list(paths())
    assert all(row.help and row.origin and row.value for row in rows)
    [row] = [row for row in rows if row.path == "risk.price_fresh_paper_s"]
    assert (row.value, row.unit, row.origin) == ("2", "seconds", "environment PROMETHEAN_RISK_PRICE_FRESH_PAPER_S")


def test_the_reference_page_is_current() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == reference_page(), "make it again: python -m promethean.config > docs/configuration.md"
