"""The programs of PostgreSQL run as an account that may run them, from where it can reach them."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.storage.postgres_processes import ORDINARY_USER, as_root, open_folder, permissions, query

from promethean.domain.errors import ConfigError
from promethean.storage.postgres_programs import packaged_binaries, server_user
from promethean.storage.postgres_server import EmbeddedPostgres


@pytest.mark.skipif(os.geteuid() == 0, reason="root may choose the user")
def test_an_ordinary_user_cannot_choose_another_user(home: Path) -> None:
    with pytest.raises(ConfigError, match="only when root starts it"):
        EmbeddedPostgres(home, user="root").start()


@as_root
def test_under_root_the_server_runs_as_an_unprivileged_user_and_no_permission_changes(home: Path) -> None:
    home.mkdir(mode=0o711)
    before = permissions(home / "postgres", packaged_binaries() / "postgres")
    with EmbeddedPostgres(home) as server:
        assert (home / "postgres").stat().st_uid == Path(f"/proc/{server.pid}").stat().st_uid != 0
        assert permissions(home / "postgres", packaged_binaries() / "postgres") == before


@as_root
@pytest.mark.parametrize(("user", "says"), [("no-such-user", "there is no system user"), ("root", "refuses to run as")])
def test_an_unusable_user_is_refused(home: Path, user: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        EmbeddedPostgres(home, user=user).start()


@as_root
def test_binaries_that_the_server_user_cannot_reach_are_copied_once() -> None:
    with open_folder(None) as folder:  # on a real disk: memory is often mounted without execution
        home = folder / "home"
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        package = packaged_binaries().parents[1]
        for part in (package / "pginstall", package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, closed / part.relative_to(package.parent), ignore=shutil.ignore_patterns("include"))
        binaries = closed / package.name / "pginstall" / "bin"
        with EmbeddedPostgres(home, binaries=binaries) as server:
            assert query(server.start(), "CREATE EXTENSION vector", "SELECT 1") == 1
            (copy,) = home.glob("postgres.install-*")
            made = copy.stat().st_ctime_ns
            program = Path(f"/proc/{server.pid}/exe").readlink()
            assert program.is_relative_to(copy)
        with EmbeddedPostgres(home, binaries=binaries):
            assert [path.stat().st_ctime_ns for path in home.glob("postgres.install-*")] == [made]
        program.write_bytes(b"")  # as after a power cut
        with EmbeddedPostgres(home, binaries=binaries) as server:
            assert query(server.start(), "SELECT 1") == 1
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_an_ordinary_user_runs_the_server_without_another_user(folder: Path) -> None:
    if not server_user(None).can_run(packaged_binaries()):
        pytest.skip("the installed binaries are out of reach for an ordinary user")
    home = folder / "home"
    home.mkdir(mode=0o700)
    shutil.chown(home, "nobody")
    command = [sys.executable, "-c", ORDINARY_USER, str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["same"]
    assert {path.stat().st_uid for path in home.rglob("*")} == {home.stat().st_uid}
