"""`audit`: prove that the journal is what was written."""

from __future__ import annotations

import typer

from promethean.cli.answering import DONE, WRONG, Json, answering, complain, progress

commands = typer.Typer(name="audit", help="Prove that the journal is what was written.", no_args_is_help=True)


@commands.command("verify")
def audit_verify(context: typer.Context, as_json: Json = False) -> None:
    """Check every row of the journal against its hash chain."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import asking
        from promethean.interfaces.terminal import pages

        with progress("Journal") as looked:
            checks = asking.verify_journal(settings, looked)
        damaged = [check for check in checks if check.damaged_row is not None]
        for check in damaged:
            complain(check.problem)
        answer.status = WRONG if damaged else DONE  # what was handed to the check is wrong; the check itself worked
        report = {"ok": not damaged, "rows": sum(check.rows for check in checks), "streams": checks}
        if damaged:
            report["error"] = damaged[0].problem
        answer.give(report, lambda: pages.audit(checks))
