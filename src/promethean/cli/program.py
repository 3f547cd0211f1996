"""`catalogue`, `migrate` and `version`: the program itself."""

from __future__ import annotations

import typer

from promethean.cli.answering import Json, answering

commands = typer.Typer()


@commands.command()
def catalogue(context: typer.Context, as_json: Json = False) -> None:
    """List everything that is registered: strategies, order types, tables and the rest."""
    with answering(context, as_json) as answer:
        answer.settings()
        from promethean.app import register
        from promethean.interfaces.terminal import pages

        found = register.catalogue()
        answer.give(found, lambda: pages.catalogue(found))


@commands.command()
def migrate(context: typer.Context, as_json: Json = False) -> None:
    """Bring the database to the version of this program; `up` does so by itself."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from rich.text import Text

        from promethean.app import asking

        version = asking.migrate(settings)
        answer.give({"schema_version": version}, lambda: Text(f"The database is at schema version {version}."))


@commands.command()
def version(context: typer.Context, as_json: Json = False) -> None:
    """Print the version."""
    with answering(context, as_json) as answer:
        import platform

        from promethean import __version__

        found = {"version": __version__, "python": platform.python_version(), "system": platform.platform()}
        answer.give_text(found, f"promethean {__version__}, Python {found['python']}\n")
