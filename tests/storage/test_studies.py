"""Studies in PostgreSQL: kept, shared, refused when they were made of something else, and apart from our tables."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from optuna.samplers import RandomSampler

from promethean.domain.errors import ConfigError, StoreError
from promethean.storage.database import Database
from promethean.storage.studies import Studies, _connection_options

MADE_OF = {"strategy": "rsi", "data": "minutes"}


def study_of(studies: Studies, made_of: Mapping[str, str] = MADE_OF, name: str = "mine") -> Any:
    return studies.study(name, made_of, RandomSampler(0))


def fetch(dsn: str, query: str) -> list[Any]:
    async def ask() -> list[Any]:
        connection = await asyncpg.connect(dsn)
        try:
            return [row[0] for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_what_was_tried_is_there_for_the_next_process(dsn: str) -> None:
    with Studies(dsn) as studies:
        study_of(studies).optimize(lambda trial: trial.suggest_int("a", 0, 9), n_trials=3)
    with Studies(dsn) as studies:
        found = study_of(studies)
        assert len(found.trials) == 3
        assert found.best_value == max(trial.value for trial in found.trials)


def test_two_processes_have_one_study(dsn: str) -> None:
    with Studies(dsn) as one, Studies(dsn) as other:
        first, second = study_of(one), study_of(other)
        first.optimize(lambda trial: trial.suggest_int("a", 0, 9), n_trials=2)
        second.optimize(lambda trial: trial.suggest_int("a", 0, 9), n_trials=2)
        assert [trial.number for trial in first.trials] == [0, 1, 2, 3]


def test_a_study_of_something_else_is_refused_with_what_differs(dsn: str) -> None:
    with Studies(dsn) as studies:
        study_of(studies)
        with pytest.raises(ConfigError) as refused:
            study_of(studies, {"strategy": "macd", "data": "minutes", "cash": "5"})
        words = str(refused.value)
        assert "the study mine was made of something else: strategy was rsi, is macd; cash was unknown, is 5" in words
        assert "choose another name with --study" in words
        assert study_of(studies, {"strategy": "macd"}, "another").trials == []


def test_its_tables_are_in_a_schema_of_their_own(dsn: str) -> None:
    before = fetch(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    version = fetch(dsn, "SELECT version_num FROM public.alembic_version")
    with Studies(dsn) as studies:
        study_of(studies)
    assert fetch(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1") == before
    assert fetch(dsn, "SELECT version_num FROM public.alembic_version") == version
    assert {"studies", "trials", "alembic_version"} <= set(
        fetch(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'optuna'")
    )


def test_our_schema_may_come_after_theirs(empty_dsn: str) -> None:
    with Studies(empty_dsn) as studies:
        study_of(studies)

    async def migrate() -> str:
        async with await Database.open(empty_dsn) as database:
            return await database.migrate()

    assert asyncio.run(migrate()) >= "0003"


def test_a_trial_of_a_dead_process_is_given_up_and_one_of_a_living_is_not(dsn: str) -> None:
    with Studies(dsn) as studies:
        study = study_of(studies)
        with pytest.warns(UserWarning, match="Heartbeat"):  # none here: that is how a dead process looks
            study.ask()
        studies.release_dead(study, datetime.now(UTC) - timedelta(seconds=60))
        assert [trial.state.name for trial in study.trials] == ["RUNNING"]
        studies.release_dead(study, datetime.now(UTC) + timedelta(seconds=1))
        assert [trial.state.name for trial in study.trials] == ["FAIL"]


def test_a_trial_that_never_had_a_heartbeat_is_given_up_after_the_same_time(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Studies(dsn) as studies:
        study = study_of(studies)
        with pytest.warns(UserWarning, match="Heartbeat"):
            study.ask()
        study.optimize(lambda trial: trial.suggest_int("a", 0, 9), n_trials=1)
        assert [trial.state.name for trial in study.trials] == ["RUNNING", "COMPLETE"]
        monkeypatch.setattr("promethean.storage.studies.GRACE_S", -1)
        study.optimize(lambda trial: trial.suggest_int("a", 0, 9), n_trials=1)
        assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_role_that_may_not_make_the_schema_is_told_what_to_do(empty_dsn: str) -> None:
    fetch(empty_dsn, "CREATE ROLE stranger LOGIN PASSWORD 'secret-word'")
    try:
        with pytest.raises(ConfigError, match="may not make the schema optuna") as refused:
            Studies(empty_dsn.replace("promethean@", "stranger:secret-word@"))
        assert "secret-word" not in str(refused.value)
    finally:
        fetch(empty_dsn, "DROP ROLE stranger")


def test_a_server_that_does_not_answer_is_named_without_the_password() -> None:
    with pytest.raises(StoreError, match=r"PostgreSQL at 127\.0\.0\.1:1 cannot be reached") as refused:
        Studies("postgresql://me:secret-word@127.0.0.1:1/db")
    assert "secret-word" not in str(refused.value)


def test_an_address_is_read_as_libpq_does() -> None:
    socket = _connection_options("postgresql://promethean@/postgres?host=/run/pg&port=6000", None)
    assert (socket["unix_sock"], socket["user"], socket["database"]) == (
        "/run/pg/.s.PGSQL.6000",
        "promethean",
        "postgres",
    )
    tcp = _connection_options("postgresql://me:p%40ss@db.example:5433/trade?sslmode=disable", "require")
    assert (tcp["host"], tcp["port"], tcp["password"]) == ("db.example", 5433, "p@ss")
    assert tcp["ssl_context"] is False
    assert _connection_options("postgresql://me@db.example/trade", "require")["ssl_context"] is True
    assert _connection_options("postgresql://me@db.example/trade", "prefer")["ssl_context"] is None
    assert _connection_options("postgresql://me@db.example/trade", "verify-full")["ssl_context"].check_hostname
    assert not _connection_options("postgresql://me@db.example/trade", "verify-ca")["ssl_context"].check_hostname


def test_an_address_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigError, match="not an address of the form") as refused:
        _connection_options("postgresql://me:secret-word@host:port/db", None)
    assert "secret-word" not in str(refused.value)
