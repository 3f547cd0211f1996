"""`doctor`: every precondition of `up`, looked at one by one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from promethean.app.data import has_market_store, market_store
from promethean.app.database import has_database, with_database
from promethean.app.desk import DEFAULT_STRATEGY, find_strategy_file, load_strategy
from promethean.app.register import register_everything
from promethean.config.tree import Settings

if TYPE_CHECKING:
    from promethean.runtime.doctor import Check
    from promethean.storage.database import Database


def doctor(settings: Settings) -> list[Check]:
    """Every precondition of `up`, looked at one by one.  Nothing is made on a home that is not there yet."""
    from promethean.runtime import doctor as look
    from promethean.storage.vault import load_key_ring

    home, vault = settings.app.home, settings.vault

    def key() -> str:
        ring = load_key_ring(home, vault.key, vault.previous_keys)
        return "made at the first start" if ring is None else f"fingerprint {ring.current.fingerprint.hex()}"

    def plugins() -> Check | str:
        found = register_everything()
        if found.broken:
            remedy = "repair or uninstall the package; everything else works without it"
            return look.Check("Plug-ins", False, "; ".join(found.broken), remedy, is_warning=True)
        return ", ".join(found.loaded) or "none"

    def strategy() -> str:
        register_everything()
        file = load_strategy(find_strategy_file(settings, DEFAULT_STRATEGY))
        return f"{file.id} reads {file.base}/{file.quote} {file.timeframe} at {file.exchange}"

    newest: list[int | None] = [None]
    return [
        look.python_version(),
        look.home_writable(home),
        look.disk_space(home),
        look.guarded("Key file", key),
        look.guarded("Kill switch", lambda: _kill_switch(settings)),
        look.guarded("PostgreSQL", lambda: _postgres_words(settings, newest)),
        look.guarded("Market store", lambda: _market_store_words(settings)),
        look.guarded("Plug-ins", plugins),
        look.guarded("Strategy", strategy),
        look.clock(newest[0]),
        look.guarded("Network", lambda: _network_words(settings)),
    ]


def _kill_switch(settings: Settings) -> Check | str:
    """A set latch is a warning: the platform runs, and does not do what it is there for."""
    from promethean.runtime.doctor import Check
    from promethean.storage.latches import LatchFiles, describe
    from promethean.storage.tables import LatchScope

    home = settings.app.home
    latches = LatchFiles(home / "latches").read_all() if home.exists() else ()
    if not latches:
        return "not set"
    of_accounts = {latch.scope is LatchScope.ACCOUNT for latch in latches}
    lifting = [f"promethean unkill{' --scope account LABEL' if of_one else ''}" for of_one in sorted(of_accounts)]
    remedy = f"nothing new is traded, and what is open is closed, until you lift it with: {' and '.join(lifting)}"
    return Check("Kill switch", False, "; ".join(map(describe, latches)), remedy, is_warning=True)


def _postgres_words(settings: Settings, newest: list[int | None]) -> str:
    from promethean.storage.database import newest_revision
    from promethean.storage.postgres_home import running_dsn
    from promethean.storage.postgres_programs import packaged_binaries
    from promethean.storage.postgres_server import require_free_port

    port = settings.postgres.port
    if settings.postgres.url is None and f"&port={port}" not in (running_dsn(settings.app.home) or ""):
        require_free_port(port)
    if not has_database(settings):
        return f"made at the first start, with the programs in {packaged_binaries()}"

    async def ask(database: Database) -> str:
        from sqlalchemy import text

        async with database.connection() as connection:
            newest[0] = await connection.scalar(text("SELECT max(received_at_ns) FROM events"))
        return f"{database.where}, schema version {newest_revision()}"

    return with_database(settings, ask)


def _market_store_words(settings: Settings) -> str:
    if not has_market_store(settings):
        return "made when candles are first stored"
    with market_store(settings) as store:
        store.ping()
        return f"{len(store.series())} series of candles"


def _network_words(settings: Settings) -> str:
    from promethean.runtime.feeds.live import VENUE_URLS, venue_reachable

    venue = settings.market.primary_exchange
    url = getattr(settings.exchange, venue).base_url or VENUE_URLS.get(venue)
    if url is None:
        return f"there is no live data for {venue} yet; `up` uses a SYNTHETIC market or a file"
    if asyncio.run(venue_reachable(url)):
        return f"{venue} answers"
    return f"{venue} does not answer; that is fine: `up` then uses a SYNTHETIC market, and files work as well"
