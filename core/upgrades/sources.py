"""Where builds are kept: a builds database of any CouchDB, or a folder of files for sites without a network."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx
import orjson

from core.config import Config
from core.couch.client import Doc
from core.errors import Conflict, InvalidInput, NotFound, Unavailable
from core.upgrades.builds import BUILDS_DDOC, Build, BuildName, named_by, read_build, release_key

TIMEOUT = httpx.Timeout(60, connect=10)
LONGEST_S = 300  # of an answer, however steadily it comes
LARGEST_BYTES = 64 * 2**20


class Builds(Protocol):
    url: str  # for people: without credentials

    async def get(self, name: BuildName) -> Build:
        """The whole build. NotFound, InvalidInput when it is damaged, Unavailable when nobody answers."""
        ...

    async def releases(self) -> list[Doc]:
        """The build info of each, with its `kind`; the newest first within a kind."""
        ...

    async def add(self, doc: Doc) -> None:
        """Keep a build document there. Conflict when there is another build of that name."""
        ...


def open_builds(config: Config) -> Builds:
    """The builds of BUILDS_URL, else the folder `builds` of the data folder. InvalidInput for a URL of another kind."""
    return builds_at(config.builds_url or str(config.data.absolute() / "builds"))


def builds_at(url: str) -> Builds:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return BuildsDatabase(url)
    except ValueError as error:
        raise InvalidInput(f"BUILDS_URL is not a URL: {error}") from error
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return BuildsFolder(Path(unquote(parts.path)))
    if "://" not in url:
        return BuildsFolder(Path(url))
    raise InvalidInput("BUILDS_URL must be a folder, file:///a/folder, or the URL of a database")


class BuildsFolder:
    """One file for each build, `<version>.json`: the document that a builds database would have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = str(folder)

    async def get(self, name: BuildName) -> Build:
        build = await asyncio.to_thread(self.read, self.folder / f"{name.version}.json")
        if build is None or build["_id"] != name.doc_id:
            raise NotFound(f"There is no build {name.doc_id} in the folder {self.url}")
        return read_build(build)

    async def releases(self) -> list[Doc]:
        return await asyncio.to_thread(self.list_files)

    def list_files(self) -> list[Doc]:
        docs = [doc for path in self.folder.glob("*.json") if (doc := self.read(path, broken_ok=True)) is not None]
        return ordered([(release_key(info), info) for doc in docs for info in [info_of(doc)]])

    def read(self, path: Path, *, broken_ok: bool = False) -> Doc | None:
        """The document in a file, None when there is none."""
        try:
            doc = orjson.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except orjson.JSONDecodeError as error:
            if broken_ok:
                return None
            raise InvalidInput(f"The file {path} is no build: {error}") from error
        except OSError as error:
            raise Unavailable(f"The file {path} cannot be read: {error.strerror}") from error
        return doc if is_build(doc) else None

    async def add(self, doc: Doc) -> None:
        await asyncio.to_thread(self.write, doc)

    def write(self, doc: Doc) -> None:
        path = self.folder / f"{BuildName.of(info_of(doc)).version}.json"
        known = self.read(path, broken_ok=True)
        if known is not None and known.get("digest") != doc.get("digest"):
            raise Conflict(f"{path} is another build of the same version")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".new")
            draft.write_bytes(orjson.dumps(doc, option=orjson.OPT_INDENT_2) + b"\n")
            draft.replace(path)
        except OSError as error:
            raise Unavailable(f"{path} cannot be written: {error.strerror}") from error


class BuildsDatabase:
    """A database with one document for each build and the view `builds/releases`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url.rstrip("/"))
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        self.url = urlunsplit(parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host))
        self.login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None

    async def get(self, name: BuildName) -> Build:
        try:
            doc = await self.ask("GET", f"/{quote(name.doc_id, safe='')}", params={"attachments": "true"})
        except NotFound:
            raise NotFound(f"There is no build {name.doc_id} at {self.url}") from None
        if not is_build(doc):
            raise Unavailable(f"What is at {self.url} is no builds database: {name.doc_id} is no build there")
        return read_build(doc)

    async def releases(self) -> list[Doc]:
        answer = await self.ask("GET", "/_design/builds/_view/releases")
        try:
            return ordered([(row["key"], row["value"]) for row in answer["rows"]])
        except (AttributeError, LookupError, TypeError) as error:
            raise Unavailable(f"What is at {self.url} is no builds database: it does not list builds") from error

    async def add(self, doc: Doc) -> None:
        try:
            await self.ask("PUT", "/_design/builds", json=BUILDS_DDOC)
        except Conflict:
            pass  # it is there
        path = f"/{quote(doc['_id'], safe='')}"
        try:
            await self.ask("PUT", path, json=doc)
        except Conflict:
            known = await self.ask("GET", path)
            if known.get("digest") != doc["digest"]:
                raise Conflict(f"{self.url} has another build of the version {doc['_id']}") from None

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """The JSON answer; NotFound, Conflict, Unavailable with the server's words."""
        status, content = await self.answer(method, path, **options)
        if status == 404:
            raise NotFound(f"{self.url} has no {unquote(path[1:])}")
        said = content[:200].decode(errors="replace").strip()
        if status == 409:
            raise Conflict(f"{self.url}: {said}")
        try:
            found = orjson.loads(content)
        except orjson.JSONDecodeError:
            found = None
        if status >= 300 or found is None:
            raise Unavailable(f"The builds at {self.url} answered {status}: {said}")
        return found

    async def answer(self, method: str, path: str, **options: Any) -> tuple[int, bytes]:
        """The status and the body, which may neither be endless nor take for ever. Unavailable."""
        headers = {"Accept": "application/json"}
        content = bytearray()
        try:
            async with (
                asyncio.timeout(LONGEST_S),
                httpx.AsyncClient(timeout=TIMEOUT, auth=self.login) as client,
                client.stream(method, self.url + path, headers=headers, **options) as answer,
            ):
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > LARGEST_BYTES:
                        raise Unavailable(f"The builds at {self.url} answered more than {LARGEST_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(f"The builds at {self.url} cannot be reached: {reason}") from error
        return answer.status_code, bytes(content)


def is_build(value: Any) -> bool:
    """Whether a document means to be a build; `read_build` finds out whether it is one."""
    return (
        isinstance(value, dict)
        and str(value.get("_id", "")).count(":") >= 2
        and isinstance(value.get("build_info") or {}, dict)
    )


def info_of(doc: Doc) -> Doc:
    return doc.get("build_info") or named_by(str(doc["_id"]))


def ordered(found: list[tuple[list[Any], Doc]]) -> list[Doc]:
    """Build infos with their kinds: releases, betas, branches, others; the newest first within each."""
    kinds = ("release", "beta", "branch")
    newest_first = sorted(found, key=lambda each: (sortable(each[0][3:]), str(each[1].get("time"))), reverse=True)
    by_kind = sorted(newest_first, key=lambda each: kinds.index(each[0][0]) if each[0][0] in kinds else len(kinds))
    return [{**info, "kind": key[0]} for key, info in by_kind]


def sortable(parts: list[Any]) -> list[tuple[float, str]]:
    """Numbers in their order, before texts in theirs."""
    return [(part, "") if isinstance(part, int | float) else (float("inf"), str(part)) for part in parts]
