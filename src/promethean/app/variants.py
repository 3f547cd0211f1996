"""The record of what was tried on which data, for every command that tries something."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from promethean.domain.errors import PrometheanError

if TYPE_CHECKING:
    from promethean.app.backtesting import Bench
    from promethean.storage.variants import Tried


def remember(
    bench: Bench, command: str, sharpe: float | None, *, forms: int = 1, varied: Sequence[str] = ()
) -> tuple[Tried, str | None]:
    """Note what was tried, and say what has been tried on these data with this strategy by now.

    sharpe: of daily returns, not annualised.  forms, varied: of a search, how many it tried and what it varied.
    Returns the count with a remark where the record could not be kept: that fails no command.
    """
    from promethean.runtime.home import prepare_home
    from promethean.storage.variants import Tried, Variant, append_variant, count_variants

    config = bench.file.config_hash
    if varied:
        config = hashlib.sha256("\n".join((config, *varied)).encode()).hexdigest()
    variant = Variant(time.time_ns(), command, bench.sha256, bench.file.id, config, sharpe, forms)
    try:
        home = prepare_home(bench.settings.app.home)
        append_variant(home, variant)
        tried = count_variants(home, bench.sha256, bench.file.id)
    except PrometheanError as error:
        return Tried(forms, () if sharpe is None else (sharpe,), 0), f"what was tried is not on record: {error}"
    lines = f"{tried.damaged} line{'s' * (tried.damaged > 1)}"
    return tried, f"{lines} of the record of what was tried cannot be read" if tried.damaged else None
