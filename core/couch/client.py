"""One client of CouchDB for every room: documents, views and bulk work over one connection pool, JSON by orjson."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from io import IOBase
from typing import Any, cast
from urllib.parse import quote

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from core.config import Config
from core.couch.connections import Connections, in_pieces
from core.couch.errors import from_answer, from_network
from core.deep_json import dumps
from core.errors import Conflict, DomainError, NotFound, PreconditionFailed, Unanswered

Doc = dict[str, Any]
Row = dict[str, Any]

LARGE_BODY_BYTES = 2**20  # larger ones go out piece by piece

MOST_AT_ONCE = 2_000  # of a `_bulk_get`; CouchDB refuses more than 10,000 unless it is configured otherwise
CHANGED_BY_COUCH = frozenset({"_rev", "_attachments", "password"})
JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


class Couch:
    """A CouchDB server, as its administrator."""

    def __init__(self, session: aiohttp.ClientSession, server_url: str, authorization: str, most_at_once: int) -> None:
        self.session = session
        self.connections = Connections(server_url)  # for small requests, in place of the session
        self.places = asyncio.Semaphore(most_at_once)  # of our own small requests; the session limits the others
        self.server_url = server_url
        self.authorization = authorization

    def db(self, name: str) -> Database:
        return Database(self, name)

    async def info(self) -> Doc:
        return cast(Doc, await self.request("GET", "/"))

    async def all_dbs(self) -> list[str]:
        return cast(list[str], await self.request("GET", "/_all_dbs"))

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> Any:
        """The parsed JSON answer. Parameters are JSON-encoded but for text (give keys as Python values in `view`).

        Raises the DomainError of the answer's status, Unavailable when there is none. `path` is percent-encoded.
        """
        return orjson.loads(await self.request_bytes(method, path, params, body, headers, timeout))

    async def request_bytes(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> bytes:
        """The answer's body as it came; see `request`. A `body` that is an open file is sent as it is."""
        data = body if body is None or isinstance(body, bytes | IOBase) else dumps(body)
        sent = CIMultiDict({**JSON_HEADERS, "Authorization": self.authorization, **(headers or {})})
        target = f"{path}{query_string(params)}"
        try:
            if timeout is None and (data is None or (isinstance(data, bytes) and len(data) <= LARGE_BODY_BYTES)):
                status, answer = await self._exchange(method, target, sent, data or b"")
            else:
                url = URL(f"{self.server_url}{target}", encoded=True)
                content: Any = data
                if isinstance(data, bytes):
                    content, sent["Content-Length"] = in_pieces(data), str(len(data))
                options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
                async with self.session.request(method, url, data=content, headers=sent, **options) as response:
                    status, answer = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise from_network(error) from error
        if status >= 400:
            raise from_answer(status, answer)
        return answer

    async def _exchange(self, method: str, target: str, headers: CIMultiDict[str], body: bytes) -> tuple[int, bytes]:
        async with asyncio.timeout(self.session.timeout.total), self.places:
            exchange = await self.connections.ask(method, target, headers, body)
            try:
                return exchange.status, await exchange.read()
            finally:
                exchange.close()


class Database:
    """One database. Documents are plain dicts with `_id` and `_rev`."""

    def __init__(self, couch: Couch, name: str) -> None:
        self.couch = couch
        self.name = name
        self.path = "/" + quote(name, safe="")

    async def request(self, method: str, path: str = "", **options: Any) -> Any:
        """`Couch.request` below this database; `path` starts with a slash and is percent-encoded."""
        return await self.couch.request(method, self.path + path, **options)

    async def attachment(self, doc_id: str, name: str, rev: str) -> bytes:
        """The bytes of a document's attachment at that revision. NotFound."""
        path = f"{self.path}{doc_path(doc_id)}/{quote(name, safe='')}"
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        return await self.couch.request_bytes("GET", path, {"rev": rev}, headers=headers)

    async def create(self) -> bool:
        """Make sure the database exists; True when it was made now."""
        try:
            await self.request("PUT")
        except PreconditionFailed:
            return False
        return True

    async def delete_database(self) -> None:
        await self.request("DELETE")

    async def info(self) -> Doc:
        return cast(Doc, await self.request("GET"))

    async def get(self, doc_id: str, **params: Any) -> Doc:
        """The document's winning revision (`rev`, `conflicts`, `attachments`... as CouchDB). NotFound."""
        return cast(Doc, await self.request("GET", doc_path(doc_id), params=params))

    async def find(self, doc_id: str, **params: Any) -> Doc | None:
        """As `get`, but None when it is missing or deleted."""
        try:
            return await self.get(doc_id, **params)
        except NotFound:
            return None

    async def put(self, doc: Doc) -> str:
        """Write one document and return its new rev. Conflict when its `_rev` is not the current one.

        A write whose answer was lost with the connection is repeated, here alone: should it conflict with itself, it
        was stored the first time.
        """
        path = doc_path(doc["_id"])
        try:
            answer = await self.request("PUT", path, body=doc)
        except Unanswered:
            try:
                answer = await self.request("PUT", path, body=doc)
            except Conflict:
                stored = await self.find(doc["_id"])
                if stored is None or not is_stored(doc, stored):
                    raise
                return cast(str, stored["_rev"])
        return cast(str, answer["rev"])

    async def delete(self, doc_id: str, rev: str) -> str:
        answer = await self.request("DELETE", doc_path(doc_id), params={"rev": rev})
        return cast(str, answer["rev"])

    async def update(self, doc_id: str, change: Callable[[Doc | None], Doc | None], attempts: int = 5) -> Doc | None:
        """Read, change and write until no other writer came between; the document as stored, with its new `_rev`.

        `change` gets the document (None when missing) and returns the new one, or None to leave it as it is.
        Raises Conflict when every attempt met one.
        """
        for attempt in range(attempts):
            doc = change(await self.find(doc_id))
            if doc is None:
                return None
            try:
                return {**doc, "_rev": await self.put({**doc, "_id": doc_id})}
            except Conflict:
                if attempt == attempts - 1:
                    raise
        raise AssertionError("unreachable")

    async def bulk_docs(self, docs: Sequence[Doc], *, new_edits: bool = True) -> list[Row]:
        """One `_bulk_docs`: a row `{ok, id, rev}` or `{id, error, reason}` for each document, in order."""
        if not docs:
            return []
        body: Doc = {"docs": docs} if new_edits else {"docs": docs, "new_edits": False}
        return cast(list[Row], await self.request("POST", "/_bulk_docs", body=body))

    async def all_docs(self, keys: Iterable[str] | None = None, **params: Any) -> list[Row]:
        """Rows of `_all_docs`, by keys in their order (missing: `{key, error}`), or by range parameters."""
        return await self._rows("/_all_docs", keys, params)

    async def get_many(self, ids: Iterable[str]) -> dict[str, Doc]:
        """The live documents among those ids, at their winning revisions; one read for each 2,000.

        By `_bulk_get`: CouchDB 3.5 answers it in a third of the time that `_all_docs` takes for as many keys.
        """
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Doc] = {}
        for start in range(0, len(wanted), MOST_AT_ONCE):
            answer = orjson.loads(await self.bulk_get(wanted[start : start + MOST_AT_ONCE]))
            for result in answer["results"]:
                doc = winner(result["docs"])
                if doc is not None:
                    found[result["id"]] = doc
        return found

    async def bulk_get(self, ids: Iterable[str]) -> bytes:
        """The answer of one `_bulk_get` as it came: `{results: [{id, docs}]}` in the order of the ids; see `winner`."""
        asked = {"docs": [{"id": each} for each in ids]}
        return await self.couch.request_bytes("POST", f"{self.path}/_bulk_get", body=asked)

    async def view(self, ddoc: str, view: str, *, keys: Iterable[Any] | None = None, **params: Any) -> list[Row]:
        """Rows of a view. `key`, `startkey`, `endkey` and `keys` are plain values, JSON-encoded here."""
        return await self._rows(f"/_design/{quote(ddoc, safe='')}/_view/{quote(view, safe='')}", keys, params)

    async def changes(self, since: str | int = 0, **params: Any) -> Doc:
        """One `_changes` answer: `{results, last_seq, pending}`."""
        return cast(Doc, await self.request("GET", "/_changes", params={"since": since, **params}))

    async def get_local(self, name: str) -> Doc | None:
        """The `_local/<name>` document, None when missing."""
        return await self.find(f"_local/{name}")

    async def put_local(self, name: str, doc: Doc) -> str:
        return await self.put({**doc, "_id": f"_local/{name}"})

    async def _rows(self, path: str, keys: Iterable[Any] | None, params: Mapping[str, Any]) -> list[Row]:
        if keys is None:
            answer = await self.request("GET", path, params=params)
        else:
            answer = await self.request("POST", path, params=params, body={"keys": list(keys)})
        return cast(list[Row], answer["rows"])


@asynccontextmanager
async def connect(config: Config, *, connections: int = 100) -> AsyncIterator[Couch]:
    """The CouchDB of the configuration; opens connections when they are first needed."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=config.request_timeout_s, sock_connect=10),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=True,
    )
    couch = Couch(session, config.server_url, config.authorization, connections)
    try:
        yield couch
    finally:
        await couch.connections.close()
        await session.close()


def winner(leaves: Sequence[Row]) -> Doc | None:
    """The document among the leaves `_bulk_get` gives for one id: `{ok: doc}` or `{error}`. None: missing or deleted.

    Of several live ones it is the one every CouchDB shows: the longest history, then the highest digest.
    """
    if len(leaves) == 1 and (only := leaves[0].get("ok")) is not None and "_deleted" not in only:
        return cast(Doc, only)  # nearly always
    live: list[Doc] = []
    for leaf in leaves:
        if "ok" not in leaf:
            error = leaf.get("error") or {}
            if error.get("error") not in ("not_found", "illegal_docid"):
                raise DomainError(f"CouchDB could not read {error.get('id')}: {error.get('reason')}")
        elif not leaf["ok"].get("_deleted"):
            live.append(leaf["ok"])
    return max(live, key=generation_and_digest, default=None)


def is_stored(doc: Doc, stored: Doc) -> bool:
    """Whether the stored document has every member of the one that was sent, but for those CouchDB changes."""
    return all(stored.get(name) == value for name, value in doc.items() if name not in CHANGED_BY_COUCH)


def generation_and_digest(doc: Doc) -> tuple[int, str]:
    generation, _, digest = str(doc["_rev"]).partition("-")
    return int(generation), digest


def doc_path(doc_id: str) -> str:
    """`/<id>` for a URL; the slash of `_design/` and `_local/` stays as it is."""
    for prefix in ("_design/", "_local/"):
        if doc_id.startswith(prefix):
            return f"/{prefix}{quote(doc_id[len(prefix) :], safe='')}"
    return "/" + quote(doc_id, safe="")


def query_string(params: Mapping[str, Any] | None) -> str:
    """`?a=b` with booleans, numbers and key members as JSON; text members that are not keys stay text."""
    if not params:
        return ""
    return "?" + "&".join(f"{name}={quote(as_text(name, value), safe='')}" for name, value in params.items())


JSON_PARAMS = frozenset({"key", "keys", "startkey", "start_key", "endkey", "end_key", "open_revs", "doc_ids"})


def as_text(name: str, value: Any) -> str:
    if name in JSON_PARAMS or not isinstance(value, str):
        return orjson.dumps(value).decode()
    return value
