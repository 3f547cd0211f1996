"""A strategy file that changes while it runs: what is valid applies between two candles, and the rest is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from promethean.domain.errors import ConfigError, StrategyError
from promethean.domain.ids import StrategyId
from promethean.domain.orders import Protection
from promethean.engine.desk import Desk
from promethean.runtime.account import AccountRunner
from promethean.strategies.file import StrategyFile

log = logging.getLogger(__name__)

LOOK_S = 0.5  # how often the file is looked at
_FIXED = ("id", "exchange", "base", "quote", "market_type", "timeframe", "limits", "simulation")
_SECTIONS = {"id": "strategy.id", "limits": "the limits of the file", "simulation": "the simulated venue"}
_Stamp = tuple[int, int, int]


class StrategyWatch:
    """Looks at the file of the running strategy and brings a change to the account when that may be.

    file:   the running version; outlives a restart from the journal.
    origin: config hash of the version that `up` began with, by which a recording finds its account again.
    load: reads the file at the path.  Raises ConfigError.
    say:  is told what becomes of a change.
    """

    def __init__(
        self, path: Path, file: StrategyFile, load: Callable[[Path], StrategyFile], say: Callable[[str], None]
    ) -> None:
        self.file, self.origin = file, file.config_hash
        self._path, self._load, self._say = path, load, say
        self._seen: _Stamp | None = None
        self._read: _Stamp | None = None  # what it looked like when it was read last
        self._look_at_s = 0.0
        self._pending: tuple[StrategyFile, Desk] | None = None
        self._refused = False

    def attach(
        self,
        account: AccountRunner,
        desk_of: Callable[[StrategyFile], Desk],
        applied: Callable[[StrategyFile, Desk], Awaitable[None]],
        note: str,
    ) -> None:
        """Work for this account from now on.

        desk_of: the desk of a version of the file.  Raises ConfigError or StrategyError.
        applied: is awaited when a version has become the running one.
        note:    what else is to be said then; may be empty.
        """
        self._account, self._desk_of, self._applied, self._note = account, desk_of, applied, note
        self._read = self._pending = None  # what had not come to the account is read again

    async def look(self) -> None:
        """Notice a change; between two events, as often as one likes."""
        now_s = time.monotonic()
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_S
        stamp, seen = _stamp(self._path), self._seen
        self._seen = stamp
        if stamp == self._read or stamp != seen:
            return  # known, or perhaps still being written: the next look tells
        self._read = stamp
        try:
            self._take_in(self._load(self._path))
        except (ConfigError, StrategyError) as error:
            self._pending, self._refused = None, True
            text = f"the changed strategy file is not used, and the running version goes on: {error}"
            self._say(text)
            log.warning("strategy file refused", extra={"strategy": self.file.id, "reason": str(error)})
            await self._account.keep(StrategyId(self.file.id), str(error))

    async def before_candle(self) -> None:
        """Apply a change that waits, if it may be now; called before each primary candle."""
        if self._pending is None:
            return
        file, desk = self._pending
        account = self._account.state.account
        is_flat = not account.holdings and not account.orders
        if not is_flat and not only_exits_tighten(self.file, file):
            return
        self._pending, self.file = None, file
        await self._account.use(desk, StrategyId(file.id), file.config_hash)
        await self._applied(file, desk)
        open_ones = "" if is_flat else "; what is open keeps the exits that it was entered with"
        self._say(f"the changed strategy file applies from now on{open_ones}{self._note}")

    def _take_in(self, file: StrategyFile) -> None:
        """Keep a version to be applied.  Raises ConfigError or StrategyError for one that cannot be."""
        was_refused, self._refused = self._refused, False
        if file.config_hash == self.file.config_hash:
            if was_refused or self._pending is not None:
                self._say("the strategy file is again the running version")
            self._pending = None
            return
        fixed = [_SECTIONS.get(name, f"market: {name}") for name in _FIXED if _differs(name, self.file, file)]
        if fixed:
            raise ConfigError(
                f"{self._path}: {', '.join(fixed)} changed, which only a new start can take up; stop and start again"
            )
        self._pending = file, self._desk_of(file)
        account = self._account.state.account
        if (account.holdings or account.orders) and not only_exits_tighten(self.file, file):
            self._say("the changed strategy file applies as soon as nothing is open")


def only_exits_tighten(running: StrategyFile, changed: StrategyFile) -> bool:
    """Whether a version differs from the running one in nothing but exits that come sooner."""
    others = replace(
        changed,
        name=running.name,
        exits=structs.replace(changed.exits, protection=running.exits.protection),
        content=running.content,
        config_hash=running.config_hash,
    )
    return others == running and _tighter(running.exits.protection, changed.exits.protection)


def _tighter(running: Protection, changed: Protection) -> bool:
    tightening = ("stop_loss", "tiers")
    for name in Protection.__struct_fields__:
        if name not in tightening and getattr(running, name) != getattr(changed, name):
            return False  # an exit that nobody has said how to compare
    before, after = ([(tier.share, tier.price) for tier in each.tiers] for each in (running, changed))
    nearer = all(new.target <= old.target for old, new in zip(running.tiers, changed.tiers, strict=False))
    return changed.stop_loss <= running.stop_loss and before == after and nearer


def _differs(name: str, running: StrategyFile, changed: StrategyFile) -> bool:
    return bool(getattr(running, name) != getattr(changed, name))


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0  # like no file; to read it says what is wrong
    return found.st_mtime_ns, found.st_size, found.st_ino
