"""Searches for parameters, kept by Optuna in a schema of its own on our PostgreSQL.

Several processes and machines may work on one study; what was tried stays when they die.  Optuna's storage is
synchronous and makes its tables itself, among them an `alembic_version`, so it never looks into our schema.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import optuna
import pg8000.dbapi
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from promethean.domain.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study

SCHEMA = "optuna"
HEARTBEAT_S, GRACE_S = 3, 15  # a worker that says nothing for so long is dead, and its trial is given to another
CONNECT_TIMEOUT_S = 10.0
_LOCK = 0x6F707475  # any fixed number: tables and studies are made by one process at a time
_MADE_OF = "made_of"
_SETTINGS = {
    "search_path": SCHEMA,
    "timezone": "UTC",
    "jit": "off",
    "synchronous_commit": "off",  # a power cut may take the last trials, which are then made again
}
_NO_RIGHT = "42501"
_SILENT = text(
    "SELECT trial_id FROM trials LEFT JOIN trial_heartbeats USING (trial_id) "
    "WHERE study_id = :study_id AND state = 'RUNNING' AND heartbeat IS NULL"
)


class _Storage(RDBStorage):
    """Optuna's storage, made firm where a process or the server dies at a bad moment."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._silent_since_s: dict[int, float] = {}

    def record_heartbeat(self, trial_id: int) -> None:
        """Nothing is said, in a thread of its own, when the server has gone: the trial itself will."""
        with suppress(StoreError, StorageInternalError, DBAPIError):
            super().record_heartbeat(trial_id)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """With those whose process died before their first heartbeat: Optuna would wait for it for ever."""
        with self.engine.connect() as connection:
            silent = set(connection.execute(_SILENT, {"study_id": study_id}).scalars())
        now = time.monotonic()
        self._silent_since_s = {trial: self._silent_since_s.get(trial, now) for trial in silent}
        dead = [trial for trial, since in self._silent_since_s.items() if now - since > GRACE_S]
        return [*super()._get_stale_trial_ids(study_id), *dead]


class Studies:
    """The studies of one database.  Use it in `with`.

    dsn:      as `Database.open` takes it.  ssl_mode: as libpq's sslmode, unless the DSN has one of its own.
    Raises ConfigError when the login role may not make the schema, or it was made by another version of Optuna;
    StoreError when the database cannot be reached.
    """

    lost = (StoreError, StorageInternalError, DBAPIError)
    """What is raised when the server goes away under a search; the study is there when it comes back."""

    def __init__(self, dsn: str, ssl_mode: str | None = None) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # a pruned trial is an answer, not news for the terminal
        self._options = _connection_options(dsn, ssl_mode)
        self._locks = create_engine(
            "postgresql+pg8000://", creator=self._connect, poolclass=NullPool, pool_logging_name=SCHEMA
        )
        for pool in ("QueuePool", "NullPool"):  # a connection that cannot be closed any more is no news
            logging.getLogger(f"sqlalchemy.pool.impl.{pool}.{SCHEMA}").setLevel(logging.CRITICAL)
        with self._alone(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats: the behaviour is under test here
            try:
                self._storage = _Storage(
                    "postgresql+pg8000://",  # the address stays out of it: it may hold a password
                    {"creator": self._connect, "pool_logging_name": SCHEMA},
                    heartbeat_interval=HEARTBEAT_S,
                    grace_period=GRACE_S,
                )
            except RuntimeError as error:  # its one way to say that the tables are of another version
                raise ConfigError(f"the schema {SCHEMA} in the database does not fit: {error}") from error

    def __enter__(self) -> Studies:
        return self

    def __exit__(self, *_: object) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()
        self._locks.dispose()

    def study(self, name: str, made_of: Mapping[str, str], sampler: BaseSampler) -> Study:
        """The study of this name, made when there is none.

        made_of: what its results depend on, for people; a study is made of the same as long as it lives.
        Raises ConfigError naming what differs when the study was made of something else.
        """
        with self._alone():
            try:  # first, because its way to notice a name that exists does not know what pg8000 raises
                study = optuna.load_study(study_name=name, storage=self._storage, sampler=sampler)
            except KeyError:
                study = optuna.create_study(
                    storage=self._storage, study_name=name, direction="maximize", sampler=sampler
                )
                study.set_user_attr(_MADE_OF, dict(made_of))
        before: Mapping[str, str] = study.user_attrs.get(_MADE_OF, {})
        differs = [
            f"{key} was {before.get(key, 'unknown')}, is {made_of.get(key, 'unknown')}"
            for key in dict.fromkeys((*made_of, *before))
            if before.get(key) != made_of.get(key)
        ]
        if differs:
            raise ConfigError(
                f"the study {name} was made of something else: {'; '.join(differs)}; choose another name with "
                "--study, or give what it was made of"
            )
        return study

    def release_dead(self, study: Study, since: datetime) -> None:
        """Give up the trials that are marked as running since before an instant, when nobody was at work.

        Without it they count as running until their heartbeat is too old.
        """
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.datetime_start is not None and trial.datetime_start.astimezone() < since:  # it is local and naive
                study.tell(trial.number, state=TrialState.FAIL)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of the schema, which is made when it is missing."""
        try:
            with self._locks.connect() as connection:
                connection.execute(text(f"SELECT pg_advisory_lock({_LOCK})"))
                if not connection.execute(text(f"SELECT to_regnamespace('{SCHEMA}')")).scalar():
                    connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
                connection.commit()  # the lock is of the session and lasts until it ends
                yield
        except DBAPIError as error:
            if _NO_RIGHT not in str(error.orig):
                raise
            raise ConfigError(
                f"the login role may not make the schema {SCHEMA} in the database; let its owner run "
                f"CREATE SCHEMA {SCHEMA} AUTHORIZATION <login role>"
            ) from error

    def _connect(self) -> Any:
        place = self._options.get("unix_sock") or f"{self._options['host']}:{self._options['port']}"
        options = dict(self._options)
        try:
            if "host" in options:  # with a bound for the connection alone: what is asked later may have to wait
                options["sock"] = socket.create_connection((options["host"], options["port"]), CONNECT_TIMEOUT_S)
                options["sock"].settimeout(None)
            return pg8000.dbapi.connect(**options)
        except (pg8000.dbapi.Error, OSError) as error:
            raise StoreError(f"PostgreSQL at {place} cannot be reached: {error}") from error


def _connection_options(dsn: str, ssl_mode: str | None) -> dict[str, Any]:
    """A DSN as pg8000 takes it.  Raises ConfigError when it is none."""
    try:
        parts = urlsplit(dsn)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        host, port = query.get("host", parts.hostname or "localhost"), int(query.get("port", parts.port or 5432))
    except ValueError:  # its text may repeat any part of the address
        raise ConfigError("DATABASE_URL is not an address of the form postgresql://user@host:port/db") from None
    user = query.get("user") or unquote(parts.username or "postgres")
    options: dict[str, Any] = {
        "user": user,
        "database": unquote(parts.path.lstrip("/")) or user,
        "password": query.get("password") or (unquote(parts.password) if parts.password else None),
        "application_name": "promethean optimize",
        "startup_params": dict(_SETTINGS),
    }
    if host.startswith("/"):
        return {**options, "unix_sock": f"{host}/.s.PGSQL.{port}", "ssl_context": False}
    return {**options, "host": host, "port": port, "ssl_context": _ssl_context(query.get("sslmode") or ssl_mode)}


def _ssl_context(mode: str | None) -> Any:
    """libpq's sslmode as pg8000 takes it: False never, None where the server can, True always, a context that looks."""
    if mode in ("verify-ca", "verify-full"):
        context = ssl.create_default_context()
        context.check_hostname = mode == "verify-full"
        return context
    return {"disable": False, "require": True}.get(mode or "prefer")
