"""The grammar case by case, every message, and that no text whatever brings more than a ConfigError."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.strategies.conditions.builders import ENTRY, EXIT

from promethean.domain.errors import ConfigError
from promethean.strategies.conditions.parser import DEPTH_MAX, LENGTH_MAX, combine, parse
from promethean.strategies.conditions.tree import (
    Arithmetic,
    Back,
    Call,
    Comparison,
    Condition,
    Constant,
    Cross,
    Every,
    Negative,
    Not,
    Parameter,
    PositionValue,
    Series,
    Some,
)

RSI, PRICE, HISTOGRAM = Series("RSI"), Series("PRICE"), Series("MACD_5m.histogram")
ONE, TWO, THREE = Constant(1.0), Constant(2.0), Constant(3.0)
LOW = Parameter("low")


def less(bound: Constant) -> Comparison:
    return Comparison("<", RSI, bound)


# -- the grammar ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("RSI < 1", less(ONE)),
        ("RSI <= low", Comparison("<=", RSI, LOW)),
        ("RSI > 1", Comparison(">", RSI, ONE)),
        ("RSI >= 1", Comparison(">=", RSI, ONE)),
        ("RSI == 1", Comparison("==", RSI, ONE)),
        ("1 != RSI", Comparison("!=", ONE, RSI)),
        ("RSI < 1.25", less(Constant(1.25))),
        ("RSI < 1e2", less(Constant(100.0))),
        ("RSI < 2.5E-1", less(Constant(0.25))),
        ("PNL_PCT >= 3", Comparison(">=", PositionValue("PNL_PCT"), THREE)),
        # products before sums, sums before comparisons, from the left
        ("RSI - 1 - 2 < 3", Comparison("<", Arithmetic("-", Arithmetic("-", RSI, ONE), TWO), THREE)),
        ("RSI / 1 * 2 < 3", Comparison("<", Arithmetic("*", Arithmetic("/", RSI, ONE), TWO), THREE)),
        ("RSI < 1 + 2 * 3", Comparison("<", RSI, Arithmetic("+", ONE, Arithmetic("*", TWO, THREE)))),
        ("(RSI + 1) * 2 < 3", Comparison("<", Arithmetic("*", Arithmetic("+", RSI, ONE), TWO), THREE)),
        # a sign belongs to what follows it, the suffix to what stands before it
        ("-RSI * 2 < 3", Comparison("<", Arithmetic("*", Negative(RSI), TWO), THREE)),
        ("1 - -RSI < 3", Comparison("<", Arithmetic("-", ONE, Negative(RSI)), THREE)),
        ("-RSI[1] < 3", Comparison("<", Negative(Back(RSI, 1)), THREE)),
        ("(-RSI)[1] < 3", Comparison("<", Back(Negative(RSI), 1), THREE)),
        (
            "MACD_5m.histogram > MACD_5m.histogram[1]",
            Comparison(">", HISTOGRAM, Back(HISTOGRAM, 1)),
        ),
        ("(RSI[1])[02] < 3", Comparison("<", Back(Back(RSI, 1), 2), THREE)),
        ("RSI [ 1 ] < 3", Comparison("<", Back(RSI, 1), THREE)),
        ("RSI[0] < 1", less(ONE)),
        # functions
        ("abs(RSI - 1) < 2", Comparison("<", Call("abs", (Arithmetic("-", RSI, ONE),)), TWO)),
        ("min(RSI, 1) < max(low, 2)", Comparison("<", Call("min", (RSI, ONE)), Call("max", (LOW, TWO)))),
        ("crosses_above(RSI, low)", Cross("above", RSI, LOW)),
        ("crosses_below(1, RSI[1])", Cross("below", ONE, Back(RSI, 1))),
        ("crosses_above(PRICE, ENTRY_PRICE)", Cross("above", PRICE, PositionValue("ENTRY_PRICE"))),
        # NOT before AND before OR
        ("NOT RSI < 1 AND RSI < 2", Every((Not(less(ONE)), less(TWO)))),
        ("RSI < 1 OR RSI < 2 AND RSI < 3", Some((less(ONE), Every((less(TWO), less(THREE)))))),
        ("RSI < 1 AND RSI < 2 OR RSI < 3", Some((Every((less(ONE), less(TWO))), less(THREE)))),
        ("(RSI < 1 OR RSI < 2) AND RSI < 3", Every((Some((less(ONE), less(TWO))), less(THREE)))),
        ("RSI < 1 AND (RSI < 2 AND RSI < 3)", Every((less(ONE), less(TWO), less(THREE)))),
        ("RSI < 1 OR NOT NOT RSI < 2", Some((less(ONE), Not(Not(less(TWO)))))),
    ],
)
def test_a_text_is_read_as_this_tree(text: str, tree: Condition) -> None:
    assert parse(text, EXIT) == tree


# -- the messages -----------------------------------------------------------------------------------------------------

MISTAKES = [
    # text, the offending part, what is said about it
    ("", "", "the condition is empty; write for example RSI_1m < 30"),
    ("  ", "", "the condition is empty"),
    # spelling
    ("RSI = 1", "=", "'=' is not part of the language; write == for equal"),
    ("RSI === 1", "===", "write == for equal"),
    ("RSI =< 1", "=<", "write <= for at most"),
    ("RSI => 1", "=>", "write >= for at least"),
    ("RSI <> 1", "<>", "write != for not equal"),
    ("RSI < 1 && RSI > 0", "&&", "write AND"),
    ("RSI < 1 & RSI > 0", "&", "write AND"),
    ("RSI < 1 || RSI > 0", "||", "write OR"),
    ("RSI < 1 | RSI > 0", "|", "write OR"),
    ("!RSI < 1", "!", "write NOT before a condition"),
    ("RSI ** 2 < 1", "**", "there are no powers; write x * x"),
    ("RSI ^ 2 < 1", "^", "there are no powers"),
    ("PRICE > 3%", "%", "there is no percent sign"),
    ("RSI < .5", ".", "a point stands inside a number or a name"),
    ("RSI {1}", "{", "write parentheses"),
    ("'RSI' < 1", "'", "names stand without quotes"),
    ("RSI \u2264 1", "\u2264", "write <= for at most"),
    ("RSI < 1 \u20ac", "\u20ac", "is not part of the language; remove it"),
    ("RSI < 1\x00", "\x00", r"'\x00' is not part of the language; remove it"),
    ("RSI < 1\ud800", "\ud800", r"'\ud800' is not part of the language"),
    ("RSI < 1m", "1m", "'1m' is neither a number, as 0.5, nor a name, as RSI_1m"),
    ("RSI < 1.2.3", "1.2.3", "neither a number"),
    ("RSI < 5.", "5.", "neither a number"),
    ("RSI < 2e", "2e", "neither a number"),
    ("RSI < 1e999", "1e999", "'1e999' is too large for a number"),
    ("RSI < " + "9" * 500, "9" * 500, "is too large for a number"),
    ("RSI < 1 and RSI > 0", "and", "write AND in capital letters, not and"),
    ("RSI < 1 Or RSI > 0", "Or", "write OR in capital letters, not Or"),
    ("not RSI < 1", "not", "write NOT in capital letters, not not"),
    # names
    ("RSI_2h < 1", "RSI_2h", "unknown name 'RSI_2h'; did you mean 'RSI_1h'"),
    ("RSI < lo", "lo", "unknown name 'lo'; did you mean 'low'?"),
    ("MACD_5m.histogramm > 0", "MACD_5m.histogramm", "did you mean 'MACD_5m.histogram'?"),
    ("price > 0", "price", "unknown name 'price'; did you mean 'PRICE'? Capital letters count"),
    ("zzz > 0", "zzz", "unknown name 'zzz'; known: BARS_HELD, ENTRY_PRICE, MACD_5m.histogram, PNL_PCT, PRICE, RSI"),
    ("sqrt(RSI) > 0", "sqrt", "unknown function 'sqrt'; known: abs, crosses_above, crosses_below, max, min"),
    ("cross_above(RSI, 1)", "cross_above", "unknown function 'cross_above'; did you mean 'crosses_above'"),
    ("ABS(RSI) > 0", "ABS", "unknown function 'ABS'; did you mean 'abs'? Capital letters count"),
    ("RSI(14) > 0", "RSI", "RSI is a number and takes none in parentheses; [1] is one candle back"),
    ("low(1) > 0", "low", "low is a number and takes none"),
    ("PNL_PCT(1) > 0", "PNL_PCT", "PNL_PCT is a number and takes none"),
    ("abs > 0", "abs", "abs is a function; write abs(a)"),
    ("crosses_above > 0", "crosses_above", "crosses_above is a function; write crosses_above(a, b)"),
    # shape
    ("RSI <", "", "the text ends after '<', where a name or a number is needed; complete it"),
    ("RSI < 1 AND", "", "the text ends after 'AND'"),
    ("NOT", "", "the text ends after 'NOT'"),
    ("RSI < * 1", "*", "'*' stands after '<', where a name or a number is needed"),
    (") < 1", ")", "')' stands first, where a name or a number is needed"),
    ("RSI < +1", "+", "a number has no '+' before it; remove it"),
    ("AND RSI < 1", "AND", "AND needs a condition before it, for example RSI_1m < 30"),
    ("RSI < 1 OR OR RSI < 2", "OR", "OR needs a condition before it"),
    ("RSI < 1 RSI", "RSI", "'RSI' follows without an operator; join with AND, OR or + - * /"),
    ("RSI < 1 NOT RSI < 2", "NOT", "'NOT' follows without an operator"),
    ("RSI < 1 (RSI < 2)", "(", "'(' follows without an operator"),
    ("RSI < 1, RSI < 2", ",", "',' stands between the numbers of a function only; join with AND or OR"),
    ("RSI < 1)", ")", "')' closes nothing; remove it, or open it with '('"),
    ("RSI < 1 + 2]", "]", "']' closes nothing; remove it, or open it with '['"),
    ("(RSI < 1", "(", "'(' is not closed; add ')'"),
    ("RSI < (1 2)", "2", "'2' stands where ')' or an operator is needed for the '(' of column 7"),
    ("abs(RSI, 1) < 2", "abs(RSI, 1)", "abs takes 1 number, not 2; write abs(a)"),
    ("min(RSI) < 2", "min(RSI)", "min takes 2 numbers, not 1; write min(a, b)"),
    ("max() < 2", "max()", "max takes 2 numbers, not 0; write max(a, b)"),
    ("crosses_above(RSI, 1, 2)", "crosses_above(RSI, 1, 2)", "crosses_above takes 2 numbers, not 3"),
    ("min(RSI,) < 2", ")", "')' stands after ',', where a name or a number is needed"),
    ("1 < RSI < 3", "<", "comparisons cannot be chained; write 1 < RSI AND RSI < 3"),
    ("RSI < 1 AND 1 <= RSI + 1 == low", "==", "write 1 <= RSI + 1 AND RSI + 1 == low"),
    # numbers and conditions
    ("RSI", "RSI", "'RSI' is a number, not a condition; compare it, for example RSI > 0"),
    ("RSI + 1", "RSI + 1", "'RSI + 1' is a number, not a condition"),
    ("low", "low", "'low' is a number, not a condition"),
    ("RSI AND RSI < 1", "RSI", "AND takes conditions, and 'RSI' is a number; compare it, for example RSI > 0"),
    ("RSI < 1 OR RSI  + 2", "RSI  + 2", "OR takes conditions, and 'RSI + 2' is a number"),
    ("NOT RSI", "RSI", "NOT takes conditions, and 'RSI' is a number"),
    ("RSI + (RSI < 1) > 2", "(RSI < 1)", "+ takes numbers, and '(RSI < 1)' is a condition; join conditions with AND"),
    ("(RSI < 1) == (RSI < 2)", "(RSI < 1)", "== takes numbers, and '(RSI < 1)' is a condition"),
    ("RSI < NOT RSI < 1", "NOT RSI < 1", "< takes numbers, and 'NOT RSI < 1' is a condition"),
    ("-(RSI < 1) > 2", "(RSI < 1)", "- takes numbers"),
    ("abs(RSI < 1) > 2", "RSI < 1", "abs takes numbers, and 'RSI < 1' is a condition"),
    ("crosses_above(RSI, RSI < 1)", "RSI < 1", "crosses_above takes numbers"),
    ("(RSI < 1)[1]", "(RSI < 1)", "[n] takes numbers, and '(RSI < 1)' is a condition"),
    # candles back
    ("RSI[-1] < 1", "-", "a negative number of candles would look ahead; write [1] for one candle back"),
    ("RSI[1.5] < 1", "1.5", "'1.5' is no number of candles; write a whole number, for example [1]"),
    ("RSI[1e1] < 1", "1e1", "'1e1' is no number of candles"),
    ("RSI[low] < 1", "low", "'low' is no number of candles"),
    ("RSI[] < 1", "]", "']' is no number of candles"),
    ("RSI[", "", "'the end' is no number of candles"),
    ("RSI[1 < 1", "<", "']' is missing after the number of candles; write for example [1]"),
    ("RSI[1][2] < 1", "[", "one [n] is enough; add the numbers of candles and write them once"),
    ("RSI[1000001] < 1", "1000001", "1000001 candles back; at most 1,000,000 are possible"),
    ("RSI[" + "9" * 1900 + "] < 1", "9" * 1900, "candles back; at most 1,000,000 are possible"),
    ("low[1] < RSI", "low", "'low' does not change from candle to candle; remove [1]"),
    ("3[2] < RSI", "3", "'3' does not change from candle to candle; remove [2]"),
    ("(low + 1)[1] < RSI", "(low + 1)", "'(low + 1)' does not change"),
    ("PNL_PCT[1] < 1", "PNL_PCT", "PNL_PCT is known at the present candle alone; put [n] behind a series instead"),
    ("(PRICE - ENTRY_PRICE)[1] < 1", "(PRICE - ENTRY_PRICE)", "ENTRY_PRICE is known at the present candle alone"),
    # crosses
    ("crosses_above(PNL_PCT, 3)", "PNL_PCT", "PNL_PCT is known at the present candle alone, and a cross looks at"),
    ("crosses_below(RSI, BARS_HELD + 1)", "BARS_HELD + 1", "compare it, for example PNL_PCT >= 3"),
    ("crosses_above(low, 3)", "crosses_above(low, 3)", "neither side of crosses_above changes from candle to candle"),
    ("crosses_above(ENTRY_PRICE, 3)", "crosses_above(ENTRY_PRICE, 3)", "neither side of crosses_above changes"),
]


@pytest.mark.parametrize(("text", "part", "said"), MISTAKES)
def test_a_mistake_is_told_with_its_column_its_mark_and_its_remedy(text: str, part: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, EXIT)
    first, shown, mark = str(caught.value).split("\n")
    head, _, what = first.partition(": ")
    assert said in what
    # The mark stands below the part that the column names: all of it where the text is shown whole.
    column = int(head.removeprefix("condition, column "))
    assert text[column - 1 :].startswith(part)
    start, width = len(mark) - len(mark.lstrip()), mark.count("^")
    assert mark == " " * start + "^" * width
    if len(text) <= 100:
        assert shown == "    " + "".join(one if one.isprintable() else " " for one in text)
        assert (start, width) == (4 + column - 1, max(1, len(part)))
    else:
        assert shown[start : start + width].rstrip(" .") in part
        assert len(shown) < 120


@pytest.mark.parametrize("name", ["ENTRY_PRICE", "PNL_PCT", "BARS_HELD"])
def test_an_entry_cannot_read_a_position(name: str) -> None:
    with pytest.raises(ConfigError, match=f"column 11: {name} is known only while a position is held.*move it to the"):
        parse(f"RSI < 1 + {name}", ENTRY)


def test_the_remedy_for_a_chain_is_itself_a_condition() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("low < abs(RSI - 1) <= high", EXIT)
    remedy = str(caught.value).partition("write ")[2].partition("\n")[0]
    assert parse(remedy, EXIT) == parse("low < abs(RSI - 1) AND abs(RSI - 1) <= high", EXIT)


def test_of_a_long_text_the_part_around_the_mistake_is_shown() -> None:
    text = " OR ".join(["RSI < 1"] * 50 + ["RSI < lo"] + ["RSI < 2"] * 50)
    with pytest.raises(ConfigError) as caught:
        parse(text, EXIT)
    _, shown, mark = str(caught.value).split("\n")
    assert shown.startswith("    ... ")
    assert shown.endswith(" ...")
    assert shown[mark.index("^") : mark.rindex("^") + 1] == "lo"


# -- limits -----------------------------------------------------------------------------------------------------------


def test_a_text_of_2000_characters_is_read_and_a_longer_one_is_not() -> None:
    text = "RSI < 1".ljust(LENGTH_MAX)
    assert parse(text, EXIT) == less(ONE)
    with pytest.raises(ConfigError, match="the text has 2001 characters, at most 2000; split it"):
        parse(text + " ", EXIT)


NESTS: list[tuple[str, Callable[[int], str]]] = [
    # what makes a tree of so many levels; the comparison and its leaf are two
    ("NOT", lambda levels: "NOT " * (levels - 2) + "RSI < 1"),
    ("minus", lambda levels: "-" * (levels - 2) + "RSI < 1"),
    ("a sum from the left", lambda levels: "RSI" + " + 1" * (levels - 2) + " < 1"),
    ("a sum from the right", lambda levels: "1 + (" * (levels - 2) + "RSI" + ")" * (levels - 2) + " < 1"),
    ("calls", lambda levels: "abs(" * (levels - 2) + "RSI" + ")" * (levels - 2) + " < 1"),
    ("suffixes", lambda levels: "(" * (levels - 3) + "RSI[1]" + ")[1]" * (levels - 3) + " < 1"),
]


@pytest.mark.parametrize(("what", "nest"), NESTS)
def test_a_tree_of_64_levels_is_read_and_a_deeper_one_is_not(what: str, nest: Callable[[int], str]) -> None:
    parse(nest(DEPTH_MAX), EXIT)
    for levels in (DEPTH_MAX + 1, DEPTH_MAX + 2, 200):
        with pytest.raises(ConfigError, match=r"more than 64 (levels )?deep; split"):
            parse(nest(levels), EXIT)


def test_parentheses_nest_64_deep_and_no_deeper() -> None:
    assert parse("(" * 64 + "RSI < 1" + ")" * 64, EXIT) == less(ONE)
    with pytest.raises(ConfigError, match="column 65: parentheses are nested more than 64 deep"):
        parse("(" * 65 + "RSI < 1" + ")" * 65, EXIT)


def test_a_long_chain_of_conditions_is_flat() -> None:
    tree = parse(" AND ".join(["RSI<1"] * 200), EXIT)
    assert isinstance(tree, Every)
    assert len(tree.conditions) == 200
    parse("NOT (" * 60 + "RSI<1 OR RSI<2" + ")" * 60, EXIT)
    with pytest.raises(ConfigError, match="more than 64 levels deep"):
        parse("NOT (" * 62 + "RSI<1 OR RSI<2" + ")" * 62, EXIT)


def test_the_deepest_text_leaves_the_interpreter_room() -> None:
    worst = "RSI<1 OR RSI<1 AND NOT RSI<1+1*-("
    texts = [worst * 60, "RSI<1 OR NOT (RSI<1 AND NOT (" * 60, "(" * 64 + worst * 55, "1+1*-(" * 300, "abs(1+" * 300]

    def below(frames: int) -> None:
        if frames:
            below(frames - 1)
            return
        for text in texts:
            with pytest.raises(ConfigError):
                parse(text[:LENGTH_MAX], EXIT)

    used, frame = 0, sys._getframe()
    while frame.f_back is not None:
        used, frame = used + 1, frame.f_back
    below(sys.getrecursionlimit() - used - 350)


# -- any text at all --------------------------------------------------------------------------------------------------

WORDS = [
    "RSI", "RSI_1h", "PRICE", "MACD_5m.histogram", "low", "high", "PNL_PCT", "ENTRY_PRICE", "nothing", "and",
    "AND", "OR", "NOT", "abs", "min", "max", "crosses_above", "crosses_below", "0", "1", "2.5", "1e400", "1m",
    "+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!=", "=", "(", ")", "[", "]", "[1]", "[0]", ",", ".", " ", "\n",
]  # fmt: skip


def refused_or_read(text: str) -> None:
    try:
        tree = parse(text, EXIT)
    except ConfigError as error:
        assert str(error).startswith("condition, column ")  # most texts are refused, not all
    else:
        assert isinstance(tree, Comparison | Cross | Every | Some | Not)


@given(st.text())
@example("\ud800")
@example("\u0661 < RSI")  # a digit, but not one of ours
@example("RSI\u00a0< 1")
def test_any_text_is_a_condition_or_a_config_error(text: str) -> None:
    refused_or_read(text)


@given(st.lists(st.sampled_from(WORDS), max_size=30), st.sampled_from(["", " "]))
def test_any_words_are_a_condition_or_a_config_error(words: list[str], gap: str) -> None:
    refused_or_read(gap.join(words))


@given(st.text(alphabet="()[]RSI<1+-ANDOT ,", max_size=200))
def test_any_signs_are_a_condition_or_a_config_error(text: str) -> None:
    refused_or_read(text)


# -- several texts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "kind"), [("ALL", Every), ("AND", Every), ("ANY", Some), ("OR", Some)])
def test_texts_combine_by_mode(mode: str, kind: type) -> None:
    assert combine(mode, ["RSI < 1", "RSI < 2"], EXIT) == kind((less(ONE), less(TWO)))
    assert combine(mode, ["RSI < 1"], EXIT) == less(ONE)


def test_a_mode_keeps_the_texts_apart() -> None:
    both = combine("ALL", ["RSI < 1 OR RSI < 2", "RSI < 3"], EXIT)
    assert both == Every((Some((less(ONE), less(TWO))), less(THREE)))


@pytest.mark.parametrize("mode", ["all", "Any", "XOR", ""])
def test_another_mode_is_refused_with_the_known_ones(mode: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown mode '{mode}'; .*(ALL|ANY|OR)"):
        combine(mode, ["RSI < 1"], EXIT)


def test_a_mistake_names_the_text_it_is_in() -> None:
    with pytest.raises(ConfigError, match=r"^condition 2 of 3: condition, column 7: unknown name 'lo'"):
        combine("ALL", ["RSI < 1", "RSI < lo", "RSI <"], EXIT)
    with pytest.raises(ConfigError, match=r"^condition, column 7: unknown name 'lo'"):
        combine("ALL", ["RSI < lo"], EXIT)


def test_no_text_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no condition; write at least one"):
        combine("ALL", [], EXIT)
