"""The role of orders that close what is open when a recording ends."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BEFORE = ("entry", "stop", "target", "signal", "manual", "breaker", "kill")


def upgrade() -> None:
    """One more word."""
    op.execute("ALTER TYPE order_role ADD VALUE 'end'")


def downgrade() -> None:
    """The words of before: PostgreSQL takes none out of a type, so it is made anew.  What was `end` becomes manual."""
    op.execute("ALTER TYPE order_role RENAME TO order_role_with_end")
    op.execute(f"CREATE TYPE order_role AS ENUM ({', '.join(map(repr, BEFORE))})")
    role = "CASE role::text WHEN 'end' THEN 'manual' ELSE role::text END"
    op.execute(f"ALTER TABLE orders ALTER COLUMN role TYPE order_role USING ({role})::order_role")
    op.execute("DROP TYPE order_role_with_end")
