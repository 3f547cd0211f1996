"""What a signal does to a run, before trading has begun and afterwards."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import pytest

from promethean.domain.errors import Stopped, stopped_by
from promethean.runtime.stopping import SIGNALS, Stopping


def stopped(story: Coroutine[Any, Any, None], stopping: Stopping) -> int:
    """The signal that ended a story."""
    with pytest.raises(Stopped) as end, stopping:
        asyncio.run(story)
    return end.value.number


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_the_loop_runs_ends_what_is_at_hand(number: signal.Signals) -> None:
    with pytest.raises(Stopped) as end, Stopping():
        signal.raise_signal(number)
    assert end.value.number == number


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_the_start_ends_it_where_it_waits_and_what_it_opened_is_closed(number: signal.Signals) -> None:
    stopping = Stopping()
    closed = []

    async def start() -> None:
        stopping.watch_over()
        try:
            signal.raise_signal(number)
            signal.raise_signal(number)  # impatience does not disturb the closing
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            closed.append(True)

    assert stopped(start(), stopping) == number
    assert closed == [True]


def test_a_signal_in_the_last_line_of_the_start_is_not_overlooked() -> None:
    stopping = Stopping()

    async def start() -> None:
        stopping.watch_over()
        signal.raise_signal(signal.SIGTERM)
        await stopping.begin()
        pytest.fail("trading has begun")

    assert stopped(start(), stopping) == signal.SIGTERM


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_after_trading_has_begun_asks_for_a_clean_stop(number: signal.Signals) -> None:
    stopping = Stopping()

    async def run() -> str:
        stopping.watch_over()
        await stopping.begin()
        signal.raise_signal(number)
        await asyncio.wait_for(stopping.wanted.wait(), 10)
        await stopping.begin()  # a part of the platform has started again
        return "summed up"

    with stopping:
        assert asyncio.run(run()) == "summed up"
        signal.raise_signal(number)  # it is ending already


def test_who_looks_on_can_ask_as_well() -> None:
    stopping = Stopping()

    async def run() -> None:
        stopping.watch_over()
        await stopping.begin()
        stopping.ask()
        await asyncio.wait_for(stopping.wanted.wait(), 10)

    with stopping:
        asyncio.run(run())


def test_signals_are_given_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Stopping():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_each_signal_has_its_sentence() -> None:
    assert stopped_by(KeyboardInterrupt()) == (2, "stopped by the keyboard before the work was done")
    assert stopped_by(Stopped(signal.SIGTERM)) == (15, "stopped by SIGTERM before the work was done")
