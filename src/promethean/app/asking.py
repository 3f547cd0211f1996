"""What the commands ask: how it stands, kill and lift, accounts, the journal, the schema, the key."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

from promethean.app.database import has_database, with_database
from promethean.config.tree import Settings, VenueName
from promethean.domain.errors import ConfigError, PrometheanError, unknown_name
from promethean.domain.ids import AccountId

if TYPE_CHECKING:
    from promethean.runtime.operations import KillReport, Lifting, PlatformStatus, StreamCheck
    from promethean.storage.accounts import Account as AccountRecord
    from promethean.storage.database import Database
    from promethean.storage.tables import LatchScope

log = logging.getLogger(__name__)


def status(settings: Settings) -> PlatformStatus:
    """How the installation stands.  On a home where nothing has run yet, nothing is made."""
    from promethean.runtime.home import running_process
    from promethean.runtime.operations import AccountStatus, PlatformStatus, account_statuses
    from promethean.storage import accounts
    from promethean.storage.latches import LatchFiles, describe

    home = settings.app.home
    files = LatchFiles(home / "latches") if home.exists() else None
    killed = files.read_all() if files is not None else ()

    async def ask(database: Database) -> tuple[AccountStatus, ...]:
        return await account_statuses(database, await accounts.ensure_owner(database), killed)

    known = with_database(settings, ask) if has_database(settings) else ()
    return PlatformStatus(home, running_process(home), tuple(map(describe, killed)), known)


def kill(settings: Settings, account: str | None, reason: str, by: str) -> KillReport:
    """Set the kill switch of the platform, or of one account by its label, and say what became of it.

    The latch file comes first: it stops a running platform whatever else is broken.
    Raises ConfigError for an unknown account; StoreError when the latch file cannot be written.
    """
    from promethean.runtime.home import prepare_home, running_process
    from promethean.runtime.operations import KillReport, kill_result
    from promethean.storage import accounts
    from promethean.storage.latches import LatchFiles, describe
    from promethean.storage.postgres_home import running_dsn

    home = prepare_home(settings.app.home)
    scope, scope_id = _latch_scope(settings, account)
    latch = LatchFiles(home / "latches").set(scope, scope_id, reason, by)
    is_running = running_process(home) is not None

    async def finish(database: Database) -> KillReport:
        owner = await accounts.ensure_owner(database)
        return await kill_result(database, owner, latch, is_running=is_running)

    if settings.postgres.url is not None or running_dsn(home) is not None:
        try:
            return with_database(settings, finish)
        except PrometheanError as error:
            log.warning("the kill switch is set, PostgreSQL cannot be told now", extra={"error": str(error)})
    result = "UNCONFIRMED" if is_running else "NOT_RUNNING"
    return KillReport(str(scope), describe(latch), False, result, ())


def ask_to_lift(settings: Settings, account: str | None) -> Lifting:
    """What a person has to see and type before a kill latch is lifted.  Raises ConfigError when it is not set."""
    from promethean.runtime import operations
    from promethean.storage.latches import LatchFiles

    scope, scope_id = _latch_scope(settings, account)
    files = LatchFiles(settings.app.home / "latches")
    if not has_database(settings) and files.read(scope, scope_id) is None:
        raise ConfigError(f"the {scope} kill latch is not set")
    return with_database(settings, lambda database: operations.ask_to_lift(database, files, scope, scope_id))


def lift(settings: Settings, lifting: Lifting, by: str) -> tuple[str, ...]:
    """Lift a latch after the person has typed its word: the latches that are still in force, in words."""
    from promethean.storage import latches

    files = latches.LatchFiles(settings.app.home / "latches")
    latch, nonce = lifting.latch, lifting.nonce
    left = with_database(
        settings, lambda database: latches.lift(database, files, latch.scope, latch.scope_id, nonce, by)
    )
    return tuple(map(latches.describe, left))


def _latch_scope(settings: Settings, account: str | None) -> tuple[LatchScope, str]:
    from promethean.storage import accounts
    from promethean.storage.tables import LatchScope

    if account is None:
        return LatchScope.PLATFORM, ""
    label = account

    async def find(database: Database) -> str:
        return (await accounts.get_account(database, await accounts.ensure_owner(database), label)).id

    if not has_database(settings):
        raise ConfigError(unknown_name("account", label, ()))
    return LatchScope.ACCOUNT, with_database(settings, find)


def add_account(settings: Settings, exchange: str, label: str) -> AccountId:
    """Add a paper account.  Raises ConfigError for an unknown exchange or a label that is taken."""
    from promethean.runtime.home import prepare_home
    from promethean.storage import accounts

    known = get_args(VenueName)
    if exchange not in known:
        raise ConfigError(unknown_name("exchange", exchange, known))

    async def add(database: Database) -> AccountId:
        owner = await accounts.ensure_owner(database)
        return await accounts.add_account(database, owner, exchange, label, is_paper=True)

    prepare_home(settings.app.home)
    return with_database(settings, add)


def list_accounts(settings: Settings) -> tuple[AccountRecord, ...]:
    """The owner's accounts, oldest first."""
    from promethean.storage import accounts

    async def ask(database: Database) -> tuple[AccountRecord, ...]:
        return await accounts.list_accounts(database, await accounts.ensure_owner(database))

    return with_database(settings, ask) if has_database(settings) else ()


def verify_journal(settings: Settings, looked: Callable[[int, int], None]) -> tuple[StreamCheck, ...]:
    """Check every row of the journal against its hash chain.  looked: is told the rows done and the rows to do."""
    from promethean.runtime import operations
    from promethean.storage.journal import Journal

    async def ask(database: Database) -> tuple[StreamCheck, ...]:
        journal = Journal(await database.raw())
        try:
            return await operations.verify_journal(journal, looked)
        finally:
            await journal.close()

    return with_database(settings, ask) if has_database(settings) else ()


def migrate(settings: Settings) -> str:
    """Bring the database to the version of this program; the version."""
    from promethean.runtime.home import prepare_home
    from promethean.storage.database import newest_revision

    async def nothing_more(database: Database) -> str:
        return newest_revision()

    prepare_home(settings.app.home)
    return with_database(settings, nothing_more)


def rotate_key(settings: Settings) -> int:
    """Replace the key of the key file; the number of rows encrypted anew.

    Raises ConfigError when the key comes from ENCRYPTION_KEY, or there is no readable key file.
    """
    from promethean.storage.vault import rotate_key_file

    if settings.vault.key is not None:
        raise ConfigError("the key comes from ENCRYPTION_KEY; put the new one there and the old one into previous_keys")

    async def rotation(database: Database) -> int:
        return await rotate_key_file(database, settings.app.home)

    return with_database(settings, rotation)
