"""What the process knows and asks of its memory."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from promethean.runtime.memory import keep_freed_memory, peak_rss_mb


def test_the_peak_is_that_of_this_process() -> None:
    assert 10 < peak_rss_mb() < 100_000


def test_freed_memory_is_kept_by_the_words_of_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[int, int] = {}

    class Library:
        def __init__(self, name: None) -> None:
            pass

        def mallopt(self, option: int, size: int) -> int:
            told[option] = size
            return 1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    keep_freed_memory()
    assert set(told) == {-1, -2, -3} and all(size > 2**20 for size in told.values())


@pytest.mark.parametrize("error", [AttributeError("no mallopt"), OSError("no library"), TypeError("None is no name")])
def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(name: Any) -> Any:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", fails)
    keep_freed_memory()
