"""create_user_for_contacts: users for new contacts and for those who take another's place (40 §5.17)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.couch.client import Database, Doc
from core.errors import InvalidInput
from core.settings import Settings
from core.translations import Translations
from core.users import user_id
from sentinel.transitions import load, make_tools
from sentinel.transitions.create_user_for_contacts import username_for
from tests.sentinel.conftest import Clock, Deployment, codes

NAME = "create_user_for_contacts"
CLINIC: Doc = {"_id": "c1", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}


def person(doc_id: str, **members: Any) -> Doc:
    wishes = members.pop("user_for_contact", {"create": "true"})
    return {"_id": doc_id, "type": "person", "name": "Ásha O'Dera", "phone": "+254712000111", "role": "chw"} | (
        {"parent": CLINIC, "user_for_contact": wishes, **members}
    )


@pytest.fixture
async def users(deployment: Deployment, clock: Clock) -> AsyncIterator[Database]:
    """The accounts; those of this test's contacts are removed afterwards."""
    await deployment.configure(
        transitions={NAME: True},
        token_login={"enabled": True, "message": "hi"},
        app_url="https://health.example",
        roles={"chw": {"name": "CHW", "offline": True}},
    )
    users = deployment.db.couch.db("_users")
    before = {row["id"] for row in await users.all_docs()}
    yield users
    rows = [row for row in await users.all_docs() if row["id"] not in before]
    await users.bulk_docs([{"_id": row["id"], "_rev": row["value"]["rev"], "_deleted": True} for row in rows])


async def account_of(users: Database, contact_id: str) -> list[Doc]:
    rows = await users.all_docs(include_docs=True, startkey="org.couchdb.user:", endkey="org.couchdb.user:\ufff0")
    return [row["doc"] for row in rows if row["doc"].get("contact_id") == contact_id]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"app_url": "https://x"}, r"token_login\.enabled"),
        ({"token_login": {"enabled": True}}, "app_url: is required"),
    ],
)
def test_settings_it_needs(clock: Clock, settings: Doc, message: str) -> None:  # TR-USER-1
    snapshot = Settings({"transitions": {NAME: True}, **settings})
    with pytest.raises(InvalidInput, match=message):
        load(snapshot, make_tools(snapshot, Translations(), clock))


def test_user_names() -> None:  # TR-USER-4
    first = username_for("Ásha O'Dera", "p1", 0)

    assert first.startswith("asha-odera-")
    assert len(first) == len("asha-odera-") + 4
    assert first == username_for("Ásha O'Dera", "p1", 0)
    assert first != username_for("Ásha O'Dera", "p1", 1)
    assert len(username_for("A", "p1", 25)) == len("a-") + 6


async def test_new_contact_gets_a_user_once(deployment: Deployment, users: Database) -> None:  # TR-USER-2, TR-USER-4
    doc_id = f"p-{deployment.db.name[-6:]}"
    doc = await deployment.processed(person(doc_id))
    await deployment.processed({**doc, "user_for_contact": {"create": "true"}})

    [account] = await account_of(users, doc_id)
    assert account["name"] == username_for("Ásha O'Dera", doc_id, 0)
    assert (account["roles"], account["facility_id"]) == (["chw"], "c1")
    assert account["token_login"]["active"]
    profile = await deployment.db.get(account["_id"])
    assert (profile["fullname"], profile["phone"]) == ("Ásha O'Dera", "+254712000111")
    assert "create" not in doc["user_for_contact"]


async def test_repetition_finds_the_user_it_made(deployment: Deployment, users: Database) -> None:  # TRN-10
    doc_id = f"p-{deployment.db.name[-6:]}"
    doc = await deployment.processed(person(doc_id))
    info = await deployment.info(doc_id)
    await deployment.sentinel_db.delete(info["_id"], info["_rev"])
    await deployment.processed({**doc, "user_for_contact": {"create": "true"}})

    assert len(await account_of(users, doc_id)) == 1
    assert codes(await deployment.db.get(doc_id)) == []


@pytest.mark.parametrize("missing", ["name", "phone", "role"])
async def test_what_is_missing_is_said(deployment: Deployment, users: Database, missing: str) -> None:  # TR-USER-2
    doc = await deployment.processed(person("p1", **{missing: None}))

    assert codes(doc) == [f"{NAME}_error"]
    assert missing in doc["errors"][0]["message"]
    assert await account_of(users, "p1") == []
    assert (await deployment.info("p1"))["transitions"][NAME]["ok"] is False


async def test_user_is_replaced(  # TR-USER-3
    deployment: Deployment, users: Database, make_user: Any
) -> None:
    old = await make_user("old", roles=["chw"], facility_id="c1", contact_id="chw")
    before = await users.get(user_id(old.name))
    new_id = f"n-{deployment.db.name[-6:]}"
    await deployment.store(person(new_id, user_for_contact=None))
    replace = {
        old.name: {"status": "READY", "replacement_contact_id": new_id},
        "other": {"status": "PENDING", "replacement_contact_id": "x"},
    }
    chw = await deployment.db.get("chw")
    doc = await deployment.processed({**chw, "user_for_contact": {"create": "true", "replace": replace}})

    [account] = await account_of(users, new_id)
    assert account["roles"] == ["chw"]
    assert (await users.get(user_id(old.name)))["derived_key"] != before["derived_key"]
    statuses = {name: entry["status"] for name, entry in doc["user_for_contact"]["replace"].items()}
    assert statuses == {old.name: "COMPLETE", "other": "PENDING"}
    assert "create" not in doc["user_for_contact"]


async def test_replacement_that_fails_is_said(deployment: Deployment, users: Database) -> None:  # TR-USER-3, TR-USER-4
    replace = {name: {"status": "READY", "replacement_contact_id": name} for name in ("nobody", "noone")}
    chw = await deployment.db.get("chw")
    doc = await deployment.processed({**chw, "user_for_contact": {"replace": replace}})

    assert [entry["status"] for entry in doc["user_for_contact"]["replace"].values()] == ["ERROR", "ERROR"]
    [error] = doc["errors"]
    assert "nobody" in error["message"]
    assert ", the replacement contact 'noone'" in error["message"]
