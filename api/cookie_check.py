"""Whether an AuthSession cookie is one that CouchDB takes, found without asking it.

CouchDB's cookie is the base64url of `name:hex seconds:hmac(secret + the account's salt, name:hex seconds)`. What is
found here is only ever a yes: whatever looks odd, old or wrong is left to CouchDB to judge.
Source: docs.couchdb.org, Cookie Authentication, and the settings in its section `chttpd_auth`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

COOKIE = re.compile(r"[A-Za-z0-9_-]+={0,2}")
TIME = re.compile(rb"[0-9A-Fa-f]{1,12}")
DIGESTS = {"sha": "sha1", "sha224": "sha224", "sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}
DEFAULT_TIMEOUT_S = 600
RENEWED_BELOW = 0.9  # of the lifetime: CouchDB gives a new cookie then (AUTH-34)


@dataclass(frozen=True)
class Cookie:
    """A well-formed cookie, whose signature nobody has looked at yet."""

    name: str
    signed: bytes
    issued_s: int
    signature: bytes

    @classmethod
    def read(cls, value: str) -> Self | None:
        if not COOKIE.fullmatch(value):
            return None
        bare = value.rstrip("=")
        try:
            plain = base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
            name, time, signature = plain.split(b":", 2)
            text = name.decode()
        except (binascii.Error, ValueError):
            return None
        return cls(text, name + b":" + time, int(time, 16), signature) if TIME.fullmatch(time) and text else None


@dataclass(frozen=True)
class CookieRules:
    """How CouchDB signs its cookies and how long they last."""

    secret: bytes
    digests: tuple[str, ...]
    timeout_s: int
    admins: frozenset[str]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self | None:
        """The rules in CouchDB's configuration; None where it holds no secret or something we do not know about."""
        values = {**config.get("couch_httpd_auth", {}), **config.get("chttpd_auth", {})}
        handlers = config.get("chttpd", {}).get("authentication_handlers", "cookie_authentication_handler")
        digests = [DIGESTS.get(name.strip()) for name in values.get("hash_algorithms", "sha256, sha").split(",")]
        timeout = values.get("timeout", str(DEFAULT_TIMEOUT_S))
        if (
            not values.get("secret")
            or "cookie_authentication_handler" not in handlers
            or values.get("authentication_db", "_users") != "_users"
            or not timeout.isascii()
            or not timeout.isdigit()
        ):
            return None
        return cls(
            secret=values["secret"].encode(),
            digests=tuple(name for name in digests if name),
            timeout_s=int(timeout),
            admins=frozenset(config.get("admins", {})),
        )

    def seconds_left(self, cookie: Cookie, now_s: float) -> float:
        return cookie.issued_s + self.timeout_s - now_s

    def signed(self, name: str, salt: str, now_s: float) -> Iterator[str]:
        """New cookies for the account with this salt, one by each digest; of an older CouchDB only some are taken."""
        text = f"{name}:{int(now_s):X}".encode()
        for digest in self.digests:
            signature = hmac.digest(self.secret + salt.encode(), text, digest)
            yield base64.urlsafe_b64encode(text + b":" + signature).decode().rstrip("=")

    def accepts(self, cookie: Cookie, salt: str, now_s: float) -> bool:
        """Whether CouchDB takes the cookie of the account with this salt, and has no newer one to give for it."""
        if cookie.name in self.admins or self.seconds_left(cookie, now_s) < self.timeout_s * RENEWED_BELOW:
            return False
        key = self.secret + salt.encode()
        return any(
            hmac.compare_digest(hmac.digest(key, cookie.signed, digest), cookie.signature) for digest in self.digests
        )
