"""A bounded spool of batches on disk, for when the market store fails."""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from promethean.domain.errors import ConfigError, StoreError

if TYPE_CHECKING:
    import pyarrow

log = logging.getLogger(__name__)
SEGMENT_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one table under one token."""

    table: str
    token: str
    rows: pyarrow.Table


class Spool:
    """Batches on disk, oldest first, in append-only segments whose records carry a checksum.

    A record: magic, length and CRC-32 of the body, number of rows; the body is the table's name, the token and the
    rows as an Arrow stream.  What a crash cut off is found by its checksum, counted and left out.  One thread uses it.
    """

    _HEADER = struct.Struct("<4sIII")
    _MAGIC = b"PMS1"

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = max(1, min(segment_bytes, max_bytes // 4))  # dropping one never empties it
        self.damaged_records = 0
        self._offset = 0  # how far the oldest segment is drained
        self._head: _Record | None = None  # what `oldest` gave
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._segments = {path: self._scan(path) for path in sorted(folder.glob("*.spool"))}
        except OSError as error:
            raise ConfigError(
                f"the spool folder {folder} cannot be used: {error.strerror}; make it writable"
            ) from error
        self._number = max((int(path.stem) for path in self._segments), default=0)
        self._current: Path | None = None  # a new process starts a segment of its own: the last may end torn

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return sum(segment.rows for segment in self._segments.values())

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(segment.size for segment in self._segments.values())

    def append(self, batch: Batch) -> int:
        """Keep a batch, safely on disk when this returns; returns the rows dropped to make room.  Raises StoreError."""
        body = _packed(batch)
        record = self._HEADER.pack(self._MAGIC, len(body), zlib.crc32(body), batch.rows.num_rows) + body
        if len(record) > self._max_bytes:
            raise StoreError(f"a batch of {len(record)} bytes is larger than the spool of {self._max_bytes} bytes")
        dropped = 0
        while self._segments and self.size_bytes + len(record) > self._max_bytes:
            dropped += self._drop_oldest()
        if self._current is None or self._segments[self._current].size + len(record) > self._segment_bytes:
            self._number += 1
            self._current = self._folder / f"{self._number:010d}.spool"
            self._segments[self._current] = _Segment()
        self._write(self._current, record)
        self._segments[self._current].size += len(record)
        self._segments[self._current].rows += batch.rows.num_rows
        return dropped

    def oldest(self) -> Batch | None:
        """The batch to store next; None when the spool is empty.  Raises StoreError when the disk cannot be read."""
        while self._segments:
            path = next(iter(self._segments))
            try:
                self._head = next(self._records(path, self._offset), None)
            except OSError as error:
                raise StoreError(f"the spool {path} cannot be read: {error.strerror}") from error
            if self._head is None:
                self._remove(path)
                continue
            try:
                return _unpacked(self._head.body)
            except ValueError:  # Arrow's errors are ValueErrors
                self.damaged_records += 1
                log.exception("spool record is whole but not readable, it is left out", extra={"path": str(path)})
                self.done()
        return None

    def done(self) -> None:
        """Forget the batch that `oldest` gave."""
        assert self._head is not None, "a batch of the spool is done before it was given"
        path, segment = next(iter(self._segments.items()))
        self._offset = self._head.end
        segment.rows -= self._head.rows
        self._head = None
        if self._offset >= segment.size:
            self._remove(path)

    def _write(self, path: Path, record: bytes) -> None:
        try:
            with path.open("ab") as file:
                file.write(record)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._current = None  # what was written of it is cut off at the next start
            self._segments[path].size = path.stat().st_size if path.exists() else 0
            raise StoreError(f"the spool {path} cannot be written: {error.strerror}") from error

    def _scan(self, path: Path) -> _Segment:
        segment = _Segment(path.stat().st_size)
        end = 0
        for record in self._records(path, 0):
            segment.rows += record.rows
            end = record.end
        if end < segment.size:
            self.damaged_records += 1
            log.warning("spool segment ends in a damaged record", extra={"path": str(path), "at_byte": end})
            os.truncate(path, end)
            segment.size = end
        return segment

    def _records(self, path: Path, offset: int) -> Iterator[_Record]:
        """Whole records from a place on; the first that fails its checksum ends it."""
        with path.open("rb") as file:
            file.seek(offset)
            while True:
                header = file.read(self._HEADER.size)
                if len(header) < self._HEADER.size:
                    return
                magic, length, checksum, rows = self._HEADER.unpack(header)
                body = file.read(length) if magic == self._MAGIC and length <= self._max_bytes else b""
                if len(body) < length or zlib.crc32(body) != checksum or not body:
                    return
                offset += self._HEADER.size + length
                yield _Record(body, rows, offset)

    def _drop_oldest(self) -> int:
        path, segment = next(iter(self._segments.items()))
        self._remove(path)
        return segment.rows

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        del self._segments[path]
        self._offset = 0
        if path == self._current:
            self._current = None


@dataclass(slots=True)
class _Segment:
    size: int = 0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class _Record:
    body: bytes = field(repr=False)
    rows: int
    end: int


def _packed(batch: Batch) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.rows.schema) as stream:
        stream.write_table(batch.rows)
    head = f"{batch.table}\n{batch.token}\n".encode()
    return head + sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _unpacked(body: bytes) -> Batch:
    import pyarrow as pa

    table, token, rows = body.split(b"\n", 2)
    return Batch(table.decode(), token.decode(), pa.ipc.open_stream(rows).read_all())
