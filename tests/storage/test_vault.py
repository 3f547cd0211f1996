from __future__ import annotations

import asyncio
import base64
import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from promethean.domain.errors import ConfigError, StoreError, VaultError
from promethean.domain.ids import AccountId, UserId
from promethean.domain.secret import Secret
from promethean.storage.accounts import add_account, ensure_owner
from promethean.storage.database import Database
from promethean.storage.vault import (
    PURPOSES,
    ROTATION_LOCK,
    KeyRing,
    MasterKey,
    Vault,
    fingerprints_in_use,
    key_file,
    load_key_ring,
    open_vault,
    read_key_file,
    read_secrets,
    rotate,
    rotate_key_file,
    write_secrets,
)

Run = Callable[[Callable[[Database], Awaitable[Any]]], Any]

USER = UserId("018f0000-0000-7000-8000-00000000000a")
ROW = "018f0000-0000-7000-8000-0000000000aa"
KEY, SECRET, PASSPHRASE, LISTEN_KEY = PURPOSES
VALUES = {KEY: Secret("the key"), SECRET: Secret("the secret")}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def as_setting(key: MasterKey) -> Secret:
    return Secret(key.file_text().splitlines()[1])


async def accounts_with_secrets(database: Database, vault: Vault, count: int = 1) -> list[AccountId]:
    owner = await ensure_owner(database)
    made = [await add_account(database, owner, "binance", f"account {n}") for n in range(count)]
    for account in made:
        await write_secrets(database, vault, owner, account, VALUES)
    return made


async def everything(database: Database, vault: Vault) -> list[dict[str, Secret]]:
    owner = await ensure_owner(database)
    async with database.connection() as connection:
        accounts = list(await connection.scalars(text("SELECT id FROM exchange_accounts ORDER BY label")))
    return [await read_secrets(database, vault, owner, AccountId(str(account))) for account in accounts]


@given(st.text(min_size=1), st.integers(0, 10))
def test_what_is_encrypted_for_a_place_is_decrypted_there(plain: str, version: int) -> None:
    vault = Vault(KeyRing(MasterKey.new()))
    sealed = vault.encrypt(USER, ROW, KEY, version, Secret(plain))
    assert vault.decrypt(USER, ROW, KEY, version, sealed) == Secret(plain)
    assert len(plain) < 4 or plain.encode() not in sealed


@pytest.mark.parametrize(
    "place",
    [
        ("018f0000-0000-7000-8000-00000000000b", ROW, KEY, 3),
        (USER, "018f0000-0000-7000-8000-0000000000bb", KEY, 3),
        (USER, ROW, SECRET, 3),
        (USER, ROW, KEY, 2),
        (USER, ROW, KEY, 4),
    ],
)
def test_a_ciphertext_moved_to_another_place_or_version_is_refused(place: tuple[UserId, str, str, int]) -> None:
    vault = Vault(KeyRing(MasterKey.new()))
    sealed = vault.encrypt(USER, ROW, KEY, 3, Secret("the key"))
    with pytest.raises(VaultError, match="moved here or is an older version"):
        vault.decrypt(*place, sealed)


def test_no_byte_of_a_ciphertext_can_be_changed_unnoticed() -> None:
    vault = Vault(KeyRing(MasterKey.new()))
    sealed = vault.encrypt(USER, ROW, KEY, 1, Secret("the key"))
    for at in range(len(sealed)):
        edited = bytearray(sealed)
        edited[at] ^= 1
        with pytest.raises(VaultError):
            vault.decrypt(USER, ROW, KEY, 1, bytes(edited))
    for length in range(len(sealed)):
        with pytest.raises(VaultError):
            vault.decrypt(USER, ROW, KEY, 1, sealed[:length])


def test_the_same_text_is_never_encrypted_the_same_way_twice() -> None:
    vault = Vault(KeyRing(MasterKey.new()))
    sealed = [vault.encrypt(USER, ROW, KEY, 1, Secret("the key")) for _ in range(500)]
    start, end = 3 + 8, 3 + 8 + 12
    assert len({each[start:end] for each in sealed}) == 500  # nonces under the master key
    assert len({each[end:] for each in sealed}) == 500


def test_another_key_is_named_by_its_fingerprint() -> None:
    first, second = MasterKey.new(), MasterKey.new()
    sealed = Vault(KeyRing(first)).encrypt(USER, ROW, KEY, 1, Secret("the key"))
    with pytest.raises(VaultError, match=first.fingerprint.hex()):
        Vault(KeyRing(second)).decrypt(USER, ROW, KEY, 1, sealed)
    assert Vault(KeyRing(second, [first])).decrypt(USER, ROW, KEY, 1, sealed) == Secret("the key")


def test_a_master_key_is_neither_printed_nor_pickled() -> None:
    key = MasterKey.new()
    assert repr(key) == "***"
    assert str(key) == "***"
    with pytest.raises(TypeError):
        pickle.dumps(key)
    encoded = as_setting(key).reveal()
    assert encoded not in repr(Vault(KeyRing(key)))


@pytest.mark.parametrize("setting", ["short", base64.b64encode(b"x" * 31).decode(), "ä" * 44, "=" * 44])
def test_an_encryption_key_that_is_not_32_bytes_of_base64_is_refused(home: Path, setting: str) -> None:
    with pytest.raises(ConfigError, match="ENCRYPTION_KEY is not 32 bytes") as refused:
        load_key_ring(home, Secret(setting))
    assert setting not in str(refused.value)


def test_the_first_start_makes_a_key_file_for_this_user_alone(home: Path, run: Run) -> None:
    vault = run(lambda database: open_vault(database, home))
    assert stat.S_IMODE(key_file(home).stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["vault.key"]
    key = read_key_file(key_file(home))
    assert key is not None
    assert key.fingerprint == vault.keys.current.fingerprint
    assert run(lambda database: open_vault(database, home)).keys.fingerprints == vault.keys.fingerprints


def test_first_starts_at_the_same_time_agree_on_one_key(home: Path, run: Run) -> None:
    async def story(database: Database) -> None:
        vaults = await asyncio.gather(*(open_vault(database, home) for _ in range(3)))
        assert len({vault.keys.current.fingerprint for vault in vaults}) == 1

    run(story)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_file_that_others_may_read_is_refused(home: Path, run: Run, mode: int) -> None:
    run(lambda database: open_vault(database, home))
    key_file(home).chmod(mode)
    with pytest.raises(ConfigError, match=rf"{mode:04o}.*chmod 600"):
        load_key_ring(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_file_of_another_user_is_refused(home: Path, run: Run) -> None:
    run(lambda database: open_vault(database, home))
    os.chown(key_file(home), 12345, -1)
    with pytest.raises(ConfigError, match="belongs to user 12345"):
        load_key_ring(home)


def damaged(content: str) -> dict[str, str]:
    lines = content.splitlines(keepends=True)
    other = MasterKey.new().file_text().splitlines(keepends=True)
    return {
        "empty": "",
        "cut short": content[:-30],
        "one character": content.replace(lines[1][:4], other[1][:4]),
        "another key": lines[0] + other[1] + lines[2],
        "no check": lines[0] + lines[1],
        "another header": "something else\n" + lines[1] + lines[2],
        "too much": content * 2,
        "not text": "\x00\xff" * 20,
    }


@pytest.mark.parametrize("kind", list(damaged(MasterKey.new().file_text())))
def test_a_damaged_key_file_is_refused_and_left_as_it_is(home: Path, run: Run, kind: str) -> None:
    run(lambda database: open_vault(database, home))
    file = key_file(home)
    content = damaged(file.read_text())[kind]
    file.write_text(content, encoding="latin-1")
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="damaged; restore it") as refused:
        run(lambda database: open_vault(database, home))
    assert str(file) in str(refused.value)
    assert file.read_bytes() == before


def test_a_key_file_that_is_a_link_or_a_folder_is_refused(home: Path, tmp_path: Path) -> None:
    home.mkdir()
    (tmp_path / "elsewhere").write_text(MasterKey.new().file_text())
    key_file(home).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_key_ring(home)
    key_file(home).unlink()
    key_file(home).mkdir()
    with pytest.raises(ConfigError, match="regular file"):
        load_key_ring(home)


def test_a_lost_key_file_is_never_replaced_while_something_is_encrypted_with_it(home: Path, run: Run) -> None:
    async def story(database: Database) -> None:
        await accounts_with_secrets(database, await open_vault(database, home))
        lose(key_file(home))
        with pytest.raises(ConfigError, match=r"missing.*backup"):
            await open_vault(database, home)
        assert not exists(key_file(home))

    run(story)


def test_a_wrong_key_is_noticed_at_the_start(home: Path, run: Run) -> None:
    right, wrong = MasterKey.new(), MasterKey.new()

    async def story(database: Database) -> None:
        await accounts_with_secrets(database, await open_vault(database, home, as_setting(right)))
        with pytest.raises(ConfigError, match=right.fingerprint.hex()):
            await open_vault(database, home, as_setting(wrong))
        await open_vault(database, home, as_setting(wrong), [as_setting(right)])

    run(story)


def test_secrets_come_back_to_their_owner_only(home: Path, run: Run) -> None:
    async def story(database: Database) -> None:
        vault = await open_vault(database, home)
        (account,) = await accounts_with_secrets(database, vault)
        owner = await ensure_owner(database)
        assert await read_secrets(database, vault, owner, account) == VALUES
        for access in (
            read_secrets(database, vault, USER, account),
            write_secrets(database, vault, USER, account, VALUES),
        ):
            with pytest.raises(StoreError, match="no account"):
                await access

    run(story)


def test_writing_one_secret_keeps_the_others_and_raises_the_version(home: Path, run: Run) -> None:
    async def story(database: Database) -> None:
        vault = await open_vault(database, home)
        (account,) = await accounts_with_secrets(database, vault)
        owner = await ensure_owner(database)
        await write_secrets(database, vault, owner, account, {PASSPHRASE: Secret("the passphrase"), SECRET: None})
        assert await read_secrets(database, vault, owner, account) == {
            KEY: Secret("the key"),
            PASSPHRASE: Secret("the passphrase"),
        }
        async with database.connection() as connection:
            assert await connection.scalar(text("SELECT key_version FROM exchange_accounts")) == 2

    run(story)


def test_an_old_ciphertext_brought_back_is_refused(home: Path, run: Run) -> None:
    async def story(database: Database) -> None:
        vault = await open_vault(database, home)
        (account,) = await accounts_with_secrets(database, vault)
        owner = await ensure_owner(database)
        async with database.connection() as connection:
            old = await connection.scalar(text("SELECT api_key_encrypted FROM exchange_accounts"))
        await write_secrets(database, vault, owner, account, {KEY: Secret("a new key")})
        async with database.connection() as connection:
            await connection.execute(text("UPDATE exchange_accounts SET api_key_encrypted = :old"), {"old": old})
        with pytest.raises(VaultError, match="older version"):
            await read_secrets(database, vault, owner, account)

    run(story)


def test_no_plaintext_reaches_the_table(home: Path, run: Run) -> None:
    async def story(database: Database) -> None:
        await accounts_with_secrets(database, await open_vault(database, home))
        async with database.connection() as connection:
            row = await connection.scalar(text("SELECT exchange_accounts::text FROM exchange_accounts"))
        for value in VALUES.values():
            assert value.reveal().encode().hex() not in row
            assert value.reveal() not in row

    run(story)


def test_a_rotation_brings_every_row_under_the_new_key(home: Path, run: Run) -> None:
    old, new = MasterKey.new(), MasterKey.new()

    async def story(database: Database) -> None:
        await accounts_with_secrets(database, Vault(KeyRing(old)), 3)
        vault = await open_vault(database, home, as_setting(new), [as_setting(old)])
        assert await rotate(database, vault) == 3
        assert await rotate(database, vault) == 0
        assert await fingerprints_in_use(database) == {new.fingerprint}
        assert await everything(database, Vault(KeyRing(new))) == [VALUES] * 3

    run(story)


def test_a_row_that_cannot_be_decrypted_stops_the_rotation_and_is_kept(run: Run) -> None:
    old, new = MasterKey.new(), MasterKey.new()

    async def story(database: Database) -> None:
        (account,) = await accounts_with_secrets(database, Vault(KeyRing(old)))
        damage = text(
            "UPDATE exchange_accounts SET api_key_encrypted = overlay(api_key_encrypted PLACING '\\x00' FROM 90)"
        )
        async with database.connection() as connection:
            await connection.execute(damage)
        with pytest.raises(VaultError, match=account):
            await rotate(database, Vault(KeyRing(new, [old])))
        assert await fingerprints_in_use(database) == {old.fingerprint}

    run(story)


def test_rotating_the_key_file_keeps_the_old_key_beside_it(home: Path, run: Run) -> None:
    async def story(database: Database) -> None:
        vault = await open_vault(database, home)
        before = vault.keys.current.fingerprint
        await accounts_with_secrets(database, vault, 2)
        assert await rotate_key_file(database, home) == 2
        after = await open_vault(database, home)
        assert after.keys.current.fingerprint != before
        assert after.keys.fingerprints == {before, after.keys.current.fingerprint}
        assert await everything(database, vault) == [VALUES] * 2  # a process that was running looks at the files again
        assert await rotate_key_file(database, home) == 2
        assert before not in (await open_vault(database, home)).keys.fingerprints

    run(story)
    assert sorted(path.name for path in home.iterdir()) == ["vault.key", "vault.key.previous"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in home.iterdir())


def test_there_is_no_key_file_to_rotate_when_the_key_is_a_setting(home: Path, run: Run) -> None:
    with pytest.raises(ConfigError, match="no key file"):
        run(lambda database: rotate_key_file(database, home))


# For each number it reads: a child rotates and dies without a word at the step with this number; then its exit status.
DIES = """
import asyncio, os, sys
from pathlib import Path
from promethean.storage import vault
from promethean.storage.database import Database

countdown = 0

def step():
    global countdown
    countdown -= 1
    if countdown < 0:
        os._exit(9)

def dying(function):
    def wrapped(*arguments, **options):
        step()
        result = function(*arguments, **options)
        step()
        return result
    return wrapped

def dying_later(function):
    async def wrapped(*arguments):
        result = await function(*arguments)
        step()
        return result
    return wrapped

vault._seal = dying_later(vault._seal)              # within the transaction of a row
vault._rotate_one = dying_later(vault._rotate_one)  # after it
os.link = dying(os.link)
Path.replace = dying(Path.replace)

async def main():
    async with await Database.open(sys.argv[1]) as database:
        await vault.rotate_key_file(database, Path(sys.argv[2]))

for line in sys.stdin:
    countdown = int(line)
    child = os.fork()
    if child == 0:
        asyncio.run(main())
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
STEPS = 2 + 2 * 2 + 1 + 2 + 2 + 2  # new key file; two rows; no row left; old key kept: link, replace; new key in place


def test_a_rotation_killed_at_any_step_loses_nothing_and_goes_on(home: Path, run: Run, dsn: str) -> None:
    async def fill(database: Database) -> None:
        await accounts_with_secrets(database, await open_vault(database, home), 2)

    async def check(database: Database) -> None:
        assert await everything(database, await open_vault(database, home)) == [VALUES] * 2

    async def go_on(database: Database) -> None:
        await rotate_key_file(database, home)

    run(fill)
    command = [sys.executable, "-c", DIES, dsn, str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdin is not None
        assert killed.stdout is not None
        for steps in range(STEPS + 1):
            killed.stdin.write(f"{steps}\n")
            killed.stdin.flush()
            assert int(killed.stdout.readline()) == (9 if steps < STEPS else 0), f"step {steps} of {STEPS}"
            for story in (check, go_on, check):
                run(story)
    assert sorted(path.name for path in home.iterdir()) == ["vault.key", "vault.key.previous"]


def test_a_rotation_waits_for_no_other_one_but_says_so(home: Path, run: Run) -> None:
    async def story(database: Database) -> None:
        vault = await open_vault(database, home)
        await accounts_with_secrets(database, vault)
        other = await database.raw()
        await other.execute(f"SELECT pg_advisory_lock({ROTATION_LOCK})")
        with pytest.raises(ConfigError, match="another process is rotating"):
            await rotate_key_file(database, home)
        await other.close()
        assert await fingerprints_in_use(database) == {vault.keys.current.fingerprint}

    run(story)


def lose(file: Path) -> None:
    file.unlink()


def exists(file: Path) -> bool:
    return file.exists()
