"""What holds for every test: no network, a clean environment, and the shared material when it is there.

The network is closed for Python's own sockets in this process.  A child process and a library that brings sockets of
its own (uvloop, librdkafka) are out of reach: such a test gives its child an address on the loopback.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis.database import DirectoryBasedExampleDatabase

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

# Names a developer's shell may hold and the platform, PostgreSQL's clients or the terminal library would read.
FOREIGN = re.compile(
    r"PROMETHEAN_\w+"
    r"|(DATABASE_URL|MARKET_STORE_URL|CACHE_URL|BUS_URL|ENCRYPTION_KEY|TRADING_MODE|FEED|USE_TESTNET|SENTRY_DSN)(_FILE)?"
    r"|\w+_(API_KEY|API_SECRET|PASSPHRASE|BOT_TOKEN)(_FILE)?"
    r"|PG[A-Z]+"
    r"|COLUMNS|LINES|FORCE_COLOR|GITHUB_ACTIONS"
)

# The machine is shared, so no example is slow enough to be an error; CI draws the same examples on every run.
hypothesis.settings.register_profile(
    "promethean",
    deadline=None,
    derandomize="CI" in os.environ,
    # A fixed folder, because every test runs in a directory of its own; None where examples are not drawn at random.
    database=None if "CI" in os.environ else DirectoryBasedExampleDatabase(ROOT / ".hypothesis" / "examples"),
)
hypothesis.settings.load_profile("promethean")


class NetworkClosedError(RuntimeError):
    """A test reached for the network.

    Not an OSError on purpose: code that copes with a missing network must not hide that a test tried to use it.
    """


def is_local(host: str | bytes | None) -> bool:
    """Whether `host` is this machine: a loopback or unspecified address, `localhost`, or nothing at all."""
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def refuse_unless_local(host: str | bytes | None, what: str) -> None:
    if not is_local(host):
        raise NetworkClosedError(
            f"the network is closed in tests: {what} {host!r}; use a recorded reply or a server on 127.0.0.1"
        )


def only_local_connects(connect: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            refuse_unless_local(address[0], "connect to")
        return connect(self, address)

    return guarded


def only_local_names(resolve: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: str | bytes | None, *args: Any, **kwargs: Any) -> Any:
        refuse_unless_local(host, "look up")
        return resolve(host, *args, **kwargs)

    return guarded


def pytest_configure(config: pytest.Config) -> None:
    patch = pytest.MonkeyPatch()  # here and not in a fixture: importing the test modules is covered as well
    for name in ("connect", "connect_ex"):
        patch.setattr(socket.socket, name, only_local_connects(getattr(socket.socket, name)))
    for name in ("getaddrinfo", "gethostbyname"):
        patch.setattr(socket, name, only_local_names(getattr(socket, name)))
    config.add_cleanup(patch.undo)


def pytest_report_header() -> str:
    found = "found" if SHARED.is_dir() else "ABSENT, the tests that need it are skipped"
    return f"network: closed; shared material (../shared): {found}"


@pytest.fixture(autouse=True)
def clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine reaches a test: neither its variables nor its `.env` nor its home.

    PROMETHEAN_HOME names a folder that does not exist yet; the working directory is empty.
    """
    for name in filter(FOREIGN.fullmatch, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PROMETHEAN_HOME", str(tmp_path / "home"))
    elsewhere = tmp_path / "cwd"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real market data and specifications beside the checkout; skips when it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the shared folder beside the checkout (../shared), which is absent")
    return SHARED
