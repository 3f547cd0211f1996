"""Names of the things that can be added: each kind has one registry, filled by one decorator.

Folders are scanned once, from the composition root; a module-level registry holds names and nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from types import MappingProxyType, ModuleType
from typing import Generic, TypeVar

from msgspec import Struct

from promethean.domain.errors import ConfigError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """What is known under which name.

    kind: singular noun for messages, for example `indicator`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> None:
        """Record an entry.  Two different entries under one name stop the start with ConfigError."""
        known = self._entries.get(name)
        if known is not None and known is not entry:
            raise ConfigError(f"two {self.kind} entries are called {name!r}: {known!r} and {entry!r}; rename one")
        self._entries[name] = entry

    def get(self, name: str) -> T:
        """The entry of that name.  Raises ConfigError naming the closest known ones."""
        try:
            return self._entries[name]
        except KeyError:
            raise ConfigError(unknown_name(self.kind, name, self._entries)) from None

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of `add`."""

        def decorate(entry: T) -> T:
            self.add(name, entry)
            return entry

        return decorate

    def entries(self) -> Mapping[str, T]:
        """All names with their entries, read-only."""
        return MappingProxyType(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries


PLUGIN_GROUP = "promethean.plugins"


def scan(package: ModuleType) -> None:
    """Import every module below a package, so that its decorators run.

    Left out are modules whose name begins with `_`: compiled kernels, which only those load who compute.
    """
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.rpartition(".")[2].startswith("_"):
            importlib.import_module(module.name)


class Plugins(Struct, frozen=True):
    """What was found in the entry-point group.

    loaded: names of those that are there.  broken: a sentence about each that is not, with its package and the reason.
    """

    loaded: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


def load_plugins() -> Plugins:
    """Import the packages of the entry-point group; one that fails does not keep the others away.

    Raises ConfigError where one uses a name that is taken.
    """
    loaded, broken = [], []
    for plugin in sorted(entry_points(group=PLUGIN_GROUP), key=lambda plugin: plugin.name):
        dist = plugin.dist
        package = f"package {dist.name} {dist.version}" if dist is not None else plugin.value
        try:
            plugin.load()
        except ConfigError as error:
            raise ConfigError(f"plug-in {plugin.name!r} ({package}): {error}, or uninstall the package") from error
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's module may raise anything when imported
            what = ": ".join(filter(None, (type(error).__name__, str(error))))
            broken.append(f"plug-in {plugin.name!r} ({package}) cannot be loaded: {what}")
        else:
            loaded.append(plugin.name)
    return Plugins(tuple(loaded), tuple(broken))
