"""What a request brings to say who it is, and the cookie CouchDB gives for it (AUTH-30..33)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Self

from aiohttp import ClientResponse, web

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

    @property
    def headers(self) -> dict[str, str]:
        headers = {}
        if self.cookie:
            headers["Cookie"] = f"AuthSession={self.cookie}"
        if self.authorization:
            headers["Authorization"] = self.authorization
        return headers


# What stands in the place of a request's own: the session of the account that a device's key belongs to (OR-42).
GIVEN_CREDENTIALS = web.RequestKey("given_credentials", Credentials)


def credentials_of(request: web.Request) -> Credentials | None:
    """The session cookie and Basic header of a request; None when it brings neither. Unauthorized for broken Basic."""
    if GIVEN_CREDENTIALS in request:
        return request[GIVEN_CREDENTIALS]
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
