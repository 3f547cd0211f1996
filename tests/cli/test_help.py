"""Help, unknown words, and what they may not cost."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.cli.calls import promethean


def test_the_command_line_imports_nothing_heavy_before_a_command_runs() -> None:
    heavy = ("numpy", "pydantic", "sqlalchemy", "asyncpg", "ccxt", "chdb", "clickhouse_connect", "pyarrow", "alembic")
    program = f"import sys, promethean.cli.root; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_command() -> None:
    done = promethean("--help")
    assert done.status == 0
    for command in ("up", "status", "doctor", "kill", "unkill", "account", "audit", "catalogue", "config", "data"):
        assert re.search(rf"\b{command}\b", done.stdout)


def test_an_unknown_command_or_option_has_status_2() -> None:
    assert promethean("upp").status == 2
    assert promethean("up", "--sped", "max").status == 2
