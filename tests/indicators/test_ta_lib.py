"""TA-Lib comes without the data frame libraries, and leaves no trace of how."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from promethean.indicators.ta_lib import ta_lib


def in_a_fresh_process(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_computes() -> None:
    assert ta_lib().SMA(np.array([1.0, 2.0, 3.0]), 2)[1:].tolist() == [1.5, 2.5]


def test_it_is_loaded_once() -> None:
    assert ta_lib() is ta_lib()


def test_a_fresh_process_has_no_data_frames_afterwards_and_nothing_hidden() -> None:
    told = in_a_fresh_process(
        "import sys\n"
        "from promethean.indicators.ta_lib import ta_lib\n"
        "before = {name: module for name, module in sys.modules.items()}\n"
        "ta_lib()\n"
        "frames = [name for name in sys.modules if name.partition('.')[0] in ('pandas', 'polars')]\n"
        "none = [name for name, module in sys.modules.items() if module is None and before.get(name, 0) is not None]\n"
        "changed = [name for name in before if sys.modules.get(name) is not before[name]]\n"
        "print(frames, none, changed)\n"
    )
    assert told == "[] [] []"


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="needs pandas, which is not installed")
def test_a_data_frame_library_can_still_be_imported_afterwards() -> None:
    told = in_a_fresh_process(
        "from promethean.indicators.ta_lib import ta_lib\nta_lib()\nimport pandas\nprint(pandas.DataFrame.__name__)\n"
    )
    assert told == "DataFrame"


def test_a_data_frame_library_that_is_loaded_already_stays_what_it_is() -> None:
    told = in_a_fresh_process(
        "import sys, types\n"
        "module = sys.modules['polars'] = types.ModuleType('polars')\n"
        "module.Series = module.DataFrame = type('Series', (), {})\n"
        "from promethean.indicators.ta_lib import ta_lib\n"
        "ta_lib()\n"
        "print(sys.modules['polars'] is module, 'pandas' in sys.modules)\n"
    )
    assert told == "True False"


def test_an_import_that_fails_hides_nothing_for_good() -> None:
    told = in_a_fresh_process(
        "import sys\n"
        "sys.modules['talib'] = None\n"
        "from promethean.indicators.ta_lib import ta_lib\n"
        "try:\n"
        "    ta_lib()\n"
        "except ImportError:\n"
        "    print([name for name in ('pandas', 'polars') if name in sys.modules])\n"
    )
    assert told == "[]"
