"""`secrets`: the key that protects stored secrets."""

from __future__ import annotations

import typer

from promethean.cli.answering import Json, answering

commands = typer.Typer(name="secrets", help="The key that protects stored secrets.", no_args_is_help=True)


@commands.command("rotate")
def secrets_rotate(context: typer.Context, as_json: Json = False) -> None:
    """Replace the key file by a new key and encrypt every secret with it; an interrupted rotation goes on."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from rich.text import Text

        from promethean.app import asking

        rows = asking.rotate_key(settings)
        answer.give({"rows": rows}, lambda: Text(f"New key in place; {rows} rows encrypted with it."))
