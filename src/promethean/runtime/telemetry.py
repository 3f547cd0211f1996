"""Where log lines go: all of them into a file for machines, the alarming ones to the terminal in plain words."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path
from typing import TextIO

LOG_FILE = "promethean.log"
ROTATE_BYTES = 100 * 2**20
FILES_KEPT = 10

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CHATTY = ("alembic", "asyncio", "ccxt", "clickhouse_connect", "httpx", "urllib3")


def log_file(home: Path) -> Path:
    """The log of the platform on this home."""
    return home / "logs" / LOG_FILE


def start_logging(home: Path, level: str = "INFO", layout: str = "json", *, on_terminal: bool = True) -> Path | None:
    """Send every log line of this process into the home's log file, and warnings to the terminal as well.

    level:  the least important lines that are written.  layout: `json`, one object a line, or `text` for people.
    Returns the log file; None when the home cannot be written, and then the terminal alone gets the warnings.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if getattr(handler, "is_ours", False):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    if on_terminal:
        _add(root, _TerminalHandler(logging.WARNING))
    path = log_file(home)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            path, maxBytes=ROTATE_BYTES, backupCount=FILES_KEPT, encoding="utf-8"
        )
    except OSError:
        return None
    file.setFormatter(_formatter(layout))
    _add(root, file)
    return path


def _add(root: logging.Logger, handler: logging.Handler) -> None:
    handler.is_ours = True  # type: ignore[attr-defined]  # so that a second start replaces what the first has set up
    root.addHandler(handler)


def _formatter(layout: str) -> logging.Formatter:
    import structlog

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if layout == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
    )


class _TerminalHandler(logging.Handler):
    """Writes `warning: order rejected (reason: insufficient balance)`."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            facts = {name: value for name, value in vars(record).items() if name not in _STANDARD}
            shown = ", ".join(f"{name}: {value}" for name, value in facts.items())
            text = f"{record.levelname.lower()}: {record.getMessage()}{f' ({shown})' if shown else ''}"
            # Looked up now: a living view puts its own stream in place while it is on the screen.
            stream: TextIO = sys.stderr
            stream.write(text + "\n")
            stream.flush()
        except (OSError, ValueError):
            self.handleError(record)
