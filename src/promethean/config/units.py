"""What the numbers of a key count, and how a number is written with its unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

DECIMALS_MAX = 18  # what NUMERIC(38,18) can hold


@dataclass(frozen=True, slots=True)
class Unit:
    """What the numbers of a key count.

    name:      what people call it, and how errors name it.
    symbol:    how it is written behind a number; empty where a number stands alone.
    dimension: what can be converted into it.
    size:      how many of the dimension's base it is.
    """

    name: str
    symbol: str = ""
    dimension: str = ""
    size: Fraction = Fraction(1)


UNITS = {
    unit.name: unit
    for unit in (
        Unit("percent", "%", "ratio", Fraction(100)),
        Unit("basis points", "bps", "ratio"),
        Unit("milliseconds", "ms", "time"),
        Unit("seconds", "s", "time", Fraction(1000)),
        Unit("mebibytes", "MiB", "size", Fraction(1024)),
        Unit("USD"),
        Unit("quote coin"),
        Unit("share"),
    )
}
PLAIN = Unit("")
ENDINGS = {
    "pct": "percent",
    "bps": "basis points",
    "ms": "milliseconds",
    "s": "seconds",
    "seconds": "seconds",
    "mib": "mebibytes",
}
# What may stand behind a number: its dimension, its size in the dimension's base, and what errors call the value.
_SYMBOLS: dict[str, tuple[str, Fraction, str]] = {
    "%": ("ratio", Fraction(100), "a percentage"),
    "bps": ("ratio", Fraction(1), "a number of basis points"),
    "ms": ("time", Fraction(1), "a duration"),
    "s": ("time", Fraction(1000), "a duration"),
    "m": ("time", Fraction(60_000), "a duration"),
    "h": ("time", Fraction(3_600_000), "a duration"),
    "d": ("time", Fraction(86_400_000), "a duration"),
    "KiB": ("size", Fraction(1), "a size"),
    "MiB": ("size", Fraction(1024), "a size"),
    "GiB": ("size", Fraction(1024**2), "a size"),
}
_QUANTITY = re.compile(r"([-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})) ?([A-Za-z%]{0,16})")


class QuantityError(ValueError):
    """A text is no number of the wanted unit; the message continues a sentence that begins with the value."""


def parse_quantity(text: str, unit: Unit) -> Decimal:
    """Read a number with or without a unit behind it.

    text:    `5`, `0.10`, `5%`, `150ms`, `1 h`; no exponents, no underscores.
    unit:    what the answer counts; a bare number is taken to count it already.
    Returns: the exact value, with at most 18 decimals.
    Raises:  QuantityError when it is no number, has another dimension, or does not convert exactly.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise QuantityError("not a number")
    number, symbol = Decimal(match.group(1)), match.group(2)
    if symbol and symbol != unit.symbol:
        if symbol not in _SYMBOLS:
            raise QuantityError(f"with the unknown unit '{symbol}'")
        dimension, size, says = _SYMBOLS[symbol]
        if dimension != unit.dimension:
            raise QuantityError(says)
        number = _exact_decimal(Fraction(number) * size / unit.size, unit)
    if -_exponent(number) > DECIMALS_MAX:
        raise QuantityError(f"with more than {DECIMALS_MAX} decimals")
    return number


def _exact_decimal(value: Fraction, unit: Unit) -> Decimal:
    for places in range(DECIMALS_MAX + 1):
        scaled = value * 10**places
        if scaled.denominator == 1:
            return Decimal(f"{scaled.numerator}E-{places}")  # from text: arithmetic would round to 28 digits
    raise QuantityError(f"which is no exact number of {unit.name}")


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # the pattern knows neither infinity nor NaN
    return exponent


def fraction(percent: Decimal) -> Decimal:
    """Convert a percent number to a fraction, exactly: 2.5 is 0.025."""
    return percent * Decimal("0.01")
