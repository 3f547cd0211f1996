"""`backtest`, `replay` and `sweep`: strategies over recorded candles."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promethean.cli.answering import FAILED, Json, answering, progress, refuse

if TYPE_CHECKING:
    from promethean.app.backtesting import BacktestOptions

commands = typer.Typer()

Strategy = Annotated[str, typer.Argument(metavar="STRATEGY", help="A strategy file, by path or by name.")]
Data = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="Recorded candles, Parquet or CSV; a recorded order book feed; or a stored series, binance:BTC/USDT:1m.",
    ),
]
Since = Annotated[str | None, typer.Option("--from", metavar="DATE", help="First day or instant, UTC: 2025-06-01.")]
Until = Annotated[str | None, typer.Option("--to", metavar="DATE", help="Where to end, not included.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the file, or a key by its path. Repeatable."),
]
Cash = Annotated[str, typer.Option(metavar="AMOUNT", help="Cash at the start, in the quote currency.")]
Limits = Annotated[str, typer.Option(metavar="research|user", help="Which risk controls are on.")]
Trades = Annotated[Path | None, typer.Option(metavar="OUT.csv", help="Write one line for each closed part here.")]
Funding = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Funding rates of the perpetual that is traded, Parquet or CSV."),
]
Tape = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Single trades of the market that is traded, Parquet or CSV."),
]
Finer = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Finer candles of the market: they say what a candle touched first. Or a stored series."
    ),
]
Gaps = Annotated[bool, typer.Option("--allow-gaps", help="Run even where more than 5 % of the candles are missing.")]


@commands.command()
def backtest(
    context: typer.Context,
    strategy: Strategy,
    data: Data,
    since: Since = None,
    until: Until = None,
    sets: Set = None,
    cash: Cash = "10000",
    limits: Limits = "research",
    allow_gaps: Gaps = False,
    funding: Funding = None,
    tape: Tape = None,
    finer: Finer = None,
    trades: Trades = None,
    report_to: Annotated[
        Path | None, typer.Option("--report", metavar="OUT.html", help="Write a report with pictures here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a strategy over recorded candles."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import backtest_answers, backtesting
        from promethean.interfaces.terminal import backtests

        options = options_of(
            strategy,
            data,
            sets,
            since,
            until,
            cash,
            limits,
            allow_gaps=allow_gaps,
            funding=funding,
            tape=tape,
            finer=finer,
        )
        report = backtesting.run_backtest(settings, options)
        if trades is not None:
            backtest_answers.write_trades(report.result.books.parts, trades, report.bench.is_funded)
        if report_to is not None:
            backtest_answers.write_report(report, report_to)
        found = backtest_answers.as_object(report, with_trades=trades is None)
        answer.give(found, lambda: backtests.page(found, report.bench.instrument.quote))


@commands.command()
def replay(
    context: typer.Context,
    strategy: Strategy,
    data: Data,
    since: Since = None,
    until: Until = None,
    sets: Set = None,
    cash: Cash = "10000",
    limits: Limits = "research",
    allow_gaps: Gaps = False,
    funding: Funding = None,
    tape: Tape = None,
    finer: Finer = None,
    trades: Trades = None,
    as_json: Json = False,
) -> None:
    """Run a strategy over recorded candles through the real runner, with every event in the journal."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import backtest_answers, replaying
        from promethean.cli.run import make_view
        from promethean.interfaces.terminal import backtests
        from promethean.runtime.stopping import Stopping

        options = options_of(
            strategy,
            data,
            sets,
            since,
            until,
            cash,
            limits,
            allow_gaps=allow_gaps,
            funding=funding,
            tape=tape,
            finer=finer,
        )
        stopping = Stopping()

        def gone(error: OSError) -> None:
            answer.unheard(error)
            stopping.ask()

        with make_view(answer, settings, gone, plain=False, is_fast=True) as view:
            report = replaying.run_replay(settings, options, view, stopping)
        if trades is not None:
            backtest_answers.write_trades(report.books.parts, trades, report.bench.is_funded)
        found = replaying.replay_object(report, with_trades=trades is None)
        if not report.summary.finished:
            answer.status = FAILED  # stopped on the way: these are not the figures that were asked for
        answer.give(found, lambda: backtests.replay_page(found, report.bench.instrument.quote, str(settings.app.home)))


def options_of(
    strategy: str,
    data: str,
    sets: list[str] | None,
    since: str | None,
    until: str | None,
    cash: str,
    limits: str = "research",
    *,
    allow_gaps: bool,
    funding: str | None = None,
    tape: str | None = None,
    finer: str | None = None,
) -> BacktestOptions:
    """The options as they were typed, read.  Raises ConfigError."""
    from promethean.app.backtesting import BacktestOptions

    return BacktestOptions(
        strategy, data, overrides(sets), instant(since, "--from"), instant(until, "--to"), amount(cash, "--cash"),
        limits, allow_gaps, funding, tape, finer,
    )  # fmt: skip


def overrides(given: list[str] | None) -> dict[str, str]:
    """`low=25` as name and value.  Raises ConfigError."""
    values: dict[str, str] = {}
    for text in given or ():
        name, sign, value = text.partition("=")
        if not sign or not name.strip() or not value.strip():
            refuse(f"--set is {text!r}; write it as name=value, for example low=25")
        if name.strip() in values:
            refuse(f"--set names {name.strip()} twice; keep one")
        values[name.strip()] = value.strip()
    return values


def instant(text: str | None, option: str) -> datetime | None:
    """A day or an instant, UTC unless it says otherwise.  Raises ConfigError."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        refuse(f"{option} is {text!r}; write a day or an instant, for example 2025-06-01 or 2025-06-01T12:00")
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def amount(text: str, option: str) -> Decimal:
    """A finite decimal number.  Raises ConfigError."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        refuse(f"{option} is {text!r}; write a number, for example 10000")
    if not value.is_finite():
        refuse(f"{option} is {text}; write a finite number")
    return value


@commands.command()
def sweep(
    context: typer.Context,
    strategy: Strategy,
    data: Data,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=FIRST:LAST:STEP", help="What to vary; or name=a,b,c. Repeatable."),
    ] = None,
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
    """Try every combination of parameters, and confirm the best."""
    with answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import sweeping
        from promethean.interfaces.terminal import backtests

        options = options_of(
            strategy, data, sets, since, until, cash, allow_gaps=allow_gaps, funding=funding, tape=tape, finer=finer
        )
        with progress("Sweep") as done:
            report = sweeping.run_sweep(settings, options, param or [], done)
        found = sweeping.sweep_object(report, top)
        answer.give(found, lambda: backtests.sweep_page(found, report.bench.instrument.quote))
