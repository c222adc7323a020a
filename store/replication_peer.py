"""One side of a replication over HTTP: any server that speaks CouchDB's API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout
from yarl import URL

from store.errors import StoreError
from store.replication_request import ChangeFilter, Endpoint

_ATTEMPTS = 4
_FIRST_PAUSE_S = 0.25
_HEARTBEAT_MS = 10_000
_ANSWER_WITHIN_S = 120.0  # a silence longer than this counts as a lost connection
_DOCS_AT_ONCE = 100
_NO_BULK_GET = frozenset({400, 404, 405, 501})  # a server from before _bulk_get


class Missing(NamedTuple):
    """Revisions of a document that the target lacks, and leaves it has that they may descend from."""

    id: str
    revs: list[str]
    ancestors: list[str]


class Page(NamedTuple):
    """Some changes: the leaves of each document, the seq to go on from, how many are left (None: unknown)."""

    leaves: list[tuple[str, list[str]]]
    last_seq: Any
    pending: int | None


class Refusal(NamedTuple):
    """A document the target did not take."""

    id: str
    error: str
    reason: str


class Peer(Protocol):
    """What a replication asks of either side. StoreError for what cannot be done."""

    async def open(self, create_with: Mapping[str, str] | None) -> None:
        """Make sure the database is there; with parameters, create it when it is not."""

    async def get_local(self, doc_id: str) -> dict[str, Any] | None:
        """A `_local/` document, None when absent."""

    async def put_local(self, doc: Mapping[str, Any]) -> None:
        """Write a `_local/` document over whatever is there."""

    async def changes(self, since: Any, limit: int, chosen: ChangeFilter, *, wait: bool) -> Page:
        """At most `limit` changes after `since`; with `wait` it may take until there is one."""
        ...

    async def revs_diff(self, leaves: Sequence[tuple[str, list[str]]]) -> list[Missing]:
        """Which of these revisions are not here."""
        ...

    def read(self, missing: Sequence[Missing]) -> AsyncGenerator[dict[str, Any], None]:
        """These revisions, or later ones, with `_revisions` and attachments; those that are gone are left out."""
        ...

    async def write(self, docs: Sequence[dict[str, Any]]) -> list[Refusal]:
        """Store revisions as they are."""
        ...

    async def close(self) -> None:
        """Give everything back."""


class RemotePeer:
    """A database behind a URL."""

    def __init__(self, endpoint: Endpoint) -> None:
        if endpoint.url is None:
            raise ValueError("an endpoint with a URL is needed")
        self._shown = endpoint.shown
        self._url = str(endpoint.url).rstrip("/")
        timeout = ClientTimeout(total=None, sock_connect=30, sock_read=_ANSWER_WITHIN_S)
        self._session = ClientSession(headers={**endpoint.headers, "Accept": "application/json"}, timeout=timeout)
        self._has_bulk_get = True

    async def open(self, create_with: Mapping[str, str] | None) -> None:
        status, body = await self._ask("GET", "")
        if status == 404 and create_with is not None:
            status, body = await self._ask("PUT", "", query=create_with)
            if status == 412:  # somebody else was faster
                return
        if status == 404:
            raise StoreError(f"could not open {self._shown}", slug="db_not_found")
        self._require(status, body, "")

    async def get_local(self, doc_id: str) -> dict[str, Any] | None:
        status, body = await self._ask("GET", f"/{doc_id}")
        if status == 404:
            return None
        found: dict[str, Any] = self._require(status, body, doc_id)
        return found

    async def put_local(self, doc: Mapping[str, Any]) -> None:
        for _ in range(3):
            stored = await self.get_local(doc["_id"])
            sent = {**doc, **({"_rev": stored["_rev"]} if stored else {})}
            status, body = await self._ask("PUT", f"/{doc['_id']}", orjson.dumps(sent))
            if status != 409:
                break
        self._require(status, body, doc["_id"])

    async def changes(self, since: Any, limit: int, chosen: ChangeFilter, *, wait: bool) -> Page:
        query = {
            **chosen.query,
            "style": "main_only" if chosen.winners_only else "all_docs",
            "since": since if isinstance(since, str) else orjson.dumps(since).decode(),
            "limit": str(limit),
            "feed": "longpoll" if wait else "normal",
            "heartbeat": str(_HEARTBEAT_MS),
        }
        sent: bytes | None = None
        if chosen.doc_ids is not None:
            query["filter"], sent = "_doc_ids", orjson.dumps({"doc_ids": chosen.doc_ids})
        elif chosen.selector is not None:
            query["filter"], sent = "_selector", orjson.dumps({"selector": chosen.selector})
        elif chosen.function is not None:
            query["filter"] = chosen.function
        status, body = await self._ask("GET" if sent is None else "POST", "/_changes", sent, query=query)
        found = self._require(status, body, "_changes")
        leaves = [(row["id"], [change["rev"] for change in row["changes"]]) for row in found["results"]]
        return Page(leaves, found["last_seq"], found.get("pending"))

    async def revs_diff(self, leaves: Sequence[tuple[str, list[str]]]) -> list[Missing]:
        status, body = await self._ask("POST", "/_revs_diff", orjson.dumps(dict(leaves)))
        found = self._require(status, body, "_revs_diff")
        return [
            Missing(doc_id, each["missing"], each.get("possible_ancestors", []))
            for doc_id, each in found.items()
            if each.get("missing")
        ]

    async def read(self, missing: Sequence[Missing]) -> AsyncGenerator[dict[str, Any], None]:
        ancestors = {each.id: each.ancestors for each in missing}
        wanted = [(each.id, rev) for each in missing for rev in each.revs]
        for at in range(0, len(wanted), _DOCS_AT_ONCE):
            for doc in await self._read_bare(wanted[at : at + _DOCS_AT_ONCE]):
                if "_attachments" not in doc:
                    yield doc
                elif (
                    whole := await self._read_whole(doc["_id"], doc["_rev"], ancestors.get(doc["_id"], []))
                ) is not None:
                    yield whole

    async def _read_bare(self, wanted: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Revisions whose attachments are stubs."""
        if self._has_bulk_get:
            sent = orjson.dumps({"docs": [{"id": doc_id, "rev": rev} for doc_id, rev in wanted]})
            status, body = await self._ask("POST", "/_bulk_get", sent, query={"revs": "true", "latest": "true"})
            if status not in _NO_BULK_GET:
                rows = self._require(status, body, "_bulk_get")["results"]
                return _distinct([each["ok"] for row in rows for each in row["docs"] if "ok" in each])
            self._has_bulk_get = False
        docs: list[dict[str, Any]] = []
        for doc_id, rev in wanted:
            query = {"revs": "true", "latest": "true", "open_revs": orjson.dumps([rev]).decode()}
            status, body = await self._ask("GET", f"/{_quoted(doc_id)}", query=query)
            docs += [each["ok"] for each in self._require(status, body, doc_id) if "ok" in each]
        return _distinct(docs)

    async def _read_whole(self, doc_id: str, rev: str, ancestors: Sequence[str]) -> dict[str, Any] | None:
        """A revision with the data of those attachments that the ancestors do not have."""
        query = {"rev": rev, "revs": "true", "attachments": "true"}
        if ancestors:
            query["atts_since"] = orjson.dumps(ancestors).decode()
        status, body = await self._ask("GET", f"/{_quoted(doc_id)}", query=query)
        if status == 404:  # compacted away meanwhile: a later revision takes its place
            return None
        whole: dict[str, Any] = self._require(status, body, doc_id)
        return whole

    async def write(self, docs: Sequence[dict[str, Any]]) -> list[Refusal]:
        sent = orjson.dumps({"new_edits": False, "docs": docs})
        status, body = await self._ask("POST", "/_bulk_docs", sent)
        if status in (400, 412, 413) and len(docs) > 1:  # one of them spoils the whole request
            half = len(docs) // 2
            return [*await self.write(docs[:half]), *await self.write(docs[half:])]
        if status in (400, 412, 413):
            failure = orjson.loads(body) if body.startswith(b"{") else {}
            slug = str(failure.get("error", "too_large"))
            return [Refusal(docs[0]["_id"], slug, str(failure.get("reason", status)))]
        rows = self._require(status, body, "_bulk_docs")
        return [Refusal(row["id"], row["error"], row.get("reason", "")) for row in rows if "error" in row]

    async def close(self) -> None:
        await self._session.close()

    async def _ask(
        self, method: str, path: str, body: bytes | None = None, *, query: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body; asks again when the connection fails or the server is busy."""
        headers = {} if body is None else {"Content-Type": "application/json"}
        url = URL(self._url + (path or "/"), encoded=True).update_query(query or {})
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._session.request(method, url, data=body, headers=headers) as response:
                    answer = response.status, await response.read()
                if (answer[0] != 429 and answer[0] < 500) or answer[0] == 501 or attempt == _ATTEMPTS:
                    return answer
            except (ClientError, TimeoutError, OSError) as error:
                if attempt == _ATTEMPTS:
                    reason = f"could not reach {self._shown}: {error or type(error).__name__}"
                    raise StoreError(reason, slug="replication_error") from error
            await asyncio.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the last attempt returns or raises")

    def _require(self, status: int, body: bytes, what: str) -> Any:
        """The parsed body of a success; StoreError for anything else."""
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError:
            parsed = None
        if status < 300 and parsed is not None:
            return parsed
        if status in (401, 403):
            reason = parsed.get("reason", "") if isinstance(parsed, dict) else ""
            raise StoreError(f"{self._shown}{what}: {reason}", slug="unauthorized", status=401)
        raise StoreError(f"{self._shown}{what} answered {status}", slug="replication_error")


def _quoted(doc_id: str) -> str:
    prefix = next((each for each in ("_design/", "_local/") if doc_id.startswith(each)), "")
    return prefix + quote(doc_id[len(prefix) :], safe="")


def _distinct(docs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """With `latest` two revisions asked for may be answered by the same later one."""
    return list({(doc["_id"], doc["_rev"]): doc for doc in docs}.values())
