"""The role of the order with which a venue takes a position away."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BEFORE = (
    "entry", "stop", "trailing", "breakeven", "tightened", "target", "time", "signal", "manual", "breaker", "kill",
    "end",
)  # fmt: skip


def upgrade() -> None:
    """One more word."""
    op.execute("ALTER TYPE order_role ADD VALUE 'liquidation' AFTER 'signal'")


def downgrade() -> None:
    """The words of before: PostgreSQL takes none out of a type, so it is made anew.  A liquidation becomes a stop."""
    op.execute("ALTER TYPE order_role RENAME TO order_role_with_liquidation")
    op.execute(f"CREATE TYPE order_role AS ENUM ({', '.join(map(repr, BEFORE))})")
    role = "CASE role::text WHEN 'liquidation' THEN 'stop' ELSE role::text END"
    op.execute(f"ALTER TABLE orders ALTER COLUMN role TYPE order_role USING ({role})::order_role")
    op.execute("DROP TYPE order_role_with_liquidation")
