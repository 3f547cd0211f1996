"""`kill` and `unkill`: stop trading now, and let it go on."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from promethean.cli.answering import DONE, FAILED, Json, answering, refuse

commands = typer.Typer()
Scope = Annotated[str, typer.Option(metavar="platform|account", help="Everything, or one account.")]
Label = Annotated[str | None, typer.Argument(metavar="[LABEL]", help="The account, with --scope account.")]


@commands.command()
def kill(
    context: typer.Context,
    label: Label = None,
    scope: Scope = "platform",
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "asked for by a person",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Stop trading now: no new orders, entries cancelled, positions closed."""
    with answering(context, as_json) as answer:
        account = _account_of(scope, label)
        settings = answer.settings()
        if not yes:
            _confirm_kill(account)
        from promethean.app import asking
        from promethean.interfaces.terminal import pages

        report = asking.kill(settings, account, reason, _person())
        answer.status = DONE if report.result in ("FLAT", "NOT_RUNNING") else FAILED
        answer.give(report, lambda: pages.killed(report))


def _account_of(scope: str, label: str | None) -> str | None:
    if scope not in ("platform", "account"):
        refuse(f"--scope is {scope!r}; write platform or account")
    if scope == "account" and label is None:
        refuse("--scope account needs the account's label; `promethean account list` shows them")
    if scope == "platform" and label is not None:
        refuse(f"{label!r} names an account; write --scope account {label}")
    return label


def _confirm_kill(account: str | None) -> None:
    if not sys.stdin.isatty():
        refuse("a kill asks for a confirmation and there is no terminal to ask at; add --yes")
    what = "the whole platform" if account is None else f"account {account}"
    if not typer.confirm(f"Stop {what} and close its positions?", err=True):
        raise typer.Exit(FAILED)


def _person() -> str:
    import getpass

    try:
        return f"{getpass.getuser()} at the terminal"
    except (OSError, KeyError):
        return "a person at the terminal"


@commands.command()
def unkill(
    context: typer.Context,
    label: Label = None,
    scope: Scope = "platform",
    confirm: Annotated[
        str | None, typer.Option(metavar="WORD", help="The word that a first `unkill` shows, typed in advance.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Has no effect: lifting always needs the word.")] = False,
    as_json: Json = False,
) -> None:
    """Lift the kill switch, after you have typed the word that is shown."""
    with answering(context, as_json) as answer:
        account = _account_of(scope, label)
        settings = answer.settings()
        from promethean.app import asking
        from promethean.interfaces.terminal import pages

        lifting = asking.ask_to_lift(settings, account)
        latch = pages.latch_words(lifting.latch)
        typed = confirm if confirm is not None else _typed_word(latch, lifting.word)
        if typed.strip() != lifting.word:
            refuse(f"{typed!r} is not the word of this kill; look at its reason ({latch}), then type {lifting.word}")
        left = asking.lift(settings, lifting, _person())
        answer.give({"lifted": latch, "still_set": left}, lambda: pages.lifted(left))


def _typed_word(latch: str, word: str) -> str:
    if not sys.stdin.isatty():
        refuse(f"the kill switch is set ({latch}); lifting it needs a person: add --confirm {word}")
    typer.echo(f"Set: {latch}", err=True)
    return str(typer.prompt(f"To lift it, type {word}", err=True))
