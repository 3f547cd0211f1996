"""TA-Lib, loaded when an indicator needs it."""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType

_FRAMES = ("pandas", "polars")


@cache
def ta_lib() -> ModuleType:
    """The module, without the data frame libraries that it imports where it finds them.

    We give it arrays alone, and those libraries cost a second and 50 MB of every process.
    """
    hidden = [name for name in _FRAMES if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # what Python itself means by "not to be found"
    try:
        import talib
    finally:
        for name in hidden:
            del sys.modules[name]
    module: ModuleType = talib
    return module
