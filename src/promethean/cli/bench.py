"""`bench`: how fast the parts are, measured here and now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promethean.cli.answering import Json, answering

commands = typer.Typer(name="bench", help="Measure how fast the parts are here.", no_args_is_help=True)

Data = Annotated[
    Path | None, typer.Option(metavar="FILE", help="One-minute candles; without it a year of invented ones.")
]


@commands.command("backtest")
def bench_backtest(
    context: typer.Context,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Measure the reference backtest: candles a second, memory, and the time to load."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import benching
        from promethean.interfaces.terminal import pages

        found = benching.bench_backtest(settings, data)
        answer.give(found, lambda: pages.figures(found))


@commands.command("sweep")
def bench_sweep(
    context: typer.Context,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Measure the sweep of 100 parameter sets of the reference strategy."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import benching
        from promethean.interfaces.terminal import pages

        found = benching.bench_sweep(settings, data)
        answer.give(found, lambda: pages.figures(found))
