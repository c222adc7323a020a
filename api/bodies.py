"""JSON bodies that must hold something (30 EP-3), and the moment they came in."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from api.params import read_json
from core.errors import InvalidInput


async def read_filled_json(request: web.Request) -> Any:
    """The parsed body. InvalidInput when it is missing, `{}` or `[]`."""
    body = await read_json(request)
    if body is None or body == {} or body == []:
        raise InvalidInput("Request body is empty or Content-Type header was not set to application/json.")
    return body


def now_ms() -> int:
    return time.time_ns() // 1_000_000
