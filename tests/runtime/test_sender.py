"""The one place from which an order leaves: once, never while halted, and "I do not know" is an answer."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from msgspec.structs import replace
from tests.engine.builders import T0, order

from promethean.domain.errors import OrderOutcomeUnknownError, RateLimitedError, VenueError
from promethean.domain.events import OrderAccepted, OrderOutcomeUnknown, OrderRejected
from promethean.domain.market import Side
from promethean.domain.orders import Order, OrderRole, OrderStatus
from promethean.runtime import sender
from promethean.runtime.sender import Sender

ENTRY = order(Side.BUY, "1")
EXIT = order(Side.SELL, "1", role=OrderRole.STOP, reduce_only=True)
ACCEPTED = OrderAccepted(T0, ENTRY.id, "v", "e")
REJECTED = OrderRejected(T0, ENTRY.id, "lot_size", "no", "e")


class Venue:
    """Answers as it is told to and counts how often it was asked."""

    name = "scripted"

    def __init__(self, answer: OrderAccepted | OrderRejected | BaseException | None) -> None:
        self.answer = answer
        self.sent: list[Order] = []

    async def submit(self, order: Order) -> OrderAccepted | OrderRejected:
        self.sent.append(order)
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, BaseException):
            raise self.answer
        assert self.answer is not None
        return self.answer


def send(venue: Venue, order: Order = ENTRY, halted: str | None = None) -> Any:
    sending: Any = venue
    return asyncio.run(Sender(sending, lambda: halted).send(order, T0))


@pytest.mark.parametrize("answer", [ACCEPTED, REJECTED])
def test_what_the_venue_answers_is_passed_on(answer: OrderAccepted | OrderRejected) -> None:
    venue = Venue(answer)
    assert send(venue) == answer
    assert venue.sent == [ENTRY]


@pytest.mark.scenario("A2")
@pytest.mark.parametrize(
    "error",
    [
        OrderOutcomeUnknownError("the reply was lost"),
        VenueError("HTTP 502"),
        RateLimitedError("slow down", 1.0),
        TimeoutError("no answer"),
        ConnectionResetError("reset"),
    ],
)
def test_no_readable_answer_means_that_nobody_knows_and_it_is_not_sent_again(error: Exception) -> None:
    venue = Venue(error)
    answer = send(venue)
    assert isinstance(answer, OrderOutcomeUnknown)
    assert str(error) in answer.reason
    assert venue.sent == [ENTRY]


def test_a_venue_that_never_answers_is_waited_for_no_longer_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "SEND_TIMEOUT_S", 0.01)
    venue = Venue(None)
    assert isinstance(send(venue), OrderOutcomeUnknown)
    assert venue.sent == [ENTRY]


@pytest.mark.scenario("E3")
def test_an_order_that_increases_risk_is_not_sent_while_halted() -> None:
    venue = Venue(ACCEPTED)
    answer = send(venue, halted="a person pressed the button")
    assert isinstance(answer, OrderOutcomeUnknown)
    assert "not sent" in answer.reason
    assert "a person pressed the button" in answer.reason
    assert venue.sent == []


def test_an_order_that_only_reduces_is_sent_while_halted() -> None:
    venue = Venue(OrderAccepted(T0, EXIT.id, "v", "e"))
    assert send(venue, EXIT, halted="a test") == venue.answer
    assert venue.sent == [EXIT]


@pytest.mark.parametrize("status", [status for status in OrderStatus if status is not OrderStatus.SENDING])
def test_an_order_that_was_not_claimed_is_our_mistake(status: OrderStatus) -> None:
    venue = Venue(ACCEPTED)
    with pytest.raises(AssertionError, match="was not claimed"):
        send(venue, replace(ENTRY, status=status))
    assert venue.sent == []


@pytest.mark.scenario("A4")
def test_only_the_sender_submits(pytestconfig: pytest.Config) -> None:
    source = pytestconfig.rootpath / "src" / "promethean"
    callers = {
        (str(path.relative_to(source)), receiver)
        for path in source.rglob("*.py")
        for receiver in re.findall(r"(\w+)\.submit\b", _without_texts(path.read_text(encoding="utf-8")))
    }
    pools_of_threads = {("storage/market_store.py", "_readers")}
    assert callers - pools_of_threads == {("runtime/sender.py", "_venue")}


def _without_texts(code: str) -> str:
    """The code without its docstrings and comments."""
    return re.sub(r'""".*?"""|#[^\n]*', "", code, flags=re.DOTALL)
