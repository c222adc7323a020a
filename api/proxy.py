"""Stream a request to CouchDB as its caller, and the answer back, without looking inside (10 §7, PROXY-30..34)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, BinaryIO

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from api.credentials import Credentials, credentials_of
from api.errors import BASIC_PROMPT, LOGOUT_HEADER, is_human
from api.forwarded import client_address, forwarding_headers, is_forwarding, is_https
from api.keys import COUCH, REQUEST_ID, USER
from api.responses import Stream
from core.config import Config
from core.couch.client import LARGE_BODY_BYTES, query_string
from core.couch.connections import Exchange, in_pieces
from core.couch.errors import from_network
from core.errors import Unauthorized

Answer = aiohttp.ClientResponse | Exchange

UPSTREAM = web.AppKey("upstream", aiohttp.ClientSession)
# Answers of changes feeds that are being passed on: closed when the server stops, since they have no end of their own.
OPEN_FEEDS = web.AppKey("open_feeds", set[Answer])

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Never passed on: what we set ourselves (credentials, length, address) and what could make CouchDB see another caller
# or another method than the one we checked (AUTH-12).
WITHHELD = HOP_BY_HOP | {
    "authorization",
    "cookie",
    "content-length",
    "expect",
    "x-auth-couchdb-roles",
    "x-auth-couchdb-token",
    "x-auth-couchdb-username",
    "x-http-method-override",
    "x-medic-service",
    "x-medic-user",
    "x-request-id",
}
UNANSWERED = HOP_BY_HOP | {"www-authenticate"}
# aiohttp has decoded bodies in these encodings before we read them.
DECODED = frozenset({"gzip", "deflate", "br", "zstd"})
SMALL_BODY_BYTES = 65_536
SKIPPED_DEFAULTS = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


def open_upstream(config: Config) -> aiohttp.ClientSession:
    """The connections of proxied requests: unlimited, since held feeds would use a limit up, and bodies as they are."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),  # the client decides how long a view may take
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


async def forward(
    request: web.Request,
    *,
    path: str | None = None,
    params: Mapping[str, Any] | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Pass the request to CouchDB with the caller's credentials and stream the answer back.

    `path` (percent-encoded), `params` and `body` replace the request's own; `headers` are added. A 401 of CouchDB
    is raised as Unauthorized (ERR-16); Unavailable when CouchDB does not answer.
    """
    async with ask(request, path=path, params=params, body=body, headers=headers) as answer:
        return await pass_back(request, answer)


@asynccontextmanager
async def ask(
    request: web.Request,
    *,
    method: str | None = None,
    path: str | None = None,
    params: Mapping[str, Any] | None = None,
    body: bytes | BinaryIO | None = None,
    headers: Mapping[str, str] | None = None,
    unauthorized_as_is: bool = False,
) -> AsyncIterator[Answer]:
    """CouchDB's answer to the request, its body still to be read; see `forward`."""
    couch = request.config_dict[COUCH]
    query = query_string(params) if params is not None else raw_query(request)
    target = f"{upstream_path(request, path)}{query}"
    if body is None and is_small(request):
        body = await request.read()
    streamed = body is None and request.body_exists
    sent = request_headers(request, streamed=streamed, extra=headers)
    answer: Answer
    try:
        if not streamed and (body is None or (isinstance(body, bytes) and len(body) <= LARGE_BODY_BYTES)):
            answer = await couch.connections.ask(method or request.method, target, sent, body or b"")
        else:
            data = request.content if streamed else in_pieces(body) if isinstance(body, bytes) else body
            if isinstance(body, bytes):
                sent["Content-Length"] = str(len(body))
            answer = await request.config_dict[UPSTREAM].request(
                method or request.method,
                URL(f"{couch.server_url}{target}", encoded=True),
                headers=sent,
                allow_redirects=False,
                skip_auto_headers=SKIPPED_DEFAULTS,
                data=data,
            )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise from_network(error) from error
    try:
        if answer.status == 401 and not unauthorized_as_is:
            raise Unauthorized("not logged in")
        yield answer
    finally:
        if isinstance(answer, Exchange) or not answer.content.is_eof():
            answer.close()
        else:
            answer.release()


def is_small(request: web.Request) -> bool:
    """Whether the request's body is better read than streamed."""
    length = request.content_length
    return length is not None and 0 < length <= SMALL_BODY_BYTES and "Content-Encoding" not in request.headers


async def pass_back(request: web.Request, answer: Answer) -> web.StreamResponse:
    """An answer of CouchDB for the client: at once when it is already here, else streamed, each part as it comes."""
    headers = response_headers(request, answer)
    feed = request.rel_url.raw_path.endswith("/_changes")
    first = b""
    if request.method != "HEAD" and not feed:
        first = await next_chunk(answer)
        if answer.content.at_eof():
            headers.pop("Content-Length", None)
            return web.Response(body=first, status=answer.status, reason=answer.reason, headers=headers)
    response = Stream(status=answer.status, reason=answer.reason, headers=headers)
    feeds = request.config_dict[OPEN_FEEDS]
    if feed:
        feeds.add(answer)
    try:
        await response.prepare(request)
        if first:
            await response.write(first)
        if request.method != "HEAD":
            while chunk := await next_chunk(answer):
                await response.write(chunk)
        await response.write_eof()
    finally:
        feeds.discard(answer)
    return response


async def next_chunk(answer: Answer) -> bytes:
    """What CouchDB has sent since, empty at the end. Unavailable when it breaks off."""
    try:
        return await answer.content.readany()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise from_network(error) from error


async def read_whole(answer: Answer) -> bytes:
    """CouchDB's body. Unavailable when it breaks off."""
    try:
        return await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise from_network(error) from error


def upstream_path(request: web.Request, path: str | None) -> str:
    """The path for CouchDB, which takes a bare `+` for a space where we take it for itself."""
    bare, mark, query = (request.rel_url.raw_path if path is None else path).partition("?")
    return bare.replace("+", "%2B") + mark + query


def raw_query(request: web.Request) -> str:
    query = request.rel_url.raw_query_string
    return f"?{query}" if query else ""


def request_headers(
    request: web.Request, *, streamed: bool, extra: Mapping[str, str] | None = None
) -> CIMultiDict[str]:
    """The client's headers without those in WITHHELD, with its checked credentials and our own account of it."""
    connection = named_by_connection(request.headers)
    withheld = WITHHELD | connection if connection else WITHHELD
    headers = CIMultiDict(
        (name, value)
        for name, value in request.headers.items()
        if (lower := name.lower()) not in withheld and not is_forwarding(lower)
    )
    if headers.get("Content-Encoding", "").lower() in DECODED:
        del headers["Content-Encoding"]
    elif streamed and "Content-Length" in request.headers:
        headers["Content-Length"] = request.headers["Content-Length"]
    credentials = credentials_of(request) or Credentials(address=client_address(request))
    headers.update(credentials.headers)
    user = request.get(USER)
    if user is not None:
        headers["X-Medic-User"] = user.name.encode("ascii", "backslashreplace").decode()
    headers["X-Medic-Service"] = "api"
    headers["X-Request-Id"] = request[REQUEST_ID]
    headers.update(forwarding_headers(request))
    headers.update(extra or {})
    return headers


def response_headers(request: web.Request, answer: Answer) -> CIMultiDict[str]:
    """CouchDB's headers but those of its own connection (PROXY-32), and no password dialog for people (PROXY-30)."""
    connection = named_by_connection(answer.headers)
    kept_back = UNANSWERED | connection if connection else UNANSWERED
    headers = CIMultiDict((name, value) for name, value in answer.headers.items() if name.lower() not in kept_back)
    if is_human(request):
        headers["WWW-Authenticate"] = "Cookie"
    elif answer.status == 401:
        headers.update(BASIC_PROMPT)
    if answer.status == 401:
        headers.update(LOGOUT_HEADER)
    if "Set-Cookie" in headers and is_https(request):
        headers.extend([("Set-Cookie", secured(cookie)) for cookie in headers.popall("Set-Cookie")])
    return headers


def named_by_connection(headers: Mapping[str, str]) -> frozenset[str]:
    """The headers that concern one connection only, as `Connection` tells; none where it tells of the usual."""
    told = headers.get("Connection", "").lower()
    return frozenset() if told in ("", "keep-alive", "close") else frozenset(map(str.strip, told.split(",")))


def secured(cookie: str) -> str:
    """CouchDB sees our connection only, and cannot know that the client's is HTTPS."""
    return cookie if "secure" in cookie.lower().split("; ") else f"{cookie}; Secure"
