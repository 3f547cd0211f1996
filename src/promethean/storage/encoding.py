"""Events as canonical JSON text and back.

Canonical: keys sorted, no spaces, numbers that are not integers as text (`"42165.75"`, the shortest that reads back as
the same value), absent values left out.  JSONB may reorder and respace what it stores; `canonical` brings it back to
the same bytes, so the hash chain can be checked from what PostgreSQL holds.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
import orjson
from msgspec import Struct

from promethean.domain import events as event_module
from promethean.domain.errors import StoreError, unknown_name
from promethean.domain.events import CandleClosed, Event
from promethean.domain.money import plain

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | bool | None

EVENT_TYPES: Mapping[str, type[Any]] = types.MappingProxyType(
    {name: kind for name, kind in vars(event_module).items() if isinstance(kind, type) and issubclass(kind, Struct)
     and kind.__module__ == event_module.__name__}
)  # fmt: skip


def canonical(value: Json) -> str:
    """The one text of a JSON value."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


@lru_cache(maxsize=1024)
def quoted(text: str) -> str:
    """A text as canonical JSON; kept, for names that come again and again."""
    return canonical(text)


def encode(event: Event) -> str:
    """The event as canonical JSON text."""
    if type(event) is CandleClosed:
        # By hand: this is on the path of every candle.  A test holds it equal to the general way.
        c = event.candle
        return (
            f'{{"candle":{{"close":"{c.close!r}","close_time_ns":{c.close_time_ns},"high":"{c.high!r}",'
            f'"instrument":{quoted(c.instrument)},"low":"{c.low!r}","open":"{c.open!r}",'
            f'"open_time_ns":{c.open_time_ns},"timeframe":{quoted(c.timeframe)},"volume":"{c.volume!r}"}},'
            f'"received_at_ns":{event.received_at_ns}}}'
        )
    return canonical(to_json(event))


def decode(name: str, payload: Mapping[str, Any]) -> Event:
    """The event that a journal row holds.

    Raises StoreError when the type is not known here or the payload does not fit it.
    """
    kind = EVENT_TYPES.get(name)
    if kind is None:
        raise StoreError(unknown_name("event type", name, EVENT_TYPES))
    try:
        event: Event = msgspec.convert(payload, kind, strict=False)  # numbers come as text
    except (msgspec.ValidationError, ValueError) as error:
        raise StoreError(f"a journal row of type {name} does not read as one: {error}") from error
    return event


def to_json(value: Any) -> Json:
    """A domain value as JSON: decimals and floats as text, enums as their value, None left out of objects.

    Raises TypeError for a value that has no JSON form.
    """
    kind: Any = type(value)
    return _writer(kind)(value)


@cache
def _writer(kind: Any) -> Callable[[Any], Json]:
    """How values of this very type are written; made once for each type."""
    if kind in (str, int, bool, type(None)):
        return _same
    if kind is Decimal:
        return plain
    if kind is float:
        return repr
    if issubclass(kind, enum.Enum):
        return _enum_value
    if issubclass(kind, Struct):
        return _object_writer(kind.__struct_fields__)
    if issubclass(kind, Mapping):
        return _mapping
    if issubclass(kind, tuple | list):
        return _items
    raise TypeError(f"{kind.__name__} has no JSON form")


def _same(value: Any) -> Any:
    return value


def _enum_value(value: Any) -> Any:
    return value.value


def _mapping(value: Mapping[Any, Any]) -> Json:
    return {str(key): to_json(item) for key, item in value.items()}


def _items(value: Any) -> Json:
    return [to_json(item) for item in value]


def _object_writer(names: tuple[str, ...]) -> Callable[[Any], Json]:
    read = attrgetter(*names) if len(names) > 1 else None

    def write(value: Any) -> Json:
        values = read(value) if read is not None else (getattr(value, names[0]),)
        return {name: to_json(item) for name, item in zip(names, values, strict=True) if item is not None}

    return write
