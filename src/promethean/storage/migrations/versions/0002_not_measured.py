"""What nobody measures is NULL, not zero: unrealised profit and funding of positions and of the breaker's day."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = ("unrealised_pnl", "funding")
TABLES = ("positions", "circuit_breaker_states")


def upgrade() -> None:
    """Let the columns be NULL and forget the zeros that nobody had measured."""
    for table in TABLES:
        for column in COLUMNS:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL, ALTER COLUMN {column} DROP DEFAULT")
        op.execute(f"UPDATE {table} SET {', '.join(f'{column} = NULL' for column in COLUMNS)}")  # noqa: S608


def downgrade() -> None:
    """Zeros again."""
    for table in TABLES:
        for column in COLUMNS:
            op.execute(f"UPDATE {table} SET {column} = 0 WHERE {column} IS NULL")  # noqa: S608
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT 0, ALTER COLUMN {column} SET NOT NULL")
