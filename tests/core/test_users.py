"""Accounts: both documents made, changed and ended together, and what is refused before anything is written."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.couch.client import Database, Doc
from core.errors import Conflict, DomainError, InvalidInput, NotFound, Unavailable
from core.new_users import create_user
from core.people import create_person
from core.places import create_place
from core.prepare import DEFAULT_SETTINGS
from core.settings import Settings
from core.user_fields import roles_of
from core.user_list import list_users
from core.users import delete_user, update_user, users_db

NOW_MS = 1_709_280_000_000
SETTINGS = Settings(DEFAULT_SETTINGS)
DISTRICT = {"_id": "d-busia", "name": "Busia", "type": "district_hospital"}


@pytest.fixture
async def name(db: Database) -> AsyncIterator[str]:
    """A user name of the test's own, whose account is removed afterwards."""
    name = f"juma-{secrets.token_hex(4)}"
    yield name
    account = await users_db(db).find(f"org.couchdb.user:{name}")
    if account:
        await users_db(db).delete(account["_id"], account["_rev"])


@pytest.fixture
async def district(db: Database) -> Doc:
    """The district d-busia with the health center hc-kanga, its contact p-asha, and p-far of the district."""
    place = {"_id": "hc-kanga", "name": "Kanga", "type": "health_center", "parent": DISTRICT}
    await create_place(db, SETTINGS, {**place, "contact": {"_id": "p-asha", "name": "Asha"}}, now_ms=NOW_MS)
    await create_person(db, SETTINGS, {"_id": "p-far", "name": "Far", "place": "d-busia"}, now_ms=NOW_MS)
    return await db.get("d-busia")


def chw(name: str, **members: Any) -> Doc:
    return {"username": name, "password": "Green-boat-12", "roles": ["chw"], **members}


async def create(db: Database, body: Any, settings: Settings = SETTINGS) -> Doc:
    answer, _ = await create_user(db, settings, body, now_ms=NOW_MS)
    return answer


async def account_of(db: Database, name: str) -> Doc:
    return await users_db(db).get(f"org.couchdb.user:{name}")


async def profile_of(db: Database, name: str) -> Doc:
    return await db.get(f"org.couchdb.user:{name}")


async def doc_ids(db: Database) -> set[str]:
    return {row["id"] for row in await db.all_docs()}


# --- creating ---------------------------------------------------------------------------------------------------------


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
    assert {each: account[each] for each in shared} == shared  # MOD-60, MOD-63, MOD-64
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
    assert not {"facility_id", "contact_id", "nonsense"} & (set(account) | set(profile))  # EP-USR-1


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

    assert refused.value.message == message  # EP-USR-25
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


LINKS = Settings({**DEFAULT_SETTINGS, "token_login": {"enabled": True, "message": "Hi {{fullname}}"}})
LINK_BODY = {"roles": ["data_entry"], "token_login": True, "phone": "+254 711 000111", "fullname": "Juma"}


async def link_of(db: Database, name: str) -> Doc:
    return await db.get("token:login:" + (await account_of(db, name))["token_login"]["token"])


def states(link: Doc) -> list[str]:
    return [task["state"] for task in link["tasks"]]


async def test_token_login_is_ignored_where_the_settings_do_not_offer_it(db: Database, name: str) -> None:
    answer = await create(db, {**LINK_BODY, "username": name, "password": "secret"})

    assert "token_login" not in answer  # EP-USR-60
    assert "token_login" not in await account_of(db, name)


async def test_a_login_link_is_made_and_sent_in_two_messages(db: Database, name: str) -> None:
    answer, _ = await create_user(
        db, LINKS, {**LINK_BODY, "username": name}, now_ms=NOW_MS, app_url="https://h.example/"
    )
    account, profile = await account_of(db, name), await profile_of(db, name)
    token = account["token_login"]["token"]
    link = await link_of(db, name)

    expires = NOW_MS + 86_400_000
    assert answer["token_login"] == {"expiration_date": expires}  # EP-USR-23
    assert account["token_login"] == {"active": True, "token": token, "expiration_date": expires}  # EP-USR-62
    assert profile["token_login"] == {"active": True, "expiration_date": expires}
    assert profile["phone"] == "+254711000111"  # EP-USR-61
    assert re.fullmatch(r"[a-zA-Z0-9.,:!$=-]{64}", token)  # AUTH-84
    assert (link["type"], link["user"], link["reported_date"]) == ("token_login", account["_id"], NOW_MS)  # MOD-66
    sent = [
        (task["state"], message["to"], message["message"]) for task in link["tasks"] for message in task["messages"]
    ]
    assert sent == [
        ("pending", "+254711000111", "Hi Juma"),
        ("pending", "+254711000111", f"https://h.example/medic/login/token/{token}"),
    ]


async def test_the_message_before_the_link_is_translated(db: Database, name: str) -> None:
    await db.put({"_id": "messages-sw", "type": "translations", "code": "sw", "custom": {"link": "Gusa, {{name}}"}})
    settings = {"enabled": True, "translation_key": "link"}
    await create_user(
        db,
        Settings({**DEFAULT_SETTINGS, "token_login": settings, "app_url": "https://app.example"}),
        {**LINK_BODY, "username": name, "language": "sw"},
        now_ms=NOW_MS,
        app_url="https://h.example",
    )
    first, second = (task["messages"][0]["message"] for task in (await link_of(db, name))["tasks"])

    assert first == f"Gusa, {name}"  # EP-USR-61
    assert second.startswith("https://app.example/medic/login/token/")


@pytest.mark.parametrize(
    ("members", "message"),
    [({"phone": "12"}, "A valid phone number is required for SMS login"), ({"phone": None}, "required fields: phone")],
)
async def test_a_login_link_needs_a_phone(db: Database, name: str, members: Any, message: str) -> None:
    before = await doc_ids(db)

    with pytest.raises(InvalidInput, match=message):  # EP-USR-25
        await create(db, {**LINK_BODY, "username": name, **members}, LINKS)
    assert await doc_ids(db) == before
    assert await users_db(db).find(f"org.couchdb.user:{name}") is None


async def test_a_new_link_clears_the_messages_of_the_old_one(db: Database, name: str) -> None:
    await create(db, {**LINK_BODY, "username": name}, LINKS)
    old, old_key = await link_of(db, name), (await account_of(db, name))["derived_key"]
    answer = await update_user(db, LINKS, name, {"token_login": True}, now_ms=NOW_MS + 1)
    new = await link_of(db, name)

    assert answer["token_login"] == {"expiration_date": NOW_MS + 1 + 86_400_000}  # EP-USR-56
    assert states(await db.get(old["_id"])) == ["cleared", "cleared"]  # EP-USR-63
    assert states(new) == ["pending", "pending"]
    assert (await account_of(db, name))["derived_key"] != old_key


async def test_an_existing_account_can_be_given_a_link(db: Database, name: str) -> None:
    await create(db, {"username": name, "password": "secret", "roles": ["data_entry"]})
    with pytest.raises(InvalidInput, match="A valid phone number is required"):
        await update_user(db, LINKS, name, {"token_login": True}, now_ms=NOW_MS)
    await update_user(db, LINKS, name, {"token_login": True, "phone": "+254711000111"}, now_ms=NOW_MS)

    assert states(await link_of(db, name)) == ["pending", "pending"]


async def test_a_link_is_disabled_with_a_password(db: Database, name: str) -> None:
    await create(db, {**LINK_BODY, "username": name}, LINKS)
    link = await link_of(db, name)
    with pytest.raises(InvalidInput, match=r"^Password is required when disabling token login\.$"):
        await update_user(db, LINKS, name, {"token_login": False}, now_ms=NOW_MS)
    await update_user(db, LINKS, name, {"token_login": False, "password": "other-secret"}, now_ms=NOW_MS)

    assert "token_login" not in await account_of(db, name)
    assert "token_login" not in await profile_of(db, name)
    assert states(await db.get(link["_id"])) == ["cleared", "cleared"]  # EP-USR-63


async def test_disabling_a_link_that_is_not_there_changes_nothing(db: Database, name: str) -> None:
    await create(db, {"username": name, "password": "secret", "roles": ["data_entry"]})
    await update_user(db, LINKS, name, {"token_login": False}, now_ms=NOW_MS)

    assert "token_login" not in await account_of(db, name)


async def flag_of(db: Database, name: str, body: Doc, settings: Settings = SETTINGS, *, force: bool = True) -> Any:
    await create_user(db, settings, {"username": name, **body}, now_ms=NOW_MS, force_password_change=force)
    return (await account_of(db, name)).get("password_change_required")


@pytest.mark.parametrize(
    ("members", "force", "flag"),
    [
        ({}, True, True),
        ({}, False, None),
        ({"password_change_required": False}, True, False),
        ({"roles": ["program_officer"]}, True, False),
        ({"token_login": True, "phone": "+254711000111"}, True, False),
    ],
    ids=["as configured", "not configured", "waived", "by permission", "by link"],
)
async def test_who_must_choose_a_password_at_the_first_login(
    db: Database, name: str, members: Doc, force: bool, flag: Any
) -> None:
    permissions = {"can_skip_password_change": ["program_officer"]}
    settings = Settings({**LINKS.values, "permissions": permissions})
    body = {"password": "secret", "roles": ["data_entry"], **members}

    assert await flag_of(db, name, body, settings, force=force) is flag  # AUTH-91


async def test_a_password_of_ones_own_need_not_be_changed(db: Database, name: str) -> None:
    assert await flag_of(db, name, {"password": "secret", "roles": ["data_entry"]}) is True
    change = {"password": "other-secret"}
    await update_user(db, SETTINGS, name, change, now_ms=NOW_MS, by_self=True, force_password_change=True)
    own = (await account_of(db, name))["password_change_required"]
    await update_user(db, SETTINGS, name, change, now_ms=NOW_MS, force_password_change=True)

    assert (own, (await account_of(db, name))["password_change_required"]) == (False, True)  # AUTH-91


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


async def test_account_that_cannot_be_written_takes_everything_back(db: Database, district: Doc, name: str) -> None:
    before = await doc_ids(db)
    broken = UsersAway(db)

    with pytest.raises(Unavailable):
        await create(
            broken, chw(name, place={"name": "A", "type": "health_center", "parent": "d-busia"}, contact={"name": "N"})
        )

    assert await doc_ids(db) == before  # EP-USR-30


async def test_what_an_interrupted_creation_left_is_replaced(db: Database, district: Doc, name: str) -> None:
    body = chw(name, place={"name": "A", "type": "health_center", "parent": "d-busia"}, contact={"name": "N"})
    before = await doc_ids(db)
    with pytest.raises(KilledError):
        await create(KilledBeforeTheAccount(db), body)
    left = await doc_ids(db) - before

    with pytest.raises(Conflict):  # it may still be under way
        await create(db, body)
    answer, _ = await create_user(db, SETTINGS, body, now_ms=NOW_MS + 600_000)

    made = await doc_ids(db) - before
    assert len(left) == len(made) == 3
    assert left & made == {f"org.couchdb.user:{name}"}
    assert await db.get_local(f"creating-user-{name}") is None
    assert answer["user"]["rev"] == (await account_of(db, name))["_rev"]


# --- changing and ending ----------------------------------------------------------------------------------------------


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


# --- listing ----------------------------------------------------------------------------------------------------------


async def test_list_shows_places_and_contacts_as_documents(db: Database, district: Doc, name: str) -> None:
    body = chw(name, place="hc-kanga", contact="p-asha", fullname="Juma K.", phone="1", language="sw", known=False)
    created = await create(db, body)

    users = [user async for batch in list_users(db) for user in batch if user["username"] == name]

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
    ]  # EP-USR-10, EP-USR-11


async def test_list_leaves_out_what_is_unknown_and_shows_several_places(db: Database, district: Doc, name: str) -> None:
    users = users_db(db)
    doc = {"_id": f"org.couchdb.user:{name}", "name": name, "type": "user", "password": "secret", "roles": []}
    rev = await users.put({**doc, "facility_id": ["hc-kanga", "d-busia", "gone"], "contact_id": "gone"})

    [several] = [user async for batch in list_users(db) for user in batch if user["username"] == name]
    await users.put({**doc, "_rev": rev, "facility_id": "gone"})
    [unknown] = [user async for batch in list_users(db) for user in batch if user["username"] == name]

    assert [place["_id"] for place in several["place"]] == ["hc-kanga", "d-busia"]  # EP-USR-13
    assert set(unknown) == {"id", "rev", "type", "username"}  # EP-USR-11
    assert unknown["type"] == "unknown"


async def test_list_is_ordered_by_id_across_batches(db: Database, name: str) -> None:
    for suffix in ("b", "a", "c"):
        await users_db(db).put(
            {"_id": f"org.couchdb.user:{name}-{suffix}", "name": f"{name}-{suffix}", "type": "user", "roles": []}
        )

    batches = [batch async for batch in list_users(db, batch=2)]

    listed = [user["username"] for batch in batches for user in batch]
    assert [each for each in listed if each.startswith(name)] == [f"{name}-a", f"{name}-b", f"{name}-c"]  # EP-USR-12
    assert max(len(batch) for batch in batches) <= 2
    assert len(set(listed)) == len(listed)
    for suffix in "abc":
        account = await account_of(db, f"{name}-{suffix}")
        await users_db(db).delete(account["_id"], account["_rev"])


# --- fakes ------------------------------------------------------------------------------------------------------------


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
        assert path == "/_bulk_get", f"{method} {path} although the body is invalid"
        known = {doc["_id"]: doc for doc in self.docs}
        ids = [each["id"] for each in options["body"]["docs"]]
        return {"results": [{"id": each, "docs": [{"ok": known[each]}] if each in known else []} for each in ids]}


class KilledError(BaseException):
    """Stands for the end of the process: nothing after it runs."""


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


class UsersAway(Failing):
    def check(self, method: str, path: str) -> None:
        if self.name == "_users" and method == "PUT":
            raise Unavailable("CouchDB cannot be reached")


class KilledBeforeTheAccount(Failing):
    def check(self, method: str, path: str) -> None:
        if self.name == "_users" and method == "PUT":
            raise KilledError


class ProfileAway(Failing):
    def check(self, method: str, path: str) -> None:
        if self.name != "_users" and method == "PUT":
            raise Unavailable("CouchDB cannot be reached")
