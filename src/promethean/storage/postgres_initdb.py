"""The first start: whether there is a database, and how one is made.

Beside the database directory `<name>.initdb-<token>` is an unfinished first start.
"""
# ruff: noqa: S603 - every program started here is named by a full path of ours, without a shell on user input

from __future__ import annotations

import os
import secrets
import shutil
import signal
import stat
import subprocess
from pathlib import Path

from promethean.domain.errors import ConfigError, StoreError
from promethean.storage.postgres_home import sync_directory, write_private
from promethean.storage.postgres_programs import LOG_TAIL_LINES, MAJOR, ROLE, ServerUser, account_name, die_with_parent

INITDB_TIMEOUT_S = 120.0


def is_initialised(data: Path, user: ServerUser) -> bool:
    """Whether `data` holds a database that this user can run.  An absent or empty directory does not."""
    if not data.exists():
        return False
    owner, mode = data.stat().st_uid, stat.S_IMODE(data.stat().st_mode)
    readable = os.access(data, os.R_OK | os.X_OK)
    if readable and not any(data.iterdir()):
        return False
    if owner != user.uid:
        raise ConfigError(
            f"the database directory {data} belongs to {account_name(owner)}, but the server would run as "
            f"{user.name}; start the platform the way it was started first, or choose another home"
        )
    if mode & 0o700 != 0o700 or mode & 0o027:  # PostgreSQL's own rule; it allows the group to read
        raise ConfigError(
            f"the database directory {data} has mode {mode:04o}, and its user alone has to read and write it; "
            f"set it right: chmod 700 {data}"
        )
    version = data / "PG_VERSION"
    if not version.exists():
        raise ConfigError(f"{data} holds files but no database; move them away, or choose another directory")
    if version.read_text().strip() != str(MAJOR):
        raise ConfigError(
            f"{data} was written by PostgreSQL {version.read_text().strip()}, this is {MAJOR}; "
            "restore a backup into a new home, or name a server of that version (DATABASE_URL)"
        )
    return True


def initialise(data: Path, binaries: Path, user: ServerUser, password: str) -> None:
    """Make an empty database beside its place and move it there when complete: half of one is never taken for one."""
    for unfinished in data.parent.glob(f"{data.name}.initdb-*"):
        shutil.rmtree(unfinished, ignore_errors=True)  # a dying initdb may still write there; there is a next time
    work = data.with_name(f"{data.name}.initdb-{secrets.token_hex(4)}")
    work.mkdir(mode=0o700)
    secret = work / "password"
    write_private(secret, password)
    user.give(secret)
    user.give(work)
    command = [str(binaries / "initdb"), "-D", str(work / "data"), "-U", ROLE, "--pwfile", str(secret)]
    command += ["--auth-local=trust", "--auth-host=scram-sha-256", "--locale=C.UTF-8", "--encoding=UTF8"]
    try:
        done = subprocess.run(
            [*command, "--no-instructions"],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INITDB_TIMEOUT_S,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
            **user.popen_options(),
        )
        if done.returncode != 0:
            said = "\n".join(done.stdout.decode(errors="replace").splitlines()[-LOG_TAIL_LINES:])
            raise StoreError(f"the database could not be made in {data} (initdb status {done.returncode}):\n{said}")
        (work / "data").rename(data)
        sync_directory(data.parent)  # or a power cut could undo the move after the first commits
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"initdb did not finish {data} in {INITDB_TIMEOUT_S:.0f} s; is the disk busy?") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)  # what is left of it is removed by the next first start
