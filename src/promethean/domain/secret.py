"""A value that must not be seen: keys, passwords, addresses that hold a password."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn

MASK = "***"


class Secret:
    """Text that prints as `***` and leaves this object only through `reveal()`.

    `str()` and `repr()` answer `***`.  Putting it into an f-string, pickling it and serialising it to JSON raise
    `TypeError`: an address or a message built from a masked secret would be wrong without anybody noticing.

    Raises: ValueError when the text is empty.
    """

    __slots__ = ("_text",)
    _text: str

    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("a secret cannot be empty")
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        """Return the text itself, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError("a secret cannot be formatted into text; call reveal() at the one place that needs it")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled; pass the name under which the other process can read it")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a secret cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a secret cannot be changed")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        # Constant time: an answer that comes back sooner for a worse guess is a leak.
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))
