"""A client of one store that reads like CouchDB's documentation."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import ClientSession
from yarl import URL

ADMIN = ("admin", "secret")


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@dataclass
class Answer:
    """One response, read whole."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    body: Any = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.body = orjson.loads(self.raw)
        except orjson.JSONDecodeError:
            self.body = None


class Client:
    """Requests to one store, as its administrator unless told otherwise."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def ask(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        data: bytes | str | None = None,
        user: tuple[str, str] | None = ADMIN,
        headers: Mapping[str, str] | None = None,
        **params: Any,
    ) -> Answer:
        """`params` go into the query: strings as they are, everything else as JSON."""
        query = {
            name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in params.items()
        }
        sent = {"Accept": "application/json", **(basic(*user) if user else {}), **(headers or {})}
        if json is not None:
            data = orjson.dumps(json)
            sent.setdefault("Content-Type", "application/json")
        url = URL(self.url + path, encoded=True).update_query(query)
        body = io.BytesIO(data) if isinstance(data, bytes) and len(data) > 1_000_000 else data
        async with self.session.request(method, url, data=body, headers=sent, allow_redirects=False) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def put(self, path: str, json: Any = None, **options: Any) -> Answer:
        return await self.ask("PUT", path, json, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        return await self.ask("POST", path, json, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        return await self.ask("DELETE", path, **options)

    async def make_user(self, name: str, password: str, *roles: str) -> tuple[str, str]:
        doc = {"name": name, "password": password, "roles": list(roles), "type": "user"}
        answer = await self.put(f"/_users/org.couchdb.user:{name}", doc)
        assert answer.status == 201
        return name, password
