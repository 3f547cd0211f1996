"""The command line: reads what a person typed, calls `app`, and shows the answer.

Exit status 0: done; 1: the work failed; 2: the input or the set-up is wrong; 130, 143: Ctrl-C or SIGTERM came before
the work was done.  With `--json` the last line of standard output is one object.  Nothing heavy is imported before a
command runs, and nothing at all before signals are answered.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType


def main() -> None:
    """The `promethean` program."""
    try:
        signal.signal(signal.SIGTERM, _terminate)
        from promethean.cli.root import cli

        cli()
    except KeyboardInterrupt as stop:
        _end(stop)
    except SystemExit as end:
        # Typer ends without a word when a signal comes while it reads what was typed.
        cause = getattr(end.__context__, "__cause__", None)
        if isinstance(cause, KeyboardInterrupt):
            _end(cause)
        raise


def _terminate(number: int, _: FrameType | None) -> None:
    from promethean.domain.errors import Stopped

    raise Stopped(number)


def _end(stop: KeyboardInterrupt) -> None:
    from promethean.domain.errors import stopped_by

    number, words = stopped_by(stop)
    sys.stderr.write(f"error: {words}\n")
    sys.exit(128 + number)
