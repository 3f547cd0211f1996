"""The registry: one name for one thing, and the closest names for what does not exist."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from promethean.domain import registry
from promethean.domain.errors import ConfigError
from promethean.domain.registry import PLUGIN_GROUP, Plugins, Registry, load_plugins, scan


@pytest.fixture
def made() -> Registry[str]:
    known: Registry[str] = Registry("indicator")
    known.add("rsi", "the RSI")
    known.add("macd", "the MACD")
    return known


def test_what_was_added_is_found_by_its_name(made: Registry[str]) -> None:
    assert made.get("rsi") == "the RSI"
    assert "rsi" in made
    assert "ema" not in made
    assert list(made) == ["macd", "rsi"]


def test_an_unknown_name_answers_with_the_closest_ones(made: Registry[str]) -> None:
    with pytest.raises(ConfigError, match=r"unknown indicator 'rsy'; did you mean 'rsi'\?"):
        made.get("rsy")


def test_a_name_that_is_close_to_nothing_answers_with_all_of_them(made: Registry[str]) -> None:
    with pytest.raises(ConfigError, match="unknown indicator 'bollinger'; known: macd, rsi"):
        made.get("bollinger")
    with pytest.raises(ConfigError, match="known: none"):
        Registry[str]("worker").get("daily_report")


def test_two_entries_under_one_name_stop_the_start(made: Registry[str]) -> None:
    with pytest.raises(ConfigError, match=r"two indicator entries are called 'rsi'.*rename one"):
        made.add("rsi", "another RSI")
    assert made.get("rsi") == "the RSI"


def test_the_same_entry_may_be_added_again(made: Registry[str]) -> None:
    made.add("rsi", made.get("rsi"))
    assert list(made) == ["macd", "rsi"]


def test_the_decorator_records_the_entry_and_gives_it_back() -> None:
    known: Registry[Callable[[], int]] = Registry("tool")

    @known.register("answer")
    def answer() -> int:
        return 42

    assert known.get("answer") is answer
    assert answer() == 42


def test_the_entries_cannot_be_changed_from_outside(made: Registry[str]) -> None:
    with pytest.raises(TypeError):
        made.entries()["rsi"] = "stolen"  # type: ignore[index]  # the point of the test


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = "scanned_for_a_test"
    folder = tmp_path / name / "inner"
    folder.mkdir(parents=True)
    (tmp_path / name / "__init__.py").write_text("found = []\n")
    (folder / "__init__.py").write_text("")
    (folder / "deep.py").write_text(f"import {name}\n{name}.found.append('deep')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def test_a_scan_imports_every_module_below_a_package(package: str) -> None:
    module = __import__(package)
    scan(module)
    scan(module)
    assert module.found == ["deep"]


def test_plugins_are_loaded_by_their_entry_points(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    asked = []

    def entry_points(*, group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint("extra", f"{package}.inner.deep", group)]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    assert load_plugins() == Plugins(("extra",))
    assert asked == [PLUGIN_GROUP]
    assert sys.modules[package].found == ["deep"]


def installed(folder: Path, name: str, code: str) -> None:
    """What pip leaves of a package with one module."""
    (folder / f"{name}.py").write_text(code)
    about = folder / f"{name}-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(f"[{PLUGIN_GROUP}]\n{name} = {name}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for module in [module for module in sys.modules if module.startswith("plugged_")]:
        del sys.modules[module]


def test_a_plugin_that_fails_is_named_and_keeps_no_other_away(site: Path) -> None:
    installed(site, "plugged_a", "import no_such_package_anywhere\n")
    installed(site, "plugged_b", "GOOD = True\n")
    installed(site, "plugged_c", "def broken(:\n")
    installed(site, "plugged_d", "1 / 0\n")
    installed(site, "plugged_f", "import sys\nsys.exit()\n")
    found = load_plugins()
    assert found.loaded == ("plugged_b",)
    a, c, d, f = found.broken
    assert f.endswith("cannot be loaded: SystemExit")
    assert a.startswith("plug-in 'plugged_a' (package plugged_a 1.2) cannot be loaded: ModuleNotFoundError: No module")
    assert c.startswith("plug-in 'plugged_c' (package plugged_c 1.2) cannot be loaded: SyntaxError: ")
    assert d.endswith("ZeroDivisionError: division by zero")


def test_a_plugin_may_not_take_a_name_that_is_taken(site: Path) -> None:
    code = "from promethean.domain.registry import Registry\nr = Registry('tool')\nr.add('x', 1)\nr.add('x', 2)\n"
    installed(site, "plugged_e", code)
    expected = (
        r"plug-in 'plugged_e' \(package plugged_e 1.2\): two tool entries are called 'x': 1 and 2; rename one, or"
    )
    with pytest.raises(ConfigError, match=expected):
        load_plugins()
