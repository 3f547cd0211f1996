"""The folder in which an installation keeps its state, and the lock that gives it to one process."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from promethean.domain.errors import ConfigError


def prepare_home(home: Path) -> Path:
    """Make the home if it is not there.  Raises ConfigError naming the path when it cannot be used."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"the home {home} cannot be written ({error.strerror}); set PROMETHEAN_HOME to a folder of yours"
        ) from error
    return home


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the home for this process alone.  Raises ConfigError naming the process that has it."""
    path = home / "up.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise ConfigError(
                f"the platform already runs on {home} (process {holder}); stop it, or choose another PROMETHEAN_HOME"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            lock.truncate(0)


def running_process(home: Path) -> int | None:
    """The process that runs the platform on this home, or None."""
    path = home / "up.lock"
    try:
        with path.open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(lock.read().strip() or 0) or None
    except OSError:
        return None
    return None
