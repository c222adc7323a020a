"""Slow down whoever guesses passwords: a few failures, then 429 for the rest of ten seconds (AUTH-100..102)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import ConfigurationError

from api.errors import Handler, TooManyRequests
from api.forwarded import client_address
from api.keys import CONFIG
from core.config import Config
from core.errors import DomainError, InvalidInput

log = logging.getLogger(__name__)

WINDOW_S = 10
REDIS_TIMEOUT_S = 1.0
LARGEST_LOGIN_BYTES = 65_536
USER_FIELDS = ("user", "name", "username")
PASSWORD_FIELDS = ("password", "currentPassword")


class LoginLimits:
    """Counts failures by key. In Redis they are counted for all machines; without it, or while it is away, for this
    process."""

    def __init__(self, config: Config, redis: RedisStorage | None = None) -> None:
        self.item = RateLimitItemPerSecond(config.login_failures, WINDOW_S, namespace="outpost-logins")
        self._here = FixedWindowRateLimiter(MemoryStorage())
        self._redis = redis
        self._shared = FixedWindowRateLimiter(redis) if redis else None
        # Every machine of a deployment knows it, and nobody who can only read Redis.
        self._secret = hashlib.sha256(config.authorization.encode()).digest()

    def key(self, kind: str, value: str) -> str:
        return hmac.new(self._secret, f"{kind}\0{value}".encode("utf-8", "surrogateescape"), "sha256").hexdigest()

    async def are_exhausted(self, keys: Iterable[str]) -> bool:
        for key in keys:
            if not await self._use(lambda limiter, key=key: limiter.test(self.item, key)):  # type: ignore[misc]
                return True
        return False

    async def count(self, keys: Iterable[str]) -> None:
        for key in keys:
            await self._use(lambda limiter, key=key: limiter.hit(self.item, key))  # type: ignore[misc]

    async def _use(self, use: Callable[[FixedWindowRateLimiter], Any]) -> bool:
        if self._shared is not None:
            try:
                return bool(await use(self._shared))
            except Exception as error:  # whatever its client raises, logins go on
                log.warning("Redis does not count failed logins: %s", error)
        return bool(await use(self._here))

    async def close(self) -> None:
        if self._redis is not None:
            bridge: Any = self._redis.bridge  # limits has no way to close its connections
            await bridge.storage.aclose()


def redis_storage(url: str, **options: Any) -> RedisStorage:
    """Counters in Redis, which need not be there yet. InvalidInput where its client is not installed."""
    try:
        return RedisStorage(
            f"async+{url}",
            implementation="redispy",
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            **options,
        )
    except ConfigurationError as error:
        raise InvalidInput(
            f"REDIS_URL needs the package redis: pip install 'outpost-server[redis]' ({error})"
        ) from error


LIMITS = web.AppKey("login_limits", LoginLimits)
FAILED_LOGIN = web.RequestKey("failed_login", bool)  # set by a login that fails without 401


async def open_login_limits(app: web.Application) -> AsyncIterator[None]:
    config = app[CONFIG]
    limits = app[LIMITS] = LoginLimits(config, redis_storage(config.redis_url) if config.redis_url else None)
    yield
    await limits.close()


def limit_logins(by_post: frozenset[Any], refused: web.RequestKey[DomainError]) -> Any:
    """The middleware that counts failed logins and refuses further ones of an exhausted address, user or password.

    A login is a request with Basic credentials or a POST to one of the handlers `by_post`; a cookie is none. `refused`
    holds why the credentials of a request were refused.
    """

    @web.middleware
    async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
        posts = request.method == "POST" and request.match_info.handler in by_post
        basic = basic_credentials(request)
        limits = request.config_dict[LIMITS]
        if (not posts and basic is None) or not limits.item.amount:
            return await handler(request)
        address = client_address(request)
        named = [("address", address), *(basic or {}).items(), *(await fields(request) if posts else {}).items()]
        keys = [limits.key(kind, value) for kind, value in named if value]
        if await limits.are_exhausted(keys):
            await limits.count(keys)
            log.warning("too many failed logins from %s", address)
            raise TooManyRequests
        failed = False
        try:
            response = await handler(request)
            failed = response.status == 401
            return response
        except DomainError as error:
            failed = error.status == 401
            raise
        finally:
            refusal = request.get(refused)
            if failed or request.get(FAILED_LOGIN) or (refusal is not None and refusal.status == 401):
                await limits.count(keys)

    return limit


def basic_credentials(request: web.Request) -> dict[str, str] | None:
    """User and password of a Basic header, empty where it cannot be read; None without one."""
    header = request.headers.get("Authorization", "")
    if header[:6].lower() != "basic ":
        return None
    try:
        name, _, password = base64.b64decode(header[6:].strip()).decode("utf-8", "replace").partition(":")
    except (binascii.Error, ValueError):
        return {}
    return {"user": name, "password": password}


async def fields(request: web.Request) -> dict[str, str]:
    """User and password in the body of a login, JSON or a form; what cannot be read the handler will refuse."""
    body = await request.read()
    if len(body) > LARGEST_LOGIN_BYTES:
        return {}
    if request.content_type == "application/json":
        try:
            sent = orjson.loads(body)
        except orjson.JSONDecodeError:
            return {}
    elif request.content_type == "application/x-www-form-urlencoded":
        sent = dict(parse_qsl(body.decode("utf-8", "replace")))
    else:
        return {}
    if not isinstance(sent, dict):
        return {}
    found = {"user": first_text(sent, USER_FIELDS), "password": first_text(sent, PASSWORD_FIELDS)}
    return {kind: value for kind, value in found.items() if value}


def first_text(sent: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((sent[name] for name in names if isinstance(sent.get(name), str)), "")
