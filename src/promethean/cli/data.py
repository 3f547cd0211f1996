"""`data`: recorded market data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promethean.cli.answering import Json, answering, for_machines, progress

commands = typer.Typer(name="data", help="Recorded market data.", no_args_is_help=True)


@commands.command("import")
def data_import(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Candles as Parquet or CSV.")],
    market: Annotated[
        str | None, typer.Option(metavar="binance:BTC/USDT", help="Whose candles; else read from the file's name.")
    ] = None,
    timeframe: Annotated[str | None, typer.Option(metavar="1m", help="Else read from the name or the rows.")] = None,
    as_json: Json = False,
) -> None:
    """Import candles into the market store; the same file again changes nothing."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import data
        from promethean.interfaces.terminal import pages

        with progress("Import") as looked:
            report = data.import_candles(settings, file, market, timeframe, looked)
        answer.give(report, lambda: pages.imported(report))


@commands.command("list")
def data_list(context: typer.Context, as_json: Json = False) -> None:
    """List the stored candles."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import data
        from promethean.interfaces.terminal import pages

        found = data.list_candles(settings)
        listed = [{**for_machines(one), "missing": one.missing} for one in found]
        answer.give({"series": listed}, lambda: pages.series(found))


Series = Annotated[str, typer.Argument(metavar="SERIES", help="A stored series: binance:BTC/USDT:1m.")]


@commands.command("gaps")
def data_gaps(
    context: typer.Context,
    series: Annotated[
        str | None, typer.Argument(metavar="SERIES", help="A stored series, binance:BTC/USDT:1m; else all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what is missing in the stored candles."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import data
        from promethean.interfaces.terminal import pages

        found = data.find_gaps(settings, series)
        answer.give({"series": found}, lambda: pages.gaps(found))


@commands.command("export")
def data_export(
    context: typer.Context,
    series: Series,
    file: Annotated[Path, typer.Argument(metavar="OUT", help="Where to: a .parquet or .csv file.")],
    as_json: Json = False,
) -> None:
    """Write stored candles to a file."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from rich.text import Text

        from promethean.app import data

        rows = data.export_candles(settings, series, file)
        answer.give(
            {"series": series, "file": str(file), "rows": rows}, lambda: Text(f"{rows:,} candles are in {file}.")
        )
