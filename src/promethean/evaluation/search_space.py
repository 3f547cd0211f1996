"""What a search varies: names, their values, and every combination by its number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

import numpy as np
from msgspec import Struct

from promethean.domain.errors import ConfigError
from promethean.domain.money import plain
from promethean.evaluation.sweep import VALUES_MAX, parse_range

STEPS = 20  # of a default range that is not of whole numbers
WHOLE_MAX = 100  # values of a default range of whole numbers


class Range(Struct, frozen=True):
    """A parameter of a strategy file, or the path of another key, and its values as text, in order."""

    name: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        if len(self.values) <= 3:
            return f"{self.name}={','.join(self.values)}"
        return f"{self.name}={self.values[0]},{self.values[1]}..{self.values[-1]} ({len(self.values)} values)"


class Space(Struct, frozen=True):
    """Every combination of the values of some ranges."""

    ranges: tuple[Range, ...]

    @property
    def size(self) -> int:
        """How many combinations there are."""
        return math.prod(len(each.values) for each in self.ranges)

    def parameters(self, picks: Sequence[int]) -> dict[str, str]:
        """The combination that takes this value, by its place, of each range."""
        return {each.name: each.values[pick] for each, pick in zip(self.ranges, picks, strict=True)}

    def picks(self, number: int) -> tuple[int, ...]:
        """The combination with this number, from 0 to `size` - 1, the last range counting fastest."""
        places = []
        for each in reversed(self.ranges):
            number, place = divmod(number, len(each.values))
            places.append(place)
        return tuple(reversed(places))

    def draw(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Any combination, all as likely."""
        return tuple(int(rng.integers(len(each.values))) for each in self.ranges)

    def neighbours(self, picks: Sequence[int]) -> list[tuple[int, ...]]:
        """The combinations one value away in one range."""
        found: list[tuple[int, ...]] = []
        for place, each in enumerate(self.ranges):
            beside = (other for other in (picks[place] - 1, picks[place] + 1) if 0 <= other < len(each.values))
            found += [(*picks[:place], other, *picks[place + 1 :]) for other in beside]
        return found


def read_space(texts: Sequence[str]) -> Space:
    """`period=6:24:2`, `low=20:35` in steps of the last digit written, or `high=65,70,80`, as the space of a search.

    Raises ConfigError for another form, a name given twice, and ranges that leave nothing to choose.
    """
    ranges = [_read(text) for text in texts]
    names = [each.name for each in ranges]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ConfigError(f"--param names {doubled[0]} twice; keep one")
    space = Space(tuple(ranges))
    if space.size < 2:
        raise ConfigError("there is one combination, so nothing to search; give for example --param period=6:24:2")
    return space


def _read(text: str) -> Range:
    name, _, values = text.partition("=")
    full = f"{text}:{_last_digit(values)}" if values.count(":") == 1 else text
    try:
        name, found = parse_range(full)
    except ConfigError:
        raise ConfigError(
            f"--param is {text!r}; write name=first:last, name=first:last:step or name=a,b,c, at most {VALUES_MAX:,} "
            "values, for example period=6:24:2"
        ) from None
    return Range(name, tuple(dict.fromkeys(found)))


def _last_digit(values: str) -> Decimal:
    """One of the last digit that either end is written with: 1 for 20:35, 0.05 counts in hundredths."""
    places = 0
    for part in values.split(":"):
        try:
            exponent = Decimal(part).as_tuple().exponent
        except InvalidOperation:
            continue  # the range is refused with all of its text
        places = max(places, -exponent if isinstance(exponent, int) else 0)
    return Decimal(1).scaleb(-places)


def space_around(parameters: Mapping[str, Decimal | bool]) -> Space:
    """Every number of a strategy file from half to one and a half times its value, whole ones in whole steps.

    Raises ConfigError when the file has no number to vary.
    """
    ranges = []
    for name, value in parameters.items():
        if isinstance(value, bool) or not value:
            continue
        low, high = sorted((value / 2, value * 3 / 2))
        step = abs(value) / STEPS
        if value == value.to_integral_value():
            low = max(Decimal(math.ceil(low)), Decimal(1)) if value > 0 else Decimal(math.ceil(low))
            high = Decimal(math.floor(high))
            step = Decimal(math.ceil((high - low) / WHOLE_MAX) or 1)
        count = int((high - low) / step) + 1
        if count > 1:
            ranges.append(Range(name, tuple(plain(low + step * number) for number in range(count))))
    if not ranges:
        raise ConfigError("the strategy file has no parameter to vary; give for example --param risk.stop_loss_pct=1:3")
    return Space(tuple(ranges))
