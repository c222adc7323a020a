"""Who and where the client is when proxies stand between it and us: X-Forwarded-* of trusted ones only (AUTH-17)."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

from aiohttp import web

from api.keys import CONFIG
from core.config import Networks


def client_address(request: web.Request) -> str:
    """The client's address: the nearest one of the connection and X-Forwarded-For that is no trusted proxy's.

    Empty when the connection has none.
    """
    networks = request.config_dict[CONFIG].trusted_proxies
    address = request.remote or ""
    headers = request.headers.getall("X-Forwarded-For", None)
    chain = ",".join(headers).split(",") if headers else []
    while is_within(address, networks) and chain:
        before = chain.pop().strip()
        if not is_address(before):
            break
        address = before
    return address


def is_https(request: web.Request) -> bool:
    """Whether the client spoke HTTPS, to us or to the trusted proxy before us."""
    return (forwarded(request, "X-Forwarded-Proto") or request.scheme).lower() == "https"


def host(request: web.Request) -> str:
    """The host and port that the client asked for."""
    return forwarded(request, "X-Forwarded-Host") or request.host


def origin(request: web.Request) -> str:
    """The address under which the client knows us, `https://example.org`; for links in what we send."""
    return f"{'https' if is_https(request) else 'http'}://{host(request)}"


def forwarded(request: web.Request, name: str) -> str:
    """The first value of a header that only a trusted proxy may set; empty when there is none."""
    if not is_within(request.remote or "", request.config_dict[CONFIG].trusted_proxies):
        return ""
    return request.headers.get(name, "").split(",")[0].strip()


def is_forwarding(name: str) -> bool:
    """Whether a header tells of the client's connection; those that came are never passed on."""
    return name == "forwarded" or name.startswith("x-forwarded-")


def forwarding_headers(request: web.Request) -> dict[str, str]:
    """What CouchDB is told of the client's connection, but for its address, whatever the request claimed."""
    return {"X-Forwarded-Proto": "https" if is_https(request) else "http", "X-Forwarded-Host": host(request)}


@lru_cache(maxsize=4096)
def is_within(address: str, networks: Networks) -> bool:
    if not is_address(address):
        return False
    parsed = ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
