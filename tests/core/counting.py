"""Count the requests that a piece of work makes of its database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.couch.client import Database


class CountingDatabase(Database):
    """A database that notes the path of each request."""

    def __init__(self, db: Database) -> None:
        super().__init__(db.couch, db.name)
        self.paths: list[str] = []

    async def request(self, method: str, path: str = "", **options: Any) -> Any:
        self.paths.append(path)
        return await super().request(method, path, **options)

    async def bulk_get(self, ids: Iterable[str]) -> bytes:
        self.paths.append("/_bulk_get")
        return await super().bulk_get(ids)
