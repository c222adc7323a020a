"""Requests as the documentation prints them, sent as they stand, and the shapes of its answers."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

Client = TestClient[Any, Any]


async def send(client: Client, text: str, login: dict[str, str] | None = None) -> ClientResponse:
    """Send `METHOD path`, header lines, an empty line and a body."""
    head, _, body = text.strip().partition("\n\n")
    first, *lines = head.splitlines()
    method, path = first.split(" ", 1)
    headers = dict(line.split(": ", 1) for line in lines)
    return await client.request(method, path, data=body or None, headers={**headers, **(login or {})})


def shape(value: Any) -> Any:
    """Members and types, without the values."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


def printed_shape(text: str) -> Any:
    return shape(json.loads(text))
