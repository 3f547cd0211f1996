"""`status` and `doctor`: how the installation stands."""

from __future__ import annotations

import time

import typer

from promethean.cli.answering import DONE, WRONG, Json, answering

commands = typer.Typer()


@commands.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show whether the platform runs, and how each account stands."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import asking
        from promethean.interfaces.terminal import pages

        report = asking.status(settings)
        answer.give(report, lambda: pages.status(report, time.time_ns()))


@commands.command()
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Check everything the platform needs, and say what to do about a problem."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import health
        from promethean.interfaces.terminal import pages

        checks = health.doctor(settings)
        problems = sum(not check.ok for check in checks)
        answer.status = WRONG if problems else DONE  # the set-up is what it looks at
        answer.give({"ok": not problems, "problems": problems, "checks": checks}, lambda: pages.doctor(checks))
