"""Read and check what a request brings; every refusal names the parameter and what was expected."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from api.errors import MalformedJson
from core.errors import InvalidInput

TRUE = frozenset({"", "true", "1"})
FALSE = frozenset({"false", "0"})


def require_json(request: web.Request) -> None:
    """Refuse a body of another media type before anything else is looked at (AUTH-14, EP-4)."""
    if request.content_type != "application/json" or "Content-Type" not in request.headers:
        raise InvalidInput("Content-Type must be application/json")


async def read_json(request: web.Request) -> Any:
    """The parsed body, None when it is empty. MalformedJson, TooLarge above 32 MiB."""
    body = await request.read()
    if not body.strip():
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(f"The request body is not valid JSON: {error}") from error


def flag(request: web.Request, name: str) -> bool:
    """A boolean query parameter: `true`, `1` or no value is true; `false`, `0` or absent is false."""
    text = request.query.get(name)
    if text is None or text in FALSE:
        return False
    if text in TRUE:
        return True
    raise InvalidInput(f"Query parameter `{name}` must be true or false, not {text!r}")


def whole_number(request: web.Request, name: str, default: int, *, least: int, most: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18 or not least <= int(text) <= most:
        raise InvalidInput(f"Query parameter `{name}` must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def json_param(request: web.Request, name: str) -> Any:
    """A query parameter decoded where it is JSON and kept as text where it is not; None when absent (AUTH-6)."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
