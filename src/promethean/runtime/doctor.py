"""Can this machine run the platform?  Each precondition is looked at alone, so that one answer shows all problems."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from promethean.domain.errors import PrometheanError
from promethean.domain.instants import NS_PER_S, format_instant

PYTHON_OLDEST, PYTHON_TOO_NEW = (3, 11), (3, 15)
DISK_FREE_BYTES = 2 * 2**30
CLOCK_BEHIND_S = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One precondition.

    remedy:     what to do about a problem; empty where there is none.
    is_warning: of a problem: the platform runs with it, and not as a person may expect.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    is_warning: bool = False


def guarded(name: str, look: Callable[[], str | Check]) -> Check:
    """What `look` found, words when all is well; a problem when it raises one of our errors, which name the remedy."""
    try:
        found = look()
        return Check(name, True, found) if isinstance(found, str) else found
    except PrometheanError as error:
        return _problem(name, error)


async def guarded_async(name: str, look: Callable[[], Awaitable[str]]) -> Check:
    """As `guarded`, for what has to be awaited."""
    try:
        return Check(name, True, await look())
    except PrometheanError as error:
        return _problem(name, error)


def _problem(name: str, error: PrometheanError) -> Check:
    what, _, remedy = str(error).partition("; ")
    return Check(name, False, what, remedy or "see `promethean doctor --json` and the log in the home")


def python_version() -> Check:
    """Whether this Python is one we are made for."""
    found = ".".join(map(str, sys.version_info[:3]))
    ok = PYTHON_OLDEST <= sys.version_info[:2] < PYTHON_TOO_NEW
    return Check("Python", ok, f"{found} on {platform.machine()}", "" if ok else "use Python 3.11 to 3.14")


def home_writable(home: Path) -> Check:
    """Whether the home, or the folder it would be made in, can be written; nothing is made."""
    folder = home
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    ok = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    remedy = "" if ok else "set PROMETHEAN_HOME to a folder of yours"
    if not ok:
        return Check("Home", False, f"{home} cannot be written", remedy)
    return Check("Home", True, str(home) if folder == home else f"{home}, made at the first start")


def disk_space(home: Path) -> Check:
    """Whether there is room for a database and a market store."""
    folder = home
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    ok = free >= DISK_FREE_BYTES
    gib, limit = free / 2**30, DISK_FREE_BYTES / 2**30
    remedy = "" if ok else f"make room: at least {limit:.0f} GiB, or choose another PROMETHEAN_HOME"
    return Check("Disk", ok, f"{gib:,.1f} GiB free", remedy)


def clock(newest_ns: int | None) -> Check:
    """Whether the clock goes forward.  newest_ns: when the newest journal row was written; None without a journal."""
    now_ns = time.time_ns()
    behind_s = 0.0 if newest_ns is None else (newest_ns - now_ns) / NS_PER_S
    ok = behind_s <= CLOCK_BEHIND_S
    detail = f"{format_instant(now_ns)} UTC"
    if not ok:
        detail += f", {behind_s:,.0f} s before the newest row of the journal"
    return Check("Clock", ok, detail, "" if ok else "set the clock, best with NTP, and run the doctor again")
