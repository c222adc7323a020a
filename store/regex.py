"""Regular expressions of selectors, within limits: a hostile pattern costs its own query, never the server.

QuickJS's engine counts its steps and can be stopped; Python's cannot. CouchDB's own is PCRE: what PCRE spells
differently from JavaScript and people use is rewritten (leading `(?i)`, `\\A`, `\\Z`, `\\z`, `\\h`, `$` before a last
newline, POSIX classes, `(?P<name>`).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import quickjs

from store.errors import BadRequest

_TIME_LIMIT_S = 0.05  # of CPU for one match
_MEMORY_LIMIT_BYTES = 16 * 1024 * 1024
_HARNESS = """
(function () {
  var patterns = new Map();
  return function (source, flags, text) {
    var key = flags + "/" + source, pattern = patterns.get(key);
    if (pattern === undefined) {
      if (patterns.size > 200) { patterns.clear(); }
      patterns.set(key, pattern = new RegExp(source, flags));
    }
    return pattern.test(text);
  };
})()
"""
_LEADING_FLAGS = re.compile(r"\(\?([ims]+)\)")
_OUTSIDE = re.compile(r"\\.|\(\?P<|\$|\[\^?\]?", re.DOTALL)  # what is looked at outside a character class
_INSIDE = re.compile(r"\\.|\[:[a-z]+:\]|\[|\]", re.DOTALL)  # and inside one
_END, _BEFORE_LAST_NEWLINE = "(?![\\s\\S])", "(?=\\n?(?![\\s\\S]))"
_SPELLED = {"\\A": "(?<![\\s\\S])", "\\z": _END, "\\Z": _BEFORE_LAST_NEWLINE, "\\h": "[ \\t]", "(?P<": "(?<"}
_POSIX = {
    "[:alnum:]": "A-Za-z0-9\u0080-\uffff", "[:alpha:]": "A-Za-z\u0080-\uffff", "[:blank:]": " \\t",
    "[:cntrl:]": "\\x00-\\x1f\\x7f", "[:digit:]": "0-9",
    "[:graph:]": "!-~", "[:lower:]": "a-z", "[:print:]": " -~", "[:space:]": "\\s",
    "[:punct:]": "!-\\/:-@\\[-`{-~", "[:upper:]": "A-Z", "[:word:]": "\\w", "[:xdigit:]": "A-Fa-f0-9", "[": "\\[",
}  # fmt: skip

_threads = threading.local()  # an engine may be used by one thread only


def compile_regex(source: str) -> Callable[[str], bool]:
    """A function that finds the pattern anywhere in a text; ValueError when the pattern is wrong.

    The function raises BadRequest when a match takes too long.
    """
    pattern, flags = _translated(source)
    try:
        _engine()(pattern, flags, "")
    except quickjs.JSException as error:
        if "SyntaxError" in str(error):
            raise ValueError(str(error).partition("\n")[0]) from None

    def found_in(text: str) -> bool:
        try:
            return bool(_engine()(pattern, flags, text))
        except quickjs.JSException as error:
            _threads.engine = None
            raise BadRequest(f"Matching the regular expression {source} takes too long", slug="bad_arg") from error

    return found_in


def _translated(source: str) -> tuple[str, str]:
    """The pattern as JavaScript spells it, and its flags."""
    leading = _LEADING_FLAGS.match(source)
    flags = "".join(sorted(set(leading[1]))) if leading else ""
    at = leading.end() if leading else 0
    parts: list[str] = []
    in_class = False
    while token := (_INSIDE if in_class else _OUTSIDE).search(source, at):
        parts.append(source[at : token.start()])
        at = token.end()
        text = token[0]
        if in_class:
            in_class = text != "]"
            parts.append(_POSIX.get(text, text))
        elif text[0] == "[":
            in_class = True
            parts.append(text.replace("]", "\\]"))
        elif text == "$" and "m" not in flags:
            parts.append(_BEFORE_LAST_NEWLINE)
        else:
            parts.append(_SPELLED.get(text, text))
    return "".join([*parts, source[at:]]), flags


def _engine() -> Any:
    engine = getattr(_threads, "engine", None)
    if engine is None:
        context = quickjs.Context()
        context.set_memory_limit(_MEMORY_LIMIT_BYTES)
        engine = context.eval(_HARNESS)
        context.set_time_limit(_TIME_LIMIT_S)
        _threads.context, _threads.engine = context, engine
    return engine
