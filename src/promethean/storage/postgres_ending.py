"""How a server ends: ours when it is stopped, and the one of an owner that died."""
# ruff: noqa: S603 - every program started here is named by a full path of ours, without a shell on user input

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from promethean.domain.errors import StoreError

log = logging.getLogger(__name__)

PREVIOUS_SERVER_TIMEOUT_S = 15.0
FAST_STOP_TIMEOUT_S = 20.0
IMMEDIATE_STOP_TIMEOUT_S = 10.0  # the postmaster gives its children 5 s before it kills them
POLL_S = 0.02


def await_previous_server(data: Path) -> None:
    """Wait until the server of a dead owner has gone.  Its files are its own: we never delete a lock file."""
    pid = _postmaster_pid(data)
    if pid is None or not _is_postmaster(pid, data):
        return
    os.kill(pid, signal.SIGINT)  # on Linux the kernel has said so already, and twice does no harm
    deadline = time.monotonic() + PREVIOUS_SERVER_TIMEOUT_S
    while _is_postmaster(pid, data):
        if time.monotonic() > deadline:
            raise StoreError(
                f"an earlier database server (process {pid}) on {data} has not ended within "
                f"{PREVIOUS_SERVER_TIMEOUT_S:.0f} s; wait for it, or end it with: kill -QUIT {pid}"
            )
        time.sleep(POLL_S)


def _postmaster_pid(data: Path) -> int | None:
    try:
        first = (data / "postmaster.pid").read_text().splitlines()[0]
    except (FileNotFoundError, NotADirectoryError, PermissionError, IndexError):
        return None  # no server, or not a database of ours: the start itself will say so
    return int(first) if first.strip().isdigit() else None


def _is_postmaster(pid: int, data: Path) -> bool:
    """Whether `pid` is the server of `data`, not a stranger that got its number.  A zombie has no command line."""
    if sys.platform == "linux":
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False
        return os.fsencode(data) in arguments
    shown = subprocess.run(["/bin/ps", "-p", str(pid), "-o", "command="], check=False, capture_output=True)
    return os.fsencode(data) in shown.stdout


def shut_down(server: subprocess.Popen[bytes]) -> None:
    """End our server, at once when it does not end in time.

    Raises: StoreError naming the process when it does not end at all.
    """
    if server.poll() is not None:
        log.warning("the database server had ended before it was stopped", extra={"status": server.returncode})
        return
    if _ends_after(server, signal.SIGINT, FAST_STOP_TIMEOUT_S):
        return
    log.warning("the database server did not stop in time; stopping at once", extra={"server_pid": server.pid})
    if _ends_after(server, signal.SIGQUIT, IMMEDIATE_STOP_TIMEOUT_S):
        return  # the next start recovers from the log: nothing committed is lost
    raise StoreError(
        f"the database server (process {server.pid}) does not stop; end it with: kill -9 {server.pid} "
        "(the next start recovers what was committed)"
    )


def _ends_after(server: subprocess.Popen[bytes], signum: signal.Signals, wait_s: float) -> bool:
    server.send_signal(signum)
    try:
        server.wait(wait_s)
    except subprocess.TimeoutExpired:
        return False
    return True
