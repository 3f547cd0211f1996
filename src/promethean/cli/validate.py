"""`validate`: whether the result of a backtest can be believed."""

from __future__ import annotations

from typing import Annotated

import typer

from promethean.cli.answering import FAILED, Json, answering, progress
from promethean.cli.backtest import (
    Cash,
    Data,
    Finer,
    Funding,
    Gaps,
    Set,
    Since,
    Strategy,
    Tape,
    Until,
    amount,
    options_of,
)

commands = typer.Typer()


@commands.command()
def validate(
    context: typer.Context,
    strategy: Strategy,
    data: Data,
    since: Since = None,
    until: Until = None,
    sets: Set = None,
    cash: Cash = "10000",
    windows: Annotated[int, typer.Option(help="Windows of the walk-forward.")] = 6,
    runs: Annotated[int, typer.Option(help="Resampled runs of the Monte Carlo.")] = 10_000,
    random_runs: Annotated[int, typer.Option(help="Runs with random entries.")] = 200,
    ruin_pct: Annotated[
        str, typer.Option(metavar="PCT", help="Loss of the start that counts as ruin, percent.")
    ] = "50",
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="Forms of the strategy tried, where more than are on record.")
    ] = None,
    allow_gaps: Gaps = False,
    funding: Funding = None,
    tape: Tape = None,
    finer: Finer = None,
    as_json: Json = False,
) -> None:
    """Check a strategy for look-ahead, a short warm-up, luck and ruin; status 1 when one of the first two is found."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import validating
        from promethean.interfaces.terminal import validations

        asked = options_of(
            strategy, data, sets, since, until, cash, allow_gaps=allow_gaps, funding=funding, tape=tape, finer=finer
        )
        options = validating.ValidateOptions(asked, windows, runs, random_runs, amount(ruin_pct, "--ruin-pct"), trials)
        with progress("Validate") as done:
            report = validating.run_validation(settings, options, done)
        found = validating.validation_object(report)
        if not report.is_sound:
            answer.status = FAILED
        answer.give(found, lambda: validations.page(found, report.bench.instrument.quote))
