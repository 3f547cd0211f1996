"""What every command does: reads the settings, answers a person or a machine, and says what went wrong."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from promethean.config.tree import Settings

DONE, FAILED, WRONG = 0, 1, 2
PIPE_COLUMNS = 160
Json = Annotated[bool, typer.Option("--json", help="For machines: the last line of standard output is one object.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a setting, such as risk.daily_trades=10. May be repeated."),
]


class Answer:
    """How one command answers: with an object for machines, with pages for people.

    status: the exit status when nothing is raised.
    """

    def __init__(self, context: typer.Context, as_json: bool) -> None:
        self._context = context
        self.as_json = as_json
        self.status = DONE
        self.log_file: Path | None = None
        self._lost: OSError | None = None

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
        self._write(value, lambda: make_console().print(page()))

    def give_text(self, value: Any, text: str) -> None:
        """As `give`, with a page that is text and is not to be broken into lines."""
        self._write(value, lambda: typer.echo(text, nl=False))

    def _write(self, value: Any, show: Callable[[], None]) -> None:
        try:
            if self.as_json:
                typer.echo(json.dumps(for_machines(value)))
            else:
                show()
            sys.stdout.flush()
        except OSError as error:
            self.unheard(error)

    def unheard(self, error: OSError) -> None:
        """Standard output takes no more: go on in silence.  A reader who has gone had enough; a failure is told."""
        # What is still buffered would fail again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            self._lost = error

    def end(self) -> None:
        """The end of a command that has done its work."""
        if self._lost is not None:
            reason = self._lost.strerror
            self.fail(f"standard output cannot be written ({reason}); make room there, or send it elsewhere", FAILED)
        if self.status != DONE:
            raise typer.Exit(self.status)

    def fail(self, message: str, status: int) -> NoReturn:
        """End the command with one sentence."""
        complain(message)
        if self.as_json:
            typer.echo(json.dumps({"error": message}))
        raise typer.Exit(status)


def complain(message: str) -> None:
    """Tell a person what is wrong, on standard error."""
    colour = typer.colors.RED if "NO_COLOR" not in os.environ else None
    typer.secho(f"error: {message}", fg=colour, err=True)


@contextlib.contextmanager
def answering(context: typer.Context, as_json: bool) -> Iterator[Answer]:
    """Turn what goes wrong into one sentence and an exit status."""
    from promethean.domain.errors import ConfigError, JournalTamperedError, PrometheanError, stopped_by

    answer = Answer(context, as_json)
    try:
        yield answer
    except (ConfigError, JournalTamperedError) as error:
        answer.fail(str(error), WRONG)
    except PrometheanError as error:
        answer.fail(str(error), FAILED)
    except KeyboardInterrupt as stop:
        number, words = stopped_by(stop)
        answer.fail(words, 128 + number)  # as shells count it
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001  our own bug: the person gets a sentence, the log gets the rest
        answer.fail(_our_mistake(error, answer.log_file), FAILED)
    answer.end()


def refuse(message: str) -> NoReturn:
    """Refuse what was typed.  Raises ConfigError."""
    from promethean.domain.errors import ConfigError

    raise ConfigError(message)


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


def make_console(*, stderr: bool = False) -> Console:
    """Where pages are shown: as wide as the terminal, and wide enough in a pipe."""
    from rich.console import Console, ConsoleDimensions

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            raise  # the BrokenPipeError at hand, for who prints; Console itself would end the process here

    console = Terminal(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.size = ConsoleDimensions(PIPE_COLUMNS, 25)  # a pipe has no width: nothing should be cut for it
    return console


@contextlib.contextmanager
def progress(what: str, unit: str = "rows") -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error for people; nothing for pipes."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(what), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn(unit))
    console = make_console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


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


def for_machines(value: Any) -> Any:
    """Plain JSON values: decimals as text, paths as text, dataclasses and structs as objects."""
    import dataclasses
    from decimal import Decimal

    names = getattr(value, "__struct_fields__", ())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
    if names:
        return {name: for_machines(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(name): for_machines(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [for_machines(item) for item in value]
    if isinstance(value, Decimal):
        from promethean.domain.money import plain

        return plain(value)
    if isinstance(value, bool | int | float) or value is None:
        return value
    return str(value)
