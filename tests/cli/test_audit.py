"""`audit verify` finds what was edited."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
from tests.cli.calls import answer, refused

from promethean.storage.postgres_server import connect_or_start


def test_a_row_edited_by_hand_is_named(copied_home: Path) -> None:
    dsn, server = connect_or_start(copied_home)
    assert server is not None

    async def edit() -> str:
        connection = await asyncpg.connect(dsn)
        try:
            stream = await connection.fetchval("SELECT stream FROM events WHERE stream LIKE 'account/%' LIMIT 1")
            await connection.execute(
                "UPDATE events SET payload = jsonb_set(payload, '{event,balance}', '\"99999\"')"
                " WHERE stream = $1 AND sequence = 1",
                stream,
            )
            return str(stream)
        finally:
            await connection.close()

    try:
        stream = asyncio.run(edit())
    finally:
        server.stop()
    assert f"journal stream {stream} is damaged at row 1" in refused("audit", "verify", status=2)
    report = answer("audit", "verify", status=2)
    assert report["ok"] is False
    assert "damaged at row 1" in report["error"]
