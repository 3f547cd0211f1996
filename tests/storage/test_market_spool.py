"""The spool on disk: what it gives back, what it drops, and what a crash leaves of it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from promethean.domain.errors import ConfigError, StoreError
from promethean.storage.market_spool import Batch, Spool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The spool's folder; it does not exist yet."""
    return tmp_path / "spool"


def batch(first: int, rows: int = 10) -> Batch:
    return Batch("ohlcv", f"token{first}", pa.table({"a": list(range(first, first + rows))}))


def contents(spool: Spool) -> list[int]:
    found = []
    while (one := spool.oldest()) is not None:
        found += one.rows.column("a").to_pylist()
        spool.done()
    return found


def test_a_spool_gives_back_what_it_was_given_in_order(folder: Path) -> None:
    spool = Spool(folder, 10**6, segment_bytes=1000)
    for first in range(0, 100, 10):
        assert spool.append(batch(first)) == 0
    assert len(list(folder.iterdir())) > 1
    assert Spool(folder, 10**6).rows == spool.rows == 100
    one = spool.oldest()
    assert one is not None
    assert (one.table, one.token) == ("ohlcv", "token0")
    assert contents(spool) == list(range(100))
    assert (spool.rows, spool.size_bytes, list(folder.iterdir())) == (0, 0, [])


def test_a_full_spool_drops_its_oldest_rows_and_says_how_many(folder: Path) -> None:
    spool = Spool(folder, 4000, segment_bytes=1000)
    dropped = sum(spool.append(batch(first)) for first in range(0, 200, 10))
    assert spool.size_bytes <= 4000
    kept = contents(spool)
    assert 0 < dropped == 200 - len(kept)
    assert kept == list(range(dropped, 200))


def test_a_batch_larger_than_the_whole_spool_is_refused(folder: Path) -> None:
    with pytest.raises(StoreError, match="larger than the spool"):
        Spool(folder, 100).append(batch(0))


@pytest.mark.parametrize("cut", [1, 8, 200])
def test_a_torn_last_record_is_left_out_and_counted(folder: Path, cut: int) -> None:
    spool = Spool(folder, 10**6)
    for first in (0, 10, 20):
        spool.append(batch(first))
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-cut])
    again = Spool(folder, 10**6)
    assert (again.damaged_records, again.rows) == (1, 20)
    again.append(batch(30))
    assert contents(again) == [*range(20), *range(30, 40)]


def test_a_changed_byte_is_found_by_the_checksum(folder: Path) -> None:
    spool = Spool(folder, 10**6)
    spool.append(batch(0))
    spool.append(batch(10))
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)
    again = Spool(folder, 10**6)
    assert again.damaged_records == 1
    assert contents(again) == list(range(10))


def test_a_spool_folder_that_cannot_be_made_is_a_set_up_error(folder: Path) -> None:
    folder.mkdir()
    (folder / "file").write_text("")
    with pytest.raises(ConfigError, match="spool folder"):
        Spool(folder / "file" / "spool", 1000)
