"""The names of the settings lead to them and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.config.leaves import PREFIX, env_name, path_of_env, paths


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("DATABASE_URL", "postgres.url"),
        ("MARKET_STORE_URL", "clickhouse.url"),
        ("TRADING_MODE", "app.mode"),
        ("FEED", "app.feed"),
        ("ENCRYPTION_KEY", "vault.key"),
        ("PROMETHEAN_HOME", "app.home"),
    ],
)
def test_the_capital_names_set_their_keys(name: str, path: str) -> None:
    assert path_of_env(name) == path


@given(st.sampled_from(paths()))
def test_every_path_has_an_environment_name_that_leads_back(path: str) -> None:
    name = env_name(path)
    assert name == PREFIX + path.upper().replace(".", "_")
    assert path_of_env(name) == path


@given(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ_", max_size=30))
def test_a_name_that_leads_nowhere_is_nobodys_environment_name(rest: str) -> None:
    path = path_of_env(PREFIX + rest)
    capitals = {"TRADING_MODE", "HOME", "FEED", "DATABASE_URL", "MARKET_STORE_URL", "ENCRYPTION_KEY"}
    assert (path is None) == (
        PREFIX + rest not in set(map(env_name, paths())) and rest.removesuffix("_FILE") not in capitals
    )
