"""What a client asks of `_replicate`, or a document of `_replicator`: read, checked and named. Pure."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson
from yarl import URL

from store.errors import BadRequest
from store.selector import normalize


@dataclass(frozen=True)
class Endpoint:
    """One side of a replication: `name` of a database of this store, or `url` with the headers to send."""

    name: str | None = None
    url: URL | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Where it is, without credentials."""
        return f"{str(self.url).rstrip('/')}/" if self.url is not None else self.name or ""


@dataclass(frozen=True)
class ChangeFilter:
    """Which changes of the source are replicated: at most one of the first three is set."""

    doc_ids: list[str] | None = None
    selector: dict[str, Any] | None = None
    function: str | None = None  # "ddoc/name", `_design` or `_view`
    query: Mapping[str, str] = field(default_factory=dict)  # parameters of the function
    winners_only: bool = False


@dataclass(frozen=True)
class ReplicationRequest:
    """One replication. Times are in milliseconds, as clients give them."""

    source: Endpoint
    target: Endpoint
    continuous: bool = False
    create_target: bool = False
    create_target_params: Mapping[str, str] = field(default_factory=dict)
    filter: ChangeFilter = field(default_factory=ChangeFilter)
    since: Any = None  # a seq of the source to begin at, instead of a checkpoint
    use_checkpoints: bool = True
    checkpoint_interval_ms: int = 30_000
    batch_size: int = 500

    def checkpoint_id(self, store_uuid: str) -> str:
        """The name both sides keep the checkpoint under: the same request finds it again."""
        chosen = self.filter
        parts = [
            *(store_uuid, self.source.shown, self.target.shown),
            *(chosen.doc_ids, chosen.selector, chosen.function, dict(chosen.query), chosen.winners_only),
        ]
        return hashlib.md5(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), usedforsecurity=False).hexdigest()

    def job_id(self, store_uuid: str) -> str:
        """The name of the running replication, `_local_id` to clients."""
        flags = ("+continuous" if self.continuous else "") + ("+create_target" if self.create_target else "")
        return self.checkpoint_id(store_uuid) + flags


def parse_request(body: Mapping[str, Any]) -> ReplicationRequest:
    """Read a request; BadRequest says which member is wrong and what was expected."""
    chosen = ChangeFilter(
        doc_ids=_texts(body, "doc_ids"),
        selector=None if body.get("selector") is None else normalize(body["selector"]),
        function=_optional(body, "filter", str, "a string"),
        query=_parameters(body, "query_params"),
        winners_only=_flag(body, "winning_revs_only"),
    )
    if sum(each is not None for each in (chosen.doc_ids, chosen.selector, chosen.function)) > 1:
        raise BadRequest("`doc_ids`,`filter`,`selector` are mutually exclusive")
    return ReplicationRequest(
        source=_endpoint(body, "source"),
        target=_endpoint(body, "target"),
        continuous=_flag(body, "continuous"),
        create_target=_flag(body, "create_target"),
        create_target_params=_parameters(body, "create_target_params"),
        filter=chosen,
        since=body.get("since_seq"),
        use_checkpoints=_flag(body, "use_checkpoints", True),
        checkpoint_interval_ms=max(1, _number(body, "checkpoint_interval", 30_000)),
        batch_size=min(max(1, _number(body, "worker_batch_size", 500)), 2000),
    )


def _endpoint(body: Mapping[str, Any], side: str) -> Endpoint:
    given = body.get(side)
    headers: dict[str, str] = {}
    if isinstance(given, dict):
        headers = _parameters(given, "headers")
        basic = (given.get("auth") or {}).get("basic") if isinstance(given.get("auth") or {}, dict) else None
        if isinstance(basic, dict) and all(isinstance(basic.get(each), str) for each in ("username", "password")):
            headers["Authorization"] = basic_header(basic["username"], basic["password"])
        elif given.get("auth"):
            raise BadRequest(f'`{side}.auth` must be {{"basic": {{"username": ..., "password": ...}}}}')
        given = given.get("url")
    if not isinstance(given, str) or not given:
        raise BadRequest(f"`{side}` must be a database name, a URL or an object with a `url`")
    if not given.startswith(("http://", "https://")):
        return Endpoint(name=unquote(given))
    try:
        url = URL(given, encoded=True)
        user, password = url.user, url.password
        if not url.host or not url.path.strip("/"):
            raise ValueError("no host or no database")
    except ValueError as error:
        raise BadRequest(f"`{side}` is not the URL of a database: {error}") from None
    if user is not None:
        headers.setdefault("Authorization", basic_header(user, password or ""))
        url = url.with_user(None)
    return Endpoint(url=url.with_query(None).with_fragment(None), headers=headers)


def basic_header(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _optional(body: Mapping[str, Any], name: str, kind: type, expected: str) -> Any:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise BadRequest(f"parameter `{name}` must be {expected}")
    return value


def _texts(body: Mapping[str, Any], name: str) -> list[str] | None:
    values: list[str] | None = _optional(body, name, list, "an array")
    if values is not None and not all(isinstance(value, str) for value in values):
        raise BadRequest(f"parameter `{name}` must be an array of strings")
    return None if values is None else sorted(set(values))


def _flag(body: Mapping[str, Any], name: str, default: bool = False) -> bool:
    value = body.get(name, default)
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise BadRequest(f"parameter `{name}` must be a boolean")


def _number(body: Mapping[str, Any], name: str, default: int) -> int:
    value = body.get(name, default)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise BadRequest(f"parameter `{name}` must be an integer")


def _parameters(body: Mapping[str, Any], name: str) -> dict[str, str]:
    values = _optional(body, name, dict, "an object") or {}
    return {key: value if isinstance(value, str) else orjson.dumps(value).decode() for key, value in values.items()}
