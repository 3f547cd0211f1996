"""How many forms of a strategy were tried on the same data: a line each in a file of the home.

The more forms are tried, the better the best of them looks by luck alone: `validate` discounts for their number.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from promethean.domain.errors import StoreError

FILE = "variants.jsonl"


class Variant(Struct, frozen=True, omit_defaults=True):
    """One form of a strategy, or many of one search, that was tried on some data.

    at_ns:       when.
    command:     what tried it: backtest, sweep, ...
    data_sha256: of the data.  strategy: id of its file.
    config_hash: of the file's content with what was set; of a search, of that and of what it varied.
    sharpe:      of daily returns, not annualised; None where unknown, and for a search.
    forms:       how many forms it stands for.
    """

    at_ns: int
    command: str
    data_sha256: str
    strategy: str
    config_hash: str
    sharpe: float | None = None
    forms: int = 1


class Tried(Struct, frozen=True):
    """What was tried on one set of data with one strategy.

    forms:   how many forms, each counted once however often it ran.  sharpes: of daily returns, of those that have one.
    damaged: lines of the file that could not be read.
    """

    forms: int
    sharpes: tuple[float, ...]
    damaged: int


def append_variant(home: Path, variant: Variant) -> None:
    """Add one line.  Raises StoreError when the file cannot be written."""
    path = home / FILE
    try:
        # One write of a file opened for appending: two processes do not mix their lines.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # A line that a crash left half written must not swallow this one.
            start = b"" if _ends_a_line(path) else b"\n"
            os.write(descriptor, start + msgspec.json.encode(variant) + b"\n")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror})") from error


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def count_variants(home: Path, data_sha256: str, strategy: str) -> Tried:
    """What was tried with a strategy on some data.  Raises StoreError when the file cannot be read."""
    path = home / FILE
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror})") from error
    decoder = msgspec.json.Decoder(Variant)
    found: dict[str, Variant] = {}
    damaged = 0
    for line in filter(None, lines):
        try:
            variant = decoder.decode(line)
        except msgspec.DecodeError:
            damaged += 1
            continue
        if (variant.data_sha256, variant.strategy) == (data_sha256, strategy):
            known = found.get(variant.config_hash)
            # The same search may have gone on since; of a form that ran again the newest ratio stands.
            if known is None or (variant.forms, variant.sharpe is not None) >= (known.forms, known.sharpe is not None):
                found[variant.config_hash] = variant
    sharpes = tuple(variant.sharpe for variant in found.values() if variant.sharpe is not None)
    return Tried(sum(variant.forms for variant in found.values()), sharpes, damaged)
