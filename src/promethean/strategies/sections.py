"""One mapping of a strategy file, read with the path that leads to it: every mistake is named with path and remedy."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.money import plain

T = TypeVar("T")


class Section:
    """One mapping of the file, with the path that leads to it."""

    def __init__(self, file: str, path: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise ConfigError(f"{file}: {path or 'the file'} is not a mapping of keys to values")
        self.file = file
        self.path = path
        self.values: dict[str, Any] = values

    def error(self, key: str, what: str) -> ConfigError:
        """The error of a value: file, path, and what is wrong with it."""
        path = ".".join(part for part in (self.path, key) if part)
        return ConfigError(f"{self.file}: {path} {what}".replace(":  ", ": "))

    def only(self, known: tuple[str, ...]) -> None:
        """Raises ConfigError for a key that is not among these, naming the closest."""
        for key in self.values:
            if key not in known:
                place = f" in {self.path}" if self.path else ""
                raise ConfigError(f"{self.file}: {unknown_name('key', str(key), known)}{place}")

    def section(self, key: str, *, optional: bool = False) -> Section:
        """The mapping under a key; an empty one where an optional one is not there."""
        if key not in self.values and not optional:
            raise self.error(key, "is missing")
        return Section(self.file, key, self.values.get(key, {}))

    def text(self, key: str, default: str | None = None) -> str:
        """Text that is not empty.  Raises ConfigError when it is missing and there is no default."""
        value = self.values.get(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if not isinstance(value, str) or not value:
            raise self.error(key, f"is {value!r}; write text")
        return value

    def choice(self, key: str, known: tuple[str, ...]) -> str | None:
        """One of these words, or None where the file says nothing."""
        value = self.values.get(key)
        if value is not None and value not in known:
            raise self.error(key, f"is {value!r}: {unknown_name('value', str(value), known)}")
        return value

    def within(self, key: str, read: Callable[[], T]) -> T:
        """What `read` makes of the value; its ConfigError gets the place of the value."""
        try:
            return read()
        except ConfigError as error:
            path = ".".join(part for part in (self.path, key) if part)
            raise ConfigError(f"{self.file}: {path + ': ' if path else ''}{error}") from error

    def whole(self, key: str, smallest: int, largest: int) -> Decimal | None:
        """A whole number between these, or None where the file says nothing."""
        number = self.number(key, Decimal(smallest), Decimal(largest))
        if number is not None and number != int(number):
            raise self.error(key, f"is {plain(number)}; write a whole number from {smallest} to {largest}")
        return number

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"is {value!r}; write true or false")
        return value

    def number(self, key: str, smallest: Decimal, largest: Decimal, *, required: bool = False) -> Decimal | None:
        """A number between these, or None where the file says nothing and it is not required."""
        value = self.values.get(key)
        if value is None:
            if required or key in self.values:
                raise self.error(key, "is missing; write a number")
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self.error(key, f"is {value!r}; write a number without a unit")
        number = Decimal(value)
        if not smallest <= number <= largest:
            raise self.error(key, f"is {plain(number)}; it lies between {plain(smallest)} and {plain(largest)}")
        return number
