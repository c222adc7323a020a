"""What a request brings to say who it is, and the cookie CouchDB gives for it (AUTH-30..33)."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Self

from aiohttp import ClientResponse, web

from api.forwarded import client_address
from core.errors import Unauthorized


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
    address: str = field(default="", compare=False)  # the client's, by which CouchDB counts failures

    @property
    def headers(self) -> dict[str, str]:
        headers = {}
        if self.cookie:
            headers["Cookie"] = f"AuthSession={self.cookie}"
        if self.authorization:
            headers["Authorization"] = self.authorization
        if self.address:
            headers["X-Forwarded-For"] = self.address
        return headers


# What has been read of a request, or stands in the place of its own: the session of the account that a device's key
# belongs to (OR-42).
CREDENTIALS = web.RequestKey("credentials", Credentials)


def credentials_of(request: web.Request) -> Credentials | None:
    """The session cookie and Basic header of a request; None when it brings neither. Unauthorized for broken Basic."""
    if CREDENTIALS in request:
        return request[CREDENTIALS]
    cookie = session_cookie(request)
    authorization = request.headers.get("Authorization")
    if authorization is not None and authorization[:6].lower() != "basic ":
        authorization = None  # another scheme: a mounted application's own business, never CouchDB's
    if authorization is not None:
        authorization = in_utf8(authorization)
        if cookie is None:
            read_basic(authorization)
    if not cookie and not authorization:
        return None
    request[CREDENTIALS] = credentials = Credentials(cookie, authorization, client_address(request))
    return credentials


def in_utf8(authorization: str) -> str:
    """A Basic header as CouchDB reads it: gateways write theirs in ISO-8859-1 (65 GWY-1)."""
    try:
        decoded = base64.b64decode(authorization[6:].strip(), validate=True)
        decoded.decode()
    except UnicodeDecodeError:
        return f"Basic {base64.b64encode(decoded.decode('iso-8859-1').encode()).decode()}"
    except ValueError:
        pass  # broken, which is told where it matters
    return authorization


def read_basic(authorization: str) -> tuple[str, str]:
    """Name and password of a Basic header. Unauthorized when it is broken."""
    try:
        decoded = base64.b64decode(authorization[6:].strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unauthorized("The Basic credentials are not valid base64") from error
    name, colon, password = decoded.decode("utf-8", "surrogateescape").partition(":")
    if not colon:
        raise Unauthorized("The Basic credentials must look like user:password")
    return name, password


def check_own_account(own: tuple[str, str], name: str, password: str) -> None:
    """Unauthorized for a wrong password of the account that the server itself uses in CouchDB.

    CouchDB never hears of those: from 3.5.1 on it locks an account for minutes after five wrong passwords from one
    address, and the address would be ours.
    """
    if name == own[0] and not hmac.compare_digest(
        password.encode("utf-8", "surrogateescape"), own[1].encode("utf-8", "surrogateescape")
    ):
        raise Unauthorized("Name or password is incorrect.")


def session_cookie(request: web.Request) -> str | None:
    """The first AuthSession cookie, as it was sent."""
    for header in request.headers.getall("Cookie", []):
        for part in header.split(";"):
            name, _, value = part.strip().partition("=")
            if name == "AuthSession" and value.strip('"'):
                return value.strip('"')
    return None
