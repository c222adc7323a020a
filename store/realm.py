"""One QuickJS realm: a compiled program with its own globals, and what ends its calls.

A realm is used from one thread only: two at once would crash the process.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import msgspec
import orjson
import quickjs

from store.errors import CompilationError, StoreError

_HARNESS = (files(__package__) / "data" / "harness.js").read_text("utf-8")
_STACK_BYTES = 512 * 1024
_STATUS_OF_ERROR = {  # of `throw(["error", slug, reason])`; any other is a 500
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "conflict": 409,
}


class JavaScriptError(StoreError):
    """500: a function threw, or ran out of time or memory; the slug is what CouchDB would call the error."""

    @classmethod
    def from_thrown(cls, thrown: Any) -> JavaScriptError:
        if isinstance(thrown, dict) and "error" in thrown:
            slug = str(thrown["error"])
            return cls(str(thrown.get("reason", "")), slug=slug, status=_STATUS_OF_ERROR.get(slug))
        return cls(thrown if isinstance(thrown, str) else json_text(thrown), slug="unknown_error")


class OutOfLimits(Exception):
    """The engine stopped a function; `memory` tells which limit it met."""

    def __init__(self, reason: str, memory: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.memory = memory


class Thrower(Exception):
    def __init__(self, thrown: Any) -> None:
        super().__init__(thrown)
        self.thrown = thrown


class _Thrown(msgspec.Struct):
    thrown: Any


class Realm:
    """One QuickJS context with one compiled program.

    Each time a call has to be stopped, later ones get half the time, down to a hundredth: a function that loops at
    every document must not keep its engine from others for as long as there are documents.
    """

    def __init__(self, compile_call: Sequence[Any], memory_limit_bytes: int, time_limit_s: float) -> None:
        context = quickjs.Context()
        context.set_memory_limit(memory_limit_bytes)
        context.set_max_stack_size(_STACK_BYTES)
        self._context = context
        self._call = context.eval(_HARNESS)
        context.set_time_limit(time_limit_s)
        self._time_limit_s = time_limit_s
        self._stops = 0
        try:
            self.call(*compile_call)
        except Thrower as error:
            if isinstance(error.thrown, dict) and "compilation_error" in error.thrown:
                raise CompilationError(str(error.thrown["compilation_error"])) from None
            raise JavaScriptError.from_thrown(error.thrown) from None
        except OutOfLimits as error:
            raise CompilationError(error.reason) from None

    def call(self, name: str, *arguments: Any) -> bytes:
        """The JSON text `[result, log lines]` of one call of the harness."""
        try:
            text = self._call(name, *arguments)
        except quickjs.StackOverflow as error:
            raise OutOfLimits(_first_line(error), memory=False) from None
        except quickjs.JSException as error:
            reason = _first_line(error)
            if reason == "InternalError: interrupted":
                self._stops += 1
                self._context.set_time_limit(self._time_limit_s * max(0.5**self._stops, 0.01))
            # A realm at its memory limit may not even be able to make the error, and throws null.
            raise OutOfLimits(reason, memory="out of memory" in reason or reason == "null") from None
        if not isinstance(text, str):
            raise OutOfLimits("the function damaged its own environment", memory=True)
        answer = text.encode("utf-8", "replace")
        if answer.startswith(b'{"thrown"'):
            raise Thrower(msgspec.json.decode(well_formed(answer), type=_Thrown).thrown)
        return answer


def well_formed(answer: bytes) -> bytes:
    """JSON text without escaped lone surrogates, which have no UTF-8 form: each becomes U+FFFD."""
    if b"\\ud" not in answer:
        return answer
    text = json.dumps(json.loads(answer), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def json_text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
