"""The kill latch: in memory, in a checksummed file and in PostgreSQL.

Killed is whoever any one of the three calls killed, or whose latch cannot be read.  Setting needs nothing but the
memory of this process; the file and the table follow.  Lifting needs all of them and a nonce that works once.
A lifted file stays: it tells other processes that exactly the latch they remember was lifted, by whom and when.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Text, cast, select, update
from sqlalchemy.dialects.postgresql import insert

from promethean.domain.errors import ConfigError, StoreError
from promethean.domain.ids import AccountId, UserId
from promethean.domain.instants import NS_PER_S, format_instant, to_datetime
from promethean.storage.database import Database
from promethean.storage.tables import EXCHANGE_ACCOUNTS, HALT_LATCHES, USERS, LatchKind, LatchScope, new_id

NONCE_TTL_NS = 300 * NS_PER_S
_SUFFIX = ".latch"
_SCOPE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Latch:
    """One halt that is in force.

    scope_id: the user's or the account's id; empty for the platform.
    readable: False for a latch that is taken as set because its record cannot be read.
    """

    id: str
    scope: LatchScope
    scope_id: str
    reason: str
    set_by: str
    set_at_ns: int
    readable: bool = True


@dataclass(frozen=True, slots=True)
class _Record:
    """What a latch file holds: a latch, what lifted it, and the hash of the nonce that may lift it."""

    latch: Latch
    lifted_by: str | None = None
    lifted_at_ns: int | None = None
    nonce_hash: str | None = None
    nonce_at_ns: int = 0

    @property
    def in_force(self) -> Latch | None:
        return self.latch if self.lifted_at_ns is None else None


class LatchFiles:
    """The latch files of one installation, shared by all its processes.

    folder:   `<home>/latches`; made when missing.
    clock_ns: the wall clock, nanoseconds since the epoch.
    Raises:   ConfigError when the folder cannot be made.
    """

    def __init__(self, folder: Path, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._folder = folder
        self.clock_ns = clock_ns
        self._seen: dict[Path, tuple[tuple[int, int, int], _Record]] = {}
        self._paths: dict[tuple[LatchScope, str], Path] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the latch folder {folder} cannot be made ({error.strerror}); "
                "allow this user to write in the home, or choose another one (PROMETHEAN_HOME)"
            ) from error

    def set(self, scope: LatchScope, scope_id: str, reason: str, by: str) -> Latch:
        """Set a latch, on disk when this returns.  One that is set stays as it was, but a nonce for it is void.

        Raises: StoreError when the file cannot be written; ValueError for an id that cannot be a file name.
        """
        return self.keep(Latch(new_id(), scope, scope_id, reason, by, self.clock_ns()))

    def keep(self, latch: Latch) -> Latch:
        """As `set`, with a latch that is set elsewhere already."""
        with self._writing():
            record = self._record(latch.scope, latch.scope_id)
            old = record.in_force if record is not None else None
            kept = old if old is not None and old.readable else replace(latch, readable=True)
            self._write(_Record(kept))
        return kept

    def read(self, scope: LatchScope, scope_id: str = "") -> Latch | None:
        """The latch when it is set, or when its file cannot be read; None when it is not set."""
        record = self._record(scope, scope_id)
        return record.in_force if record is not None else None

    def read_all(self) -> tuple[Latch, ...]:
        """Every latch that is set or cannot be read.  A file whose name says nothing counts for the platform."""
        try:
            names = sorted(path.name for path in self._folder.iterdir() if path.suffix == _SUFFIX)
        except OSError as error:
            return (self._unreadable(LatchScope.PLATFORM, "", self._folder, str(error)),)
        found = []
        for name in names:
            scope, scope_id = _scope_of(name)
            latch = self.read(scope, scope_id)
            if latch is None and _file_name(scope, scope_id) != name:
                latch = self._unreadable(scope, scope_id, self._folder / name, "its name names nobody")
            if latch is not None:
                found.append(latch)
        return tuple(found)

    def was_lifted(self, latch: Latch) -> bool:
        """Whether exactly this latch, not another one of the same scope, was lifted by a person."""
        record = self._record(latch.scope, latch.scope_id)
        return record is not None and record.latch.id == latch.id and record.in_force is None

    def issue_nonce(self, scope: LatchScope, scope_id: str = "") -> str:
        """A nonce that lifts this latch once, within five minutes and unless it is set again; voids an older one.

        Raises: ConfigError when the latch is not set.
        """
        nonce = secrets.token_urlsafe(16)
        with self._writing():
            latch = self._set_latch(scope, scope_id).latch
            self._write(_Record(replace(latch, readable=True), nonce_hash=_digest(nonce), nonce_at_ns=self.clock_ns()))
        return nonce

    def redeem(self, scope: LatchScope, scope_id: str, nonce: str) -> tuple[str, int]:
        """Use the nonce up.  The latch is still set; `lift` comes after PostgreSQL has agreed.

        Returns: the nonce's hash and the instant it was issued.
        Raises:  ConfigError when the latch is not set, or the nonce is wrong, used or too old.
        """
        with self._writing():
            record = self._set_latch(scope, scope_id)
            expected = record.nonce_hash
            fresh = 0 <= self.clock_ns() - record.nonce_at_ns <= NONCE_TTL_NS
            if expected is None or not fresh or not hmac.compare_digest(expected, _digest(nonce)):
                raise ConfigError(
                    f"this nonce does not lift the {_named(scope, scope_id)} kill latch; ask for a new one"
                )
            self._write(_Record(record.latch))
        return expected, record.nonce_at_ns

    def lift(self, latch: Latch, by: str) -> None:
        """Lift this latch, after `redeem`.  One that was set anew in the meantime stays set.

        Raises: ConfigError when it is not set (any more).
        """
        with self._writing():
            record = self._set_latch(latch.scope, latch.scope_id)
            if record.latch.id != latch.id:
                raise ConfigError(f"the {_named(latch.scope, latch.scope_id)} kill latch was set again: "
                                  f"{record.latch.reason}; look at it, then ask for a new nonce")  # fmt: skip
            self._write(_Record(latch, lifted_by=by, lifted_at_ns=self.clock_ns()))

    def _path(self, scope: LatchScope, scope_id: str) -> Path:
        """Where a latch lies; kept, as every order that is sent asks for it."""
        path = self._paths.get((scope, scope_id))
        if path is None:
            path = self._paths[scope, scope_id] = self._folder / _file_name(scope, scope_id)
        return path

    def _set_latch(self, scope: LatchScope, scope_id: str) -> _Record:
        record = self._record(scope, scope_id)
        if record is None or record.in_force is None:
            raise ConfigError(f"the {_named(scope, scope_id)} kill latch is not set")
        return record

    def _record(self, scope: LatchScope, scope_id: str) -> _Record | None:
        path = self._path(scope, scope_id)
        try:
            status = os.stat(path)  # noqa: PTH116  a third of the time of path.stat(), before every order
            version = (status.st_mtime_ns, status.st_ino, status.st_size)
            seen = self._seen.get(path)
            if seen is not None and seen[0] == version:
                return seen[1]
            record = _decode(path.read_bytes())
            if (record.latch.scope, record.latch.scope_id) != (scope, scope_id):
                raise ValueError("it is the file of another latch")  # noqa: TRY301  told like every other damage
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            return _Record(self._unreadable(scope, scope_id, path, str(error)))
        self._seen[path] = (version, record)
        return record

    def _unreadable(self, scope: LatchScope, scope_id: str, path: Path, why: str) -> Latch:
        reason = f"the latch file {path} cannot be read ({why}), so it counts as set"
        return Latch(new_id(), scope, scope_id, reason, "platform", self.clock_ns(), readable=False)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with (self._folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise StoreError(
                f"the latch files in {self._folder} cannot be written ({error.strerror}); "
                "allow this user to write there, and make room on the disk"
            ) from error

    def _write(self, record: _Record) -> None:
        path = self._folder / _file_name(record.latch.scope, record.latch.scope_id)
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(_encode(record))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class KillSwitch:
    """What the risk check and the sender ask: memory first, then the files.  A look costs a few microseconds.

    Latches known from PostgreSQL come in through `merge`, which keeps them in the files.
    """

    def __init__(self, files: LatchFiles) -> None:
        self.files = files
        self._memory: dict[tuple[LatchScope, str], Latch] = {latch_key(latch): latch for latch in files.read_all()}

    def set(self, scope: LatchScope, scope_id: str, reason: str, by: str) -> Latch:
        """Stop now.  The memory is set before the disk is touched, so a full disk stops us as well.

        Raises: StoreError when the file cannot be written; the latch is set in memory nevertheless.
        """
        latch = Latch(new_id(), scope, scope_id, reason, by, self.files.clock_ns())
        self._memory.setdefault(latch_key(latch), latch)
        kept = self.files.keep(latch)
        self._memory[latch_key(kept)] = kept
        return kept

    def killed(self, user: UserId, account: AccountId) -> Latch | None:
        """The latch that stops this account, the widest first; None when nothing does."""
        for scope, scope_id in ((LatchScope.PLATFORM, ""), (LatchScope.USER, user), (LatchScope.ACCOUNT, account)):
            latch = self._remembered(scope, scope_id) or self.files.read(scope, scope_id)
            if latch is not None:
                return latch
        return None

    async def settle(self, database: Database) -> tuple[Latch, ...]:
        """Bring memory, files and table together, as `merge`: at the start, and every now and then.

        A latch that could not be written when it was set gets its file now.
        Returns: every latch in force.
        Raises:  StoreError when PostgreSQL or a file cannot be used.
        """
        for scope, scope_id in list(self._memory):
            if (latch := self._remembered(scope, scope_id)) is not None:
                self._memory[scope, scope_id] = self.files.keep(latch)
        return await merge(database, self.files)

    def _remembered(self, scope: LatchScope, scope_id: str) -> Latch | None:
        latch = self._memory.get((scope, scope_id))
        if latch is None:
            return None
        # An unreadable file was written anew under another id before it could be lifted: its file speaks for it.
        if self.files.was_lifted(latch) or not latch.readable:
            del self._memory[scope, scope_id]
            return None
        return latch


def latch_key(latch: Latch) -> tuple[LatchScope, str]:
    """What a latch stops."""
    return latch.scope, latch.scope_id


async def persist(database: Database, latch: Latch) -> None:
    """Write a latch into `halt_latches`; one that is set there already, or was, stays as it is."""
    owner: Any = None
    if latch.scope is LatchScope.USER:
        owner = select(USERS.c.id).where(cast(USERS.c.id, Text) == latch.scope_id).scalar_subquery()
    elif latch.scope is LatchScope.ACCOUNT:
        accounts = EXCHANGE_ACCOUNTS.c
        owner = select(accounts.user_id).where(cast(accounts.id, Text) == latch.scope_id).scalar_subquery()
    row = {
        "id": latch.id,
        "user_id": owner,
        "scope": latch.scope,
        "scope_id": latch.scope_id,
        "kind": LatchKind.KILL,
        "reason": latch.reason,
        "set_by": latch.set_by,
        "set_at": to_datetime(latch.set_at_ns),
    }
    async with database.connection() as connection:
        await connection.execute(insert(HALT_LATCHES).values(row).on_conflict_do_nothing())


async def stored(database: Database) -> tuple[Latch, ...]:
    """Every kill latch that is set in PostgreSQL."""
    kept = HALT_LATCHES.c
    query = select(kept.id, kept.scope, kept.scope_id, kept.reason, kept.set_by, kept.set_at).where(
        kept.kind == LatchKind.KILL, kept.lifted_at.is_(None)
    )
    async with database.connection() as connection:
        rows = (await connection.execute(query)).all()
    return tuple(
        Latch(row.id, row.scope, row.scope_id, row.reason, row.set_by, round(row.set_at.timestamp() * 1e6) * 1000)
        for row in rows
    )


async def merge(database: Database, files: LatchFiles) -> tuple[Latch, ...]:
    """Bring files and table together: what one has set, the other has set afterwards.  Nothing is lifted here.

    Returns: every latch in force.
    Raises:  StoreError when PostgreSQL or a file cannot be used; the caller then counts as killed.
    """
    for latch in files.read_all():
        kept = latch if latch.readable else files.keep(latch)
        await persist(database, kept)
    for latch in await stored(database):
        if files.read(latch.scope, latch.scope_id) is None:
            files.keep(latch)
    return files.read_all()


async def ask_to_lift(database: Database, files: LatchFiles, scope: LatchScope, scope_id: str = "") -> str:
    """The nonce with which a person, after the second factor, may lift a latch that is set here or in PostgreSQL.

    Raises: ConfigError when the latch is not set; StoreError when PostgreSQL or a file cannot be used.
    """
    await merge(database, files)
    return files.issue_nonce(scope, scope_id)


async def lift(
    database: Database, files: LatchFiles, scope: LatchScope, scope_id: str, nonce: str, by: str
) -> tuple[Latch, ...]:
    """Lift a latch everywhere.  Interrupted at any point it is still set somewhere: ask for a nonce and lift again.

    nonce: from `ask_to_lift`; used up by this call whatever comes of it.
    by:    the person, for the record.
    Returns: the latches still in force, of other scopes.
    Raises:  ConfigError when it is not set, the nonce is wrong, used or too old, or it was set again meanwhile;
             StoreError when PostgreSQL or a file cannot be used.
    """
    latch = files.read(scope, scope_id)
    digest, issued_at_ns = files.redeem(scope, scope_id, nonce)
    assert latch is not None  # redeem would have refused
    kept = HALT_LATCHES.c
    mine = (kept.kind == LatchKind.KILL, kept.scope == scope, kept.scope_id == scope_id, kept.lifted_at.is_(None))
    # A latch set elsewhere after the nonce was issued is not the one the person looked at.
    lifting = update(HALT_LATCHES).where(*mine, kept.set_at <= to_datetime(issued_at_ns))
    async with database.connection() as connection:
        await connection.execute(lifting.values(lifted_by=by, lifted_at=to_datetime(time.time_ns()), nonce=digest))
        again = (await connection.execute(select(kept.reason, kept.set_by).where(*mine))).first()
    if again is not None:
        raise ConfigError(
            f"the {_named(scope, scope_id)} kill latch was set again by {again.set_by}: {again.reason}; "
            "look at it, then ask for a new nonce"
        )
    files.lift(latch, by)
    return files.read_all()


def _named(scope: LatchScope, scope_id: str) -> str:
    return f"{scope} {scope_id}".strip()


def _file_name(scope: LatchScope, scope_id: str) -> str:
    if scope is LatchScope.PLATFORM:
        return f"{scope}{_SUFFIX}"
    if _SCOPE_ID.fullmatch(scope_id) is None:
        raise ValueError(f"{scope_id!r} is not the id of a {scope}")
    return f"{scope}-{scope_id}{_SUFFIX}"


def _scope_of(name: str) -> tuple[LatchScope, str]:
    scope, _, scope_id = name.removesuffix(_SUFFIX).partition("-")
    if scope in (LatchScope.USER, LatchScope.ACCOUNT) and _SCOPE_ID.fullmatch(scope_id):
        return LatchScope(scope), scope_id
    return LatchScope.PLATFORM, ""


def _digest(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()


def _encode(record: _Record) -> bytes:
    body = json.dumps(asdict(record), sort_keys=True).encode()
    return body + b"\nsha256:" + hashlib.sha256(body).hexdigest().encode() + b"\n"


def _decode(content: bytes) -> _Record:
    body, _, checksum = content.partition(b"\n")
    if checksum != b"sha256:" + hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise ValueError("its checksum does not fit")
    fields = json.loads(body)
    latch = fields.pop("latch")
    return _Record(Latch(**{**latch, "scope": LatchScope(latch["scope"])}), **fields)


def describe(latch: Latch) -> str:
    """One line for people."""
    return (
        f"{_named(latch.scope, latch.scope_id)}: {latch.reason} (by {latch.set_by}, {format_instant(latch.set_at_ns)})"
    )
