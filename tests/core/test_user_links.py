"""Login links of accounts, and passwords that must be changed (30 §9.6, 10 AUTH-91)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from core.couch.client import Database, Doc
from core.errors import InvalidInput
from core.new_users import create_user
from core.prepare import DEFAULT_SETTINGS
from core.settings import Settings
from core.users import update_user, users_db
from tests.core.accounts import NOW_MS, SETTINGS, account_of, create, doc_ids, profile_of

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
