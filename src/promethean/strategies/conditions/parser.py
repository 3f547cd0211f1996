"""Text of a condition, read into its typed tree; every mistake with its column and its remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, cast, get_args

from promethean.domain.errors import ConfigError
from promethean.strategies.conditions import labels
from promethean.strategies.conditions.scope import KEYWORDS, NAME, Scope, closest
from promethean.strategies.conditions.tree import (
    ARGUMENTS,
    POSITION,
    STRENGTH,
    STRENGTH_OF_SIGN,
    Arithmetic,
    Back,
    Call,
    Comparison,
    Condition,
    Constant,
    Cross,
    Direction,
    Every,
    Function,
    Negative,
    Not,
    Number,
    Operator,
    Parameter,
    PositionValue,
    Relation,
    Series,
    Some,
    Tree,
    all_of,
    any_of,
    is_condition,
    reads,
)

LENGTH_MAX = 2000  # characters of a text
DEPTH_MAX = 64  # levels of a tree, and of parentheses
BACK_MAX = 1_000_000  # candles: two years of minutes

MODES = ("ALL", "AND", "ANY", "OR")
_EXAMPLE = "RSI_1m < 30"
_SHOWN = 100  # characters of a long text that an error shows

_TOKEN = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    rf"|(?P<name>{NAME})"
    r"|(?P<sign><=|>=|==|!=|[-+*/()<>\[\],])"
)
_REST = re.compile(r"[A-Za-z0-9_.]+")  # nothing of this may follow a number
_RELATIONS = get_args(Relation)

# What people write instead, longest first, and what it is called here.
_MISSPELT = {
    "===": "write == for equal",
    "=<": "write <= for at most",
    "=>": "write >= for at least",
    "<>": "write != for not equal",
    "&&": "write AND",
    "||": "write OR",
    "**": "there are no powers; write x * x",
    "=": "write == for equal",
    "&": "write AND",
    "|": "write OR",
    "!": "write NOT before a condition, != for not equal",
    "^": "there are no powers; write x * x",
    "%": "there is no percent sign; PNL_PCT is in percent, elsewhere multiply, for example VWAP * 1.003",
    ".": "a point stands inside a number or a name, as in 0.5 or MACD_5m.histogram",
    "{": "write parentheses ( )",
    "}": "write parentheses ( )",
    "'": "names stand without quotes",
    '"': "names stand without quotes",
    "\u2264": "write <= for at most",
    "\u2265": "write >= for at least",
    "\u2260": "write != for not equal",
    "\u2212": "write - for minus",
    "\u00d7": "write * for times",
    "\u00f7": "write / for divided by",
}


def parse(text: str, scope: Scope) -> Condition:
    """The condition that the text says.

    text:   at most 2,000 characters, its tree at most 64 levels deep.
    Raises: ConfigError with the column, the text, a mark under the offending token and what to do about it; for an
            unknown name with the closest known ones.
    """
    return _Parser(text, scope).condition()


def combine(mode: str, texts: Sequence[str], scope: Scope) -> Condition:
    """One condition of several texts: all of them hold (mode ALL or AND), or one of them does (ANY or OR).

    Raises ConfigError for another mode, for no text at all, and what `parse` raises with the number of the text.
    """
    if mode not in MODES:
        raise ConfigError(closest("mode", mode, MODES))
    if not texts:
        raise ConfigError(f"there is no condition; write at least one, for example [{_EXAMPLE!r}]")
    conditions = []
    for number, text in enumerate(texts, start=1):
        try:
            conditions.append(parse(text, scope))
        except ConfigError as error:
            if len(texts) == 1:
                raise
            raise ConfigError(f"condition {number} of {len(texts)}: {error}") from error
    return all_of(conditions) if mode in ("ALL", "AND") else any_of(conditions)


# ---------------------------------------------------------------- tokens


class _Token(NamedTuple):
    """kind: number, name, sign, or end.  start: place of its first character."""

    kind: str
    text: str
    start: int

    @property
    def stop(self) -> int:
        return self.start + len(self.text)


def _error(text: str, start: int, stop: int, what: str) -> ConfigError:
    """The mistake at `text[start:stop]`, with the text and a mark below it; of a long text, the part around it."""
    first = 0 if len(text) <= _SHOWN else max(0, min(start - _SHOWN // 2, len(text) - _SHOWN))
    shown = "".join(one if one.isprintable() else " " for one in text[first : first + _SHOWN])
    before, after = "... " if first else "", " ..." if first + _SHOWN < len(text) else ""
    place = len(before) + start - first
    width = max(1, min(stop - start, len(before) + len(shown) - place))
    return ConfigError(
        f"condition, column {start + 1}: {what}\n    {before}{shown}{after}\n    {' ' * place}{'^' * width}"
    )


def _tokens(text: str) -> list[_Token]:
    tokens = []
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        wrong = next((one for one in _MISSPELT if len(one) > 1 and text.startswith(one, place)), None)
        found = None if wrong else _TOKEN.match(text, place)
        if found is None:
            wrong = wrong or text[place]
            remedy = _MISSPELT.get(wrong, "remove it")
            raise _error(text, place, place + len(wrong), f"{wrong!r} is not part of the language; {remedy}")
        token = _Token(found.lastgroup or "", found.group(), place)
        place = token.stop
        rest = _REST.match(text, place)
        if token.kind == "number" and rest is not None:
            word = text[token.start : rest.end()]
            raise _error(text, token.start, rest.end(), f"{word!r} is neither a number, as 0.5, nor a name, as RSI_1m")
        if token.kind == "name" and token.text.upper() in KEYWORDS and token.text not in KEYWORDS:
            raise _error(text, token.start, place, f"write {token.text.upper()} in capital letters, not {token.text}")
        tokens.append(token)
    tokens.append(_Token("end", "", len(text)))
    return tokens


# ---------------------------------------------------------------- sentences


class _Part(NamedTuple):
    """A tree with the place of its text, parentheses included, and its levels."""

    tree: Tree
    start: int
    stop: int
    depth: int


def _count(numbers: int) -> str:
    return "1 number" if numbers == 1 else f"{numbers} numbers"


def _form(function: str) -> str:
    return f"{function}({', '.join('ab'[: ARGUMENTS[function]])})"


def _joined(symbol: str, left: Tree, right: Tree) -> Tree:
    """Two trees, of the kind that the operator takes, joined by it."""
    if symbol in ("AND", "OR"):
        both = cast(Condition, left), cast(Condition, right)
        return all_of(both) if symbol == "AND" else any_of(both)
    numbers = cast(Number, left), cast(Number, right)
    if symbol in _RELATIONS:
        return Comparison(cast(Relation, symbol), *numbers)
    return Arithmetic(cast(Operator, symbol), *numbers)


class _Parser:
    """One text on its way to a tree, by operator precedence.

    A level of the tree or a pair of parentheses costs three calls at most, and both are counted on the way down: what
    is nested too deep is refused long before the interpreter would give up.
    """

    def __init__(self, text: str, scope: Scope) -> None:
        if len(text) > LENGTH_MAX:
            raise _error(
                text, LENGTH_MAX, len(text), f"the text has {len(text)} characters, at most {LENGTH_MAX}; split it"
            )
        self.text = text
        self.scope = scope
        self.tokens = _tokens(text)
        self.at = 0
        self.levels = 0  # operators and functions around the present place
        self.parentheses = 0

    # -- reading

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def error(self, place: _Token | _Part, what: str) -> ConfigError:
        return _error(self.text, place.start, place.stop, what)

    def said(self, part: _Part) -> str:
        """A part as the text has it, for messages."""
        text = " ".join(self.text[part.start : part.stop].split())
        return text if len(text) <= _SHOWN else text[:_SHOWN] + " ..."

    def condition(self) -> Condition:
        """The whole text."""
        if self.token.kind == "end":
            raise self.error(self.token, f"the condition is empty; write for example {_EXAMPLE}")
        part = self.expression(0)
        match self.token:
            case _Token("end"):
                pass
            case _Token("sign", ")"):
                raise self.error(self.token, "')' closes nothing; remove it, or open it with '('")
            case _Token("sign", "]"):
                raise self.error(self.token, "']' closes nothing; remove it, or open it with '['")
            case _Token("sign", ","):
                raise self.error(self.token, "',' stands between the numbers of a function only; join with AND or OR")
            case token:
                raise self.error(token, f"{token.text!r} follows without an operator; join with AND, OR or + - * /")
        if not is_condition(part.tree):
            said = labels.no_condition(self.said(part), part.tree, self.scope, ", not a condition")
            raise self.error(part, said)
        return part.tree

    def expression(self, least: int) -> _Part:
        """Operands joined by operators that hold together at least as strongly as `least`."""
        left = self.operand()
        while (strength := STRENGTH.get(self.token.text, -1)) >= least and self.token.text != "NOT":
            operator = self.take()
            self.needs_operand(operator, left)
            self.descend(operator)
            right = self.expression(strength + 1)
            self.levels -= 1
            self.needs_operand(operator, right)
            self.needs_alike(operator, left, right)
            if operator.text in _RELATIONS and self.token.text in _RELATIONS:
                raise self.chain(left, operator, right)
            tree = _joined(operator.text, left.tree, right.tree)
            left = self.grown(operator, tree, left.start, right.stop, left, right)
        return left

    def chain(self, left: _Part, first: _Token, middle: _Part) -> ConfigError:
        second = self.take()
        self.descend(second)
        last = self.expression(STRENGTH[second.text] + 1)
        self.needs_number(second.text, last)
        remedy = f"{self.said(left)} {first.text} {self.said(middle)} AND {self.said(middle)} {second.text}"
        return self.error(second, f"comparisons cannot be chained; write {remedy} {self.said(last)}")

    def operand(self) -> _Part:
        """What stands between operators: a number, a name, a call, a sign or NOT before one, or parentheses."""
        token = self.take()
        match token:
            case _Token("number"):
                part = self.constant(token)
            case _Token("name", "NOT"):
                self.descend(token)
                denied = self.expression(STRENGTH["NOT"])
                self.levels -= 1
                return self.grown(token, Not(self.needs_condition("NOT", denied)), token.start, denied.stop, denied)
            case _Token("name", "AND" | "OR"):
                raise self.error(token, f"{token.text} needs a condition before it, for example {_EXAMPLE}")
            case _Token("name") if self.token.text == "(":
                part = self.call(token)
            case _Token("name"):
                part = _Part(self.named(token), token.start, token.stop, 1)
            case _Token("sign", "-"):
                self.descend(token)
                operand = self.expression(STRENGTH_OF_SIGN)
                self.levels -= 1
                number = self.needs_number("-", operand)
                return self.grown(token, Negative(number), token.start, operand.stop, operand)
            case _Token("sign", "("):
                part = self.parenthesised(token)
            case _:
                raise self.missing(token)
        return self.back(part) if self.token.text == "[" else part

    def missing(self, token: _Token) -> ConfigError:
        before = self.tokens[self.at - 2].text if self.at > 1 else ""
        after = f" after {before!r}" if before else ""
        if token.text == "+":
            return self.error(token, "a number has no '+' before it; remove it")
        if token.kind == "end":
            return self.error(token, f"the text ends{after}, where a name or a number is needed; complete it")
        return self.error(token, f"{token.text!r} stands{after or ' first'}, where a name or a number is needed")

    # -- operands

    def constant(self, token: _Token) -> _Part:
        value = float(token.text)
        if value == float("inf"):
            raise self.error(token, f"{self.shortened(token)!r} is too large for a number; write at most 1e308")
        return _Part(Constant(value), token.start, token.stop, 1)

    def named(self, token: _Token) -> Number:
        name = token.text
        if name in self.scope.series:
            return Series(name)
        if name in self.scope.parameters or name in self.scope.words:
            return Parameter(name)
        if name in ARGUMENTS:
            raise self.error(token, f"{name} is a function; write {_form(name)}")
        if name in POSITION:
            if self.scope.position:
                return PositionValue(name)
            raise self.error(
                token,
                f"{name} is known only while a position is held, and this condition is read without one, as that of"
                " an entry; remove it, or move it to the exit",
            )
        raise self.error(token, self.scope.unknown(name))

    def parenthesised(self, opening: _Token) -> _Part:
        self.open(opening)
        inner = self.expression(0)
        closing = self.close(opening)
        return _Part(inner.tree, opening.start, closing.stop, inner.depth)

    def call(self, token: _Token) -> _Part:
        name = token.text
        if name not in ARGUMENTS:
            if name in self.scope.series or name in self.scope.parameters or name in POSITION:
                raise self.error(token, f"{name} is a number and takes none in parentheses; [1] is one candle back")
            raise self.error(token, closest("function", name, ARGUMENTS))
        opening = self.take()
        self.open(opening)
        self.descend(token)
        arguments: list[_Part] = []
        while self.token.text != ")" or arguments:
            arguments.append(self.expression(0))
            self.needs_number(name, arguments[-1])
            if self.token.text != ",":
                break
            self.take()
        self.levels -= 1
        closing = self.close(opening)
        whole = _Token("call", self.text[token.start : closing.stop], token.start)
        if len(arguments) != ARGUMENTS[name]:
            wanted = f"{_count(ARGUMENTS[name])}, not {len(arguments)}; write {_form(name)}"
            raise self.error(whole, f"{name} takes {wanted}")
        numbers_given = tuple(self.needs_number(name, one) for one in arguments)
        if name in ("abs", "min", "max"):
            tree: Tree = Call(cast(Function, name), numbers_given)
        else:
            tree = self.cross(name, whole, arguments, numbers_given)
        return self.grown(token, tree, whole.start, whole.stop, *arguments)

    def cross(self, name: str, whole: _Token, arguments: list[_Part], numbers: tuple[Number, ...]) -> Cross:
        for argument, number in zip(arguments, numbers, strict=True):
            moving = reads(number).position - {"ENTRY_PRICE"}
            if moving:
                raise self.error(
                    argument,
                    f"{', '.join(sorted(moving))} is known at the present candle alone, and a cross looks at the one"
                    " before; compare it, for example PNL_PCT >= 3, or cross the price over ENTRY_PRICE * 1.03",
                )
        if not any(reads(number).series for number in numbers):
            raise self.error(whole, f"neither side of {name} changes from candle to candle; compare with < or >")
        return Cross(cast(Direction, name.removeprefix("crosses_")), *numbers)

    def back(self, part: _Part) -> _Part:
        """The suffix [n]."""
        opening = self.take()
        is_name = labels.is_name(part.tree, self.scope)
        number = cast(Number, part.tree) if is_name else self.needs_number("[n]", part)
        count = self.take()
        if count.text == "-":
            raise self.error(count, "a negative number of candles would look ahead; write [1] for one candle back")
        if count.kind != "number" or not count.text.isdecimal():
            what = count.text or "the end"
            raise self.error(count, f"{what!r} is no number of candles; write a whole number, for example [1]")
        if self.token.text != "]":
            raise self.error(self.token, "']' is missing after the number of candles; write for example [1]")
        stop = self.take().stop
        # Compared as text first: a number of 2,000 digits is not worth reading.
        candles = BACK_MAX + 1 if len(count.text) > len(str(BACK_MAX)) else int(count.text)
        if candles > BACK_MAX:
            raise self.error(count, f"{self.shortened(count)} candles back; at most {BACK_MAX:,} are possible")
        read = reads(number)
        if read.position:
            raise self.error(
                part,
                f"{', '.join(sorted(read.position))} is known at the present candle alone; put [n] behind"
                " a series instead, as in PRICE[1] > ENTRY_PRICE",
            )
        if not read.series:
            raise self.error(part, f"{self.said(part)!r} does not change from candle to candle; remove [{count.text}]")
        if self.token.text == "[":
            raise self.second_suffix(self.token)
        if candles == 0:
            return _Part(part.tree, part.start, stop, part.depth)
        return self.grown(opening, Back(number, candles), part.start, stop, part)

    def shortened(self, token: _Token) -> str:
        return token.text if len(token.text) <= 20 else token.text[:20] + "..."

    def second_suffix(self, token: _Token) -> ConfigError:
        return self.error(token, "one [n] is enough; add the numbers of candles and write them once")

    # -- rules

    def open(self, opening: _Token) -> None:
        self.parentheses += 1
        if self.parentheses > DEPTH_MAX:
            raise self.error(opening, f"parentheses are nested more than {DEPTH_MAX} deep; split the condition")

    def close(self, opening: _Token) -> _Token:
        if self.token.text != ")":
            if self.token.kind == "end":
                raise self.error(opening, "'(' is not closed; add ')'")
            raise self.error(
                self.token,
                f"{self.token.text!r} stands where ')' or an operator is needed for the '(' of column"
                f" {opening.start + 1}",
            )
        self.parentheses -= 1
        return self.take()

    def descend(self, token: _Token) -> None:
        """Go below an operator or a function; who comes back takes one level away again."""
        self.levels += 1
        if self.levels >= DEPTH_MAX:
            raise self.too_deep(token)

    def too_deep(self, token: _Token) -> ConfigError:
        return self.error(token, f"the condition is more than {DEPTH_MAX} levels deep; split it")

    def grown(self, token: _Token, tree: Tree, start: int, stop: int, *below: _Part) -> _Part:
        """A part one level above those below it; conditions that join a chain of AND or OR stay on its level."""
        chain = isinstance(tree, Every | Some)
        depth = max(part.depth if chain and type(part.tree) is type(tree) else part.depth + 1 for part in below)
        if depth > DEPTH_MAX:
            raise self.too_deep(token)
        return _Part(tree, start, stop, depth)

    def needs_operand(self, operator: _Token, part: _Part) -> None:
        if operator.text in ("AND", "OR"):
            self.needs_condition(operator.text, part)
        elif operator.text not in labels.RELATIONS or not labels.is_name(part.tree, self.scope):
            self.needs_number(operator.text, part)

    def needs_alike(self, operator: _Token, left: _Part, right: _Part) -> None:
        """A name is compared with a name."""
        names = [part for part in (left, right) if labels.is_name(part.tree, self.scope)]
        if len(names) == 1:
            name, number = names[0], right if names[0] is left else left
            raise self.error(number, labels.unlike(self.said(name), name.tree, self.said(number), self.scope))

    def needs_number(self, who: str, part: _Part) -> Number:
        if is_condition(part.tree):
            raise self.error(
                part, f"{who} takes numbers, and {self.said(part)!r} is a condition; join conditions with AND or OR"
            )
        if labels.is_name(part.tree, self.scope):
            raise self.error(part, labels.no_number(who, self.said(part), part.tree, self.scope))
        return part.tree

    def needs_condition(self, who: str, part: _Part) -> Condition:
        if not is_condition(part.tree):
            said = labels.no_condition(self.said(part), part.tree, self.scope, "")
            raise self.error(part, f"{who} takes conditions, and {said}")
        return part.tree
