"""Databases that fail on cue, in front of the real ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from core.couch.client import Database
from core.errors import NotFound, Unavailable
from tests.core.accounts import DISTRICT


class DistrictOnly(Database):
    """A database that holds the district and takes no writes."""

    docs = (
        DISTRICT,
        {"_id": "hc-kanga", "type": "health_center", "name": "Kanga", "parent": {"_id": "d-busia"}},
        {
            "_id": "p-asha",
            "type": "person",
            "name": "Asha",
            "parent": {"_id": "hc-kanga", "parent": {"_id": "d-busia"}},
        },
        {"_id": "p-far", "type": "person", "name": "Far", "parent": {"_id": "d-busia"}},
    )

    def __init__(self) -> None:
        self.couch = self  # type: ignore[assignment]
        self.name = "medic"

    def db(self, name: str) -> Database:
        return self

    async def request(self, method: str, path: str = "", **options: Any) -> Any:
        if method == "GET":
            raise NotFound("missing")
        raise AssertionError(f"{method} {path} although the body is invalid")

    async def bulk_get(self, ids: Iterable[str]) -> bytes:
        known = {doc["_id"]: doc for doc in self.docs}
        return orjson.dumps(
            {"results": [{"id": each, "docs": [{"ok": known[each]}] if each in known else []} for each in ids]}
        )


class Failing(Database):
    """The real databases, but for requests that a subclass lets fail."""

    def __init__(self, db: Database, name: str | None = None) -> None:
        super().__init__(db.couch, name or db.name)
        self.real = db
        self.couch = self  # type: ignore[assignment]

    def db(self, name: str) -> Database:
        return type(self)(self.real, name)

    async def request(self, method: str, path: str = "", **options: Any) -> Any:
        self.check(method, path)
        return await self.real.couch.request(method, self.path + path, **options)

    def check(self, method: str, path: str) -> None:
        raise NotImplementedError


class ProfileAway(Failing):
    def check(self, method: str, path: str) -> None:
        if not self.name.endswith(("_users", "-sentinel")) and method == "PUT":
            raise Unavailable("CouchDB cannot be reached")
