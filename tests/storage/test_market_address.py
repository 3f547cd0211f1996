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
    assert refusal("http://user:hunter2@127.0.0.1:9") == (
        "the market store at 127.0.0.1:9 does not answer as ClickHouse: Connection refused; "
        "start it there, or correct MARKET_STORE_URL"
    )


def test_a_folder_that_cannot_be_made_is_a_set_up_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot use .*file/market"):
        MarketStore.open(f"chdb://{tmp_path}/file/market")


# A process that opens a store and says why it cannot; as root it becomes somebody else first when it is told to.
OPENS = """
import os, sys
import chdb, clickhouse_connect
from clickhouse_connect.driver import httputil
from promethean.domain.errors import ConfigError
from promethean.storage.market_store import MarketStore
if os.geteuid() == 0 and sys.argv[2:] == ["somebody else"]:
    os.chdir("/")
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    MarketStore.open(sys.argv[1]).close()
except ConfigError as error:
    print(error)
"""


def refusal(dsn: str, *arguments: str) -> str:
    """What a process of its own says that opens a store; nothing may go around it to standard error."""
    command = [sys.executable, "-c", OPENS, dsn, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert "Code: " not in done.stdout
    (line,) = done.stdout.splitlines()
    return line


def test_a_second_process_is_refused_by_the_folder_in_use(stores: dict[str, MarketStore]) -> None:
    path = stores["chdb"].engine_path
    assert refusal(f"chdb://{path}") == (
        f"the market store in {path} cannot be opened: another process has it open; stop that one and try again"
    )


def test_a_folder_that_cannot_be_written_is_refused_with_the_reason(folder: Path) -> None:
    path = folder / "market"
    path.mkdir(mode=0o555)
    assert refusal(f"chdb://{path}", "somebody else") == (
        f"the market store in {path} cannot be opened: it cannot be written (Permission denied); "
        "allow this user to write there, or choose another folder"
    )


def test_a_damaged_folder_is_refused_with_the_engines_words(folder: Path) -> None:
    path = folder / "market"
    (path / "metadata").mkdir(parents=True)
    (path / "metadata" / "broken.sql").write_text("garbage")
    words = refusal(f"chdb://{path}")
    assert words.startswith(f"the market store in {path} cannot be opened: Syntax error (in file metadata/broken.sql)")
    assert words.endswith("; bring it back from a copy, or move the folder away and import anew")
