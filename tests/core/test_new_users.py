"""New accounts: both documents made together, and what is refused before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

from core.couch.client import Database, Doc
from core.errors import Conflict, InvalidInput, NotFound
from core.user_fields import roles_of
from core.users import delete_user, users_db
from tests.core.accounts import NOW_MS, SETTINGS, account_of, chw, create, doc_ids, profile_of
from tests.core.faulty import DistrictOnly


async def test_new_user_with_a_new_place_and_contact(db: Database, district: Doc, name: str) -> None:
    body = chw(
        name,
        phone="0711000333",
        place={"name": "Juma's area", "type": "health_center", "parent": "d-busia"},
        contact={"name": "Juma K."},
    )

    answer = await create(db, body)

    account, profile = await account_of(db, name), await profile_of(db, name)
    person = await db.get(answer["contact"]["id"])
    place = await db.get(account["facility_id"])
    lineage = {"_id": place["_id"], "parent": {"_id": "d-busia"}}
    assert answer == {
        "contact": {"id": person["_id"], "rev": person["_rev"]},
        "user-settings": {"id": profile["_id"], "rev": profile["_rev"]},
        "user": {"id": account["_id"], "rev": account["_rev"]},
    }  # EP-USR-23
    assert place["contact"] == {"_id": person["_id"], "parent": lineage}
    assert (person["name"], person["type"], person["parent"]) == ("Juma K.", "person", lineage)
    shared = {"name": name, "roles": ["chw"], "facility_id": place["_id"], "contact_id": person["_id"]}
    assert {each: account[each] for each in shared} == shared  # MOD-60, MOD-63, MOD-64, MOD-61
    assert {**profile, "_rev": 0} == {
        "_id": f"org.couchdb.user:{name}",
        "_rev": 0,
        "type": "user-settings",
        **shared,
        "phone": "0711000333",
    }
    assert "password" not in account
    assert "derived_key" in account


async def test_documented_district_manager_is_online(db: Database, district: Doc, name: str) -> None:
    body = {
        "password": "secret",
        "username": name,
        "type": "district-manager",
        "place": {"name": "Mary's Area", "type": "health_center", "parent": "d-busia"},
        "contact": {"name": "Mary Anyango", "phone": "+2868917046"},
    }

    await create(db, body)

    roles = ["district-manager", "kujua_user", "data_entry", "district_admin", "mm-online"]
    assert (await account_of(db, name))["roles"] == roles  # EP-USR-20, EP-USR-21
    assert (await profile_of(db, name))["roles"] == roles


@pytest.mark.parametrize(
    ("body", "roles"),
    [
        ({"roles": ["chw"]}, ["chw"]),
        ({"roles": ["chw", "mm-online"]}, ["chw"]),
        ({"roles": ["data_entry"]}, ["data_entry", "mm-online"]),
        ({"roles": ["data_entry", "mm-online", "data_entry"]}, ["data_entry", "mm-online"]),
        ({"roles": ["unknown"]}, ["unknown"]),
        ({"type": "national-manager"}, ["national-manager", "kujua_user", "data_entry", "national_admin", "mm-online"]),
        ({"type": "gateway"}, ["gateway", "kujua_gateway", "mm-online"]),
        ({"type": "chw"}, ["chw"]),
        ({"roles": ["chw"], "type": "gateway"}, ["chw"]),
        ({"roles": []}, None),
        ({}, None),
    ],
)
def test_roles_carry_the_marker_exactly_when_they_are_online(body: Doc, roles: list[str] | None) -> None:
    assert roles_of(body, SETTINGS) == roles


async def test_existing_place_and_contact_stay_as_they_are(db: Database, district: Doc, name: str) -> None:
    before = await db.get("hc-kanga"), await db.get("p-asha")

    answer = await create(db, chw(name, place="hc-kanga", contact="p-asha", language={"code": "sw"}, known=True))

    assert answer["contact"] == {"id": "p-asha", "rev": before[1]["_rev"]}
    assert (await db.get("hc-kanga"), await db.get("p-asha")) == before  # EP-USR-28
    profile = await profile_of(db, name)
    assert (profile["facility_id"], profile["contact_id"], profile["language"]) == ("hc-kanga", "p-asha", "sw")
    assert (await account_of(db, name))["known"] is profile["known"] is True


async def test_new_contact_may_be_given_a_parent_or_an_id_within_the_place(
    db: Database, district: Doc, name: str
) -> None:
    contact = {"_id": "p-new", "name": "New", "parent": "hc-kanga"}

    await create(db, chw(name, place="d-busia", contact=contact))

    person = await db.get("p-new")
    assert person["parent"] == {"_id": "hc-kanga", "parent": {"_id": "d-busia"}}  # EP-USR-29


async def test_online_user_needs_neither_place_nor_contact(db: Database, name: str) -> None:
    answer = await create(db, {"username": name, "password": "secret", "roles": ["data_entry"], "nonsense": 1})

    account, profile = await account_of(db, name), await profile_of(db, name)
    assert set(answer) == {"user", "user-settings"}
    assert not {"facility_id", "contact_id", "nonsense"} & (set(account) | set(profile))  # EP-USR-1, EP-5


@pytest.mark.parametrize(
    ("body", "message", "key"),
    [
        ({}, "Missing required fields: username, password, type or roles", "fields.required"),
        (
            {"roles": ["chw"], "contact": "p-asha"},
            "Missing required fields: username, password, place",
            "fields.required",
        ),
        (
            {"username": "x", "password": "y", "type": "district-manager"},
            "Missing required fields: place, contact",
            "fields.required",
        ),
        (
            chw("Upper Case", place="hc-kanga", contact="p-asha"),
            "Invalid user name. Valid characters are lower case letters, numbers, underscore (_), and hyphen (-).",
            "username.invalid",
        ),
        (
            chw("x", place="hc-kanga", contact="p-far"),
            "Contact is not within place.",
            "configuration.user.place.contact",
        ),
        (
            chw("x", place="hc-kanga", contact={"name": "N", "parent": "d-busia"}),
            "Contact is not within place.",
            "configuration.user.place.contact",
        ),
        (
            chw("x", place="hc-kanga", contact="d-busia"),
            "Wrong type, contact is not a person.",
            "contact.type.wrong",
        ),
    ],
)
async def test_invalid_user_is_refused_with_a_key_to_translate(body: Doc, message: str, key: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await create(DistrictOnly(), body)

    assert refused.value.message == message  # EP-USR-2, EP-USR-25, EP-USR-27
    assert refused.value.details["translationKey"] == key  # ERR-7


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (["x"], "User must be an object."),
        ({"roles": ["_admin"]}, "do not start with an underscore"),
        ({"roles": "chw"}, '"roles" must be a list'),
        ({"type": "_admin"}, '"type" must be the name of a role'),
        (chw("x", place=5, contact="p-asha"), "Place must be a new object or string identifier"),
        (chw("x", place="hc-kanga", contact=5), "Person must be a new object or string identifier"),
        (chw("x", place="hc-kanga", contact={"name": "x", "_rev": "1-a"}), "Person must be a new object"),
        (chw("x", place="hc-kanga", contact={"phone": "1"}), 'Person is missing a "name" property.'),
        (chw("x", place={"type": "clinic"}, contact="p-asha"), 'missing a "name" property'),
        (chw("x", place="hc-kanga", contact="p-asha", fullname=5), '"fullname" must be a string'),
        (chw("x", place="hc-kanga", contact="p-asha", known="yes"), '"known" must be true or false'),
        (chw("x", place="hc-kanga", contact="p-asha", password=5), '"password" must be a string'),
    ],
)
async def test_invalid_members_are_refused(body: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        await create(DistrictOnly(), body)


async def test_unknown_place_and_contact_are_not_found_and_nothing_is_written(
    db: Database, district: Doc, name: str
) -> None:
    before = await doc_ids(db)

    with pytest.raises(NotFound, match=r"^Failed to find place\.$"):
        await create(db, chw(name, place="nowhere", contact={"name": "N"}))
    with pytest.raises(NotFound, match=r"^Failed to find person\.$"):
        await create(db, chw(name, place={"name": "A", "type": "district_hospital"}, contact="nobody"))

    assert await doc_ids(db) == before  # EP-USR-30
    assert await users_db(db).find(f"org.couchdb.user:{name}") is None


async def test_taken_name_is_a_conflict_even_of_a_deleted_user(db: Database, district: Doc, name: str) -> None:
    body = chw(name, place={"name": "A", "type": "health_center", "parent": "d-busia"}, contact={"name": "N"})
    await create(db, body)
    before = await doc_ids(db)

    with pytest.raises(Conflict, match=r"^Document update conflict\.$"):
        await create(db, body)
    await delete_user(db, name, now_ms=NOW_MS)
    with pytest.raises(Conflict, match=r"^Document update conflict\.$"):
        await create(db, body)

    assert await doc_ids(db) == before  # EP-USR-26
