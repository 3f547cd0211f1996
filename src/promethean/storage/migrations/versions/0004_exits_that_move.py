"""The roles of stops that have moved and of exits that the time brings."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BEFORE = ("entry", "stop", "target", "signal", "manual", "breaker", "kill", "end")
MOVED = ("trailing", "breakeven", "tightened")


def upgrade() -> None:
    """Four more words."""
    for word, before in zip((*MOVED, "time"), ("stop", *MOVED[:2], "target"), strict=True):
        op.execute(f"ALTER TYPE order_role ADD VALUE '{word}' AFTER '{before}'")


def downgrade() -> None:
    """The words of before: PostgreSQL takes none out of a type, so it is made anew.  What has moved becomes a stop."""
    op.execute("ALTER TYPE order_role RENAME TO order_role_of_moving_exits")
    op.execute(f"CREATE TYPE order_role AS ENUM ({', '.join(map(repr, BEFORE))})")
    moved = ", ".join(map(repr, MOVED))
    role = f"CASE WHEN role::text IN ({moved}) THEN 'stop' WHEN role::text = 'time' THEN 'signal' ELSE role::text END"
    op.execute(f"ALTER TABLE orders ALTER COLUMN role TYPE order_role USING ({role})::order_role")
    op.execute("DROP TYPE order_role_of_moving_exits")
