"""The record of what was tried: forms counted once, and a file that survives a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from promethean.domain.errors import StoreError
from promethean.storage.variants import FILE, Tried, Variant, append_variant, count_variants


def variant(
    config: str, sharpe: float | None = None, *, data: str = "d", strategy: str = "s", forms: int = 1
) -> Variant:
    return Variant(1, "backtest", data, strategy, config, sharpe, forms)


def count(home: Path) -> Tried:
    return count_variants(home, "d", "s")


def test_nothing_was_tried_on_a_new_home(tmp_path: Path) -> None:
    assert count(tmp_path) == Tried(0, (), 0)


def test_a_form_counts_once_however_often_it_ran(tmp_path: Path) -> None:
    for config, sharpe in (("a", 0.1), ("b", 0.2), ("a", 0.1), ("c", None), ("b", None)):
        append_variant(tmp_path, variant(config, sharpe))
    assert count(tmp_path) == Tried(3, (0.1, 0.2), 0)


def test_a_search_counts_all_of_its_forms_and_once(tmp_path: Path) -> None:
    append_variant(tmp_path, variant("a", 0.1))
    for _ in range(2):
        append_variant(tmp_path, variant("sweep", forms=500))
    assert count(tmp_path).forms == 501


def test_a_search_that_went_on_counts_as_far_as_it_came(tmp_path: Path) -> None:
    for forms in (100, 400, 250):
        append_variant(tmp_path, variant("search", forms=forms))
    assert count(tmp_path).forms == 400


def test_of_a_form_that_ran_again_the_newest_ratio_stands(tmp_path: Path) -> None:
    for sharpe in (0.1, 0.3, None):
        append_variant(tmp_path, variant("a", sharpe))
    assert count(tmp_path) == Tried(1, (0.3,), 0)


def test_other_data_and_other_strategies_are_not_counted(tmp_path: Path) -> None:
    append_variant(tmp_path, variant("a", data="other"))
    append_variant(tmp_path, variant("a", strategy="other"))
    append_variant(tmp_path, variant("a"))
    assert count(tmp_path).forms == 1


def test_a_line_that_a_crash_left_half_written_is_counted_and_swallows_no_other(tmp_path: Path) -> None:
    append_variant(tmp_path, variant("a"))
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes() + b'{"at_ns":1,"comm')
    append_variant(tmp_path, variant("b"))
    path.write_bytes(path.read_bytes() + b"\n[]\n\xff\n")
    append_variant(tmp_path, variant("c"))
    assert count(tmp_path) == Tried(3, (), 3)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError, match=r"variants\.jsonl cannot be written \(Is a directory\)"):
        append_variant(tmp_path, variant("a"))
    with pytest.raises(StoreError, match=r"variants\.jsonl cannot be read \(Is a directory\)"):
        count(tmp_path)
