"""`up`: run the platform."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promethean.cli.answering import Answer, Json, Set, answering, make_console, refuse

if TYPE_CHECKING:
    from rich.console import RenderableType

    from promethean.config.tree import Settings
    from promethean.interfaces.terminal.view import View

commands = typer.Typer()
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@commands.command()
def up(
    context: typer.Context,
    mode: Annotated[str | None, typer.Option(metavar="paper|live", help="Virtual money, or real money.")] = None,
    feed: Annotated[
        str | None, typer.Option(metavar="live|synthetic|FILE", help="Where prices come from.  [default: live]")
    ] = None,
    speed: Annotated[
        str | None, typer.Option(metavar="N|max", help="How many times faster than real time; not for live prices.")
    ] = None,
    strategy: Annotated[
        list[str] | None, typer.Option(metavar="FILE|NAME", help="What decides.  [default: rsi_reversion]")
    ] = None,
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="Run one part only. Not available yet.")] = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="30m", help="Stop after so long: 45s, 30m, 2h, 1d.")
    ] = None,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop when the recorded prices end.")] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.  [default: 0]")] = None,
    sets: Set = None,
    plain: Annotated[bool, typer.Option("--plain", help="One line for each fact instead of a living picture.")] = False,
    as_json: Json = False,
) -> None:
    """Run the platform: paper trading, until you stop it with Ctrl-C."""
    with answering(context, as_json) as answer:
        if role is not None:
            refuse(f"--role {role} is not available yet; leave it out: one process runs everything")
        if strategy is not None and len(strategy) > 1:
            refuse(f"{len(strategy)} strategies at once are not available yet; give one --strategy")
        settings = answer.settings(sets, app__mode=mode, app__feed=feed, app__seed=None if seed is None else str(seed))
        from promethean.app import desk, running
        from promethean.runtime.stopping import Stopping

        options = running.UpOptions(
            strategy=strategy[0] if strategy else desk.DEFAULT_STRATEGY,
            speed=_speed(speed),
            for_s=_duration(for_),
            until_end=until_end,
        )
        stopping = Stopping()

        def gone(error: OSError) -> None:
            answer.unheard(error)
            stopping.ask()

        view = make_view(answer, settings, gone, plain=plain, is_fast=options.speed is None)
        with view:
            found = running.up(settings, options, view, stopping)
        answer.give(found, lambda: _summary_page(found, settings))


def _speed(text: str | None) -> float | None:
    """Multiple of real time; None is as fast as possible, 0 the feed's own pace."""
    if text is None:
        return 0
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = -1
    if not 0 < speed <= 1_000_000:
        refuse(f"--speed is {text!r}; write max, or a number above 0 such as 60")
    return speed


def _duration(text: str | None) -> float | None:
    """Seconds."""
    if text is None:
        return None
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match is not None else 0
    if not seconds:
        refuse(f"--for is {text!r}; write a duration such as 45s, 30m, 2h or 1d")
    return seconds


def make_view(
    answer: Answer, settings: Settings, gone: Callable[[OSError], None], *, plain: bool, is_fast: bool
) -> View:
    """What shows a run: nothing for machines, a living picture in a terminal, lines in a pipe.

    gone: is told when a line cannot be written.  is_fast: a recording at full speed, of which counters tell enough.
    """
    from promethean.interfaces.terminal.view import LineView, LivingView, QuietView
    from promethean.runtime.telemetry import start_logging

    start_logging(settings.app.home, settings.app.log_level, settings.app.log_format)
    if answer.as_json:
        return QuietView()
    console = make_console()
    if console.is_terminal and not plain:
        return LivingView(console)
    return LineView(console, counters=is_fast and not plain, gone=gone)


def _summary_page(found: Any, settings: Settings) -> RenderableType:
    from promethean.interfaces.terminal.pages import summary

    quote = found.symbol.partition("/")[2].removesuffix("-PERP")
    return summary({name: getattr(found, name) for name in found.__slots__}, quote, str(settings.app.home))
