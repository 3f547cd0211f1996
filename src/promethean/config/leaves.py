"""The leaves of the tree: one setting each, with the names it has in the environment."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from promethean.config.tree import Key, Settings
from promethean.config.units import ENDINGS, PLAIN, UNITS, Unit
from promethean.domain.secret import Secret

PREFIX = "PROMETHEAN_"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting as the models declare it."""

    path: str
    key: Key
    kind: Any  # bool, int, float, Decimal, str, Path, Secret or Literal; of the items when `many`
    many: bool
    optional: bool
    default: Any

    @property
    def unit(self) -> Unit:
        """The unit its numbers count, from the key or the end of its name."""
        return UNITS[self.unit_name] if self.unit_name else PLAIN

    @property
    def unit_name(self) -> str:
        """Name of the unit; empty for what is not measured."""
        return self.key.unit or ENDINGS.get(self.path.rpartition("_")[2], "")

    @property
    def secret(self) -> bool:
        """Whether the value is never shown."""
        return self.kind is Secret

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts allowed, or none when any is."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def names(self) -> tuple[str, ...]:
        """Environment names, the preferred one first."""
        bare = self.key.name
        names = [env_name(self.path)]
        if bare:
            names.insert(0, bare)
        if bare and not bare.startswith(PREFIX):
            names.append(PREFIX + bare)
        return tuple(names)


@cache
def leaves() -> Mapping[str, Leaf]:
    """Every setting by its path, in the order of the tree."""
    return MappingProxyType({leaf.path: leaf for leaf in _walk(Settings, "")})


@cache
def groups() -> tuple[str, ...]:
    """The path of every group of settings, in the order of the tree: `risk`, `exchange`, `exchange.binance`."""
    above = (path.split(".")[:-1] for path in leaves())
    return tuple(dict.fromkeys(".".join(parts[:depth]) for parts in above for depth in range(1, len(parts) + 1)))


def _walk(group: type[BaseModel], prefix: str) -> Iterator[Leaf]:
    for name, field in group.model_fields.items():
        path = prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _walk(field.annotation, path + ".")
        else:
            yield _leaf(path, field)


def _leaf(path: str, field: FieldInfo) -> Leaf:
    [key] = [item for item in field.metadata if isinstance(item, Key)]
    kind: Any = field.annotation
    optional = get_origin(kind) in (types.UnionType, Union)
    if optional:
        [kind] = [part for part in get_args(kind) if part is not type(None)]
    many = get_origin(kind) is tuple
    return Leaf(path, key, get_args(kind)[0] if many else kind, many, optional, field.default)


def paths() -> tuple[str, ...]:
    """Return the path of every setting, in the order of the tree."""
    return tuple(leaves())


def env_name(path: str) -> str:
    """Return the environment name of a path: `postgres.pool_max` is `PROMETHEAN_POSTGRES_POOL_MAX`."""
    return PREFIX + path.upper().replace(".", "_")


def path_of_env(name: str) -> str | None:
    """Return the path that an environment name sets, or None when it sets none."""
    found = names().get(name)
    return found[0].path if found else None


@cache
def names() -> Mapping[str, tuple[Leaf, bool]]:
    """Every environment name that is read: its leaf, and whether it names a file that holds the value."""
    names: dict[str, tuple[Leaf, bool]] = {}
    for leaf in leaves().values():
        found = [(name, False) for name in leaf.names]
        found += [(f"{name}_FILE", True) for name in leaf.names if leaf.secret]
        for name, is_file in found:
            assert name not in names, f"two settings share the environment name {name}"
            names[name] = (leaf, is_file)
    return MappingProxyType(names)
