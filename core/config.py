"""The process configuration: read once from the environment and the command line, fixed until the process ends."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

from core.errors import InvalidInput

DEFAULT_DATABASE = "medic"

Networks = frozenset[IPv4Network | IPv6Network]
LOOPBACK: Networks = frozenset({ip_network("127.0.0.0/8"), ip_network("::1/128")})


@dataclass(frozen=True)
class Config:
    """What the environment decides. Times are seconds, sizes bytes.

    `couch_url` is `http://user:password@host:5984/medic`; None means the embedded store, whose URL `outpost serve`
    fills in before any other process starts.
    """

    couch_url: str | None = None
    database: str = DEFAULT_DATABASE
    admin_name: str = "admin"
    admin_password: str | None = field(default=None, repr=False)
    host: str = "127.0.0.1"
    port: int = 5988
    store_port: int = 5984
    data: Path = Path("data")
    workers: int = 2
    builds_url: str | None = None
    supervised: bool = False  # a supervisor started this process, and starts it again after an upgrade (60 UPG-35)
    redis_url: str | None = None
    trusted_proxies: Networks = LOOPBACK  # whose X-Forwarded-* headers are believed (10 AUTH-17)
    allow_cors: bool = False  # 10 AUTH-16
    force_password_change: bool = False  # 10 AUTH-92
    audit: bool = False  # who wrote what is kept in the audit database (10 PROXY-16)
    metrics_dir: Path | None = None  # where the API's processes share what they count; None: one process alone
    compat: str = "documented"  # or `cht`: the observed behaviour where 30 §18 names that profile (EP-6)
    login_failures: int = 10  # within ten seconds from one address, for one user or one password; 0: any (10 AUTH-100)
    log_format: str = "text"
    log_level: str = "info"
    request_timeout_s: float = 60.0
    feed_heartbeat_s: float = 25.0
    drain_s: float = 6.0
    push_timeout_s: float = 10.0  # for a request to another service, as a whole (40 OUT-2)
    purge_timeout_s: float = 5.0  # of the processor, for one call of the purge function (40 JSX-2)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read every variable; ValueError names the wrong one and what it should be."""
        admin_name, _, admin_password = env.get("OUTPOST_ADMIN", "").partition(":")
        if env.get("OUTPOST_ADMIN") and not (admin_name and admin_password):
            raise ValueError("OUTPOST_ADMIN must look like user:password")
        config = cls(
            admin_name=admin_name or "admin",
            admin_password=admin_password or None,
            host=env.get("OUTPOST_HOST", cls.host),
            port=whole_number(env, "OUTPOST_PORT", cls.port, least=0, most=65535),
            store_port=whole_number(env, "OUTPOST_STORE_PORT", cls.store_port, least=0, most=65535),
            data=Path(env.get("OUTPOST_DATA") or "data"),
            workers=whole_number(env, "OUTPOST_WORKERS", min(4, os.cpu_count() or 1), least=1, most=64),
            builds_url=env.get("BUILDS_URL") or None,
            supervised=bool(env.get("OUTPOST_SUPERVISED")),
            redis_url=redis_url(env),
            trusted_proxies=networks(env, "OUTPOST_TRUSTED_PROXIES", cls.trusted_proxies),
            allow_cors=boolean(env, "OUTPOST_ALLOW_CORS"),
            force_password_change=boolean(env, "OUTPOST_FORCE_PASSWORD_CHANGE"),
            audit=boolean(env, "OUTPOST_AUDIT"),
            compat=one_of(env, "COMPAT", cls.compat, ("documented", "cht")),
            metrics_dir=Path(env["PROMETHEUS_MULTIPROC_DIR"]) if env.get("PROMETHEUS_MULTIPROC_DIR") else None,
            login_failures=whole_number(env, "OUTPOST_LOGIN_FAILURES", cls.login_failures, least=0, most=1_000_000),
            log_format=one_of(env, "OUTPOST_LOG_FORMAT", cls.log_format, ("text", "json")),
            log_level=one_of(env, "OUTPOST_LOG_LEVEL", cls.log_level, ("debug", "info", "warning", "error")),
            database=env.get("OUTPOST_DATABASE") or cls.database,
        )
        return config.with_couch_url(env["COUCH_URL"]) if env.get("COUCH_URL") else config

    def with_couch_url(self, couch_url: str) -> Self:
        """The same configuration against that CouchDB; its path names the main database."""
        try:
            parts = urlsplit(couch_url)
            parts.port  # noqa: B018  raises ValueError for a port that is not a number
        except ValueError as error:
            raise ValueError(f"COUCH_URL is not a URL: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("COUCH_URL must look like http://user:password@host:5984/medic")
        if not parts.username or not parts.password:
            raise ValueError("COUCH_URL must hold a server administrator: http://user:password@host:5984/medic")
        name = unquote(parts.path.strip("/")) or self.database
        if "/" in name:
            raise ValueError("COUCH_URL must have one path part, the name of the main database")
        return replace(self, couch_url=couch_url, database=name)

    def with_store(self, password: str) -> Self:
        """The same configuration against the embedded store of this machine."""
        login = f"{quote(self.admin_name, safe='')}:{quote(password, safe='')}"
        url = f"http://{login}@127.0.0.1:{self.store_port}/{quote(self.database, safe='')}"
        return replace(self, couch_url=url, admin_password=password)

    def replace(self, **changes: Any) -> Self:
        return replace(self, **changes)

    @property
    def server_url(self) -> str:
        """CouchDB's address without credentials and path: `http://host:5984`."""
        parts = urlsplit(self._couch_url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}"

    @property
    def couch_admin(self) -> tuple[str, str]:
        """Name and password of the server administrator we act as."""
        parts = urlsplit(self._couch_url)
        return unquote(parts.username or ""), unquote(parts.password or "")

    @property
    def authorization(self) -> str:
        """The Basic header of the server administrator we act as."""
        name, password = self.couch_admin
        return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()

    @property
    def access_index(self) -> Path:
        return self.data / "access.sqlite"

    @property
    def search_index(self) -> Path:
        return self.data / "search.sqlite"

    @property
    def last_writes(self) -> Path:
        """When which user last wrote through this machine; may be deleted while nothing runs."""
        return self.data / "last-writes"

    @property
    def kept_lists(self) -> Path:
        """Lists that phones were given by `get-ids?since=`; may be deleted at any time."""
        return self.data / "kept-lists.sqlite"

    @property
    def samples(self) -> Path:
        """What the deployment looked like lately, minute by minute; may be deleted at any time."""
        return self.data / "samples.sqlite"

    def db_name(self, suffix: str) -> str:
        """The side database of that suffix: `db_name("sentinel")` is `medic-sentinel`."""
        return f"{self.database}-{suffix}"

    @property
    def _couch_url(self) -> str:
        if self.couch_url is None:
            raise InvalidInput("COUCH_URL is not set")
        return self.couch_url


def whole_number(env: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = env.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def one_of(env: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    text = env.get(name) or default
    if text not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {text!r}")
    return text


def redis_url(env: Mapping[str, str]) -> str | None:
    text = env.get("REDIS_URL") or None
    if text is not None and not text.startswith(("redis://", "rediss://")):
        raise ValueError("REDIS_URL must look like redis://host:6379")
    return text


def boolean(env: Mapping[str, str], name: str) -> bool:
    return one_of(env, name, "false", ("true", "false")) == "true"


def networks(env: Mapping[str, str], name: str, default: Networks) -> Networks:
    """Addresses and networks in CIDR notation, separated by commas; `none` for the empty list."""
    text = env.get(name) or ""
    if text.strip() in ("", "none"):
        return default if not text.strip() else frozenset()
    try:
        return frozenset(ip_network(part.strip(), strict=False) for part in text.split(","))
    except ValueError as error:
        raise ValueError(
            f"{name} must be addresses or networks such as 10.0.0.0/8, separated by commas, or `none`: {error}"
        ) from error
