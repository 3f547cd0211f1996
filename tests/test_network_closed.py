"""The guard of conftest.py really is in force, and lets through what stays on this machine."""

from __future__ import annotations

import asyncio
import os
import socket
import urllib.request
from pathlib import Path

import hypothesis
import pytest

OUTSIDE = "192.0.2.1"  # an address reserved for documentation: nobody answers there, should the guard fail


def closed() -> pytest.RaisesExc[RuntimeError]:
    return pytest.raises(RuntimeError, match="the network is closed in tests")


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, OUTSIDE), (socket.AF_INET6, "2001:db8::1")])
def test_a_connection_to_another_machine_is_refused(method: str, family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as sock:
        sock.settimeout(1)
        with closed():
            getattr(sock, method)((host, 443))


@pytest.mark.parametrize("name", ["venue.invalid", b"venue.invalid", "192.0.2.1"])
def test_a_name_of_another_machine_is_not_looked_up(name: str | bytes) -> None:
    with closed():
        socket.getaddrinfo(name, 443)
    with closed():
        socket.gethostbyname(name)  # type: ignore[arg-type]   # bytes are accepted at run time


def test_asyncio_cannot_leave_this_machine() -> None:
    with closed():
        asyncio.run(asyncio.wait_for(asyncio.open_connection("venue.invalid", 443), 1))
    with closed():
        asyncio.run(asyncio.wait_for(asyncio.open_connection(OUTSIDE, 443), 1))


def test_an_http_request_fails_loudly_and_not_as_an_outage() -> None:
    with closed() as caught:
        urllib.request.urlopen("http://venue.invalid/", timeout=1)
    assert not isinstance(caught.value, OSError)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_on_the_loopback_is_reached(host: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection((host, server.getsockname()[1]), timeout=5) as client,
    ):
        assert client.getpeername() == server.getsockname()


def test_a_unix_socket_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a relative path: a unix address holds about 107 bytes
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen()
        client.connect("s")


def test_the_settings_of_the_machine_do_not_reach_a_test(tmp_path: Path) -> None:
    assert "DATABASE_URL" not in os.environ
    assert [name for name in os.environ if name.startswith("PROMETHEAN_")] == ["PROMETHEAN_HOME"]
    assert Path(os.environ["PROMETHEAN_HOME"]).is_relative_to(tmp_path)
    assert list(Path.cwd().iterdir()) == []


def test_the_tests_run_with_the_hypothesis_profile_without_deadlines() -> None:
    assert hypothesis.settings().deadline is None
