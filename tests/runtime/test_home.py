"""The folder of an installation: made when missing, refused when it cannot be used, and given to one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from promethean.domain.errors import ConfigError
from promethean.runtime.home import only_one, prepare_home, running_process

HOLDER = """
import sys
from pathlib import Path
from promethean.runtime.home import only_one
with only_one(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_home_is_made_with_the_folders_above_it(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    assert prepare_home(home) == home
    assert list(home.iterdir()) == []
    assert prepare_home(home) == home


def test_a_home_that_cannot_be_written_is_refused_with_its_path(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match=r"file/home cannot be written .*PROMETHEAN_HOME"):
        prepare_home(file / "home")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_is_read_only_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot be written"):
        prepare_home(tmp_path)


def test_a_home_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    with only_one(tmp_path):
        assert running_process(tmp_path) == os.getpid()
        with pytest.raises(ConfigError, match=f"process {os.getpid()}"), only_one(tmp_path):
            pass
    assert running_process(tmp_path) is None
    with only_one(tmp_path):
        pass


def test_nobody_runs_where_nothing_was_started(tmp_path: Path) -> None:
    assert running_process(tmp_path / "missing") is None


@pytest.mark.scenario("B1")
def test_a_home_is_free_again_after_its_process_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert running_process(tmp_path) == process.pid
        with pytest.raises(ConfigError, match=f"process {process.pid}"), only_one(tmp_path):
            pass
        process.kill()
    assert running_process(tmp_path) is None
    with only_one(tmp_path):
        assert running_process(tmp_path) == os.getpid()
