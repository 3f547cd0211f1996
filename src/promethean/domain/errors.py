"""One tree for everything that can go wrong outside our own code.

An expected answer is a returned value, not an exception; our own mistakes are assertions (STYLE section 6).
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class PrometheanError(Exception):
    """The world failed, or the set-up is wrong."""


class ConfigError(PrometheanError):
    """The set-up is wrong; raised before anything starts.  The command line answers with exit status 2."""


class StoreError(PrometheanError):
    """A database or a file of ours cannot be read or written."""


class JournalTamperedError(StoreError):
    """A journal row was edited, removed or inserted: the hash chain does not hold.

    What was handed to us is wrong, not the work: the command line answers with exit status 2.

    stream:   name of the stream.
    sequence: number of the first row that does not fit.
    """

    def __init__(self, stream: str, sequence: int, what: str) -> None:
        super().__init__(
            f"journal stream {stream} is damaged at row {sequence}: {what}; "
            "bring back a copy of the database from before, or choose another PROMETHEAN_HOME"
        )
        self.stream = stream
        self.sequence = sequence


class LeaseLostError(StoreError):
    """Another process took this account over; nothing of ours may be written for it any more."""


class VaultError(StoreError):
    """A secret cannot be encrypted or decrypted: wrong or damaged key, moved or edited ciphertext."""


class VenueError(PrometheanError):
    """A venue or a market data service failed."""


class RateLimitedError(VenueError):
    """The venue asks us to wait."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OrderOutcomeUnknownError(VenueError):
    """An order was sent and no readable answer came back.  Look it up by its client id; never just send again."""


class FeedError(PrometheanError):
    """A market feed cannot deliver: no network, no such file, unreadable data."""


class StrategyError(PrometheanError):
    """A strategy's own code failed: there is no answer, and none is invented."""


class Stopped(KeyboardInterrupt):
    """A signal asks the process to end, and there is nothing under way that has to be brought to an end first.

    number: of the signal.  Not a PrometheanError: nobody catches it on the way but to clean up, as with Ctrl-C.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stopped_by(stop: KeyboardInterrupt) -> tuple[int, str]:
    """The signal that ended the work, and the one sentence about it."""
    number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
    who = "the keyboard" if number == signal.SIGINT else signal.Signals(number).name
    return number, f"stopped by {who} before the work was done"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """One sentence for a name that does not exist, with the closest names that do."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"unknown {kind} {name!r}; did you mean {', '.join(map(repr, close))}?"
    return f"unknown {kind} {name!r}; known: {', '.join(names) or 'none'}"
