"""The settings as people read them: the values in effect, and the reference page."""

from __future__ import annotations

from dataclasses import dataclass

from promethean.config.leaves import Leaf, leaves
from promethean.config.tree import Settings
from promethean.config.values import written


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `promethean config show`."""

    path: str
    value: str
    origin: str
    unit: str
    help: str


def describe(settings: Settings) -> list[Row]:
    """Return every effective value with its origin, secrets as `***`, in the order of the tree."""
    return [
        Row(path, written(settings.value(path)), settings.origins.get(path, "default"), leaf.unit_name, leaf.key.help)
        for path, leaf in leaves().items()
    ]


_PAGE_HEAD = """\
# Configuration

This page is made from the settings classes by `python -m promethean.config`; edit
`src/promethean/config/tree.py` instead.

A value comes from the first of these that gives one:

1. the command line;
2. the environment;
3. `.env` in the working directory: lines `NAME=value`;
4. `promethean.yaml`: the file named by `--config`, else the one in the working directory, else the one in the home;
5. the default below.

Everything is checked before anything starts. An unknown key, an unknown `PROMETHEAN_` variable, a key given twice, a
value out of range or in the wrong unit, and a pair that cannot be (a maximum below its minimum) stop the start.
`promethean config show` prints the values in effect and where each came from.

- **Names.** The environment name of a key is `PROMETHEAN_` and its path in capitals, with underscores for dots. The
  shorter names below are read too, with and without the prefix. Two names that give one key different values are an
  error.
- **Units.** The end of a name says what its number counts. A text may carry a unit that converts exactly: `5%`,
  `20bps`, `150ms`, `2s`, `5m`, `1h`, `1d`, `512MiB`, `1GiB`.
- **Secrets.** Give a secret as a file by adding `_FILE` to its environment name, as in
  `ENCRYPTION_KEY_FILE=/run/secrets/key`. Secrets are refused on the command line and are never printed.
  Addresses of databases count as secrets: they may hold a password.
- **Lists.** Items with commas between them anywhere, or a YAML list.
- **YAML.** `no`, `on` and `12:30` are text. `012`, `1e3` and `0x1f` are refused, since versions of YAML read them
  differently: write numbers out, or put text in quotes. Tags and merge keys are refused.
- **Paths.** Relative paths start at the working directory; `~` is the user's home.
"""


def reference_page() -> str:
    """Return the text of `docs/configuration.md`."""
    sections = [_PAGE_HEAD]
    for name, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type)
        rows = [_page_row(leaf) for path, leaf in leaves().items() if path.startswith(f"{name}.")]
        sections.append(
            f"## {name}\n\n{field.annotation.__doc__}\n\n"
            "| Key | Environment | Default | Unit | Allowed | Meaning |\n|---|---|---|---|---|---|\n"
            + "\n".join(rows)
            + "\n"
        )
    return "\n".join(sections)


def _page_row(leaf: Leaf) -> str:
    default = leaf.key.default or f"`{written(leaf.default)}`"
    names = f"`{leaf.names[0]}`" + (" (secret)" if leaf.secret else "")
    cells = (f"`{leaf.path}`", names, default, leaf.unit_name, _allowed(leaf), leaf.key.help)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _allowed(leaf: Leaf) -> str:
    if leaf.choices:
        return ", ".join(f"`{choice}`" for choice in leaf.choices)
    if leaf.kind is bool:
        return "`true`, `false`"
    if leaf.key.minimum is not None:
        return f"{leaf.key.minimum} to {leaf.key.maximum}"
    return leaf.key.shape
