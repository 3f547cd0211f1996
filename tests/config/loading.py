"""Settings loaded from layers of a test's own, and what is said when they are refused."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest

from promethean.config.layers import load_settings
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(range(32, 64))).decode()
ADDRESS = "postgresql://trader:hunter2@db.example:5432/promethean"


def load(
    tmp_path: Path,
    yaml: str | None = None,
    dotenv: str | None = None,
    environ: Mapping[str, str] | None = None,
    cli: Mapping[str, str] | None = None,
) -> Settings:
    """Load settings from the layers given, in a directory of their own."""
    if yaml is not None:
        (tmp_path / "promethean.yaml").write_text(yaml)
    if dotenv is not None:
        (tmp_path / ".env").write_text(dotenv)
    return load_settings(cli or {}, {"HOME": str(tmp_path / "user"), **(environ or {})}, tmp_path)


def refusal(
    tmp_path: Path,
    yaml: str | None = None,
    dotenv: str | None = None,
    environ: Mapping[str, str] | None = None,
    cli: Mapping[str, str] | None = None,
) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, yaml, dotenv, environ, cli)
    return str(caught.value)
