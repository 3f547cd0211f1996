"""What the risk check answers.  A refusal is a result, not an exception."""

from __future__ import annotations

from msgspec import Struct


class Refused(Struct, frozen=True):
    """The first control that refuses.

    code:         stable name of the control.
    value, limit: what was found and what is allowed, as text with unit.
    input_age_ms: age of the input that decided, where age matters.
    """

    code: str
    value: str
    limit: str
    input_age_ms: int | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.value}, limit {self.limit}"


class Passed(Struct, frozen=True):
    """Every control let the intent through.  controls: how many were asked."""

    controls: int
