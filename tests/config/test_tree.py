"""The tree cannot be built wrong, and every key in it is read by code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.config.loading import refusal

from promethean.config.leaves import paths
from promethean.config.tree import Postgres, Risk, Settings
from promethean.domain.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.risk.daily_trades = 5
    with pytest.raises(TypeError):
        settings.origins["risk.daily_trades"] = "nowhere"  # type: ignore[index]


def test_a_group_cannot_be_built_wrong() -> None:
    with pytest.raises(ValidationError, match="below the minimum of 1"):
        Risk(daily_trades=0)
    with pytest.raises(ValidationError, match="Decimal"):
        Risk.model_validate({"total_exposure": 0.1})
    with pytest.raises(ConfigError, match=r"postgres\.pool_max is 1, below postgres\.pool_min"):
        Settings(postgres=Postgres(pool_max=1))


def test_an_unknown_path_asked_of_settings_names_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'app\.mode'"):
        Settings().value("app.moode")


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (
            {"risk.order_notional_min": "100"},
            {"risk.order_notional_max": "5"},
            "risk.order_notional_max is 5, below risk.order_notional_min, which is 100; "
            "raise the first or lower the second",
        ),
        (
            {"postgres.pool_min": "30"},
            {},
            "postgres.pool_max is 25, below postgres.pool_min, which is 30; raise the first or lower the second",
        ),
        (
            {"market.reconnect_base_s": "2"},
            {"market.reconnect_max_s": "1.5"},
            "market.reconnect_max_s is 1.5, below market.reconnect_base_s, which is 2; "
            "raise the first or lower the second",
        ),
    ],
)
def test_a_pair_that_cannot_be_is_refused(
    tmp_path: Path, low: dict[str, str], high: dict[str, str], message: str
) -> None:
    assert refusal(tmp_path, cli={**low, **high}) == message


# --- Readers ---------------------------------------------------------------------------------------------------------

READ_BY_THE_SETTINGS_THEMSELVES = {"app.env": "decides the default of postgres.ssl_mode, as a test above shows"}


class Reads(ast.NodeVisitor):
    """Collects the paths that a piece of code reads from the settings, through local names as well.

    `getattr(settings.exchange, name).base_url` reads `exchange.*.base_url`.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self._local: dict[str, str | None] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outer, self._local = self._local, dict(self._local)  # an inner function sees the names around it
        self.generic_visit(node)
        self._local = outer

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's name

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            for name, value in self._pairs(target, node.value):
                self._local[name] = self._path(value)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and (path := self._path(node)):
            self.paths.add(path)

    def _pairs(self, target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
        if isinstance(target, ast.Name):
            yield target.id, value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for part, item in zip(target.elts, value.elts, strict=False):
                yield from self._pairs(part, item)

    def _path(self, node: ast.expr) -> str | None:
        """The path below the settings that an expression stands for; "" for the settings, None for anything else."""
        match node:
            case ast.Name(id=name):
                return self._local.get(name, "" if name == "settings" else None)
            case ast.Attribute(attr="settings" | "_settings"):
                return ""
            case ast.Attribute(value=owner, attr=name):
                above = self._path(owner)
            case ast.Call(func=ast.Name(id="getattr"), args=[owner, *_]):
                above, name = self._path(owner), "*"
            case _:
                return None
        return None if above is None else f"{above}.{name}".lstrip(".")


def reads(code: str) -> set[str]:
    visitor = Reads()
    visitor.visit(ast.parse(code))
    return visitor.paths


def test_every_key_is_read_by_code() -> None:
    package = ROOT / "src" / "promethean"
    read = {
        path
        for file in package.rglob("*.py")
        if package / "config" not in file.parents
        for path in reads(file.read_text())
    }
    unread = {path for path in paths() if not any(fnmatchcase(path, pattern) for pattern in read)}
    assert unread == set(READ_BY_THE_SETTINGS_THEMSELVES), "a key that nothing reads must not be accepted; remove it"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("settings.app.seed", {"app", "app.seed"}),
        ("self._settings.app.home / 'x'", {"app", "app.home"}),
        (
            "def f(settings):\n    a, risk = 1, settings.risk\n    return risk.daily_trades",
            {"risk", "risk.daily_trades"},
        ),
        ("getattr(settings.exchange, name, None).base_url", {"exchange", "exchange.*.base_url"}),
        ("file.market.quote", set()),
        ("def f():\n    risk = settings.risk\ndef g(risk):\n    return risk.daily_trades", {"risk"}),
        ("def f():\n    risk = settings.risk\n    risk = other\n    return risk.daily_trades", {"risk"}),
        ("settings.app.seed = 1", {"app"}),
    ],
)
def test_only_what_is_taken_from_the_settings_counts_as_read(code: str, found: set[str]) -> None:
    assert reads(code) == found
