"""Where Alembic starts: on the connection `Database.migrate` hands over, inside its transaction."""

from __future__ import annotations

from typing import Any

import pgvector.sqlalchemy  # noqa: F401  reflection and autogenerate must know the type `vector`
from alembic import context

from promethean.storage.tables import METADATA


def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Compare our own tables only: Optuna, for example, keeps its tables beside them."""
    return kind != "table" or name in METADATA.tables


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    include_object=include_object,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
