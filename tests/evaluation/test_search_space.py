"""Ranges as they are typed, and every combination of them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.errors import ConfigError
from promethean.evaluation.search_space import Range, Space, read_space, space_around

D = Decimal


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("period=6:12:2", ("6", "8", "10", "12")),
        ("low=20:23", ("20", "21", "22", "23")),
        ("risk.stop_loss_pct=0.5:0.8", ("0.5", "0.6", "0.7", "0.8")),
        ("share=1:1.02", ("1.00", "1.01", "1.02")),
        ("high=65,75,70,65", ("65", "75", "70")),
    ],
)
def test_a_range_goes_in_its_steps_or_in_those_of_its_last_digit(text: str, values: tuple[str, ...]) -> None:
    (found,) = read_space([text]).ranges
    assert found == Range(text.partition("=")[0], values)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["period"], "--param is 'period'; write name=first:last, name=first:last:step or name=a,b,c"),
        (["period=a:b"], "--param is 'period=a:b'; write name=first:last"),
        (["period=9:6"], "--param is 'period=9:6'"),
        (["period=1:nan"], "--param is 'period=1:nan'"),
        (["period=1:2:0"], "--param is 'period=1:2:0'"),
        (["low=0:1000000"], "at most 10,000 values"),
        (["low=1,2", "low=3,4"], "--param names low twice; keep one"),
        (["low=20"], "there is one combination, so nothing to search"),
        (["low=20,20"], "there is one combination, so nothing to search"),
    ],
)
def test_a_range_that_cannot_be_searched_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_space(texts)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_every_combination_has_one_number(sizes: list[int]) -> None:
    space = Space(tuple(Range(f"r{place}", tuple(map(str, range(size)))) for place, size in enumerate(sizes)))
    picks = [space.picks(number) for number in range(space.size)]
    assert len(set(picks)) == space.size
    assert all(pick < size for each in picks for pick, size in zip(each, sizes, strict=True))


def test_a_neighbour_is_one_value_away_in_one_range() -> None:
    space = read_space(["a=1:3", "b=1,2"])
    assert sorted(space.neighbours((0, 1))) == [(0, 0), (1, 1)]
    assert sorted(space.neighbours((1, 0))) == [(0, 0), (1, 1), (2, 0)]
    assert space.parameters((2, 0)) == {"a": "3", "b": "1"}


def test_without_ranges_the_numbers_of_the_file_are_varied_around_their_values() -> None:
    numbers = {"period": D(14), "size": D("0.5"), "none": D(0), "few": D(1), "long": D(1000)}
    space = space_around({**numbers, "confirm": True})
    ranges = {each.name: each.values for each in space.ranges}
    assert set(ranges) == {"period", "size", "long"}
    assert (ranges["period"][0], ranges["period"][-1], len(ranges["period"])) == ("7", "21", 15)
    assert (ranges["size"][0], ranges["size"][-1], len(ranges["size"])) == ("0.25", "0.75", 21)
    assert (ranges["long"][0], ranges["long"][-1], len(ranges["long"])) == ("500", "1500", 101)


def test_a_file_without_a_number_is_told_what_to_give() -> None:
    with pytest.raises(ConfigError, match="no parameter to vary; give for example --param"):
        space_around({"confirm": True, "few": D(1)})
