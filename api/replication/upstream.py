"""Ask CouchDB as the caller and hold the whole answer, where it must be judged before it goes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from api.errors import MalformedJson, StorageError
from api.params import TooDeep, parse_json
from api.proxy import ask, read_whole, response_headers

# We must understand what comes back, and must see it even if the client has it already.
PLAIN = {"Accept": "application/json", "Accept-Encoding": "identity"}
READ = {**PLAIN, "If-None-Match": '"-"'}
SEND = {**PLAIN, "Content-Type": "application/json"}


@dataclass(frozen=True)
class Answer:
    """CouchDB's answer, whole."""

    status: int
    reason: str | None
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return self.status < 400

    def json(self) -> Any:
        return orjson.loads(self.body)

    def respond(self, body: bytes | None = None) -> web.Response:
        """The same answer to the client, with another body if one is given."""
        return web.Response(
            status=self.status, reason=self.reason, headers=self.headers, body=self.body if body is None else body
        )


async def fetch(request: web.Request, path: str, *, method: str | None = None, body: bytes | None = None) -> Answer:
    """CouchDB's answer to the caller; `path` with query, percent-encoded; `body` is JSON.

    Raises Unauthorized and Unavailable; every other status is an answer.
    """
    headers = READ if body is None else SEND
    async with ask(request, method=method, path=path, params={}, body=body, headers=headers) as upstream:
        data = await read_whole(upstream)
        kept = response_headers(request, upstream)
        kept.popall("Content-Length", None)
        return Answer(upstream.status, upstream.reason, kept, data)


async def read_object(request: web.Request) -> dict[str, Any]:
    """The request's body, a JSON object; empty when there is no body. StorageError 400 for anything else."""
    body = await request.read()
    return parse_object(body) if body.strip() else {}


def parse_object(body: bytes) -> dict[str, Any]:
    try:
        found = parse_json(body)
    except TooDeep as error:
        raise bad_request(error.message) from error
    except MalformedJson as error:
        raise bad_request("invalid UTF-8 JSON") from error
    if not isinstance(found, dict):
        raise bad_request("Request body must be a JSON object")
    return found


def bad_request(reason: str) -> StorageError:
    return StorageError(400, "bad_request", reason)
