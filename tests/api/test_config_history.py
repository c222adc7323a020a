"""Settings and forms are kept as they were, and can be put back (65 CONF-83)."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.config_history import KEPT, ConfigHistory
from core.couch.client import Database
from tests.conftest import Background, eventually

Client = TestClient[Any, Any]
FORM = {"_id": "form:visit", "type": "form", "title": "Visit", "internalId": "visit"}


def xml(text: str) -> dict[str, Any]:
    return {
        "_attachments": {"xml": {"content_type": "application/xml", "data": base64.b64encode(text.encode()).decode()}}
    }


@pytest.fixture
def history(db: Database) -> ConfigHistory:
    return ConfigHistory(db, lambda: datetime(2026, 3, 1, tzinfo=UTC))


async def test_the_worker_keeps_every_body_of_the_settings(client: Client, db: Database, sentinel: Background) -> None:
    first = await db.get("settings")
    assert (await client.put("/api/v1/settings", json={"locale": "sw"})).status == 200
    second = await db.get("settings")

    async def kept() -> Any:
        answer = await client.get("/api/v1/config-history/settings")
        entries = await answer.json() if answer.status == 200 else []
        return entries if len(entries) >= 2 else None

    entries = await eventually(kept)
    before = await (await client.get(f"/api/v1/config-history/settings/{first['_rev']}")).json()

    assert [entry["rev"] for entry in entries[:2]] == [second["_rev"], first["_rev"]]
    assert before == first


async def test_settings_are_put_back(client: Client, db: Database, history: ConfigHistory) -> None:
    first = await db.get("settings")
    await history.record(["settings"])
    await client.put("/api/v1/settings", json={"locale": "sw", "roles": {"new": {"name": "New"}}})
    await history.record(["settings"])

    answer = await client.post(f"/api/v1/config-history/settings/{first['_rev']}/restore")

    restored = await db.get("settings")
    assert (answer.status, await answer.json()) == (200, {"ok": True, "id": "settings", "rev": restored["_rev"]})
    assert restored["settings"] == first["settings"]
    assert (await (await client.get("/api/v1/settings")).json())["locale"] == "en"


async def test_a_deleted_form_is_put_back_with_its_attachments(
    client: Client, db: Database, history: ConfigHistory
) -> None:
    rev = await db.put({**FORM, **xml("<h:html/>")})
    await history.record(["form:visit"])
    await db.delete("form:visit", rev)

    answer = await client.post(f"/api/v1/config-history/form:visit/{rev}/restore")

    form = await db.get("form:visit", attachments=True)
    assert answer.status == 200
    assert (form["title"], base64.b64decode(form["_attachments"]["xml"]["data"])) == ("Visit", b"<h:html/>")


async def test_bodies_that_followed_each_other_quickly_are_all_kept(db: Database, history: ConfigHistory) -> None:
    rev = None
    for number in range(4):
        rev = await db.put({**FORM, "title": f"Visit {number}", **({"_rev": rev} if rev else {})})
    await history.record(["form:visit"])
    await history.record(["form:visit"])

    bodies = [await history.body("form:visit", entry["rev"]) for entry in await history.entries("form:visit")]
    assert [body["title"] for body in bodies] == ["Visit 3", "Visit 2", "Visit 1", "Visit 0"]


async def test_the_oldest_bodies_go(db: Database, history: ConfigHistory) -> None:
    await db.put({**FORM, "_id": "form:visit:create"})
    await history.record(["form:visit:create"])
    rev = None
    for number in range(KEPT + 3):
        rev = await db.put({**FORM, "title": str(number), **({"_rev": rev} if rev else {})})
        if number % 10 == 0:
            await history.record(["form:visit"])
    await history.record(["form:visit"])

    entries = await history.entries("form:visit")
    assert [len(entries), entries[0]["rev"]] == [KEPT, rev]
    assert len(await history.entries("form:visit:create")) == 1


async def test_few_bodies_with_large_attachments_are_kept(db: Database) -> None:
    history = ConfigHistory(db, lambda: datetime(2026, 3, 1, tzinfo=UTC), kept_bytes=350)
    revs: list[str] = []
    for length in (100, 100, 100, 100, 400):
        body = {**FORM, **xml("x" * length), **({"_rev": revs[0]} if revs else {})}
        revs.insert(0, await db.put({**body, "title": str(len(revs))}))
        await history.record(["form:visit"])
        kept = [entry["rev"] for entry in await history.entries("form:visit")]
        assert kept == revs[: {5: 2}.get(len(revs), 3)]


async def test_what_was_never_kept_is_404(client: Client, history: ConfigHistory, make_user: Any) -> None:
    await history.record(["settings"])
    clerk = await make_user("clerk", roles=["data_entry"])

    statuses = [
        (await client.get("/api/v1/config-history/form:none")).status,
        (await client.get("/api/v1/config-history/settings/1-abc")).status,
        (await client.post("/api/v1/config-history/settings/1-abc/restore")).status,
        (await client.get("/api/v1/config-history/settings", headers=clerk)).status,
    ]

    assert statuses == [404, 404, 404, 403]
