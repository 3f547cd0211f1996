"""`catalogue` and `version`."""

from __future__ import annotations

from pathlib import Path

import yaml
from tests.cli.calls import answer, promethean

from promethean import __version__

# Beyond the specification: its weighted technical score can also be traded on its own.
MORE = {"strategies_builtin": {"technical_score"}}


def test_the_catalogue_has_the_shape_of_the_specification_and_claims_nothing_more(shared: Path, home: Path) -> None:
    specified = yaml.safe_load((shared / "spec" / "catalogue.yaml").read_text())
    found = answer("catalogue")
    assert set(specified) <= set(found)
    for kind, names in found.items():
        if isinstance(names, list) and names:
            assert set(names) <= set(specified[kind]) | MORE.get(kind, set()), kind
    assert "rsi_reversion" in found["strategies_builtin"]
    assert found["modes"] == ["paper"]
    assert set(found["signals"]["aggregators"]) == set(specified["signals"]["aggregators"])
    assert {"orders", "fills", "events"} <= set(found["postgres_tables"])


def test_the_version_is_printed() -> None:
    assert answer("version")["version"] == __version__
    assert promethean("version").stdout.startswith(f"promethean {__version__}")
