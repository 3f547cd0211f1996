"""`optimize`: good parameters for a strategy, searched, confirmed and doubted."""

from __future__ import annotations

from typing import Annotated

import typer

from promethean.cli.answering import Json, answering, progress
from promethean.cli.backtest import Cash, Data, Finer, Funding, Gaps, Set, Since, Strategy, Tape, Until, options_of

commands = typer.Typer()


@commands.command()
def optimize(
    context: typer.Context,
    strategy: Strategy,
    data: Data,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            metavar="NAME=FIRST:LAST[:STEP]",
            help="What to vary; or name=a,b,c. Repeatable. Without: every number of the file, around its value.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(metavar="N", help="How many parameter sets to try.")] = 100,
    objective: Annotated[
        str, typer.Option(metavar="NAME", help="What to climb: sharpe, return, profit_factor, sortino or calmar.")
    ] = "sharpe",
    walk_forward: Annotated[
        int, typer.Option(metavar="K", help="Choose again in K folds, and judge on the candles that follow.")
    ] = 0,
    study: Annotated[
        str | None, typer.Option(metavar="NAME", help="The study to go on with, or to share with other machines.")
    ] = None,
    sampler: Annotated[str, typer.Option(metavar="tpe|random|grid", help="How the next set is proposed.")] = "tpe",
    seed: Annotated[int, typer.Option(help="The same seed proposes the same sets.")] = 0,
    trades_min: Annotated[int, typer.Option(metavar="N", help="With fewer trades a set counts for nothing.")] = 10,
    since: Since = None,
    until: Until = None,
    sets: Set = None,
    cash: Cash = "10000",
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many of the best to show.")] = 10,
    allow_gaps: Gaps = False,
    funding: Funding = None,
    tape: Tape = None,
    finer: Finer = None,
    as_json: Json = False,
) -> None:
    """Search for good parameters, confirm the best, and say how far it is luck."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app.optimising import Wanted, run_optimize
        from promethean.app.optimising_answers import optimize_object
        from promethean.interfaces.terminal import optimisations

        options = options_of(
            strategy, data, sets, since, until, cash, allow_gaps=allow_gaps, funding=funding, tape=tape, finer=finer
        )
        wanted = Wanted(tuple(param or ()), trials, objective, walk_forward, study, sampler, seed, trades_min)
        try:
            with progress("Optimise", "trials") as done:
                report = run_optimize(settings, options, wanted, done)
        except KeyboardInterrupt:
            typer.echo("What was tried is kept: the same command goes on with it.", err=True)
            raise
        found = optimize_object(report, top)
        answer.give(found, lambda: optimisations.page(found, report.bench.instrument.quote))
