"""Why entries were refused is told in order of weight, and what helps is named."""

from __future__ import annotations

from promethean.evaluation.refusals import refusal_words


def test_the_most_frequent_reason_comes_first_with_its_remedy() -> None:
    told = refusal_words({"cooldown": 2, "insufficient_balance": 1_570})
    assert told == (
        "Entries were refused 1,572 times: not enough cash for size and fees; lower the size, or raise --cash where it "
        "is fixed (1,570); a cooldown after a stop (2)."
    )


def test_one_is_told_as_one_and_none_not_at_all() -> None:
    told = refusal_words({"stop_required": 1})
    assert told == "An entry was refused once: a stop on the wrong side of the price (1)."
    assert refusal_words({}) is None
    assert refusal_words({"cooldown": 0}) is None


def test_a_code_without_words_of_its_own_is_told_as_it_is() -> None:
    assert refusal_words({"kill_switch": 3}) == "Entries were refused 3 times: kill switch (3)."
