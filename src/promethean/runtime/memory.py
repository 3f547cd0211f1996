"""What this process has used of the machine's memory."""

from __future__ import annotations

import resource
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # as malloc.h of glibc numbers them
_MIB = 2**20


def peak_rss_mb() -> float:
    """The most memory that this process has had, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, KiB elsewhere
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def keep_freed_memory() -> None:
    """Let the C library keep what is freed for what is wanted next, where it is glibc: elsewhere nothing happens.

    Work that makes and drops arrays of megabytes by the hundred otherwise gives them back to the system and has each
    page of the next one handed out and cleared again, which is a fifth of the time of a sweep.
    """
    import ctypes

    try:
        tune = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, size in ((_M_MMAP_THRESHOLD, 32 * _MIB), (_M_TRIM_THRESHOLD, 512 * _MIB), (_M_TOP_PAD, 64 * _MIB)):
        tune(option, size)
