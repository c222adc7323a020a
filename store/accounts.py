"""Who is calling: server admins, users of `_users`, Basic authentication and session cookies by CouchDB's algorithm."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from cachetools import LRUCache

from store.errors import BadRequest, Unauthorized
from store.passwords import DEFAULT_ITERATIONS, verify_password
from store.permissions import NOBODY, User
from store.private_file import replace_private

UserLookup = Callable[[str], Awaitable[dict[str, Any] | None]]

_REISSUE_BELOW = 0.9  # of the timeout, as in CouchDB
_PASSWORDS_REMEMBERED = 4096


class Accounts:
    """Answers who a request comes from. `lookup` gives the user document of a name, or None."""

    def __init__(
        self,
        admins: Mapping[str, str],
        lookup: UserLookup,
        secret: bytes,
        cookie_timeout_s: int,
        executor: Executor,
        now: Callable[[], float],
    ) -> None:
        self._admins = dict(admins)
        self._lookup = lookup
        self.secret = secret
        self._executor = executor
        self.now = now
        self.cookie_timeout_s = cookie_timeout_s
        self.iterations = DEFAULT_ITERATIONS  # of the passwords hashed from now on
        # Digest of name and password -> the derived key it was found right for, so that PBKDF2 is paid once per
        # user and not per request. A changed password has another derived key, so nothing has to be dropped.
        self._verified: LRUCache[bytes, str] = LRUCache(_PASSWORDS_REMEMBERED)
        self._memory_key = secrets.token_bytes(32)

    async def by_password(self, name: str, password: str) -> User:
        """The user of this name and password; raises Unauthorized."""
        expected = self._admins.get(name)
        if expected is not None:
            if hmac.compare_digest(expected.encode(), password.encode()):
                return User(name, ("_admin",), "default")
            raise Unauthorized("Name or password is incorrect.")
        doc = await self._lookup(name)
        if doc is None:
            raise Unauthorized("Name or password is incorrect.")
        mark = str(doc.get("derived_key") or doc.get("password_sha"))
        digest = hmac.digest(self._memory_key, f"{name}\0{password}".encode(), "sha256")
        if self._verified.get(digest) != mark:
            loop = asyncio.get_running_loop()
            if not await loop.run_in_executor(self._executor, verify_password, password, doc):
                raise Unauthorized("Name or password is incorrect.")
            self._verified[digest] = mark
        return User(name, tuple(doc.get("roles") or ()), "default")

    async def by_basic(self, header: str) -> User:
        """The user of an `Authorization` header; another scheme than Basic is nobody."""
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return NOBODY
        try:
            name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            raise Unauthorized("Name or password is incorrect.") from None
        if not colon:
            raise Unauthorized("Name or password is incorrect.")
        return await self.by_password(name, password)

    async def by_cookie(self, cookie: str) -> tuple[User, bool]:
        """The user of an `AuthSession` cookie and whether it is time for a new one; a stale or forged one is nobody.

        Raises BadRequest when it is no such cookie at all, as CouchDB does.
        """
        try:
            plain = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
            name_bytes, time_hex, mac = plain.split(b":", 2)
            name, issued_s = name_bytes.decode(), int(time_hex, 16)
        except (binascii.Error, ValueError):
            raise BadRequest("Malformed AuthSession cookie. Please clear your cookies.") from None
        account = await self._account(name)
        if account is None:
            return NOBODY, False
        roles, salt = account
        left_s = issued_s + self.cookie_timeout_s - int(self.now())
        if left_s <= 0 or not any(
            hmac.compare_digest(mac, self._mac(name, time_hex.decode(), salt, algorithm))
            for algorithm in ("sha256", "sha1")
        ):
            return NOBODY, False
        return User(name, roles, "cookie"), left_s < self.cookie_timeout_s * _REISSUE_BELOW

    async def new_cookie(self, name: str) -> str:
        """A fresh `AuthSession` cookie: base64url of `name:hex seconds:hmac(secret + salt, name:hex seconds)`."""
        account = await self._account(name)
        salt = account[1] if account else ""
        time_hex = f"{int(self.now()):X}"
        plain = f"{name}:{time_hex}:".encode() + self._mac(name, time_hex, salt, "sha256")
        return base64.urlsafe_b64encode(plain).decode().rstrip("=")

    async def _account(self, name: str) -> tuple[tuple[str, ...], str] | None:
        """Roles and salt of a name; the salt is part of every cookie's key, so a new password ends old sessions."""
        password = self._admins.get(name)
        if password is not None:
            return ("_admin",), hashlib.sha256(self.secret + f"{name}:{password}".encode()).hexdigest()
        doc = await self._lookup(name)
        if doc is None:
            return None
        return tuple(doc.get("roles") or ()), str(doc.get("salt") or "")

    def _mac(self, name: str, time_hex: str, salt: str, algorithm: str) -> bytes:
        return hmac.digest(self.secret + salt.encode(), f"{name}:{time_hex}".encode(), algorithm)


def load_secret(path: Path) -> bytes:
    """The secret that signs cookies, made at the first start and readable by its owner only."""
    if path.exists():
        return path.read_bytes()
    secret = secrets.token_hex(32).encode()
    replace_private(path, secret)
    return secret
