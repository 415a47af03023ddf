"""Expressions over an object, as plumbline.yaml writes them for health: JMESPath, read once, bounded in what it may cost.

JMESPath has no loops, no variables, no I/O and no regular expressions. What is left out of it here is what can build
something larger than the object (lists and mappings made anew, mapping functions, joining), so an evaluation is linear in
the object; and it is counted, so that the largest object cannot stall anything. https://jmespath.org/specification.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from jmespath.exceptions import JMESPathError, LexerError, ParseError
from jmespath.parser import Parser
from jmespath.visitor import TreeInterpreter

LONGEST: Final = 500
DEEPEST: Final = 40
STEPS: Final = 50_000
"""Nodes that one evaluation may visit: some tens of milliseconds."""

FUNCTIONS: Final = (
    "contains", "ends_with", "keys", "length", "max", "min", "not_null", "starts_with", "to_number", "type", "values",
)  # fmt: skip
_MAKES_MORE: Final = {
    "multi_select_list": "a list in brackets",
    "multi_select_dict": "a mapping in braces",
    "expref": "&",
}


class ExpressionError(ValueError):
    """An expression that cannot be used; the text says why, `column` where (from 1, 0 if unknown)."""

    def __init__(self, message: str, column: int = 0) -> None:
        self.column = column
        super().__init__(message)


class EvaluationError(ValueError):
    """An expression that has no answer for an object; the text says why."""


class Expression:
    """One expression. `text` is as it was written; two of the same text are equal."""

    __slots__ = ("_parsed", "text")

    def __init__(self, text: str) -> None:
        """Reads an expression; raises ExpressionError."""
        self.text = text
        if len(text) > LONGEST:
            raise ExpressionError(f"is longer than {LONGEST} characters")
        try:
            self._parsed: dict[str, Any] = Parser().parse(text).parsed
        except (ParseError, LexerError) as error:
            column = int(getattr(error, "lex_position", 0)) + 1
            raise ExpressionError(f"cannot be read at character {column}", column) from None
        except (JMESPathError, RecursionError, ValueError):
            raise ExpressionError("cannot be read") from None
        _check(self._parsed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def value(self, body: Mapping[str, Any]) -> Any:
        """What it comes to for an object's body: a JSON value, None for what is not there. Raises EvaluationError."""
        try:
            return _Counting().visit(self._parsed, body)
        except EvaluationError:
            raise
        except (JMESPathError, RecursionError, TypeError, ValueError) as error:
            raise EvaluationError(_first_line(error)) from None

    def holds(self, body: Mapping[str, Any]) -> bool:
        """Whether it is true of an object, as JMESPath means it: not false, null or empty. Raises EvaluationError."""
        value = self.value(body)
        return value is not None and value is not False and value not in ("", [], {})


class _Counting(TreeInterpreter):  # type: ignore[misc]
    """JMESPath's own interpreter, which gives up after so many steps."""

    def __init__(self) -> None:
        super().__init__()
        self._left = STEPS

    def visit(self, node: dict[str, Any], *arguments: Any, **named: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise EvaluationError(f"takes more than {STEPS:,} steps for this object")
        return super().visit(node, *arguments, **named)


def _check(parsed: dict[str, Any]) -> None:
    for node, depth in _nodes(parsed, 1):
        kind = node["type"]
        if depth > DEEPEST:
            raise ExpressionError(f"is nested more than {DEEPEST} deep")
        if kind in _MAKES_MORE:
            raise ExpressionError(f"may not use {_MAKES_MORE[kind]}: it only reads the object")
        if kind == "function_expression" and node["value"] not in FUNCTIONS:
            raise ExpressionError(f"may not use the function {node['value']}; there are {', '.join(FUNCTIONS)}")
        if kind == "literal" and isinstance(node["value"], list | dict):
            raise ExpressionError("may only hold texts, numbers, true, false and null between backticks")


def _nodes(node: dict[str, Any], depth: int) -> Iterator[tuple[dict[str, Any], int]]:
    todo = [(node, depth)]
    while todo:
        current, at = todo.pop()
        yield current, at
        todo += [(child, at + 1) for child in current["children"] if isinstance(child, dict)]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
