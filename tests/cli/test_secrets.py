"""`secrets rotate`."""

from __future__ import annotations

from pathlib import Path

from tests.cli.calls import answer


def test_the_key_file_is_rotated_and_the_platform_goes_on(copied_home: Path) -> None:
    before = (copied_home / "vault.key").read_bytes()
    assert answer("secrets", "rotate") == {"rows": 0}
    assert (copied_home / "vault.key").read_bytes() != before
    assert (copied_home / "vault.key.previous").read_bytes() == before
    assert answer("audit", "verify")["ok"] is True
