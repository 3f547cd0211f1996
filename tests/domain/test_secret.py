"""A secret leaves its object through `reveal()` only."""

from __future__ import annotations

import copy
import json
import logging
import pickle

import pytest

from promethean.domain.secret import Secret

TEXT = "correct horse battery staple"


def test_a_secret_prints_as_stars() -> None:
    secret = Secret(TEXT)
    assert str(secret) == repr(secret) == "***"
    assert repr([secret]) == "[***]"
    assert "%s" % secret == "***"  # noqa: UP031 - what logging does


def test_a_secret_reveals_its_text_when_asked() -> None:
    assert Secret(TEXT).reveal() == TEXT


def test_a_secret_in_a_log_line_is_masked(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("promethean.test").warning("key %s %r", Secret(TEXT), Secret(TEXT))
    assert "key *** ***" in caplog.text
    assert TEXT not in caplog.text


def test_a_secret_cannot_be_formatted_into_an_address() -> None:
    with pytest.raises(TypeError, match="cannot be formatted"):
        f"postgresql://user:{Secret(TEXT)}@host"


def test_a_secret_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Secret(TEXT))


def test_a_secret_cannot_be_written_as_json() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps({"key": Secret(TEXT)})
    assert json.dumps(Secret(TEXT), default=str) == '"***"'


def test_a_secret_cannot_be_changed_and_copies_are_the_same_object() -> None:
    secret = Secret(TEXT)
    with pytest.raises(AttributeError):
        secret._text = "other"
    with pytest.raises(AttributeError):
        del secret._text
    assert copy.copy(secret) is secret
    assert copy.deepcopy(secret) is secret
    assert not hasattr(secret, "__dict__")


def test_secrets_are_equal_when_their_texts_are() -> None:
    assert Secret(TEXT) == Secret(TEXT)
    assert Secret(TEXT) != Secret("other")
    assert Secret(TEXT) != TEXT
    assert len({Secret(TEXT), Secret(TEXT)}) == 1


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be empty"):
        Secret("")
