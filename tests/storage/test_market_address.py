"""Where the market store is: what is refused, and in which words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from promethean.domain.errors import ConfigError
from promethean.storage.market_store import MarketStore


@pytest.mark.parametrize("dsn", ["", "market", "chdb://", "chdb:relative", "ftp://host", "http://", "chdb://host/x"])
def test_an_address_of_another_form_is_refused(dsn: str) -> None:
    with pytest.raises(ConfigError, match="MARKET_STORE_URL"):
        MarketStore.open(dsn)


def test_a_server_that_does_not_answer_is_a_set_up_error_without_the_password() -> None:
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9 does not answer") as caught:
        MarketStore.open("http://user:hunter2@127.0.0.1:9")
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_a_set_up_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot use .*file/market"):
        MarketStore.open(f"chdb://{tmp_path}/file/market")


def test_a_second_process_is_refused_by_the_folder_in_use(stores: dict[str, MarketStore]) -> None:
    code = """
import sys
from promethean.domain.errors import ConfigError
from promethean.storage.market_store import MarketStore
try:
    MarketStore.open(sys.argv[1])
except ConfigError as error:
    print(error)
"""
    arguments = [sys.executable, "-c", code, f"chdb://{stores['chdb'].engine_path}"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert "another process has it open" in done.stdout
