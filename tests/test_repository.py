"""What must hold for the repository as a whole: locks, names of machines, rooms, documents and the two commands."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")
# fmt: off
ROOMS = [
    "interfaces", "simulation", "runtime", "agents", "learning", "tools", "evaluation", "exchanges", "sources",
    "storage", "engine", "strategies", "risk", "execution", "indicators", "domain",
]
# fmt: on
SHAPELESS = {"utils", "util", "common", "helpers", "manager", "managers"}

# What must not be in any file, each written so that this file does not contain it.
ADDRESSES_OF_INDEXES = re.compile(r"--(extra-)?index" + r"-url|/simp" + r"le/")
PATHS_OF_ONE_MACHINE = re.compile(r"(?<![\w.$}/-])/(wor" + r"k|roo" + r"t)/")

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def git(*arguments: str) -> list[str]:
    """Lines git answers with; skips outside a checkout (an unpacked archive has no history to ask)."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout; this is a plain folder")
    # CI may run as another user than the one who owns the files.
    command = ["git", "-c", f"safe.directory={ROOT}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


def project_files() -> list[Path]:
    """Every file that is committed, or would be by `git add --all`."""
    listed = git("ls-files", "--cached", "--others", "--exclude-standard")
    return [path for name in sorted(set(listed)) if (path := ROOT / name).is_file()]


def offences(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in project_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    return found


def lock_entries(name: str) -> list[str]:
    """One string a locked package: the requirement and its hashes."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def pins(name: str) -> dict[str, set[Version]]:
    """Locked versions of each package; more than one where Python versions differ."""
    versions: dict[str, set[Version]] = {}
    for entry in lock_entries(name):
        package, version = re.split(r"==|[\s;]", entry)[:2]
        versions.setdefault(canonicalize_name(package), set()).add(Version(version))
    return versions


def pyproject() -> dict[str, dict[str, object]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


# --- locks ---


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_one_exact_version_and_hashes(lock: str) -> None:
    form = re.compile(r"[\w.-]+(\[[\w,-]+\])?==[^\s;]+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*")
    assert [entry[:80] for entry in lock_entries(lock) if not form.fullmatch(entry)] == []


@pytest.mark.parametrize(("lock", "table"), [(LOCKS[0], "project"), (LOCKS[1], "dependency-groups")])
def test_a_lock_satisfies_every_dependency_that_is_asked_for(lock: str, table: str) -> None:
    wanted = pyproject()[table]["dependencies" if table == "project" else "dev"]
    assert isinstance(wanted, list)
    locked = pins(lock)
    unmet = [
        str(requirement)
        for requirement in map(Requirement, wanted)
        if not locked.get(canonicalize_name(requirement.name))
        or not all(version in requirement.specifier for version in locked[canonicalize_name(requirement.name)])
    ]
    assert unmet == [], "pyproject.toml and the locks have parted; run: make lock"


def test_both_locks_agree_on_what_they_share() -> None:
    runtime, dev = map(pins, LOCKS)
    assert {
        name: (runtime[name], dev[name]) for name in runtime.keys() & dev.keys() if runtime[name] != dev[name]
    } == {}


def test_the_lock_with_addresses_is_not_under_version_control() -> None:
    assert git("ls-files", "--cached", "--", "uv.lock") == []


# --- nothing of one machine ---


def test_no_file_names_a_package_index() -> None:
    assert offences(ADDRESSES_OF_INDEXES) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert offences(PATHS_OF_ONE_MACHINE) == []


# --- rooms ---


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_a_package_that_says_what_it_is_for(room: str) -> None:
    tree = ast.parse((ROOT / "src" / "promethean" / room / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)


def test_no_module_has_a_name_that_says_nothing() -> None:
    modules = (ROOT / "src").rglob("*")
    assert [str(path) for path in modules if path.name.removesuffix(".py") in SHAPELESS] == []


def test_test_folders_are_not_packages() -> None:
    assert [str(path) for path in (ROOT / "tests").rglob("__init__.py")] == []


# --- documents ---


def documents() -> list[Path]:
    return [path for path in project_files() if path.suffix == ".md"]


def links(document: Path) -> Iterator[tuple[str, Path]]:
    """Text and target file of every link that stays inside the repository; code blocks hold none."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for match in LINK.finditer(prose):
        target = match["target"].partition("#")[0]
        if target and "://" not in target and not target.startswith("mailto:"):
            yield match["text"].strip("`"), (document.parent / target).resolve()


def definitions(source: str) -> set[str]:
    """Names a module defines at its top and inside its classes: `step`, `Position`, `Position.apply`."""
    names: set[str] = set()

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    names.add(prefix + name)
                case ast.ClassDef(name=name):
                    names.add(prefix + name)
                    visit(node.body, f"{prefix}{name}.")
                case ast.Assign(targets=targets):
                    names.update(prefix + target.id for target in targets if isinstance(target, ast.Name))
                case ast.AnnAssign(target=ast.Name(id=name)):
                    names.add(prefix + name)
                case _:
                    pass  # other statements define nothing that a page would point at

    visit(ast.parse(source).body, "")
    return names


def names_a_symbol(text: str, file: Path) -> bool:
    """Whether a link's text is a name defined in `file`, alone or after rooms and modules that lead to it.

    `step`, `step.step`, `engine.step` and `engine.step.step` all name the function of engine/step.py.
    """
    if not DOTTED.fullmatch(text):
        return False
    parts = text.split(".")
    defined = definitions(file.read_text(encoding="utf-8"))
    way = {file.stem, *(folder.name for folder in file.parents)}
    return any(way.issuperset(parts[:i]) and ".".join(parts[i:]) in defined for i in range(len(parts)))


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = [
        f"{document.relative_to(ROOT)}: [{text}] -> {target}"
        for document in documents()
        for text, target in links(document)
        if not target.exists()
    ]
    assert broken == []


def test_the_life_of_a_candle_links_to_code_that_exists_under_those_names() -> None:
    document = ROOT / "docs" / "life-of-a-candle.md"
    if not document.exists():
        pytest.skip("docs/life-of-a-candle.md is not written yet")
    code = [(text, target) for text, target in links(document) if target.suffix == ".py"]
    assert code, "the page follows the main path by links to code; it has none"
    wrong = [
        f"[{text}] is not a name in {target.relative_to(ROOT)}"
        for text, target in code
        if not target.exists() or not names_a_symbol(text, target)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("step", True),
        ("step.step", True),
        ("engine.step", True),
        ("engine.step.step", True),
        ("Desk", True),
        ("Desk.limits", True),
        ("step.Desk.check", True),
        ("EMPTY", True),
        ("engine", False),
        ("limits", False),
        ("risk.step", False),
        ("engine.leap", False),
        ("the step", False),
    ],
)
def test_a_link_text_is_matched_with_the_names_a_file_defines(text: str, found: bool, tmp_path: Path) -> None:
    file = tmp_path / "engine" / "step.py"
    file.parent.mkdir()
    file.write_text(
        "EMPTY = 0\n\ndef step(): ...\n\nclass Desk:\n    limits: int\n\n    async def check(self): ...\n",
        encoding="utf-8",
    )
    assert names_a_symbol(text, file) is found


def test_decisions_are_numbered_without_repetition() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert names[:1] == ["0000-template.md"]
    assert [name for name in names if not re.fullmatch(r"\d{4}-[a-z0-9]+(-[a-z0-9]+)*\.md", name)] == []
    numbers = [name[:4] for name in names]
    assert [number for number in set(numbers) if numbers.count(number) > 1] == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda path: path.name)
def test_a_decision_gives_its_context_and_its_consequences(path: Path) -> None:
    headings = re.findall(r"^##? (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {"Context", "Decision", "Consequences"} <= set(headings)


# --- the two commands ---


def test_the_first_screen_of_the_readme_is_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150
    first_screen = "\n".join(lines[:25])
    assert "make up" in first_screen
    assert "make test" in first_screen


def test_the_makefile_has_every_command_of_the_house() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    assert {"install", "up", "test", "check", "format", "soak", "docs", "clean"} <= targets


def test_ci_runs_the_commands_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.findall(r"^make \w+", script.read_text(encoding="utf-8"), flags=re.MULTILINE) == [
        "make check",
        "make test",
    ]


def test_every_pre_commit_hook_is_local() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert {repository["repo"] for repository in hooks["repos"]} == {"local"}
