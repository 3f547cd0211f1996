"""The root of the commands, and the options that stand before all of them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

cli = typer.Typer(
    name="promethean",
    help="An autonomous crypto trading platform. Start with: promethean up",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@cli.callback()
def _options(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="The settings file to read, instead of promethean.yaml.")] = None,
    home: Annotated[Path | None, typer.Option(help="The folder that holds all state.")] = None,
) -> None:
    context.obj = {"config": config, "home": home}


# One module each, in the order of the help, which shows commands before groups.  A new one needs its name here.
for _module in (
    "run",
    "backtest",
    "validate",
    "status",
    "kill",
    "program",
    "accounts",
    "audit",
    "data",
    "config",
    "secrets",
    "bench",
):
    cli.add_typer(import_module(f"promethean.cli.{_module}").commands)
