"""Accounts changed and ended: both documents together."""

from __future__ import annotations

import pytest

from core.couch.client import Database, Doc
from core.errors import DomainError, InvalidInput, NotFound, Unavailable
from core.users import delete_user, update_user, users_db
from tests.core.accounts import NOW_MS, SETTINGS, account_of, chw, create, profile_of
from tests.core.faulty import ProfileAway


async def test_update_writes_both_documents(db: Database, district: Doc, name: str) -> None:
    created = await create(db, chw(name, place="hc-kanga", contact="p-asha"))

    answer = await update_user(
        db, SETTINGS, name, {"fullname": "Juma K.", "known": True, "place": "d-busia"}, now_ms=NOW_MS
    )

    account, profile = await account_of(db, name), await profile_of(db, name)
    assert answer == {
        "user": {"id": account["_id"], "rev": account["_rev"]},
        "user-settings": {"id": profile["_id"], "rev": profile["_rev"]},
    }  # EP-USR-56
    assert account["_rev"] != created["user"]["rev"]
    assert profile["fullname"] == "Juma K."
    for doc in (account, profile):
        assert (doc["facility_id"], doc["contact_id"], doc["known"], doc["roles"]) == (
            "d-busia",
            "p-asha",
            True,
            ["chw"],
        )


async def test_new_password_replaces_the_hash(db: Database, name: str) -> None:
    await create(db, {"username": name, "password": "secret", "roles": ["data_entry"]})
    before = await account_of(db, name)

    await update_user(db, SETTINGS, name, {"password": "other-secret"}, now_ms=NOW_MS)

    after = await account_of(db, name)
    assert after["derived_key"] != before["derived_key"]
    assert after["salt"] != before["salt"]  # AUTH-23
    assert "password" not in after
    assert "password" not in await profile_of(db, name)


async def test_update_moves_between_online_and_offline(db: Database, district: Doc, name: str) -> None:
    await create(db, chw(name, place="hc-kanga", contact="p-asha"))

    await update_user(db, SETTINGS, name, {"roles": ["data_entry"], "place": None, "contact": None}, now_ms=NOW_MS)

    account, profile = await account_of(db, name), await profile_of(db, name)
    for doc in (account, profile):
        assert doc["roles"] == ["data_entry", "mm-online"]  # PERM-8
        assert not {"facility_id", "contact_id"} & set(doc)  # EP-USR-55


async def test_refused_updates_leave_both_documents_as_they_were(db: Database, district: Doc, name: str) -> None:
    await create(db, chw(name, place="hc-kanga", contact="p-asha"))
    before = await account_of(db, name), await profile_of(db, name)
    refusals: list[tuple[Doc, type[DomainError], str]] = [
        (
            {"nonsense": 1},
            InvalidInput,
            "One of the following fields are required: password, known, place",
        ),
        ({"place": None}, InvalidInput, "Place field is required for offline users"),
        ({"contact": None}, InvalidInput, "Contact field is required for offline users"),
        ({"place": "nowhere"}, NotFound, "Failed to find place."),
        ({"contact": "nobody"}, NotFound, "Failed to find person."),
        ({"contact": "p-far"}, InvalidInput, "Contact is not within place."),
        ({"contact": "d-busia"}, InvalidInput, "Wrong type, contact is not a person."),
        ({"place": {"name": "A"}}, InvalidInput, '"place" must be the id of an existing document'),
        ({"roles": ["_admin"]}, InvalidInput, "do not start with an underscore"),
        ({"roles": []}, InvalidInput, "must name at least one role"),
        ({"password": ""}, InvalidInput, '"password" must be a string'),
        ({"email": 5}, InvalidInput, '"email" must be a string'),
    ]

    for body, kind, message in refusals:
        with pytest.raises(kind) as refused:
            await update_user(db, SETTINGS, name, body, now_ms=NOW_MS)
        assert message in refused.value.message  # EP-USR-52..55

    assert (await account_of(db, name), await profile_of(db, name)) == before


async def test_password_of_a_server_administrator_is_not_changed_here(db: Database, name: str) -> None:
    await create(db, {"username": name, "password": "secret", "roles": ["data_entry"]})

    with pytest.raises(InvalidInput, match="Admin passwords must be changed manually in the database"):
        await update_user(db, SETTINGS, name, {"password": "x"}, server_admins=(name,), now_ms=NOW_MS)  # AUTH-24


async def test_profile_that_cannot_be_written_puts_the_account_back(db: Database, district: Doc, name: str) -> None:
    await create(db, chw(name, place="hc-kanga", contact="p-asha"))

    with pytest.raises(Unavailable):
        await update_user(ProfileAway(db), SETTINGS, name, {"roles": ["chw_supervisor"]}, now_ms=NOW_MS)

    assert (await account_of(db, name))["roles"] == (await profile_of(db, name))["roles"] == ["chw"]


async def test_unknown_user_is_not_found(db: Database, name: str) -> None:
    with pytest.raises(NotFound, match=r"^Failed to find user\.$"):
        await update_user(db, SETTINGS, name, {"fullname": "X"}, now_ms=NOW_MS)  # EP-USR-57
    with pytest.raises(NotFound, match=r"^Failed to find user\.$"):
        await delete_user(db, name, now_ms=NOW_MS)


async def test_deleting_ends_the_account_and_keeps_the_rest(db: Database, district: Doc, name: str) -> None:
    await create(db, chw(name, place="hc-kanga", contact="p-asha"))
    before = await profile_of(db, name), await db.get("hc-kanga"), await db.get("p-asha")

    rows = await delete_user(db, name, now_ms=NOW_MS + 5)

    profile = await profile_of(db, name)
    assert await users_db(db).find(f"org.couchdb.user:{name}") is None
    assert profile == {**before[0], "_rev": profile["_rev"], "inactive": True, "deletion_date": NOW_MS + 5}  # MOD-65
    assert (await db.get("hc-kanga"), await db.get("p-asha")) == before[1:]
    assert [(row["id"], row["ok"]) for row in rows] == [(f"org.couchdb.user:{name}", True)] * 2  # EP-USR-58
