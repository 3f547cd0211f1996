"""Which paper account a feed trades on."""

from __future__ import annotations

from promethean.domain.ids import AccountId, UserId
from promethean.runtime.feeds.port import Feed
from promethean.storage import accounts
from promethean.storage.database import Database
from promethean.storage.journal import Journal, account_stream


def has_end(feed: Feed) -> bool:
    """Whether the feed is a recording: it ends, and it is its own store."""
    return feed.is_repeatable and not feed.is_synthetic


async def paper_account(
    database: Database, journal: Journal, owner: UserId, feed: Feed, config_hash: str
) -> tuple[str, AccountId, bool]:
    """The paper account of this feed: label, id, and whether it was there before.

    Prices of different origin never meet in one account.  A recording gets an account for each strategy and seed, and
    a new one when its last run is finished.
    """
    (instrument,) = feed.instruments.values()
    base = f"paper-{feed.name}"
    if has_end(feed):
        base = f"{base}-{config_hash[:8]}"
    number = 1
    while True:
        label = f"{base}-{number}" if has_end(feed) else base
        found = await accounts.find_account(database, owner, instrument.exchange, label)
        if found is None:
            account = await accounts.add_account(database, owner, instrument.exchange, label, is_paper=True)
            return label, account, False
        if not has_end(feed) or not await journal.has_finished(account_stream(found.id)):
            return label, found.id, True
        number += 1
