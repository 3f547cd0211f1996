"""YAML text: types stay what was written, and what is unclear or hostile is refused with its place."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.errors import ConfigError
from promethean.domain.yaml_text import VALUES_MAX, load_yaml, read_yaml


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_yaml(text, "some.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("FALSE", False),
        ("no", "no"),
        ("NO", "NO"),
        ("on", "on"),
        ("~", None),
        ("null", None),
        ("", None),
        ("20", 20),
        ("-3", -3),
        ("0", 0),
        ("0.10", Decimal("0.10")),
        ("-.5", Decimal("-0.5")),
        ("5.", Decimal("5")),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2017-01-01", "2017-01-01"),
        ("5%", "5%"),
        ("150ms", "150ms"),
        ('"012"', "012"),
        ("'true'", "true"),
        ("=", "="),
        ("[a, 1, 0.5]", ["a", 1, Decimal("0.5")]),
    ],
)
def test_a_scalar_keeps_the_type_that_was_written(written: str, value: object) -> None:
    read = load_yaml(f"key: {written}", "some.yaml")["key"]
    assert read == value
    assert type(read) is type(value)
    assert str(read) == str(value)


@pytest.mark.parametrize("written", ["012", "010", "-007", "00.5", "1e3", "1.5E-3", "0x1F", "0o17", "0b1"])
def test_a_number_that_yaml_versions_read_differently_is_refused_with_path_and_line(written: str) -> None:
    message = refusal(f"risk:\n  limit: {written}\n")
    assert message.startswith("some.yaml:2: risk.limit: ")
    assert "quote it as text" in message


@pytest.mark.parametrize("written", [".inf", "-.Inf", ".NaN"])
def test_a_number_that_is_not_finite_is_refused(written: str) -> None:
    assert f"some.yaml:1: key: is {written}, not a finite number" in refusal(f"key: {written}")


def test_a_number_too_long_to_be_meant_is_refused() -> None:
    assert "a number of 5000 characters" in refusal(f"key: {'9' * 5000}")


def test_a_key_is_always_text() -> None:
    assert load_yaml("1: a\nno: b\ntrue: c\n", "some.yaml") == {"1": "a", "no": "b", "true": "c"}


def test_a_duplicate_key_is_refused_with_both_lines() -> None:
    assert refusal("risk:\n  daily: 1\n  other: 2\n  daily: 3\n") == (
        "some.yaml:4: risk.daily: given twice (first on line 2); keep one"
    )


def test_a_duplicate_key_is_found_whatever_its_quotes_and_inside_a_list() -> None:
    assert "some.yaml:1: tiers[1].a: given twice" in refusal("tiers: [{a: 1}, {'a': 1, a: 2}]")


def test_an_empty_text_is_an_empty_mapping() -> None:
    assert load_yaml("", "some.yaml") == {}
    assert load_yaml("# only a comment\n", "some.yaml") == {}
    assert load_yaml("---\n", "some.yaml") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n- b\n", "some.yaml:1: the top is not a mapping"),
        ("just text", "some.yaml:1: the top is not a mapping"),
        ("a: 1\n---\nb: 2\n", "some.yaml:2: a second document begins"),
        ("a: !!python/object/apply:os.system ['true']\n", "some.yaml:1: a: a tag ('!..') stands before it"),
        ("a: !secret x\n", "some.yaml:1: a: a tag"),
        ("!!str a: 1\n", "some.yaml:1: a tag"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "some.yaml:3: c: merge keys ('<<') are not read"),
        ("? [a, b]\n: 1\n", "some.yaml:1: a key is not plain text"),
        ("'': 1\n", "some.yaml:1: a key is empty"),
        ("&x a: 1\n", "some.yaml:1: a key carries an anchor"),
        ("a: *nothing\n", "some.yaml:1: a: an alias names no earlier anchor"),
        ("a: &x [1, *x]\n", "some.yaml:1: a[1]: an alias lies inside its own anchor"),
        ("a: &x 1\nb: &x 2\n", "some.yaml:2: b: an anchor has a name that is taken"),
        ("a: [1, 2\n", "not readable as YAML"),
        ("a: 1\n\tb: 2\n", "some.yaml:2: not readable as YAML"),
        ("a: 1\nb: \x07\n", "some.yaml:2: a character that YAML does not allow"),
    ],
)
def test_what_cannot_be_read_safely_is_refused_with_its_line(text: str, words: str) -> None:
    assert words in refusal(text)


def test_an_alias_gives_a_copy_of_its_value() -> None:
    values = load_yaml("a: &x [1, {b: 2}]\nc: *x\n", "some.yaml")
    assert values["c"] == [1, {"b": 2}]
    values["c"][1]["b"] = 3
    assert values["a"] == [1, {"b": 2}]


def test_more_than_twenty_anchors_are_refused() -> None:
    twenty = "".join(f"k{i}: &a{i} {i}\n" for i in range(20))
    assert load_yaml(twenty, "some.yaml")["k19"] == 19
    assert "some.yaml:21: k20: more than 20 anchors" in refusal(twenty + "k20: &a20 20\n")


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    assert f"more than {VALUES_MAX} values" in refusal(bomb)


def test_deep_nesting_is_refused_without_a_recursion_error() -> None:
    assert "nested deeper than 32 levels" in refusal("a: " + "[" * 100_000)
    assert "nested deeper than 32 levels" in refusal("{a: " * 5_000)


def test_a_text_above_one_mebibyte_is_refused() -> None:
    assert refusal("# " + "x" * 1_048_576) == (
        "some.yaml is 1048578 bytes, above the maximum of 1048576; split it or make it smaller"
    )


def test_every_value_has_its_line() -> None:
    document = read_yaml("a:\n  b: 1\n  c:\n    - x\n    - y\nd: *no\n".replace("*no", "z"), "some.yaml")
    assert document.line(("a", "b")) == 2
    assert document.line(("a", "c", 1)) == 5
    assert document.line(("d",)) == 6
    assert document.line(("d", "inside")) == 6


def test_an_error_of_the_parser_shows_no_text_of_the_file() -> None:
    assert "hunter2" not in refusal("password: 'hunter2\n")
    assert "hunter2" not in refusal("password: [hunter2}\n")


plain = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=8)
numbers = st.decimals(-(10**12), 10**12, places=6)
values = st.recursive(
    plain | numbers, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3)
)


def flow(value: Any) -> str:
    """Write a value the way a careful person would: text always in double quotes."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case Decimal():
            return format(value, "f")
        case str():
            return '"' + "".join(rf"\U{ord(character):08x}" for character in value) + '"'
        case list():
            return "[" + ", ".join(map(flow, value)) + "]"
        case dict():
            return "{" + ", ".join(f"? {flow(key)} : {flow(item)}" for key, item in value.items()) + "}"
        case _:
            raise AssertionError(value)


@given(st.dictionaries(st.text(min_size=1, max_size=5), values, max_size=4))
def test_what_is_written_is_what_is_read(written: dict[str, Any]) -> None:
    assert load_yaml(flow(written), "some.yaml") == written


@given(st.text(alphabet="ab:- \n[]{},&*!'\"#1.0|>?%~<\t", max_size=60))
def test_any_text_gives_a_mapping_or_a_refusal(text: str) -> None:
    try:
        assert isinstance(load_yaml(text, "some.yaml"), dict)
    except ConfigError as error:
        assert "some.yaml" in str(error)
