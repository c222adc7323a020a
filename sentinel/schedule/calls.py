"""Ask a service of somebody else: in bounded time, and taking no more of its answer than there is use for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Answer:
    """`content` is None when it did not come whole, in time, or is longer than MOST_BYTES: the status counts still."""

    status: int
    headers: httpx.Headers
    content: bytes | None

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        return (self.content or b"").decode(errors="replace")

    @property
    def json(self) -> Any:
        """The content, None when it is no JSON."""
        try:
            return orjson.loads(self.content or b"")
        except orjson.JSONDecodeError:
            return None


async def ask(client: httpx.AsyncClient, method: str, url: str, **options: Any) -> Answer:
    """The answer, whatever its status. Raises httpx.HTTPError or TimeoutError when none came.

    The client's timeout for reading is that of the whole: httpx's own begins anew with every byte that drips.
    """
    limit_s = client.timeout.read
    ends = None if limit_s is None else asyncio.get_running_loop().time() + limit_s
    headers = {"accept-encoding": "identity", **options.pop("headers", {})}
    async with asyncio.timeout_at(ends):
        request = client.build_request(method, url, headers=headers, **options)
        response = await client.send(request, stream=True)
    try:
        async with asyncio.timeout_at(ends):
            content = await beginning(response)
    except (httpx.HTTPError, TimeoutError):
        content = None
    finally:
        await response.aclose()
    return Answer(response.status_code, response.headers, content)


async def beginning(response: httpx.Response) -> bytes | None:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MOST_BYTES:
            return None
    return bytes(content)
