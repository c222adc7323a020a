"""Who is calling: credentials checked once, remembered until the account changes (AUTH-30..35, AUTH-45).

A session cookie whose signature holds needs no round trip at all; everything else is checked by CouchDB.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, web
from cachetools import TTLCache

from api.cookie_check import Cookie, CookieRules
from api.credentials import (
    RENEWED_SESSION,
    Credentials,
    IssuedSession,
    check_own_account,
    credentials_of,
    read_basic,
)
from api.errors import StorageError, TooManyRequests
from core.couch.changes import follow
from core.couch.client import Couch, Database, Doc
from core.couch.errors import from_answer, from_network
from core.documents import facility_ids
from core.errors import DomainError, Unauthorized
from core.settings import Settings

log = logging.getLogger(__name__)

USER_PREFIX = "org.couchdb.user:"
REMEMBERED_S = 60.0
MOST_REMEMBERED = 20_000
COUCH_SETTLES_S = 1.0  # CouchDB's own memory of accounts follows its feed too, and may be behind ours
RULES_HOLD_S = 30.0  # a new secret in CouchDB's configuration is noticed after this at the latest


@dataclass(frozen=True)
class Account:
    """An account as CouchDB and its documents know it, before the settings say what its roles mean."""

    name: str
    roles: tuple[str, ...]
    facility_ids: tuple[str, ...] = ()
    contact_id: str | None = None
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
    """Checks credentials and remembers the answer.

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
        own_account: tuple[str, str],
        timeout_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.couch = couch
        self.db = db
        self.users = couch.db("_users")
        self.upstream = upstream
        self.current_settings = current_settings
        self.own_account = own_account
        self.timeout = ClientTimeout(total=timeout_s, sock_connect=10)
        self.clock = clock
        self.now_s = now_s
        self._secret = secrets.token_bytes(32)
        self._remembered: TTLCache[bytes, tuple[int, Account]] = TTLCache(MOST_REMEMBERED, REMEMBERED_S, timer=clock)
        self._salted: TTLCache[str, tuple[int, str, Account]] = TTLCache(MOST_REMEMBERED, REMEMBERED_S, timer=clock)
        self._rules: CookieRules | None = None
        self._rules_until = clock()
        self._checking: dict[bytes, asyncio.Task[Account | None]] = {}
        self._changes = 0
        self._changed_at: dict[str, int] = {}
        self._everything_changed_at = 0
        self._watching: dict[str, set[Callable[[], None]]] = {}

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
        cookie = Cookie.read(credentials.cookie) if credentials.cookie else None
        if cookie is not None and self.clock() < self._rules_until:
            known = self._signed_by(cookie)
            if known is not None:
                return known
        text = f"{credentials.cookie or ''}\0{credentials.authorization or ''}"
        key = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), key=self._secret, digest_size=32).digest()
        remembered = self._remembered.get(key)
        if remembered is not None and self._is_current(*remembered):
            return remembered[1]
        task = self._checking.get(key)
        if task is None:
            task = asyncio.create_task(self._check_and_remember(key, credentials, cookie))
            self._checking[key] = task
            task.add_done_callback(lambda done: self._checked(key, done))
        return await asyncio.shield(task)

    async def issue(self, name: str) -> IssuedSession | None:
        """A session for who proved elsewhere to own the account (AUTH-110); None where CouchDB takes none of ours."""
        if not await self._learn(name) or self._rules is None:
            return None
        for value in self._rules.signed(name, self._salted[name][1], self.now_s()):
            with suppress(Unauthorized):
                account = await self._ask(Credentials(cookie=value))
                if account is not None and account.name == name:
                    return IssuedSession(value, self._rules.timeout_s)
        return None

    def forget(self, name: str) -> None:
        """Let the account's next request be checked anew; call it after changing the account."""
        self._changes += 1
        self._changed_at[name] = self._changes
        for wake in list(self._watching.get(name, ())):
            wake()

    def forget_all(self) -> None:
        self._changes += 1
        self._everything_changed_at = self._changes
        for wake in [wake for watching in self._watching.values() for wake in watching]:
            wake()

    @contextmanager
    def watching(self, name: str, wake: Callable[[], None]) -> Iterator[None]:
        """Within the block, call `wake` whenever the account of that name may have changed."""
        self._watching.setdefault(name, set()).add(wake)
        try:
            yield
        finally:
            self._watching[name].discard(wake)
            if not self._watching[name]:
                del self._watching[name]

    async def follow_users(self, heartbeat_s: float) -> None:
        """Forget accounts as their documents change, until cancelled."""
        info = await self.users.info()
        self.forget_all()
        async for batch in follow(self.users, info["update_seq"], heartbeat_s=heartbeat_s):
            for change in batch.changes:
                name = change.id.removeprefix(USER_PREFIX)
                self.forget(name)
                asyncio.get_running_loop().call_later(COUCH_SETTLES_S, self.forget, name)

    def _checked(self, key: bytes, task: asyncio.Task[Account | None]) -> None:
        self._checking.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen: every request that waited may have gone

    def _is_current(self, as_of: int, account: Account) -> bool:
        return max(self._changed_at.get(account.name, 0), self._everything_changed_at) <= as_of

    async def _check_and_remember(self, key: bytes, credentials: Credentials, cookie: Cookie | None) -> Account | None:
        as_of = self._changes  # a change that arrives while we ask makes the answer old
        if cookie is not None and await self._learn(cookie.name):
            signed = self._signed_by(cookie)
            if signed is not None:
                return signed
        account = await self._ask(credentials)
        if account is not None and not self._ends_soon(cookie):
            self._remembered[key] = (as_of, replace(account, renewed=None))
        return account

    # --- cookies by their signature --------------------------------------------------------------------------------

    def _signed_by(self, cookie: Cookie) -> Account | None:
        """The account that a cookie's signature proves, as far as it is known; None says nothing about the cookie."""
        known = self._salted.get(cookie.name)
        if known is None or self._rules is None:
            return None
        as_of, salt, account = known
        return account if self._is_current(as_of, account) and self._rules.accepts(cookie, salt, self.now_s()) else None

    def _ends_soon(self, cookie: Cookie | None) -> bool:
        """Whether a cookie could end while it is remembered."""
        return (
            cookie is not None
            and self._rules is not None
            and self._rules.seconds_left(cookie, self.now_s()) < REMEMBERED_S
        )

    async def _learn(self, name: str) -> bool:
        """Read what a signature of this name is checked with, where it is not known or no longer certain."""
        if self.clock() >= self._rules_until:
            self._rules = await self._read_rules()
            self._rules_until = self.clock() + RULES_HOLD_S
        if self._rules is None or name in self._rules.admins:
            return False
        known = self._salted.get(name)
        if known is not None and self._is_current(known[0], known[2]):
            return True
        as_of = self._changes
        doc = await self.users.find(USER_PREFIX + name, conflicts=True)
        # CouchDB refuses to decide by a document with conflicts; without a salt no password ever made a cookie.
        if doc is None or doc.get("name") != name or doc.get("_conflicts") or not is_filled_text(doc.get("salt")):
            return False
        account = await self._account(name, doc, doc.get("roles"), None)
        self._salted[name] = (as_of, doc["salt"], account)
        return True

    async def _read_rules(self) -> CookieRules | None:
        try:
            return CookieRules.from_config(await self.couch.request("GET", "/_node/_local/_config"))
        except DomainError as error:
            log.debug("CouchDB checks every session cookie: its configuration cannot be read: %s", error.message)
            return None

    # --- everything else by CouchDB --------------------------------------------------------------------------------

    async def _ask(self, credentials: Credentials) -> Account | None:
        if credentials.authorization:
            try:
                check_own_account(self.own_account, *read_basic(credentials.authorization))
            except Unauthorized:
                if not credentials.cookie:
                    raise
                credentials = replace(credentials, authorization=None)  # CouchDB, too, looks at the cookie first
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
        if response.status == 403:  # CouchDB has locked the account after too many wrong passwords
            raise TooManyRequests
        if response.status >= 400:
            raise from_answer(response.status, body)
        context: dict[str, Any] = orjson.loads(body).get("userCtx") or {}
        name = context.get("name")
        if not isinstance(name, str):
            return None  # AUTH-35
        login = await self.users.find(USER_PREFIX + name)
        return await self._account(name, login or {}, context.get("roles"), IssuedSession.of(response))

    async def _account(self, name: str, login: Doc, roles: Any, renewed: IssuedSession | None) -> Account:
        """`_users` is authoritative; the profile in the main database fills in a contact that it lacks (MOD-63)."""
        contact_id = login.get("contact_id") or (await self.db.find(USER_PREFIX + name) or {}).get("contact_id")
        return Account(
            name=name,
            roles=tuple(dict.fromkeys(map(str, roles))) if isinstance(roles, list) else (),
            facility_ids=tuple(facility_ids(login.get("facility_id"))),
            contact_id=contact_id if isinstance(contact_id, str) else None,
            renewed=renewed,
        )


def is_filled_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""
