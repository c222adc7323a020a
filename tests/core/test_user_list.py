"""Accounts as they are listed, with their places and contacts."""

from __future__ import annotations

from core.couch.client import Database, Doc
from core.user_list import list_users, user_of
from core.users import users_db
from tests.core.accounts import account_of, chw, create


async def test_list_shows_places_and_contacts_as_documents(db: Database, district: Doc, name: str) -> None:
    body = chw(name, place="hc-kanga", contact="p-asha", fullname="Juma K.", phone="1", language="sw", known=False)
    created = await create(db, body)

    users = [user async for batch in list_users(db, user_of) for user in batch if user["username"] == name]

    person = await db.get("p-asha")
    assert users == [
        {
            "id": f"org.couchdb.user:{name}",
            "rev": created["user"]["rev"],
            "type": "chw",
            "username": name,
            "fullname": "Juma K.",
            "phone": "1",
            "language": {"code": "sw"},
            "known": False,
            "place": {**await db.get("hc-kanga"), "contact": person, "parent": await db.get("d-busia")},
            "contact": person,
        }
    ]  # EP-USR-10, EP-USR-11, DIV-13


async def test_list_leaves_out_what_is_unknown_and_shows_several_places(db: Database, district: Doc, name: str) -> None:
    users = users_db(db)
    doc = {"_id": f"org.couchdb.user:{name}", "name": name, "type": "user", "password": "secret", "roles": []}
    rev = await users.put({**doc, "facility_id": ["hc-kanga", "d-busia", "gone"], "contact_id": "gone"})

    [several] = [user async for batch in list_users(db, user_of) for user in batch if user["username"] == name]
    await users.put({**doc, "_rev": rev, "facility_id": "gone"})
    [unknown] = [user async for batch in list_users(db, user_of) for user in batch if user["username"] == name]

    assert [place["_id"] for place in several["place"]] == ["hc-kanga", "d-busia"]  # EP-USR-13, DIV-13
    assert set(unknown) == {"id", "rev", "type", "username"}  # EP-USR-11
    assert unknown["type"] == "unknown"


async def test_list_is_ordered_by_id_across_batches(db: Database, name: str) -> None:
    for suffix in ("b", "a", "c"):
        await users_db(db).put(
            {"_id": f"org.couchdb.user:{name}-{suffix}", "name": f"{name}-{suffix}", "type": "user", "roles": []}
        )

    batches = [batch async for batch in list_users(db, user_of, batch=2)]

    listed = [user["username"] for batch in batches for user in batch]
    assert [each for each in listed if each.startswith(name)] == [f"{name}-a", f"{name}-b", f"{name}-c"]  # EP-USR-12
    assert max(len(batch) for batch in batches) <= 2
    assert len(set(listed)) == len(listed)
    for suffix in "abc":
        account = await account_of(db, f"{name}-{suffix}")
        await users_db(db).delete(account["_id"], account["_rev"])
