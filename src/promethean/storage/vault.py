"""Secrets at rest: AES-256-GCM with a data key for each value, wrapped by a master key that is never in the database.

A ciphertext belongs to one place: user, row, purpose and version are its associated data, so one that was moved to
another user, row or column, or is older than its row, cannot be decrypted.  The version of a row (`key_version`) rises
with every write of its secrets, a rotation included.

The master key comes from ENCRYPTION_KEY, or from `<home>/vault.key`, made at the first start.  During a rotation
`vault.key.next` holds the new key; afterwards `vault.key.previous` keeps the old one until the next rotation.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Row, func, or_, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from promethean.domain.errors import ConfigError, StoreError, VaultError
from promethean.domain.ids import AccountId, UserId
from promethean.domain.secret import MASK, Secret
from promethean.storage.database import Database
from promethean.storage.tables import EXCHANGE_ACCOUNTS

KEY_BYTES = 32
PURPOSES = ("api_key_encrypted", "api_secret_encrypted", "api_passphrase_encrypted", "listen_key_encrypted")
"""The encrypted columns of `exchange_accounts`; a column's name is the purpose of what it holds."""

ROTATION_LOCK = 0x7661756C
"""Number of the advisory lock that the process which rotates the key file holds."""

_HEADER = b"PV1"
_FINGERPRINT_BYTES = 8
_NONCE_BYTES = 12
_WRAPPED_BYTES = KEY_BYTES + 16
_FILE_HEADER = "promethean vault key 1"


class MasterKey:
    """A 32-byte key that prints as `***`.  `fingerprint` names it without telling anything about it."""

    __slots__ = ("_cipher", "_raw", "fingerprint")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise ValueError(f"a master key has {KEY_BYTES} bytes, not {len(raw)}")
        self._raw = raw
        self._cipher = AESGCM(raw)
        self.fingerprint = hmac.digest(raw, b"promethean vault fingerprint", "sha256")[:_FINGERPRINT_BYTES]

    def __repr__(self) -> str:
        return MASK

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a master key cannot be pickled")

    @classmethod
    def new(cls) -> MasterKey:
        """A fresh random key."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_base64(cls, text: Secret, name: str) -> MasterKey:
        """The key written as base64; ConfigError with the setting's name when it is not 32 bytes of that."""
        try:
            return cls(base64.b64decode(text.reveal().strip(), validate=True))
        except (binascii.Error, ValueError):
            raise ConfigError(
                f"{name} is not {KEY_BYTES} bytes in base64; make one with: openssl rand -base64 {KEY_BYTES}"
            ) from None

    def encrypt(self, nonce: bytes, plaintext: bytes, place: bytes) -> bytes:
        """Wrap a data key."""
        return self._cipher.encrypt(nonce, plaintext, place)

    def decrypt(self, nonce: bytes, ciphertext: bytes, place: bytes) -> bytes:
        """Unwrap a data key; InvalidTag when anything is not as it was."""
        return self._cipher.decrypt(nonce, ciphertext, place)

    def file_text(self) -> str:
        """The content of a key file."""
        return f"{_FILE_HEADER}\n{base64.b64encode(self._raw).decode()}\ncheck:{self._check()}\n"

    @classmethod
    def from_file_text(cls, text: str) -> MasterKey:
        """The key of a key file; ValueError when a character is wrong or missing."""
        header, encoded, check = text.splitlines()
        key = cls(base64.b64decode(encoded, validate=True))
        if header != _FILE_HEADER or check != f"check:{key._check()}":
            raise ValueError("the check value does not fit")
        return key

    def _check(self) -> str:
        return hashlib.sha256(b"promethean vault check" + self._raw).hexdigest()


class KeyRing:
    """The key that encrypts, and those that may still have to decrypt."""

    def __init__(self, current: MasterKey, others: Iterable[MasterKey] = ()) -> None:
        self.current = current
        self._by_fingerprint = {key.fingerprint: key for key in (*others, current)}

    def find(self, fingerprint: bytes) -> MasterKey | None:
        """The key with this fingerprint, None when the ring does not hold it."""
        return self._by_fingerprint.get(fingerprint)

    @property
    def fingerprints(self) -> frozenset[bytes]:
        """Of every key in the ring."""
        return frozenset(self._by_fingerprint)


class Vault:
    """Encrypts and decrypts.  `reload` gives the ring anew, for keys that another process rotates."""

    def __init__(self, keys: KeyRing, reload: Callable[[], KeyRing] | None = None) -> None:
        self._keys = keys
        self._reload = reload

    def __repr__(self) -> str:
        return f"Vault(current={self._keys.current.fingerprint.hex()})"

    @property
    def keys(self) -> KeyRing:
        """The ring as it was last read."""
        return self._keys

    def encrypt(self, user: UserId, row: str, purpose: str, version: int, plaintext: Secret) -> bytes:
        """The ciphertext for this place; twice the same text gives two different ones."""
        if self._reload is not None:
            self._keys = self._reload()
        place = _place(user, row, purpose, version)
        data_key = secrets.token_bytes(KEY_BYTES)
        wrap_nonce, nonce = secrets.token_bytes(_NONCE_BYTES), secrets.token_bytes(_NONCE_BYTES)
        wrapped = self._keys.current.encrypt(wrap_nonce, data_key, b"key" + place)
        sealed = AESGCM(data_key).encrypt(nonce, plaintext.reveal().encode(), b"text" + place)
        return _HEADER + self._keys.current.fingerprint + wrap_nonce + wrapped + nonce + sealed

    def decrypt(self, user: UserId, row: str, purpose: str, version: int, ciphertext: bytes) -> Secret:
        """The text that was encrypted for this place.

        Raises: VaultError when it was encrypted for another place or version, was edited, or its key is not known.
        """
        what = f"the secret {purpose} of row {row}"
        at, parts = 0, []
        for size in (len(_HEADER), _FINGERPRINT_BYTES, _NONCE_BYTES, _WRAPPED_BYTES, _NONCE_BYTES):
            parts.append(ciphertext[at : at + size])
            at += size
        header, fingerprint, wrap_nonce, wrapped, nonce = parts
        if header != _HEADER or len(ciphertext) <= at:
            raise VaultError(f"{what} is not something this vault has encrypted; enter it again")
        key = self._keys.find(fingerprint)
        if key is None and self._reload is not None:
            self._keys = self._reload()
            key = self._keys.find(fingerprint)
        if key is None:
            raise VaultError(
                f"{what} was encrypted with key {fingerprint.hex()}, which is not in the key ring; {_HOW_TO_ADD}"
            )
        place = _place(user, row, purpose, version)
        try:
            data_key = key.decrypt(wrap_nonce, wrapped, b"key" + place)
            text = AESGCM(data_key).decrypt(nonce, ciphertext[at:], b"text" + place)
        except InvalidTag:
            raise VaultError(f"{what} was edited, moved here or is an older version; enter it again") from None
        return Secret(text.decode())


_HOW_TO_ADD = "add it to vault.previous_keys, or restore the key file from its backup"


def key_file(home: Path) -> Path:
    """Where the master key of this home is."""
    return home / "vault.key"


def load_key_ring(home: Path, encryption_key: Secret | None = None, previous: Iterable[Secret] = ()) -> KeyRing | None:
    """The keys of the settings and of the key files of this home; None when there is none at all.

    A key from the settings is the current one; else that of a rotation under way, else that of the key file.
    Raises: ConfigError for a key of another length, or a key file that is damaged or open to others.
    """
    files = [key_file(home).with_suffix(suffix) for suffix in (".key.next", ".key", ".key.previous")]
    keys = [key for file in files if (key := read_key_file(file)) is not None]
    keys += [MasterKey.from_base64(text, "vault.previous_keys") for text in previous]
    if encryption_key is not None:
        keys.insert(0, MasterKey.from_base64(encryption_key, "ENCRYPTION_KEY"))
    elif not files[1].exists() and keys:
        raise ConfigError(f"{files[1]} is missing while older keys are there; restore it from its backup")
    return KeyRing(keys[0], keys[1:]) if keys else None


def read_key_file(file: Path) -> MasterKey | None:
    """The key in this file, None when there is no file.

    Raises: ConfigError when it is no regular file of ours, others may read it, or its content is damaged.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"the key file {file} cannot be read ({error.strerror}); make it a file of this user"
        ) from error
    try:
        _refuse_open_file(file, os.fstat(descriptor))
        text = os.read(descriptor, 4096).decode("ascii", errors="replace")
    finally:
        os.close(descriptor)
    try:
        return MasterKey.from_file_text(text)
    except (ValueError, binascii.Error):
        raise ConfigError(
            f"the key file {file} is damaged; restore it from its backup (a new key could not decrypt what is stored)"
        ) from None


def _refuse_open_file(file: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"the key file {file} is not a regular file; restore it from its backup")
    if status.st_uid != os.geteuid():
        raise ConfigError(f"the key file {file} belongs to user {status.st_uid}; chown it to {os.geteuid()}")
    if status.st_mode & 0o077:
        raise ConfigError(
            f"the key file {file} has mode {stat.S_IMODE(status.st_mode):04o}, so others may have read it; "
            f"run chmod 600 {file} and then `promethean secrets rotate`"
        )


async def open_vault(
    database: Database, home: Path, encryption_key: Secret | None = None, previous: Iterable[Secret] = ()
) -> Vault:
    """The vault of this installation.  The first start makes the key file; never when the database holds ciphertext.

    Raises: ConfigError when a key is missing, wrong or damaged, naming the file or the fingerprint and the remedy.
    """
    older = tuple(previous)
    used = await fingerprints_in_use(database)
    keys = load_key_ring(home, encryption_key, older)
    if keys is None:
        if used:
            raise ConfigError(
                f"{key_file(home)} is missing, and the database holds secrets encrypted with it; "
                "restore it from its backup or set ENCRYPTION_KEY"
            )
        keys = KeyRing(_make_key_file(key_file(home)))
    missing = used - keys.fingerprints
    if missing:
        names = ", ".join(sorted(fingerprint.hex() for fingerprint in missing))
        raise ConfigError(
            f"the database holds secrets encrypted with key {names}, but the key ring holds "
            f"{', '.join(sorted(fingerprint.hex() for fingerprint in keys.fingerprints))}; {_HOW_TO_ADD}"
        )

    def reload() -> KeyRing:
        again = load_key_ring(home, encryption_key, older)
        if again is None:
            raise VaultError(f"{key_file(home)} is gone; restore it from its backup")
        return again

    return Vault(keys, reload)


async def fingerprints_in_use(database: Database) -> frozenset[bytes]:
    """Of the keys with which anything in the database is encrypted."""
    columns = [EXCHANGE_ACCOUNTS.c[purpose] for purpose in PURPOSES]
    query = union(*(select(_fingerprint(column)).where(column.is_not(None)) for column in columns))
    async with database.connection() as connection:
        return frozenset(bytes(found) for found in await connection.scalars(query))


async def write_secrets(
    database: Database, vault: Vault, user: UserId, account: AccountId, values: Mapping[str, Secret | None]
) -> None:
    """Encrypt these values into an account's row; None removes one, those not named stay.

    values: by purpose, one of `PURPOSES`.
    Raises: VaultError when what is there cannot be decrypted; StoreError when the user has no such account.
    """
    assert values.keys() <= set(PURPOSES), f"not encrypted columns: {sorted(values.keys() - set(PURPOSES))}"
    async with database.connection() as connection:
        row = await _locked(connection, EXCHANGE_ACCOUNTS.c.id == account, EXCHANGE_ACCOUNTS.c.user_id == user)
        if row is None:
            raise StoreError(f"user {user} has no account {account}")
        kept = _decrypted(vault, row, [purpose for purpose in PURPOSES if purpose not in values])
        await _seal(connection, vault, row, {**kept, **values})


async def read_secrets(database: Database, vault: Vault, user: UserId, account: AccountId) -> dict[str, Secret]:
    """The account's secrets by purpose, without those it does not have.  For the venue's signer and nobody else.

    Raises: VaultError when one cannot be decrypted; StoreError when the user has no such account.
    """
    async with database.user_connection(user) as connection:
        row = (await connection.execute(_SEALED.where(EXCHANGE_ACCOUNTS.c.id == account))).one_or_none()
    if row is None:
        raise StoreError(f"user {user} has no account {account}")
    return _decrypted(vault, row, PURPOSES)


async def rotate(database: Database, vault: Vault) -> int:
    """Encrypt everything that is under another key again, under the ring's current one.

    Row by row, each in a transaction of its own: interrupted anywhere, nothing is lost, and the next call goes on.
    Returns: the number of rows changed.
    Raises:  VaultError naming the first row that cannot be decrypted; those before it are done.
    """
    changed = 0
    while await _rotate_one(database, vault):
        changed += 1
    return changed


async def rotate_key_file(database: Database, home: Path) -> int:
    """Replace the master key in the key file by a new one; continue a rotation that was interrupted.

    The old key stays in `vault.key.previous` until the next rotation, for a backup of the database made before this.
    Returns: the number of rows changed.
    Raises:  ConfigError without a readable key file, or while another process rotates; VaultError naming a row that
             cannot be decrypted.
    """
    lock = await database.raw()
    try:
        # Held by the connection, so that it ends with this process however that dies.
        if not await lock.fetchval(f"SELECT pg_try_advisory_lock({ROTATION_LOCK})"):
            raise ConfigError("another process is rotating the keys; wait until it has finished")
        return await _rotate_key_file(database, key_file(home))
    finally:
        await lock.close()


async def _rotate_key_file(database: Database, file: Path) -> int:
    if read_key_file(file) is None:
        raise ConfigError(
            f"there is no key file {file}; a key from ENCRYPTION_KEY is rotated by setting a new one there, "
            "and the old one in vault.previous_keys"
        )
    fresh = file.with_suffix(".key.next")
    if read_key_file(fresh) is None:
        _make_key_file(fresh)
    keys = load_key_ring(file.parent)
    assert keys is not None
    changed = await rotate(database, Vault(keys))
    _keep_previous(file)
    fresh.replace(file)
    for draft in file.parent.glob(f"{file.name}*.draft"):
        draft.unlink()  # left by a process that was killed
    _sync(file.parent)
    return changed


async def _rotate_one(database: Database, vault: Vault) -> bool:
    columns = [EXCHANGE_ACCOUNTS.c[purpose] for purpose in PURPOSES]
    wanted = vault.keys.current.fingerprint
    async with database.connection() as connection:
        row = await _locked(connection, or_(*(_fingerprint(column) != wanted for column in columns)))
        if row is None:
            return False
        await _seal(connection, vault, row, _decrypted(vault, row, PURPOSES))
    return True


_SEALED = select(
    EXCHANGE_ACCOUNTS.c.id,
    EXCHANGE_ACCOUNTS.c.user_id,
    EXCHANGE_ACCOUNTS.c.key_version,
    *(EXCHANGE_ACCOUNTS.c[purpose] for purpose in PURPOSES),
)


async def _locked(connection: AsyncConnection, *conditions: Any) -> Row[Any] | None:
    row: Row[Any] | None = (
        await connection.execute(_SEALED.where(*conditions).limit(1).with_for_update())
    ).one_or_none()
    return row


def _decrypted(vault: Vault, row: Row[Any], purposes: Iterable[str]) -> dict[str, Secret]:
    sealed = row._mapping
    return {
        purpose: vault.decrypt(UserId(row.user_id), row.id, purpose, row.key_version, sealed[purpose])
        for purpose in purposes
        if sealed[purpose] is not None
    }


async def _seal(connection: AsyncConnection, vault: Vault, row: Row[Any], values: Mapping[str, Secret | None]) -> None:
    version = row.key_version + 1
    sealed = {
        purpose: vault.encrypt(UserId(row.user_id), row.id, purpose, version, value) if value is not None else None
        for purpose, value in values.items()
    }
    change = EXCHANGE_ACCOUNTS.update().where(EXCHANGE_ACCOUNTS.c.id == row.id)
    await connection.execute(change.values(key_version=version, **sealed))


def _fingerprint(column: Any) -> Any:
    return func.substring(column, len(_HEADER) + 1, _FINGERPRINT_BYTES, type_=column.type)


def _place(user: UserId, row: str, purpose: str, version: int) -> bytes:
    return json.dumps([user, row, purpose, version]).encode()


def _make_key_file(file: Path) -> MasterKey:
    """A new key in a new file; where another process was faster, its key.  A file is there complete or not at all."""
    key = MasterKey.new()
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}.draft")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
            opened.write(key.file_text())
            opened.flush()
            os.fsync(opened.fileno())
        try:
            os.link(draft, file)  # unlike a rename, this never replaces a key that is there
        finally:
            draft.unlink()
        _sync(file.parent)
    except FileExistsError:
        winner = read_key_file(file)
        assert winner is not None
        return winner
    except OSError as error:
        raise ConfigError(f"the key file {file} cannot be made ({error.strerror}); choose another home") from error
    return key


def _keep_previous(file: Path) -> None:
    draft = file.with_suffix(".key.draft")
    draft.unlink(missing_ok=True)
    os.link(file, draft)
    draft.replace(file.with_suffix(".key.previous"))
    _sync(file.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
