"""The candles of the reference work, made once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference_candles(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year of invented minutes, the same on every machine; skips where their recipe is absent."""
    recipe = shared / "bench" / "gen_btc_1m.py"
    if not recipe.is_file():
        pytest.skip("needs the recipe of the reference candles (../shared/bench), which is absent")
    path = tmp_path_factory.mktemp("reference") / "candles.parquet"
    subprocess.run([sys.executable, str(recipe), str(path)], check=True, timeout=300)
    return path
