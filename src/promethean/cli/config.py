"""`config`: the settings, and where each value comes from."""

from __future__ import annotations

import typer

from promethean.cli.answering import Json, Set, answering

commands = typer.Typer(name="config", help="Settings, and where each value comes from.", no_args_is_help=True)


@commands.command("show")
def config_show(context: typer.Context, sets: Set = None, as_json: Json = False) -> None:
    """Show every setting in effect with its origin; secrets as ***."""
    with answering(context, as_json) as answer:
        settings = answer.settings(sets)
        from promethean.config.pages import describe
        from promethean.interfaces.terminal import pages

        rows = describe(settings)
        answer.give({"settings": rows}, lambda: pages.settings(rows))


@commands.command("check")
def config_check(context: typer.Context, sets: Set = None, as_json: Json = False) -> None:
    """Check all settings without starting anything."""
    with answering(context, as_json) as answer:
        settings = answer.settings(sets)
        from rich.text import Text

        count = len(settings.origins)
        changed = sum(origin != "default" for origin in settings.origins.values())
        text = f"{count} settings are fine, {changed} of them set by you."
        answer.give({"ok": True, "settings": count, "set": changed}, lambda: Text(text))


@commands.command("reference")
def config_reference(context: typer.Context, as_json: Json = False) -> None:
    """Print the reference page of all settings, as Markdown."""
    with answering(context, as_json) as answer:
        from promethean.config.pages import reference_page

        page = reference_page()
        answer.give_text({"page": page}, page)
