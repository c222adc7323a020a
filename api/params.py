"""Read and check what a request brings; every refusal names the parameter and what was expected.

A query parameter is declared once, as a `Param`: handlers read it through that, and the API's description shows it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from api.errors import MalformedJson
from core.errors import InvalidInput

TRUE = frozenset({"", "true", "1"})
FALSE = frozenset({"false", "0"})
DEEPEST = 250  # levels of a JSON body: orjson writes 254, and what is stored is wrapped into more


def require_json(request: web.Request) -> None:
    """Refuse a body of another media type before anything else is looked at (AUTH-14, EP-4)."""
    if request.content_type != "application/json" or "Content-Type" not in request.headers:
        raise InvalidInput("Content-Type must be application/json")


async def read_json(request: web.Request) -> Any:
    """The parsed body, None when it is empty. MalformedJson, TooLarge above 32 MiB."""
    body = await request.read()
    return parse_json(body) if body.strip() else None


def parse_gateway_json(body: bytes) -> Any:
    """As `parse_json`, with a `?` for each piece of a character that came apart, as one cut off at the end of an SMS.

    A gateway sends what was refused again, for ever, and with it all that stands beside it (SMS-21).
    """
    try:
        return parse_json(body)
    except MalformedJson:
        try:
            whole = json.dumps(json.loads(body.decode(errors="replace")), ensure_ascii=False)
        except (ValueError, RecursionError):
            whole = ""
        if not whole:
            raise
        return parse_json(whole.encode(errors="replace"))


class TooDeep(MalformedJson):
    def __init__(self) -> None:
        super().__init__(f"The request body is nested more than {DEEPEST} levels deep")


def parse_json(body: bytes) -> Any:
    """The value of a request's body. MalformedJson, also for what is nested deeper than could be written again."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(f"The request body is not valid JSON: {error}") from error
    if body.count(b"{") + body.count(b"[") > DEEPEST and is_deeper(value, DEEPEST):
        raise TooDeep
    return value


def check_depth(body: bytes) -> None:
    """Refuse what is going to be stored and could not be read again, before CouchDB sees it. MalformedJson."""
    if body.count(b"{") + body.count(b"[") > DEEPEST:
        parse_json(body)


def is_deeper(value: Any, levels: int) -> bool:
    """Whether objects and arrays stand within each other more often than that."""
    level = [value]
    for _ in range(levels + 1):
        level = [
            each
            for node in level
            if isinstance(node, dict | list)
            for each in (node.values() if isinstance(node, dict) else node)
            if isinstance(each, dict | list)
        ]
        if not level:
            return False
    return True


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


TEXT: Mapping[str, Any] = {"type": "string"}


@dataclass(frozen=True)
class Param:
    """A query parameter that is a text: its name, what it is for, and what it takes as JSON Schema."""

    name: str
    about: str
    schema: Mapping[str, Any] = field(default_factory=lambda: TEXT, kw_only=True)
    required: bool = field(default=False, kw_only=True)

    def text(self, request: web.Request) -> str | None:
        return request.query.get(self.name)

    def texts(self, request: web.Request) -> list[str]:
        """All of them, where the parameter is repeated."""
        return request.query.getall(self.name, [])

    def described(self) -> dict[str, Any]:
        """As OpenAPI has it."""
        return {
            "name": self.name,
            "in": "query",
            "description": self.about,
            "required": self.required,
            "schema": dict(self.schema),
        }


@dataclass(frozen=True, kw_only=True)
class Flag(Param):
    """A boolean; see `flag`."""

    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "boolean", "default": False})

    def read(self, request: web.Request) -> bool:
        return flag(request, self.name)

    def described(self) -> dict[str, Any]:
        return {**super().described(), "allowEmptyValue": True}


@dataclass(frozen=True, kw_only=True)
class WholeNumber(Param):
    """A whole number within bounds."""

    default: int
    least: int
    most: int

    def read(self, request: web.Request) -> int:
        return whole_number(request, self.name, self.default, least=self.least, most=self.most)

    def described(self) -> dict[str, Any]:
        bounds = {"type": "integer", "minimum": self.least, "maximum": self.most, "default": self.default}
        return {**super().described(), "schema": bounds}


@dataclass(frozen=True, kw_only=True)
class TextList(Param):
    """Texts separated by commas."""

    def read(self, request: web.Request) -> list[str] | None:
        """Each text once; None when the parameter is absent."""
        text = self.text(request)
        if text is None:
            return None
        return list(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))

    def described(self) -> dict[str, Any]:
        texts = {"type": "array", "items": dict(self.schema)}
        return {**super().described(), "schema": texts, "style": "form", "explode": False}


@dataclass(frozen=True, kw_only=True)
class JsonParam(Param):
    """A value written as JSON; one that is no JSON counts as a text (AUTH-6)."""

    def read(self, request: web.Request) -> Any:
        return json_param(request, self.name)

    def described(self) -> dict[str, Any]:
        described = super().described()
        schema = described.pop("schema")
        return {**described, "content": {"application/json": {"schema": schema}}}
