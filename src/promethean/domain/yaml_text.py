"""YAML as people expect it: one value for one key, no surprising types, nothing that can grow or run.

Scalars follow the YAML 1.2 core schema, and what two versions of YAML read differently is refused, not guessed:

| written            | read as                                                             |
|--------------------|---------------------------------------------------------------------|
| `true` `false`     | bool (also `True`, `TRUE`); `yes`, `no`, `on`, `off` stay text        |
| `null` `~` nothing | None                                                                |
| `20`               | int                                                                 |
| `0.10`             | Decimal with the digits as written, never a float                   |
| `12:30` `1_000`    | text                                                                |
| `012` `1e3` `0x1f` | refused: YAML 1.1 and 1.2 disagree about them                       |
| `.inf` `.nan`      | refused: not a number that can be worked with                       |
| `"012"`            | text, as everything in quotes                                       |

Keys are always text.  Tags (`!!python/..`), merge keys (`<<`), several documents in one text and recursive aliases
are refused; anchors, depth and size are limited.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import yaml

from promethean.domain.errors import ConfigError

BYTES_MAX = 1_048_576
ANCHORS_MAX = 20
DEPTH_MAX = 32
# Values after aliases are written out: twenty anchors are enough to describe more than any memory can hold.
VALUES_MAX = 100_000
NUMBER_DIGITS_MAX = 40

Path = tuple[str | int, ...]

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_OTHER_BASE = re.compile(r"[-+]?0([xX][0-9a-fA-F_]+|[oO][0-7_]+|[bB][01_]+)")


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """The values of one YAML text and where they stand in it.

    values: the mapping at the top; nested values are dict, list, str, int, Decimal, bool or None.
    lines:  line number (from 1) of every value by its path, for example `("exits", "tiers", 0)`.  What stands inside
            an aliased value is not listed on its own.
    """

    values: dict[str, Any]
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Return the line of `path`, or of the nearest value around it that is listed."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def load_yaml(text: str, name: str) -> dict[str, Any]:
    """Read one YAML mapping.

    text:    the whole document, at most 1 MiB.
    name:    how errors call it, usually the file name.
    Returns: the mapping; an empty text gives an empty one.  Numbers with a point are Decimal.
    Raises:  ConfigError with `name`, the line and, inside a mapping, the path of the value.
    """
    return read_yaml(text, name).values


def read_yaml(text: str, name: str) -> YamlDocument:
    """Read one YAML mapping like `load_yaml` and keep the line of each value."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > BYTES_MAX:
        raise ConfigError(f"{name} is {size} bytes, above the maximum of {BYTES_MAX}; split it or make it smaller")
    reader = _Reader(text, name)
    try:
        return reader.document()
    except yaml.MarkedYAMLError as error:
        # Only the problem and its place: a snippet of the text could show a secret.
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{name}:{line}: not readable as YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{name}:{line}: a character that YAML does not allow (code {error.character!r}); remove it"
        ) from None


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Any
    values_count: int


class _Reader:
    """Builds values straight from the parser's events, so that a limit is met before anything has grown."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self._lines: dict[Path, int] = {}
        # An anchor whose value is still being read maps to None: an alias to it would contain itself.
        self._anchors: dict[str, _Anchored | None] = {}
        self._values_count = 0

    def document(self) -> YamlDocument:
        next(self._events)  # start of the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return YamlDocument({}, {})
        event = next(self._events)
        values = self._value(event, ())
        if values is None:
            values = {}
        if not isinstance(values, dict):
            self._refuse(event, (), "the top is not a mapping; write 'key: value' lines")
        next(self._events)  # end of the document
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, (), "a second document begins; keep one document in a file")
        return YamlDocument(values, self._lines)

    def _value(self, event: yaml.Event, path: Path) -> Any:
        self._lines[path] = _line(event)
        self._count(event, path, 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        assert isinstance(event, yaml.NodeEvent)
        before = self._values_count
        if event.anchor is not None:
            self._open_anchor(event, path)
        self._refuse_tag(event, path)
        value = self._content(event, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, self._values_count - before + 1)
        return value

    def _content(self, event: yaml.Event, path: Path) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= DEPTH_MAX:
            self._refuse(event, path[:3], f"values are nested deeper than {DEPTH_MAX} levels; make it flatter")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        first_lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key in values:
                self._refuse(event, (*path, key), f"given twice (first on line {first_lines[key]}); keep one")
            first_lines[key] = _line(event)
            values[key] = self._value(next(self._events), (*path, key))
        return values

    def _key(self, event: yaml.Event, path: Path) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(event, path, "a key is not plain text; write 'key: value'")
        self._refuse_tag(event, path)
        if event.anchor is not None:
            self._refuse(event, path, "a key carries an anchor; put it on the value")
        if event.value == "<<" and event.implicit[0]:
            self._refuse(event, path, "merge keys ('<<') are not read; write the keys out")
        if not event.value:
            self._refuse(event, path, "a key is empty; give it a name")
        return str(event.value)

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> str | int | bool | Decimal | None:
        text: str = event.value
        if not event.implicit[0]:
            return text
        if text in _NULLS:
            return None
        if text in _BOOLS:
            return _BOOLS[text]
        if _NOT_FINITE.fullmatch(text):
            self._refuse(event, path, f"is {text}, not a finite number; write a number, or quote it as text")
        if _OTHER_BASE.fullmatch(text):
            self._refuse(event, path, "looks like a number in another base; write it in decimals, or quote it as text")
        number = _NUMBER.fullmatch(text)
        return self._number(event, path, number) if number else text

    def _number(self, event: yaml.ScalarEvent, path: Path, number: re.Match[str]) -> int | Decimal:
        text = number.group(0)
        if len(text) > NUMBER_DIGITS_MAX:
            self._refuse(event, path, f"is a number of {len(text)} characters, above {NUMBER_DIGITS_MAX}; quote text")
        if number.group(3):
            self._refuse(event, path, f"is {text}, a number with an exponent; write it out, or quote it as text")
        if _LEADING_ZERO.match(text):
            self._refuse(event, path, f"is {text}, a number with a leading zero; remove the zero, or quote it as text")
        return Decimal(text) if "." in text else int(text)

    def _open_anchor(self, event: yaml.NodeEvent, path: Path) -> None:
        assert event.anchor is not None
        if event.anchor in self._anchors:
            self._refuse(event, path, "an anchor has a name that is taken; give it another")
        if len(self._anchors) >= ANCHORS_MAX:
            self._refuse(event, path, f"more than {ANCHORS_MAX} anchors; write the values out")
        self._anchors[event.anchor] = None

    def _alias(self, event: yaml.AliasEvent, path: Path) -> Any:
        if event.anchor is None or event.anchor not in self._anchors:
            self._refuse(event, path, "an alias names no earlier anchor; check its spelling")
        anchored = self._anchors[event.anchor]
        if anchored is None:
            self._refuse(event, path, "an alias lies inside its own anchor; write the value out")
        self._count(event, path, anchored.values_count)
        # A copy: changing one place must not change the other.
        return copy.deepcopy(anchored.value)

    def _count(self, event: yaml.Event, path: Path, added: int) -> None:
        self._values_count += added
        if self._values_count > VALUES_MAX:
            self._refuse(event, path[:3], f"more than {VALUES_MAX} values, aliases written out; make it smaller")

    def _refuse_tag(self, event: yaml.NodeEvent, path: Path) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._refuse(event, path, "a tag ('!..') stands before it; remove the tag, and quote what is text")

    def _refuse(self, event: yaml.Event, path: Path, what: str) -> NoReturn:
        place = f"{self._name}:{_line(event)}"
        raise ConfigError(f"{place}: {dotted(path)}: {what}" if path else f"{place}: {what}")


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None  # the pure Python parser marks every event
    return event.start_mark.line + 1


def dotted(path: Path) -> str:
    """Write a path as people read it: `exits.tiers[0].close_pct`."""
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return words.removeprefix(".")
