"""Rows of tables on their way into the database: gathered, as JSON text, and the statement that takes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

_KEYS = {
    "event_offsets": ("consumer", "stream"),
    "circuit_breaker_states": ("user_id",),
    "reservations": ("intent_id", "budget_id"),
}
_WRITTEN_ONCE = frozenset({"fills", "ledger_entries", "venue_evidence", "risk_decisions", "risk_events", "signals"})

Shape = tuple[tuple[str, tuple[str, ...]], ...]
"""Tables with the columns that are written."""


class Rows:
    """Rows to insert or update, by table and key; a later row of the same key replaces the earlier one."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Any, dict[str, Any]]] = {}

    def add(self, table: str, key: Any, **columns: Any) -> dict[str, Any]:
        """Put a row in place and return it.  Rows of one table always name the same columns."""
        self.tables.setdefault(table, {})[key] = columns
        return columns

    def listed(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """Tables in the order of their names, with their rows."""
        return [(name, list(self.tables[name].values())) for name in sorted(self.tables)]


def upserts(shape: Shape, first: int, condition: str) -> list[str]:
    """One common table expression for each table, reading its rows as JSON text from parameters `first` on."""
    parts = []
    for number, (table, columns) in enumerate(shape, first):
        keys = _KEYS.get(table, ("id",))
        names = ", ".join(columns)
        changed = ", ".join(f"{column} = EXCLUDED.{column}" for column in columns if column not in keys)
        conflict = "NOTHING" if table in _WRITTEN_ONCE else f"UPDATE SET {changed}"
        parts.append(
            f"t{number} AS (INSERT INTO {table} ({names}) "  # noqa: S608  names are ours, values are parameters
            f"SELECT {names} FROM jsonb_populate_recordset(NULL::{table}, ${number}::jsonb) WHERE {condition} "
            f"ON CONFLICT ({', '.join(keys)}) DO {conflict})"
        )
    return parts


def rows_text(rows: list[dict[str, Any]]) -> str:
    """Rows of one table as JSON text."""
    return orjson.dumps(rows, default=_column_text).decode()


def _column_text(value: Any) -> str:
    if type(value) is Decimal:
        return str(value)
    raise TypeError(f"{type(value).__name__} is not a column value: {value!r}")
