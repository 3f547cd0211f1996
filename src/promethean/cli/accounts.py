"""`account`: accounts at exchanges, and paper accounts."""

from __future__ import annotations

from typing import Annotated

import typer

from promethean.cli.answering import Json, answering, refuse

commands = typer.Typer(name="account", help="Accounts at exchanges, and paper accounts.", no_args_is_help=True)


@commands.command("add")
def account_add(
    context: typer.Context,
    exchange: Annotated[str, typer.Option(help="The exchange, for example binance.")],
    label: Annotated[str, typer.Option(help="Your name for it, up to 64 characters.")],
    paper: Annotated[bool, typer.Option("--paper/--live", help="Virtual money, or real money.")] = True,
    as_json: Json = False,
) -> None:
    """Add a paper account."""
    with answering(context, as_json) as answer:
        if not paper:
            refuse("live accounts are not available yet; add a paper account with --paper")
        settings = answer.settings()
        from rich.text import Text

        from promethean.app import asking

        made = asking.add_account(settings, exchange, label)
        answer.give(
            {"id": made, "exchange": exchange, "label": label, "is_paper": True},
            lambda: Text(f"Added paper account {label} at {exchange}."),
        )


@commands.command("list")
def account_list(context: typer.Context, as_json: Json = False) -> None:
    """List the accounts."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import asking
        from promethean.interfaces.terminal import pages

        found = asking.list_accounts(settings)
        answer.give({"accounts": found}, lambda: pages.accounts(found))
