"""What is looked at before an answer is put to a scorer of reasoning-gym.

Some scorers evaluate the answer as Python, or with sympy, which does: such an answer must be nothing but literals, or
nothing but arithmetic, so that an integral that is merely written down again earns nothing. Others give full marks to
answers that are not right. Every guard can only lower a score.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

MAX_CHARS = 20_000
"""No answer is longer; some scorers would take minutes over one that is."""
MAX_EXPRESSION = 1_000
"""The same for an answer that is evaluated as an expression."""

MAX_DEGREE = 200
"""The same for its powers together: `9**9**9` is short."""

LITERALS = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
"""Families whose scorer calls `eval` on an answer that is not right as it stands."""
EXPRESSIONS = frozenset(
    {"countdown", "intermediate_integration", "polynomial_multiplication", "puzzle24", "simple_integration"}
)
"""Families whose scorer lets sympy evaluate the answer."""

_FUNCTION_NAMES = "sin cos tan sec csc cot asin acos atan sinh cosh tanh exp log ln sqrt Abs"
_FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,9}")
_NUMBER = re.compile(r"-?(?:\d{1,60}(?:\.\d{0,60})?|\.\d{1,60})(?:[eE][+-]?\d{1,2})?(?:/\d{1,60})?")
_LONG_EXPONENT = re.compile(r"[\d.][eE][+-]?[\d_]{3}")
"""`1e999999`, which is nothing to Python's floats, and half a minute of work to sympy."""
_OPERATORS: Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_LITERAL = (ast.Expression, ast.List, ast.Tuple, ast.Constant, ast.Name, ast.Load, ast.UnaryOp, ast.USub)
_ARITHMETIC = (
    ast.Expression,
    ast.BinOp,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Pow,
    ast.UnaryOp,
    ast.UAdd,
    ast.USub,
    ast.Name,
    ast.Load,
    ast.Call,
    ast.Constant,
)


def refusal(family: str, answer: str, entry: Mapping[str, Any]) -> str:
    """Why an answer earns nothing without being put to the scorer of its family; empty where nothing is wrong."""
    if not answer:
        return "there is no answer"
    if len(answer) > (MAX_EXPRESSION if family in EXPRESSIONS else MAX_CHARS):
        return "the answer is too long"
    if family in LITERALS and not _is_literal(answer):
        return "the answer is code"
    if family in EXPRESSIONS and not _is_arithmetic(answer):
        return "the answer is no arithmetic expression"
    banned = _BANNED.get(family)
    if banned is not None and banned.search(answer):
        return "the answer is not in the form that is asked for"
    check = _CHECKS.get(family)
    return "" if check is None or check(answer, entry) else "the answer is not right, though its scorer may accept it"


def _is_literal(text: str) -> bool:
    """Whether evaluating a text can do nothing but build a value. What does not parse is not evaluated either."""
    tree = _parsed(text)
    return tree is None or all(isinstance(node, _LITERAL) for node in ast.walk(tree))


def _is_arithmetic(text: str) -> bool:
    """Whether a text is an expression of numbers, names, operators and the usual functions."""
    tree = _parsed(text) if text.isascii() and not _LONG_EXPONENT.search(text) else None
    try:
        return tree is not None and all(map(_is_harmless, ast.walk(tree))) and _degree(tree.body) <= MAX_DEGREE
    except RecursionError:
        return False


def _degree(node: ast.expr) -> float:
    """The sum of all powers of an expression, those of powers multiplied: sympy works out whatever it is told to."""
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Pow):
            return _size(node.right) * max(1.0, _degree(node.left))
        return _degree(node.left) + _degree(node.right)
    if isinstance(node, ast.UnaryOp):
        return _degree(node.operand)
    return sum(map(_degree, node.args)) if isinstance(node, ast.Call) else 0.0


def _size(node: ast.expr) -> float:
    """How large an exponent may be, a name counted as 1."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value) if value <= MAX_DEGREE else math.inf
        case ast.UnaryOp(operand=operand):
            return _size(operand)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _size(left) * _size(right)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return _size(left) + _size(right)
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant(value=int() | float() as below)) if below:
            return _size(left) / float(below) if below < MAX_DEGREE else 0.0
        case ast.BinOp():
            return math.inf
        case ast.Call(args=arguments):
            return max(map(_size, arguments), default=1.0)
    return 1.0


def _is_harmless(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=value):
            return type(value) in (int, float)
        case ast.Name(id=name):
            return _NAME.fullmatch(name) is not None
        case ast.Call(func=function, args=_, keywords=keywords):
            return isinstance(function, ast.Name) and function.id in _FUNCTIONS and not keywords
        case _:
            return isinstance(node, _ARITHMETIC)


def _parsed(text: str) -> ast.Expression | None:
    try:
        return ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _same_probability(answer: str, entry: Mapping[str, Any]) -> bool:
    """The scorer also gives full marks to any prefix of the right number, `0` for one."""
    number = answer.replace(",", "").strip()
    if _NUMBER.fullmatch(number) is None:
        return False
    try:
        return abs(Fraction(number) - Fraction(entry["answer"].replace(",", ""))) <= Fraction(1, 10_000)
    except ZeroDivisionError:
        return False


def _makes_24(answer: str, entry: Mapping[str, Any]) -> bool:
    """The scorer takes any four numbers for the given ones, and 24.5 for 24."""
    tree = _parsed(answer)
    given = sorted(entry["metadata"]["numbers"])
    try:
        return tree is not None and _value(tree.body) == 24 and sorted(map(int, re.findall(r"\d+", answer))) == given
    except (ArithmeticError, TypeError, RecursionError, ValueError):
        return False


def _value(node: ast.expr) -> Fraction:
    """The exact value of an expression of whole numbers. Raises `TypeError` for any other operator than + - * /."""
    match node:
        case ast.Constant(value=int(value)):
            return Fraction(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            return _OPERATORS[type(sign)](_value(left), _value(right))
    raise TypeError(f"{type(node).__name__} is no arithmetic")


def _same_word(answer: str, entry: Mapping[str, Any]) -> bool:
    """The scorer takes any text at all for right."""
    return answer.casefold() == str(entry["answer"]).casefold()


_CHECKS: Mapping[str, Callable[[str, Mapping[str, Any]], bool]] = {
    "coin_flip": _same_probability,
    "game_of_life_halting": _same_word,
    "puzzle24": _makes_24,
}

_BANNED = {
    # its scorer takes `nan` for no distance at all
    "complex_arithmetic": re.compile("nan", re.IGNORECASE),
    # its scorer tries all values of all names that occur, and takes long over long formulas
    "propositional_logic": re.compile(r"[^A-Z\u2228\u2227\u2192\u2194\xac()\s]|(?s:.{301})"),
    # their scorers make a move as often as they are told to
    "rubiks_cube": re.compile(r"\d{3}"),
    "rush_hour": re.compile(r"\d{3}"),
}
