"""Who is calling: credentials checked by CouchDB, remembered until the account changes (AUTH-30..35, AUTH-45)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.cookies import SimpleCookie
from typing import Any, Self

import orjson
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, web
from cachetools import TTLCache

from api.errors import StorageError
from core.couch.changes import follow
from core.couch.client import Couch, Database
from core.couch.errors import from_answer, from_network
from core.documents import facility_ids
from core.errors import Unauthorized
from core.settings import Settings

log = logging.getLogger(__name__)

USER_PREFIX = "org.couchdb.user:"
REMEMBERED_S = 60.0
MOST_REMEMBERED = 20_000


@dataclass(frozen=True)
class IssuedSession:
    """A session cookie as CouchDB gave it out: its value, and how long it lasts (0: unknown)."""

    value: str
    lifetime_s: int

    @classmethod
    def of(cls, response: ClientResponse) -> Self | None:
        cookies = SimpleCookie("; ".join(response.headers.getall("Set-Cookie", [])))
        if "AuthSession" not in cookies or not cookies["AuthSession"].value:
            return None
        lifetime = cookies["AuthSession"]["max-age"]
        return cls(cookies["AuthSession"].value, int(lifetime) if lifetime.isdigit() else 0)


# A fresh cookie that CouchDB gave while the session was checked, for the client to have (AUTH-34).
RENEWED_SESSION = web.RequestKey("renewed_session", IssuedSession)


@dataclass(frozen=True)
class Credentials:
    """What a request brings to say who it is: exactly what is checked, and exactly what is forwarded to CouchDB."""

    cookie: str | None = None  # the value of AuthSession
    authorization: str | None = None  # a whole Basic header

    @property
    def headers(self) -> dict[str, str]:
        headers = {}
        if self.cookie:
            headers["Cookie"] = f"AuthSession={self.cookie}"
        if self.authorization:
            headers["Authorization"] = self.authorization
        return headers


@dataclass(frozen=True)
class Account:
    """An account as CouchDB and its documents know it, before the settings say what its roles mean."""

    name: str
    roles: tuple[str, ...]
    facility_ids: tuple[str, ...] = ()
    contact_id: str | None = None
    language: str | None = None
    renewed: IssuedSession | None = None


@dataclass(frozen=True)
class User:
    """The caller. `offline` users replicate their part of the database and reach little else (PERM-6)."""

    name: str
    roles: tuple[str, ...]
    offline: bool
    facility_ids: tuple[str, ...] = ()
    contact_id: str | None = None

    @property
    def is_admin(self) -> bool:
        return "_admin" in self.roles


class Sessions:
    """Checks credentials against CouchDB and remembers the answer.

    What is remembered ends when the account's `_users` document changes, or after a minute. Keys are hashes under a
    secret of this process, so no credentials are kept.
    """

    def __init__(
        self,
        couch: Couch,
        db: Database,
        upstream: ClientSession,
        current_settings: Callable[[], Settings],
        *,
        timeout_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.couch = couch
        self.db = db
        self.users = couch.db("_users")
        self.upstream = upstream
        self.current_settings = current_settings
        self.timeout = ClientTimeout(total=timeout_s, sock_connect=10)
        self._secret = secrets.token_bytes(32)
        self._remembered: TTLCache[bytes, tuple[int, Account]] = TTLCache(MOST_REMEMBERED, REMEMBERED_S, timer=clock)
        self._checking: dict[bytes, asyncio.Task[Account | None]] = {}
        self._changes = 0
        self._changed_at: dict[str, int] = {}
        self._everything_changed_at = 0

    async def resolve(self, request: web.Request) -> User | None:
        """The caller, None when nobody is logged in.

        Raises Unauthorized for wrong credentials, StorageError 400 for a cookie that cannot be read, Unavailable.
        """
        credentials = credentials_of(request)
        if credentials is None:
            return None
        account = await self.check(credentials)
        if account is None:
            return None
        if account.renewed is not None:
            request[RENEWED_SESSION] = account.renewed
        return self.as_user(account)

    def as_user(self, account: Account) -> User:
        return User(
            name=account.name,
            roles=account.roles,
            offline=self.current_settings().is_offline(account.roles),
            facility_ids=account.facility_ids,
            contact_id=account.contact_id,
        )

    async def check(self, credentials: Credentials) -> Account | None:
        """The account of the credentials: from memory, or asked for once however many requests bring them at a time."""
        text = f"{credentials.cookie or ''}\0{credentials.authorization or ''}"
        key = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), key=self._secret, digest_size=32).digest()
        remembered = self._remembered.get(key)
        if remembered is not None and self._is_current(*remembered):
            return remembered[1]
        task = self._checking.get(key)
        if task is None:
            task = asyncio.create_task(self._check_and_remember(key, credentials))
            self._checking[key] = task
            task.add_done_callback(lambda done: self._checked(key, done))
        return await asyncio.shield(task)

    def forget(self, name: str) -> None:
        """Let the account's next request be checked anew; call it after changing the account."""
        self._changes += 1
        self._changed_at[name] = self._changes

    def forget_all(self) -> None:
        self._changes += 1
        self._everything_changed_at = self._changes

    async def follow_users(self, heartbeat_s: float) -> None:
        """Forget accounts as their documents change, until cancelled."""
        info = await self.users.info()
        self.forget_all()
        async for batch in follow(self.users, info["update_seq"], heartbeat_s=heartbeat_s):
            for change in batch.changes:
                self.forget(change.id.removeprefix(USER_PREFIX))

    def _checked(self, key: bytes, task: asyncio.Task[Account | None]) -> None:
        self._checking.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen: every request that waited may have gone

    def _is_current(self, as_of: int, account: Account) -> bool:
        return max(self._changed_at.get(account.name, 0), self._everything_changed_at) <= as_of

    async def _check_and_remember(self, key: bytes, credentials: Credentials) -> Account | None:
        as_of = self._changes  # a change that arrives while we ask makes the answer old
        account = await self._ask(credentials)
        if account is not None:
            self._remembered[key] = (as_of, replace(account, renewed=None))
        return account

    async def _ask(self, credentials: Credentials) -> Account | None:
        try:
            async with self.upstream.get(
                f"{self.couch.server_url}/_session",
                headers={"Accept": "application/json", **credentials.headers},
                timeout=self.timeout,
            ) as response:
                body = await response.read()
        except (ClientError, TimeoutError, OSError) as error:
            raise from_network(error) from error
        if response.status == 400:
            raise StorageError(400, "bad_request", from_answer(400, body).message)
        if response.status >= 400:
            raise from_answer(response.status, body)
        context: dict[str, Any] = orjson.loads(body).get("userCtx") or {}
        name = context.get("name")
        if not isinstance(name, str):
            return None  # AUTH-35
        return await self._account(name, context.get("roles") or [], IssuedSession.of(response))

    async def _account(self, name: str, roles: list[str], renewed: IssuedSession | None) -> Account:
        """`_users` is authoritative; the profile in the main database fills in what it lacks (MOD-63)."""
        login, profile = await asyncio.gather(self.users.find(USER_PREFIX + name), self.db.find(USER_PREFIX + name))
        login, profile = login or {}, profile or {}
        contact_id = login.get("contact_id") or profile.get("contact_id")
        language = profile.get("language")
        return Account(
            name=name,
            roles=tuple(dict.fromkeys(str(role) for role in roles)),
            facility_ids=tuple(facility_ids(login.get("facility_id"))),
            contact_id=contact_id if isinstance(contact_id, str) else None,
            language=language if isinstance(language, str) else None,
            renewed=renewed,
        )


def credentials_of(request: web.Request) -> Credentials | None:
    """The session cookie and Basic header of a request; None when it brings neither. Unauthorized for broken Basic."""
    cookie = session_cookie(request)
    authorization = request.headers.get("Authorization")
    if authorization is not None and authorization[:6].lower() != "basic ":
        authorization = None  # another scheme: a mounted application's own business, never CouchDB's
    if authorization is not None and cookie is None:
        check_basic(authorization)
    return Credentials(cookie, authorization) if cookie or authorization else None


def check_basic(authorization: str) -> None:
    try:
        decoded = base64.b64decode(authorization[6:].strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unauthorized("The Basic credentials are not valid base64") from error
    if b":" not in decoded:
        raise Unauthorized("The Basic credentials must look like user:password")


def session_cookie(request: web.Request) -> str | None:
    """The first AuthSession cookie, as it was sent."""
    for header in request.headers.getall("Cookie", []):
        for part in header.split(";"):
            name, _, value = part.strip().partition("=")
            if name == "AuthSession" and value.strip('"'):
                return value.strip('"')
    return None
