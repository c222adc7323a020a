"""Logging in by a link in an SMS: the link made, taken back, and used once (30 §9.6, 10 AUTH-80..84)."""

from __future__ import annotations

import hmac
import re
import secrets
import string
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core.couch.client import Database, Doc
from core.errors import DomainError, Unauthorized
from core.messages import own_text, translation_key
from core.passwords import LEAST_SCORE, password_score
from core.settings import Settings
from core.sms_tasks import Task, new_task, set_state, tasks_to_send
from core.templates import InvalidTemplate, TemplateRules, render
from core.translations import Translations
from core.user_fields import link_phone
from core.uuids import uuid7

DOC_PREFIX = "token:login:"
ALPHABET = string.ascii_letters + string.digits + ".,:!$-="
TOKEN_LENGTH = 64
TOKEN = re.compile(rf"[{re.escape(ALPHABET)}]{{{TOKEN_LENGTH}}}")
PASSWORD_LENGTH = 20
LIFETIME_MS = 86_400_000
TEXT = "Please tap the link in the next message to log in."
SECRET_MEMBERS = frozenset({"derived_key", "iterations", "password", "password_scheme", "salt", "token_login"})


class LinkRefused(Unauthorized):
    """The link leads nowhere: `invalid`, `expired`, or a user of single sign-on."""


@dataclass(frozen=True)
class LoginLink:
    """A new link: its document with the two messages, and what the account and its profile are to hold."""

    doc: Doc
    token: str
    expiration_ms: int
    phone: str
    password: str

    @property
    def of_profile(self) -> Doc:
        return {"active": True, "expiration_date": self.expiration_ms}

    @property
    def of_account(self) -> Doc:
        return {**self.of_profile, "token": self.token}


def new_link(
    settings: Settings, translations: Translations, account: Doc, profile: Doc, *, app_url: str, now_ms: int
) -> LoginLink:
    """A link for the account, to be sent to the profile's phone in two messages (EP-USR-61).

    `app_url` is where we are reached when the settings do not say. InvalidUser without a valid phone number.
    """
    phone = link_phone(profile.get("phone"), settings)
    token = random_text(TOKEN_LENGTH)
    address = str(settings.get("app_url") or app_url).rstrip("/")
    texts = (text_of(settings, translations, account, profile), f"{address}/medic/login/token/{token}")
    doc = {
        "_id": DOC_PREFIX + token,
        "type": "token_login",
        "user": account["_id"],
        "reported_date": now_ms,
        "tasks": [task(phone, text, now_ms) for text in texts],
    }
    return LoginLink(doc, token, now_ms + LIFETIME_MS, phone, random_password())


def task(phone: str, text: str, now_ms: int) -> Task:
    message = {"uuid": uuid7(now_ms), "to": phone, "message": text}
    return new_task(message, "pending", now=datetime.fromtimestamp(now_ms / 1000, UTC))


def text_of(settings: Settings, translations: Translations, account: Doc, profile: Doc) -> str:
    """What the message before the link says; its variables are the members of both user documents."""
    locale = str(profile.get("language") or settings.get("locale_outgoing") or settings.get("locale") or "en")
    configured = settings.section("token_login")
    key = translation_key(configured)
    source = translations.text(key, locale, TEXT) if key else own_text(configured.get("message"), locale)
    view = {name: value for name, value in {**profile, **account}.items() if name not in SECRET_MEMBERS}
    try:
        return render(source, view, TemplateRules.from_settings(settings, locale)).strip() or TEXT
    except InvalidTemplate:
        return source


def random_text(length: int) -> str:
    """Random characters that survive in a link; the last is no punctuation, which phones leave out of links."""
    middle = "".join(secrets.choice(ALPHABET) for _ in range(length - 1))
    return middle + secrets.choice(string.ascii_letters + string.digits)


def random_password() -> str:
    """A password nobody ever sees, strong by any policy (AUTH-84)."""
    while True:
        password = random_text(PASSWORD_LENGTH)
        if password_score(password) >= LEAST_SCORE:
            return password


def token_of(account: Doc) -> str | None:
    """The token of the account's link, used or not; None when it has none."""
    member = account.get("token_login")
    token = member.get("token") if isinstance(member, dict) else None
    return token if isinstance(token, str) else None


async def take_back(db: Database, token: str, *, now_ms: int) -> None:
    """Clear the messages of a link that have not been sent (EP-USR-63)."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)

    def clear(doc: Doc | None) -> Doc | None:
        waiting = [each for each in tasks_to_send(doc or {}) if each.get("state") == "pending"]
        changed = [set_state(each, "cleared", now=now) for each in waiting]
        return doc if any(changed) else None

    await db.update(DOC_PREFIX + token, clear)


async def use_link(db: Database, token: str, *, now_ms: int) -> tuple[str, str]:
    """End a link: the name of its user and the new password to log in with, once (AUTH-82, AUTH-83).

    Link and password change in one write, so of two who come at the same time one is refused. LinkRefused.
    """
    link = await db.find(DOC_PREFIX + token) if TOKEN.fullmatch(token) else None
    if link is None or not isinstance(link.get("user"), str):
        raise LinkRefused("invalid")
    password = random_password()

    def use(account: Doc | None) -> Doc:
        member = usable(account or {}, token, now_ms)
        return {
            **(account or {}),
            "password": password,
            "token_login": {**member, "active": False, "login_date": now_ms},
        }

    account = await db.couch.db("_users").update(link["user"], use)
    if account is None:
        raise LinkRefused("invalid")
    return str(account["name"]), password


def usable(account: Doc, token: str, now_ms: int) -> Doc:
    member: Any = account.get("token_login")
    if not isinstance(member, dict) or member.get("active") is not True:
        raise LinkRefused("invalid")
    if not hmac.compare_digest(str(member.get("token")).encode(), token.encode()):
        raise LinkRefused("invalid")
    expires = member.get("expiration_date")
    if not isinstance(expires, int | float) or expires <= now_ms:
        raise LinkRefused("expired")
    if account.get("oidc_username"):
        raise LinkRefused("Token login not allowed for SSO users")
    return member


async def note_login(db: Database, doc_id: str, *, now_ms: int) -> None:
    """Mark the link as used in the profile too. It decides nothing, so a failure is left."""
    with suppress(DomainError):
        await db.update(
            doc_id,
            lambda doc: (
                doc
                and {**doc, "token_login": {**(doc.get("token_login") or {}), "active": False, "login_date": now_ms}}
            ),
        )


async def give_back(db: Database, doc_id: str, token: str) -> None:
    """Let a link be used again whose login did not come about."""

    def renew(account: Doc | None) -> Doc | None:
        if account is None or token_of(account) != token:
            return None
        member = {name: value for name, value in account["token_login"].items() if name != "login_date"}
        return {**account, "token_login": {**member, "active": True}}

    with suppress(DomainError):
        await db.couch.db("_users").update(doc_id, renew)
