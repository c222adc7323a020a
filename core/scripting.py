"""Run the JavaScript that settings contain, away from the event loop and unable to reach anything (40 §14).

No compiled form is kept: the fresh context that each call gets takes eight times as long as reading an expression.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import quickjs

from core.errors import InvalidInput

TIME_LIMIT_S = 0.25
MEMORY_LIMIT_BYTES = 32 * 1024 * 1024
STACK_LIMIT_BYTES = 512 * 1024


class ScriptError(InvalidInput):
    """The script threw, ran too long, took too much memory, or is no JavaScript."""


async def evaluate(source: str, names: Mapping[str, Any], *, time_limit_s: float = TIME_LIMIT_S) -> Any:
    """The value of one expression that sees `names`, copied in and out as JSON. Raises ScriptError."""
    result = (await evaluate_all([source], names, time_limit_s=time_limit_s))[0]
    if isinstance(result, ScriptError):
        raise result
    return result


async def evaluate_all(
    sources: Sequence[str], names: Mapping[str, Any], *, time_limit_s: float = TIME_LIMIT_S
) -> list[Any]:
    """The values of several expressions over the same names, in order; a ScriptError where one failed.

    One hop to a thread for all of them; each has a fresh context and its own limits (JSX-2).
    """
    if not sources:
        return []
    body = orjson.dumps(dict(names), option=orjson.OPT_NON_STR_KEYS).decode()
    return await asyncio.to_thread(lambda: [run(source, list(names), body, time_limit_s) for source in sources])


async def call(source: str, arguments: Sequence[Any], *, time_limit_s: float = TIME_LIMIT_S) -> Any:
    """The value of a function given as text, called with `arguments` (JSX-3). Raises ScriptError."""
    names = {f"argument{index}": value for index, value in enumerate(arguments)}
    return await evaluate(f"({as_expression(source)})({', '.join(names)})", names, time_limit_s=time_limit_s)


def run(source: str, names: Sequence[str], body: str, time_limit_s: float) -> Any:
    """Evaluate in a context that lives and dies in this thread; a context must never be seen by two."""
    context = limited_context(time_limit_s)
    try:
        context.set("names", body)
        context.set("source", as_expression(source))
        arguments = ", ".join(names)
        # Function compiles the text in the global scope: it sees its names and nothing of this wrapper.
        answer = context.eval(
            f"(function () {{ var given = JSON.parse(names), text = source; delete globalThis.names;"
            f" delete globalThis.source; var value = Function('{arguments}', 'return (' + text + '\\n);')"
            f"({', '.join(f'given.{name}' for name in names)});"
            " var answer = JSON.stringify(value); return answer === undefined ? 'null' : answer; })()"
        )
        return orjson.loads(answer)
    except quickjs.JSException as error:
        return ScriptError(reason_of(error))
    except (orjson.JSONDecodeError, TypeError, ValueError) as error:
        return ScriptError(f"the result is not JSON: {error}")


def syntax_errors(sources: Sequence[str]) -> list[str | None]:
    """For each text that is no expression, nor a function, why; it is read and not run."""
    context = limited_context(TIME_LIMIT_S)
    reasons: list[str | None] = []
    for source in sources:
        try:
            context.set("source", as_expression(source))
            context.eval("Function('return (' + source + '\\n);'); null")
            reasons.append(None)
        except quickjs.JSException as error:
            reasons.append(reason_of(error))
    return reasons


def as_expression(source: str) -> str:
    """Without the semicolons that people end it with."""
    return source.rstrip("; \t\r\n")


def limited_context(time_limit_s: float) -> quickjs.Context:
    context = quickjs.Context()
    context.set_memory_limit(MEMORY_LIMIT_BYTES)
    context.set_time_limit(time_limit_s)
    context.set_max_stack_size(STACK_LIMIT_BYTES)
    return context


def reason_of(error: quickjs.JSException) -> str:
    reason = (str(error).strip().splitlines() or ["null"])[0]
    return "out of memory" if reason == "null" else reason


def truthy(value: Any) -> bool:
    """Whether JavaScript takes a JSON value for true: empty lists and objects are."""
    return isinstance(value, list | dict) or bool(value)
