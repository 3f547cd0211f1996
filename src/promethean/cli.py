"""The command line: reads what a person typed, calls `app`, and shows the answer.

Exit status 0: done; 1: the work failed; 2: the input or the set-up is wrong.  With `--json` the last line of standard
output is one object.  Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from promethean.config.tree import Settings
    from promethean.interfaces.terminal.view import View

DONE, FAILED, WRONG = 0, 1, 2
PIPE_COLUMNS = 160

cli = typer.Typer(
    name="promethean",
    help="An autonomous crypto trading platform. Start with: promethean up",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="For machines: the last line of standard output is one object.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a setting, such as risk.daily_trades=10. May be repeated."),
]


@cli.callback()
def _options(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="The settings file to read, instead of promethean.yaml.")] = None,
    home: Annotated[Path | None, typer.Option(help="The folder that holds all state.")] = None,
) -> None:
    context.obj = {"config": config, "home": home}


# ---------------------------------------------------------------- what every command does


class Answer:
    """How one command answers: with an object for machines, with pages for people.

    status: the exit status when nothing is raised.
    """

    def __init__(self, context: typer.Context, as_json: bool) -> None:
        self._context = context
        self.as_json = as_json
        self.status = DONE
        self.log_file: Path | None = None

    def settings(self, given: list[str] | None = None, /, **options: str | None) -> Settings:
        """The settings, those of the command line first; logging starts with them.  Raises ConfigError."""
        from promethean.config.layers import load_settings
        from promethean.runtime.telemetry import log_file

        values = _assignments(given or [])
        values.update({name.replace("__", "."): value for name, value in options.items() if value is not None})
        home = self._context.obj["home"]
        if home is not None:
            values["app.home"] = str(home)
        settings = load_settings(values, os.environ, Path.cwd(), self._context.obj["config"])
        self.log_file = log_file(settings.app.home)
        return settings

    def give(self, value: Any, page: Callable[[], RenderableType]) -> None:
        """The answer.  value: for machines; page: makes what people see, only when a person looks."""
        if self.as_json:
            typer.echo(json.dumps(_for_machines(value)))
        else:
            _console().print(page())

    def fail(self, message: str, status: int) -> NoReturn:
        """End the command with one sentence."""
        _complain(message)
        if self.as_json:
            typer.echo(json.dumps({"error": message}))
        raise typer.Exit(status)


def _complain(message: str) -> None:
    colour = typer.colors.RED if "NO_COLOR" not in os.environ else None
    typer.secho(f"error: {message}", fg=colour, err=True)


@contextlib.contextmanager
def _answering(context: typer.Context, as_json: bool) -> Iterator[Answer]:
    """Turn what goes wrong into one sentence and an exit status."""
    from promethean.domain.errors import ConfigError, PrometheanError

    answer = Answer(context, as_json)
    try:
        yield answer
    except ConfigError as error:
        answer.fail(str(error), WRONG)
    except PrometheanError as error:
        answer.fail(str(error), FAILED)
    except KeyboardInterrupt:
        answer.fail("stopped by the keyboard", FAILED)
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001  our own bug: the person gets a sentence, the log gets the rest
        answer.fail(_our_mistake(error, answer.log_file), FAILED)
    if answer.status != DONE:
        raise typer.Exit(answer.status)


def _our_mistake(error: Exception, log_file: Path | None) -> str:
    import traceback

    story = "".join(traceback.format_exception(error))
    what = f"a mistake of the program ({type(error).__name__}: {error})".replace("\n", " ")
    try:
        if log_file is None:
            raise FileNotFoundError
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("a", encoding="utf-8") as file:
            entry = {"event": "a mistake of the program", "level": "error", "exception": story, "at_s": time.time()}
            file.write(json.dumps(entry) + "\n")
    except OSError:
        return f"{what}; no log could be written, so here is all of it:\n{story}"
    return f"{what}; the details are in {log_file}"


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console, ConsoleDimensions

    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.size = ConsoleDimensions(PIPE_COLUMNS, 25)  # a pipe has no width: nothing should be cut for it
    return console


def _assignments(given: list[str]) -> dict[str, str]:
    from promethean.domain.errors import ConfigError

    values: dict[str, str] = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {item!r} is not KEY=VALUE; write for example --set risk.daily_trades=10")
        if key.strip() in values:
            raise ConfigError(f"--set {key.strip()} is given twice; keep one of them")
        values[key.strip()] = value.strip()
    return values


def _for_machines(value: Any) -> Any:
    """Plain JSON values: decimals as text, paths as text, dataclasses and structs as objects."""
    import dataclasses
    from decimal import Decimal

    names = getattr(value, "__struct_fields__", ())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
    if names:
        return {name: _for_machines(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(name): _for_machines(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_for_machines(item) for item in value]
    if isinstance(value, Decimal):
        from promethean.domain.money import plain

        return plain(value)
    if isinstance(value, bool | int | float) or value is None:
        return value
    return str(value)


# ---------------------------------------------------------------- up

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@cli.command()
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
    with _answering(context, as_json) as answer:
        if role is not None:
            _refuse(f"--role {role} is not available yet; leave it out: one process runs everything")
        if strategy is not None and len(strategy) > 1:
            _refuse(f"{len(strategy)} strategies at once are not available yet; give one --strategy")
        settings = answer.settings(sets, app__mode=mode, app__feed=feed, app__seed=None if seed is None else str(seed))
        from promethean.app import desk, running

        options = running.UpOptions(
            strategy=strategy[0] if strategy else desk.DEFAULT_STRATEGY,
            speed=_speed(speed),
            for_s=_duration(for_),
            until_end=until_end,
        )
        view = _view(answer, settings, plain=plain, is_fast=options.speed is None)
        with view:
            found = running.up(settings, options, view)
        answer.give(found, lambda: _summary_page(found, settings))


def _refuse(message: str) -> NoReturn:
    from promethean.domain.errors import ConfigError

    raise ConfigError(message)


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
        _refuse(f"--speed is {text!r}; write max, or a number above 0 such as 60")
    return speed


def _duration(text: str | None) -> float | None:
    """Seconds."""
    if text is None:
        return None
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match is not None else 0
    if not seconds:
        _refuse(f"--for is {text!r}; write a duration such as 45s, 30m, 2h or 1d")
    return seconds


def _view(answer: Answer, settings: Settings, *, plain: bool, is_fast: bool) -> View:
    from promethean.interfaces.terminal.view import LineView, LivingView, QuietView
    from promethean.runtime.telemetry import start_logging

    start_logging(settings.app.home, settings.app.log_level, settings.app.log_format)
    if answer.as_json:
        return QuietView()
    console = _console()
    if console.is_terminal and not plain:
        return LivingView(console)
    return LineView(console, counters=is_fast and not plain)


def _summary_page(found: Any, settings: Settings) -> RenderableType:
    from promethean.interfaces.terminal.pages import summary

    quote = found.symbol.partition("/")[2].removesuffix("-PERP")
    return summary({name: getattr(found, name) for name in found.__slots__}, quote, str(settings.app.home))


# ---------------------------------------------------------------- status


@cli.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show whether the platform runs, and how each account stands."""
    with _answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import asking
        from promethean.interfaces.terminal import pages

        report = asking.status(settings)
        answer.give(report, lambda: pages.status(report, time.time_ns()))


@cli.command()
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Check everything the platform needs, and say what to do about a problem."""
    with _answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import health
        from promethean.interfaces.terminal import pages

        checks = health.doctor(settings)
        problems = sum(not check.ok for check in checks)
        answer.status = FAILED if problems else DONE
        answer.give({"ok": not problems, "problems": problems, "checks": checks}, lambda: pages.doctor(checks))


# ---------------------------------------------------------------- kill and unkill

Scope = Annotated[str, typer.Option(metavar="platform|account", help="Everything, or one account.")]
Label = Annotated[str | None, typer.Argument(metavar="[LABEL]", help="The account, with --scope account.")]


@cli.command()
def kill(
    context: typer.Context,
    label: Label = None,
    scope: Scope = "platform",
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "asked for by a person",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Stop trading now: no new orders, entries cancelled, positions closed."""
    with _answering(context, as_json) as answer:
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
        _refuse(f"--scope is {scope!r}; write platform or account")
    if scope == "account" and label is None:
        _refuse("--scope account needs the account's label; `promethean account list` shows them")
    if scope == "platform" and label is not None:
        _refuse(f"{label!r} names an account; write --scope account {label}")
    return label


def _confirm_kill(account: str | None) -> None:
    if not sys.stdin.isatty():
        _refuse("a kill asks for a confirmation and there is no terminal to ask at; add --yes")
    what = "the whole platform" if account is None else f"account {account}"
    if not typer.confirm(f"Stop {what} and close its positions?", err=True):
        raise typer.Exit(FAILED)


def _person() -> str:
    import getpass

    try:
        return f"{getpass.getuser()} at the terminal"
    except (OSError, KeyError):
        return "a person at the terminal"


@cli.command()
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
    with _answering(context, as_json) as answer:
        account = _account_of(scope, label)
        settings = answer.settings()
        from promethean.app import asking
        from promethean.interfaces.terminal import pages

        lifting = asking.ask_to_lift(settings, account)
        latch = pages.latch_words(lifting.latch)
        typed = confirm if confirm is not None else _typed_word(latch, lifting.word)
        if typed.strip() != lifting.word:
            _refuse(f"{typed!r} is not the word of this kill; look at its reason ({latch}), then type {lifting.word}")
        left = asking.lift(settings, lifting, _person())
        answer.give({"lifted": latch, "still_set": left}, lambda: pages.lifted(left))


def _typed_word(latch: str, word: str) -> str:
    if not sys.stdin.isatty():
        _refuse(f"the kill switch is set ({latch}); lifting it needs a person: add --confirm {word}")
    typer.echo(f"Set: {latch}", err=True)
    return str(typer.prompt(f"To lift it, type {word}", err=True))


# ---------------------------------------------------------------- accounts

account_cli = typer.Typer(help="Accounts at exchanges, and paper accounts.", no_args_is_help=True)
cli.add_typer(account_cli, name="account")


@account_cli.command("add")
def account_add(
    context: typer.Context,
    exchange: Annotated[str, typer.Option(help="The exchange, for example binance.")],
    label: Annotated[str, typer.Option(help="Your name for it.")],
    paper: Annotated[bool, typer.Option("--paper/--live", help="Virtual money, or real money.")] = True,
    as_json: Json = False,
) -> None:
    """Add a paper account."""
    with _answering(context, as_json) as answer:
        if not paper:
            _refuse("live accounts are not available yet; add a paper account with --paper")
        settings = answer.settings()
        from rich.text import Text

        from promethean.app import asking

        made = asking.add_account(settings, exchange, label)
        answer.give(
            {"id": made, "exchange": exchange, "label": label, "is_paper": True},
            lambda: Text(f"Added paper account {label} at {exchange}."),
        )


@account_cli.command("list")
def account_list(context: typer.Context, as_json: Json = False) -> None:
    """List the accounts."""
    with _answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import asking
        from promethean.interfaces.terminal import pages

        found = asking.list_accounts(settings)
        answer.give({"accounts": found}, lambda: pages.accounts(found))


# ---------------------------------------------------------------- audit

audit_cli = typer.Typer(help="Prove that the journal is what was written.", no_args_is_help=True)
cli.add_typer(audit_cli, name="audit")


@audit_cli.command("verify")
def audit_verify(context: typer.Context, as_json: Json = False) -> None:
    """Check every row of the journal against its hash chain."""
    with _answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import asking
        from promethean.interfaces.terminal import pages

        with _progress("Journal") as looked:
            checks = asking.verify_journal(settings, looked)
        damaged = [check for check in checks if check.damaged_row is not None]
        for check in damaged:
            _complain(check.problem)
        answer.status = WRONG if damaged else DONE  # what was handed to the check is wrong; the check itself worked
        report = {"ok": not damaged, "rows": sum(check.rows for check in checks), "streams": checks}
        if damaged:
            report["error"] = damaged[0].problem
        answer.give(report, lambda: pages.audit(checks))


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error for people; nothing for pipes."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(what), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("rows"))
    console = _console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


# ---------------------------------------------------------------- data

data_cli = typer.Typer(help="Recorded market data.", no_args_is_help=True)
cli.add_typer(data_cli, name="data")


@data_cli.command("import")
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
    with _answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import data
        from promethean.interfaces.terminal import pages

        with _progress("Import") as looked:
            report = data.import_candles(settings, file, market, timeframe, looked)
        answer.give(report, lambda: pages.imported(report))


@data_cli.command("list")
def data_list(context: typer.Context, as_json: Json = False) -> None:
    """List the stored candles."""
    with _answering(context, as_json) as answer:
        settings = answer.settings()
        from promethean.app import data
        from promethean.interfaces.terminal import pages

        found = data.list_candles(settings)
        listed = [{**_for_machines(one), "missing": one.missing} for one in found]
        answer.give({"series": listed}, lambda: pages.series(found))


# ---------------------------------------------------------------- config

config_cli = typer.Typer(help="Settings, and where each value comes from.", no_args_is_help=True)
cli.add_typer(config_cli, name="config")


@config_cli.command("show")
def config_show(context: typer.Context, sets: Set = None, as_json: Json = False) -> None:
    """Show every setting in effect with its origin; secrets as ***."""
    with _answering(context, as_json) as answer:
        settings = answer.settings(sets)
        from promethean.config.pages import describe
        from promethean.interfaces.terminal import pages

        rows = describe(settings)
        answer.give({"settings": rows}, lambda: pages.settings(rows))


@config_cli.command("check")
def config_check(context: typer.Context, sets: Set = None, as_json: Json = False) -> None:
    """Check all settings without starting anything."""
    with _answering(context, as_json) as answer:
        settings = answer.settings(sets)
        from rich.text import Text

        count = len(settings.origins)
        changed = sum(origin != "default" for origin in settings.origins.values())
        text = f"{count} settings are fine, {changed} of them set by you."
        answer.give({"ok": True, "settings": count, "set": changed}, lambda: Text(text))


@config_cli.command("reference")
def config_reference(context: typer.Context, as_json: Json = False) -> None:
    """Print the reference page of all settings, as Markdown."""
    with _answering(context, as_json):
        from promethean.config.pages import reference_page

        page = reference_page()
        typer.echo(json.dumps({"page": page}) if as_json else page, nl=as_json)


# ---------------------------------------------------------------- the rest


@cli.command()
def catalogue(context: typer.Context, as_json: Json = False) -> None:
    """List everything that is registered: strategies, order types, tables and the rest."""
    with _answering(context, as_json) as answer:
        answer.settings()
        from promethean.app import register
        from promethean.interfaces.terminal import pages

        found = register.catalogue()
        answer.give(found, lambda: pages.catalogue(found))


secrets_cli = typer.Typer(help="The key that protects stored secrets.", no_args_is_help=True)
cli.add_typer(secrets_cli, name="secrets")


@secrets_cli.command("rotate")
def secrets_rotate(context: typer.Context, as_json: Json = False) -> None:
    """Replace the key file by a new key and encrypt every secret with it; an interrupted rotation goes on."""
    with _answering(context, as_json) as answer:
        settings = answer.settings()
        from rich.text import Text

        from promethean.app import asking

        rows = asking.rotate_key(settings)
        answer.give({"rows": rows}, lambda: Text(f"New key in place; {rows} rows encrypted with it."))


@cli.command()
def migrate(context: typer.Context, as_json: Json = False) -> None:
    """Bring the database to the version of this program; `up` does so by itself."""
    with _answering(context, as_json) as answer:
        settings = answer.settings()
        from rich.text import Text

        from promethean.app import asking

        version = asking.migrate(settings)
        answer.give({"schema_version": version}, lambda: Text(f"The database is at schema version {version}."))


@cli.command()
def version(context: typer.Context, as_json: Json = False) -> None:
    """Print the version."""
    with _answering(context, as_json):
        import platform

        from promethean import __version__

        found = {"version": __version__, "python": platform.python_version(), "system": platform.platform()}
        typer.echo(json.dumps(found) if as_json else f"promethean {__version__}, Python {found['python']}")


def main() -> None:
    """The `promethean` program."""
    cli()
