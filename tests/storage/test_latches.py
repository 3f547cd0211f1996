from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from promethean.domain.errors import ConfigError, StoreError
from promethean.domain.ids import AccountId, UserId
from promethean.storage.database import Database
from promethean.storage.latches import KillSwitch, LatchFiles, ask_to_lift, describe, lift, merge, persist, stored
from promethean.storage.tables import LatchScope

Run = Callable[[Callable[[Database], Awaitable[Any]]], Any]

USER = UserId("018f0000-0000-7000-8000-00000000000a")
ACCOUNT = AccountId("018f0000-0000-7000-8000-0000000000aa")
OTHER = AccountId("018f0000-0000-7000-8000-0000000000bb")
PLATFORM = LatchScope.PLATFORM


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "latches"


@pytest.fixture
def files(folder: Path) -> LatchFiles:
    return LatchFiles(folder)


class Clock:
    """Moves when it is told."""

    def __init__(self) -> None:
        self.now_ns = 1_700_000_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns


def test_nothing_is_set_at_first(files: LatchFiles) -> None:
    assert files.read(PLATFORM) is None
    assert files.read_all() == ()
    assert KillSwitch(files).killed(USER, ACCOUNT) is None


def test_a_set_latch_is_read_by_another_process(folder: Path, files: LatchFiles) -> None:
    latch = files.set(LatchScope.ACCOUNT, ACCOUNT, "a position nobody can explain", "reconciliation")
    script = (
        "import sys; from pathlib import Path; from promethean.storage.latches import LatchFiles\n"
        "print(LatchFiles(Path(sys.argv[1])).read_all()[0].id)"
    )
    shown = subprocess.run([sys.executable, "-c", script, str(folder)], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == latch.id
    assert "a position nobody can explain" in describe(latch)


@pytest.mark.parametrize(
    ("scope", "scope_id", "stops"),
    [
        (LatchScope.PLATFORM, "", {ACCOUNT, OTHER}),
        (LatchScope.USER, USER, {ACCOUNT, OTHER}),
        (LatchScope.USER, "018f0000-0000-7000-8000-00000000000b", set()),
        (LatchScope.ACCOUNT, ACCOUNT, {ACCOUNT}),
    ],
)
def test_a_latch_stops_its_scope_and_nothing_else(
    files: LatchFiles, scope: LatchScope, scope_id: str, stops: set[AccountId]
) -> None:
    switch = KillSwitch(files)
    switch.set(scope, scope_id, "enough", "a person")
    assert {account for account in (ACCOUNT, OTHER) if switch.killed(USER, account)} == stops


def test_a_running_process_sees_a_latch_that_another_one_sets(folder: Path, files: LatchFiles) -> None:
    switch = KillSwitch(files)
    assert switch.killed(USER, ACCOUNT) is None
    LatchFiles(folder).set(PLATFORM, "", "enough", "a person")
    assert switch.killed(USER, ACCOUNT) is not None


def test_the_first_reason_stays_when_a_latch_is_set_again(files: LatchFiles) -> None:
    first = files.set(PLATFORM, "", "first", "a person")
    assert files.set(PLATFORM, "", "second", "somebody") == first
    assert files.read(PLATFORM) == first


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"nonsense", None])
def test_a_latch_file_that_cannot_be_read_counts_as_set(folder: Path, files: LatchFiles, damage: bytes | None) -> None:
    files.set(PLATFORM, "", "enough", "a person")
    path = folder / "platform.latch"
    path.write_bytes(path.read_bytes().replace(b"enough", b"nothing") if damage is None else damage)
    latch = files.read(PLATFORM)
    assert latch is not None
    assert not latch.readable
    assert str(path) in latch.reason
    assert KillSwitch(LatchFiles(folder)).killed(USER, ACCOUNT) is not None


def test_a_lifted_latch_cannot_be_copied_to_lift_another(folder: Path, files: LatchFiles) -> None:
    files.lift(files.set(LatchScope.ACCOUNT, OTHER, "enough", "a person"), "a person")
    files.set(LatchScope.ACCOUNT, ACCOUNT, "enough", "a person")
    (folder / f"account-{ACCOUNT}.latch").write_bytes((folder / f"account-{OTHER}.latch").read_bytes())
    assert files.read(LatchScope.ACCOUNT, ACCOUNT) is not None


def test_a_latch_file_that_names_nobody_stops_the_platform(folder: Path, files: LatchFiles) -> None:
    (folder / "acount-typo.latch").write_text("")
    assert [latch.scope for latch in files.read_all()] == [PLATFORM]


def test_a_folder_that_cannot_be_read_counts_as_set(folder: Path, files: LatchFiles) -> None:
    folder.rmdir()
    assert [latch.readable for latch in files.read_all()] == [False]


def test_memory_is_set_even_when_the_file_cannot_be_written(folder: Path, files: LatchFiles) -> None:
    switch = KillSwitch(files)
    folder.rmdir()
    folder.write_text("not a folder any more")
    with pytest.raises(StoreError, match="cannot be written"):
        switch.set(PLATFORM, "", "enough", "a person")
    folder.unlink()
    folder.mkdir()
    assert switch.killed(USER, ACCOUNT) is not None


def test_a_latch_set_without_a_disk_reaches_file_and_table_later(folder: Path, files: LatchFiles, run: Run) -> None:
    switch = KillSwitch(files)
    folder.rmdir()
    with pytest.raises(StoreError):
        switch.set(PLATFORM, "", "enough", "a person")
    folder.mkdir()

    async def story(database: Database) -> None:
        assert [latch.reason for latch in await switch.settle(database)] == ["enough"]
        assert [latch.reason for latch in await stored(database)] == ["enough"]

    run(story)


def test_an_id_that_cannot_be_a_file_name_is_refused(files: LatchFiles) -> None:
    with pytest.raises(ValueError, match="not the id"):
        files.set(LatchScope.USER, "../../etc/passwd", "enough", "a person")


def test_a_home_that_cannot_be_written_is_a_set_up_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = r"latches cannot be made \(Not a directory\); allow this user to write in the home, or choose another one"
    with pytest.raises(ConfigError, match=words):
        LatchFiles(tmp_path / "file" / "latches")


def test_a_nonce_works_once(files: LatchFiles) -> None:
    files.set(PLATFORM, "", "enough", "a person")
    nonce = files.issue_nonce(PLATFORM)
    files.redeem(PLATFORM, "", nonce)
    with pytest.raises(ConfigError, match="does not lift"):
        files.redeem(PLATFORM, "", nonce)


def test_a_wrong_nonce_lifts_nothing(files: LatchFiles) -> None:
    files.set(PLATFORM, "", "enough", "a person")
    files.issue_nonce(PLATFORM)
    with pytest.raises(ConfigError, match="does not lift"):
        files.redeem(PLATFORM, "", "guess")
    assert files.read(PLATFORM) is not None


@pytest.mark.parametrize(("age_s", "works"), [(300, True), (301, False), (-1, False)])
def test_a_nonce_ages(folder: Path, age_s: int, works: bool) -> None:
    clock = Clock()
    files = LatchFiles(folder, clock)
    files.set(PLATFORM, "", "enough", "a person")
    nonce = files.issue_nonce(PLATFORM)
    clock.now_ns += age_s * 1_000_000_000
    if works:
        files.redeem(PLATFORM, "", nonce)
    else:
        with pytest.raises(ConfigError, match="does not lift"):
            files.redeem(PLATFORM, "", nonce)


def test_setting_a_latch_again_voids_the_nonce_that_was_about_to_lift_it(files: LatchFiles) -> None:
    files.set(PLATFORM, "", "enough", "a person")
    nonce = files.issue_nonce(PLATFORM)
    files.set(PLATFORM, "", "and now this", "the evaluator")
    with pytest.raises(ConfigError, match="does not lift"):
        files.redeem(PLATFORM, "", nonce)


def test_a_latch_that_is_not_set_gives_no_nonce(files: LatchFiles) -> None:
    with pytest.raises(ConfigError, match="not set"):
        files.issue_nonce(PLATFORM)


def test_lifting_is_recorded_and_seen_by_every_process(folder: Path, files: LatchFiles, run: Run) -> None:
    running = KillSwitch(LatchFiles(folder))
    running.set(PLATFORM, "", "enough", "a person")

    async def story(database: Database) -> None:
        await running.settle(database)
        nonce = await ask_to_lift(database, files, PLATFORM)
        assert await lift(database, files, PLATFORM, "", nonce, "the owner") == ()
        async with database.connection() as connection:
            row = (await connection.execute(text("SELECT lifted_by, lifted_at, nonce FROM halt_latches"))).one()
        assert row.lifted_by == "the owner"
        assert row.lifted_at is not None
        assert nonce not in row.nonce

    run(story)
    assert running.killed(USER, ACCOUNT) is None
    assert KillSwitch(LatchFiles(folder)).killed(USER, ACCOUNT) is None
    running.set(PLATFORM, "", "again", "a person")
    assert running.killed(USER, ACCOUNT) is not None


def test_a_restart_lifts_nothing(folder: Path) -> None:
    KillSwitch(LatchFiles(folder)).set(LatchScope.USER, USER, "enough", "a person")
    assert KillSwitch(LatchFiles(folder)).killed(USER, ACCOUNT) is not None


def test_a_latch_known_to_one_side_is_set_on_both_after_a_merge(files: LatchFiles, tmp_path: Path, run: Run) -> None:
    async def story(database: Database) -> None:
        elsewhere = LatchFiles(tmp_path / "elsewhere")
        await persist(database, elsewhere.set(LatchScope.USER, USER, "from elsewhere", "a person"))
        files.set(LatchScope.ACCOUNT, ACCOUNT, "from here", "a person")
        reasons = {latch.reason for latch in await merge(database, files)}
        assert reasons == {"from elsewhere", "from here"}
        assert {latch.reason for latch in await stored(database)} == reasons
        assert await merge(database, files) == files.read_all()  # again changes nothing
        assert len(await stored(database)) == 2

    run(story)


def test_an_unreadable_latch_is_stored_as_set_and_can_then_be_lifted(folder: Path, files: LatchFiles, run: Run) -> None:
    (folder / "platform.latch").write_text("damaged")
    running = KillSwitch(LatchFiles(folder))

    async def story(database: Database) -> None:
        await running.settle(database)
        assert running.killed(USER, ACCOUNT) is not None
        assert "cannot be read" in (await stored(database))[0].reason
        nonce = await ask_to_lift(database, files, PLATFORM)
        await lift(database, files, PLATFORM, "", nonce, "the owner")

    run(story)
    assert running.killed(USER, ACCOUNT) is None


def test_a_lift_interrupted_after_the_table_leaves_the_latch_set_and_can_be_repeated(
    files: LatchFiles, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(database: Database) -> None:
        files.set(PLATFORM, "", "enough", "a person")
        nonce = await ask_to_lift(database, files, PLATFORM)
        with monkeypatch.context() as patch:
            patch.setattr(LatchFiles, "lift", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                await lift(database, files, PLATFORM, "", nonce, "the owner")
        assert KillSwitch(files).killed(USER, ACCOUNT) is not None
        nonce = await ask_to_lift(database, files, PLATFORM)
        await lift(database, files, PLATFORM, "", nonce, "the owner")
        assert KillSwitch(files).killed(USER, ACCOUNT) is None

    run(story)


def test_a_latch_set_elsewhere_after_the_nonce_stays(folder: Path, tmp_path: Path, run: Run) -> None:
    clock = Clock()
    files, elsewhere = LatchFiles(folder, clock), LatchFiles(tmp_path / "elsewhere", clock)

    async def story(database: Database) -> None:
        files.set(PLATFORM, "", "first", "a person")
        nonce = await ask_to_lift(database, files, PLATFORM)
        async with database.connection() as connection:  # another machine lifts it, and sets it again
            await connection.execute(text("UPDATE halt_latches SET lifted_by = 'x', lifted_at = now()"))
        clock.now_ns += 1_000_000_000
        await persist(database, elsewhere.set(PLATFORM, "", "second", "the evaluator"))
        with pytest.raises(ConfigError, match="second"):
            await lift(database, files, PLATFORM, "", nonce, "the owner")
        assert files.read(PLATFORM) is not None

    run(story)


def test_a_user_sees_the_platform_latch_and_the_own_one_only(run: Run, files: LatchFiles) -> None:
    async def story(database: Database) -> None:
        async with database.connection() as connection:
            await connection.execute(
                text("INSERT INTO users (id, role, limit_profile_id) SELECT :id, 'trader', id FROM limit_profiles "
                     "WHERE name = 'free'"), {"id": USER},
            )  # fmt: skip
        for scope, scope_id in ((PLATFORM, ""), (LatchScope.USER, USER)):
            await persist(database, files.set(scope, scope_id, "enough", "a person"))
        other = UserId("018f0000-0000-7000-8000-00000000000b")
        for user, count in ((USER, 2), (other, 1)):
            async with database.user_connection(user) as connection:
                assert await connection.scalar(text("SELECT count(*) FROM halt_latches")) == count

    run(story)


def test_many_processes_setting_and_reading_never_see_half_a_file(folder: Path, files: LatchFiles) -> None:
    async def setter(number: int) -> None:
        for _ in range(20):
            await asyncio.to_thread(files.set, LatchScope.ACCOUNT, ACCOUNT, f"reason {number}", "a person")

    async def reader() -> None:
        for _ in range(200):
            latch = await asyncio.to_thread(LatchFiles(folder).read, LatchScope.ACCOUNT, ACCOUNT)
            assert latch is None or latch.readable

    async def story() -> None:
        await asyncio.gather(*(setter(number) for number in range(3)), reader())

    asyncio.run(story())
