"""From what was written to values, and what is said of what cannot be one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from promethean.config.leaves import PREFIX, Leaf, env_name, groups, leaves, names
from promethean.config.units import QuantityError, parse_quantity
from promethean.domain.errors import ConfigError
from promethean.domain.secret import MASK, Secret

NAME_MAX = 100  # characters of an unknown name that are looked at and shown


@dataclass(frozen=True, slots=True, repr=False)
class Given:
    """A value as somebody wrote it, and where.  Has no repr: the value may be a secret."""

    raw: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Places:
    """What relative paths and `~` mean."""

    cwd: Path
    user_home: str

    def resolve(self, text: str) -> Path:
        """The path that a text stands for."""
        if text == "~" or text.startswith("~/"):
            return Path(self.user_home, text[2:])
        return self.cwd / text


class _Unfit(Exception):  # noqa: N818 - it never leaves this module
    """The rest of a sentence that begins with the path."""


def value_of(leaf: Leaf, given: Given | None, places: Places) -> Any:
    """The value of a setting: what was given, in the type of the setting, or the default.

    Raises: ConfigError when what was given does not fit.
    """
    if given is None:
        return places.resolve(str(leaf.default)) if leaf.kind is Path else leaf.default
    try:
        value: Any = _many(leaf, given.raw) if leaf.many else _one(leaf, given.raw)
    except _Unfit as unfit:
        # Not chained, and the text of secrets never reaches the sentence.
        raise ConfigError(f"{leaf.path} {unfit} (from {given.origin})") from None
    return places.resolve(value) if leaf.kind is Path else value


def _many(leaf: Leaf, raw: Any) -> tuple[Any, ...]:
    items = [item.strip() for item in raw.split(",")] if isinstance(raw, str) and raw.strip() else raw
    if items is None or items in ("", []) or (isinstance(items, str) and not items.strip()):
        if leaf.default == ():
            return ()
        raise _no_value(leaf)
    if not isinstance(items, list):
        raise _unfit(leaf, raw, "not a list; write items with commas between them")
    values = [_one(leaf, item) for item in items]
    seen: set[Any] = set()
    for value, item in zip(values, items, strict=True):
        if value in seen:
            raise _unfit(leaf, item, "given twice in the list; keep one")
        seen.add(value)
    return tuple(values)


def _one(leaf: Leaf, raw: Any) -> Any:
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        if leaf.optional:
            return None
        raise _no_value(leaf)
    if leaf.choices:
        return _choice(leaf, raw)
    if leaf.kind is bool:
        return _boolean(leaf, raw)
    if leaf.kind in (int, float, Decimal):
        return _number(leaf, raw)
    return _text(leaf, raw)


def _choice(leaf: Leaf, raw: Any) -> str:
    if raw in leaf.choices:
        return str(raw)
    listed, closest = ", ".join(leaf.choices), _closest(str(raw), leaf.choices)
    raise _unfit(leaf, raw, f"not one of {listed}; the closest is '{closest}'")


def _boolean(leaf: Leaf, raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.lower() in ("true", "false"):
        return raw.lower() == "true"
    raise _unfit(leaf, raw, "neither true nor false; write one of them")


def _number(leaf: Leaf, raw: Any) -> int | float | Decimal:
    if isinstance(raw, bool) or not isinstance(raw, (str, int, Decimal)):
        raise _unfit(leaf, raw, f"not a number; {_takes(leaf)}")
    text = raw if isinstance(raw, str) else written(raw)
    try:
        number = parse_quantity(text, leaf.unit)
    except QuantityError as error:
        raise _unfit(leaf, raw, f"{error}; {_takes(leaf)}") from None
    if leaf.kind is int and number != int(number):
        raise _unfit(leaf, raw, f"not a whole number{_of(leaf)}; {_takes(leaf)}")
    low, high = leaf.key.minimum, leaf.key.maximum
    if low is not None and number < low:
        raise _unfit(leaf, raw, f"below the minimum of {low}; set it to {low} or more")
    if high is not None and number > high:
        raise _unfit(leaf, raw, f"above the maximum of {high}; set it to {high} or less")
    return number if leaf.kind is Decimal else leaf.kind(number)


def _text(leaf: Leaf, raw: Any) -> Any:
    if not isinstance(raw, str):
        raise _unfit(leaf, raw, "not text; write it in quotes")
    if leaf.key.pattern and not re.fullmatch(leaf.key.pattern, raw):
        raise _unfit(leaf, raw, f"not {leaf.key.shape or 'one line of text'}")
    return Secret(raw) if leaf.secret else raw


def _no_value(leaf: Leaf) -> _Unfit:
    default = leaf.key.default or written(leaf.default)
    return _Unfit(f"has no value; set one, or remove the name to get the default, {default}")


def _unfit(leaf: Leaf, raw: Any, what: str) -> _Unfit:
    if leaf.secret:
        return _Unfit(f"is {what}")
    return _Unfit(f"is {_shown(raw)}, {what}")


def _of(leaf: Leaf) -> str:
    return f" of {leaf.unit.name}" if leaf.unit.symbol else ""


def _takes(leaf: Leaf) -> str:
    example = written(leaf.default)
    if leaf.unit.symbol:
        return f"this key takes {leaf.unit.name}, for example {example} or '{example}{leaf.unit.symbol}'"
    return f"this key takes a plain number, for example {example}"


def _shown(raw: Any) -> str:
    """Write a refused value as it was given: numbers bare, text in quotes, long text cut."""
    if isinstance(raw, str) and not re.fullmatch(r"[-+]?[0-9]{1,40}(\.[0-9]{1,40})?", raw):
        return repr(raw if len(raw) <= 60 else raw[:60] + "...")
    if isinstance(raw, dict | list):
        return "a mapping" if isinstance(raw, dict) else "a list"
    return written(raw)


def written(value: Any) -> str:
    """Write a value the way it is given: plain decimals, commas between items, `***` for a secret."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case Decimal():
            return format(value, "f")
        case float():
            return format(Decimal(repr(value)), "f").removesuffix(".0")
        case tuple() | list():
            return ",".join(map(written, value)) or "none"
        case _:
            return str(value)


_SOUNDS_SECRET = re.compile(r"key|secret|token|pass|pin\b|auth|credential|dsn|url|private", re.IGNORECASE)


def unknown_key(path: str, value: Any = None) -> str:
    """One sentence for a key that does not exist: a mapping is compared with groups, anything else with settings too.

    value: what it was given, masked when it may be a secret; None is not told.
    """
    above, _, name = path.rpartition(".")
    beside = {group: group for group in groups() if group.rpartition(".")[0] == above}
    if isinstance(value, dict) and beside:
        known = beside
    elif above:
        known = {leaf: leaf for leaf in leaves()}
    else:  # a group that got a value, or a setting without its group
        known = {leaf.rpartition(".")[2]: leaf for leaf in leaves()} | beside
    closest = known[_closest(path, known)]
    for leaf in leaves().values():
        if leaf.key.name and leaf.key.name == name:
            closest = leaf.path
    return _unknown("key", path, value, closest, str)


def unknown_variable(name: str, where: str, value: str) -> str:
    """As `unknown_key` for an environment name.  where: the file it stands in, with a space before it, or nothing."""
    known = {
        found: leaf.path
        for found, (leaf, is_file) in names().items()
        if found.startswith(PREFIX) and is_file == name.endswith("_FILE")
    }
    if "_" not in name.removeprefix(PREFIX):
        known |= {env_name(group): group for group in groups()}
    closest = _closest(name, known)
    shown = env_name if known[closest] in groups() else lambda _: closest
    return _unknown(f"environment variable{where}", name, value, known[closest], shown)


def _unknown(kind: str, name: str, value: Any, closest: str, shown: Callable[[str], str]) -> str:
    """closest: path of a setting or a group.  shown: how a path is written there."""
    name = name if len(name) <= NAME_MAX else name[:NAME_MAX] + "..."
    meant = [leaf for path, leaf in leaves().items() if path == closest or path.startswith(f"{closest}.")]
    hidden = any(leaf.secret for leaf in meant) or _SOUNDS_SECRET.search(name)
    with_value = "" if value is None else f" with value {MASK if hidden else _shown(value)}"
    what = f"'{shown(closest)}'"
    if closest in groups() and not isinstance(value, dict):
        what = f"a key of {what}, such as '{shown(meant[0].path)}'"
    return f"unknown {kind} '{name}'{with_value}; did you mean {what}?"


def _closest(name: str, known: Iterable[str]) -> str:
    return difflib.get_close_matches(name[:NAME_MAX], list(known), n=1, cutoff=0.0)[0]
