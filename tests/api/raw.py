"""Requests whose path is sent exactly as it is written."""

from __future__ import annotations

from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from yarl import URL


async def raw(client: TestClient[Any, Any], method: str, path: str, **options: Any) -> ClientResponse:
    """As `client.request`, without any quoting or normalising of the path."""
    url = URL(str(client.make_url("/")).rstrip("/") + path, encoded=True)
    options["headers"] = {**client.session.headers, **options.get("headers", {})}
    return await client.session.request(method, url, **options)
