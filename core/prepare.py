"""Bring CouchDB to the state every process relies on: databases, design documents, default documents."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from core.config import Config
from core.couch.client import Couch, Database, Doc
from core.couch.databases import ensure_databases
from core.errors import Conflict, DomainError, InvalidInput, NotFound
from core.migrations import migrate
from core.settings import DEFAULT_ROLES, SETTINGS_ID, Settings, with_default_permissions
from core.translations import BUILT_IN_ENGLISH
from core.upgrades.installing import install_ddocs

log = logging.getLogger(__name__)

OLDEST_COUCHDB = (3, 0)
SESSION_LIFETIME_S = 31_536_000
# Of a start, in this order; the first is waiting for CouchDB (60 UPG-2).
STEPS = ("checks", "install", "index", "config", "migrate")

# What a fresh deployment begins with (10 PERM §5.2, 40 MSG-7, SEN-4).
DEFAULT_SETTINGS: dict[str, Any] = {
    "locale": "en",
    "locale_outgoing": "en",
    "languages": [{"locale": "en", "enabled": True}],
    "default_country_code": 1,
    "forms": {},
    "roles": DEFAULT_ROLES,
    "sms": {"outgoing_service": "medic-gateway"},
    "outgoing_deny_shorter_than": 6,
    "outgoing_deny_with_alphas": True,
    "transitions": {},
    "date_format": "DD-MMM-YYYY",
    "reported_date_format": "DD-MMM-YYYY HH:mm:ss",
}


async def check_couchdb(couch: Couch) -> str:
    """The server's version. InvalidInput when it is no CouchDB, too old, or does not take us as administrator.

    Unavailable while it is not up yet.
    """
    try:
        info = await couch.info()
        version = info.get("version") if isinstance(info, dict) and info.get("couchdb") == "Welcome" else None
    except (ValueError, NotFound) as error:
        raise InvalidInput(f"{couch.server_url} answers, but it is not a CouchDB") from error
    except DomainError as error:
        if error.status == 401:
            raise InvalidInput(f"CouchDB at {couch.server_url} refuses the user name or password") from error
        raise
    if not isinstance(version, str):
        raise InvalidInput(f"{couch.server_url} answers, but it is not a CouchDB")
    if version_number(version) < OLDEST_COUCHDB:
        raise InvalidInput(f"CouchDB at {couch.server_url} is version {version}; Outpost needs 3.0 or newer")
    session = await couch.request("GET", "/_session")
    if "_admin" not in (session.get("userCtx") or {}).get("roles", []):
        raise InvalidInput(f"the CouchDB user at {couch.server_url} must be a server administrator")
    return version


def version_number(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("-")[0].split(".")[:2])


async def prepare(couch: Couch, config: Config, begin: Callable[[str], None] = lambda step: None) -> None:
    """Databases, security objects, design documents, settings and translations; safe to run at every start, by many.

    `begin` is told the name of each step.
    """
    begin("install")
    await ensure_databases(config)
    main = couch.db(config.database)
    settings = await ensure_settings(main)
    await install_ddocs(couch, config, settings, begin)
    begin("config")
    await ensure_translations(main)
    await ensure_session_lifetime(couch)
    begin("migrate")
    await migrate(couch, config)


async def ensure_settings(db: Database) -> Settings:
    """Create the settings document, or fill in the built-in permissions it lacks (30 EP-SET-9); what it is now."""

    def fill(doc: Doc | None) -> Doc | None:
        if doc is None:
            return {"settings": with_default_permissions(DEFAULT_SETTINGS)}
        values = Settings.from_doc(doc).values
        filled = with_default_permissions(values)
        return None if filled == values else {**doc, "settings": filled}

    return Settings.from_doc(await db.update(SETTINGS_ID, fill) or await db.get(SETTINGS_ID))


async def ensure_translations(db: Database) -> None:
    """Create `messages-en`, or refresh its `generic` texts; `custom` ones are never touched (35 MOD-11)."""

    def refresh(doc: Doc | None) -> Doc | None:
        known = {"type": "translations", "code": "en", "name": "English", "enabled": True, **(doc or {})}
        fresh = {**known, "generic": dict(BUILT_IN_ENGLISH)}
        return None if fresh == doc else fresh

    try:
        await db.update("messages-en", refresh)
    except Conflict:
        log.info("messages-en was refreshed by another process at the same time")


async def ensure_session_lifetime(couch: Couch) -> None:
    """Let logins last a year (10 AUTH-34) on a CouchDB whose administrators have not chosen otherwise."""
    path = "/_node/_local/_config/chttpd_auth/timeout"
    try:
        await couch.request("GET", path)
    except NotFound:
        try:
            await couch.request("PUT", path, body=str(SESSION_LIFETIME_S))
        except DomainError as error:
            log.debug("the session lifetime stays as it is: %s", error.message)
        else:
            log.info("logins last a year now: CouchDB's chttpd_auth/timeout was not set")
    except DomainError as error:
        log.debug("the session lifetime cannot be read: %s", error.message)
