"""All views of one database: finds the index of a design document's views, brings it up to date, reads from it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from store.collation import COLLATOR_VERSION
from store.javascript import JavaScriptPool
from store.mango_index import MangoMapper
from store.source import DocSource
from store.view_group import View, ViewGroup, view_group
from store.view_index import Stopped, ViewIndex
from store.view_query import ViewParams
from store.view_read import DocRef, Head, ReadDocs, read_few, read_rows
from store.view_reduce import reduction

_READ_AHEAD = 2  # pieces read before the answer begins: most answers are no longer, and need no second thread


class ViewResult:
    """The answer of one query, read while it is written out.

    `total_rows` and `offset` are None for a reduction, `update_seq` unless it was asked for. Read `pages` to the end or
    close the result: until then it holds a connection.
    """

    def __init__(
        self, head: Head, update_seq: int | None, ahead: list[bytes], pieces: Generator[Any, None, None] | None = None
    ) -> None:
        self.total_rows = head.total_rows
        self.offset = head.offset
        self.update_seq = update_seq
        self._pieces = pieces
        self._ahead = ahead
        self._reading: asyncio.Future[bytes | None] | None = None

    async def pages(self) -> AsyncIterator[bytes]:
        """Pieces of some hundred rows: JSON objects joined by commas, no comma between two pieces."""
        try:
            for piece in self._ahead:
                yield piece
            while self._pieces is not None and len(self._ahead) == _READ_AHEAD:
                loop = asyncio.get_running_loop()
                self._reading = loop.run_in_executor(None, next, self._pieces, None)
                following = await asyncio.shield(self._reading)
                if following is None:
                    return
                yield following
        finally:
            self.close()

    async def body(self, update_seq: str | None = None) -> AsyncIterator[bytes]:
        """The whole JSON answer; `update_seq` is the text to show for it, when it was asked for."""
        members = []
        if self.total_rows is not None:
            members.append(b'"total_rows":%d,"offset":%d' % (self.total_rows, self.offset or 0))
        if self.update_seq is not None:
            shown = self.update_seq if update_seq is None else update_seq
            members.append(b'"update_seq":"%b"' % str(shown).encode())
        yield b"{" + b",".join([*members, b'"rows":[\r\n'])
        separator = b""
        async for page in self.pages():
            yield separator + page
            separator = b",\r\n"
        yield b"\r\n]}\n"

    def close(self) -> None:
        """Give the connection back, at once or when the thread that is reading from it is done."""
        pieces = self._pieces
        if pieces is None:
            return
        if self._reading is not None and not self._reading.done():
            self._reading.add_done_callback(lambda _: pieces.close())
        else:
            pieces.close()


class Views:
    """The view indexes of one database, in files of a folder of their own."""

    def __init__(
        self, source: DocSource, folder: Path, javascript: JavaScriptPool, read_docs: ReadDocs | None = None
    ) -> None:
        """`read_docs` reads the documents of `include_docs`; without it conflicts and attachments are left out."""
        self._source = source
        self._folder = folder
        self._javascript = javascript
        self._read_docs = read_docs or self._winners
        self._indexes: dict[str, _Kept] = {}
        self._closed = False
        self._groups: dict[tuple[Any, Any], ViewGroup] = {}

    def _winners(self, refs: Sequence[DocRef], _: ViewParams) -> Mapping[Any, bytes | None]:
        return self._source.docs_by_id([ref for ref in refs if isinstance(ref, str)])

    async def query(self, ddoc: Mapping[str, Any], view: str, params: ViewParams) -> ViewResult:
        """Read a view. NotFound for an unknown one, QueryParseError for options that do not fit it."""
        group = self._group(ddoc)
        definition = group.view(view)
        reduces = params.reduces(definition.reduce is not None)
        params.ranges(definition.sort_key)  # refuses an impossible range before anything is built
        kept = self._kept(group, str(ddoc.get("_id", "")))
        if params.update == "true":
            await kept.refresh()
        index = kept.index
        if not reduces and (few := self._few(index, definition, params)) is not None:
            return few

        def open_result() -> tuple[Head, int, Generator[Any, None, None], list[bytes]]:
            pieces = self._read(index, group, definition, params, reduces)
            head, seq = next(pieces)
            if head.total_rows is not None:
                index.note_total(seq, definition.map_index, head.total_rows)
            return head, seq, pieces, list(islice(pieces, _READ_AHEAD))

        head, seq, pieces, ahead = await asyncio.to_thread(open_result)
        if params.update == "lazy":
            kept.refresh_later()
        return ViewResult(head, seq if params.update_seq else None, ahead, pieces)

    def _few(self, index: ViewIndex, view: View, params: ViewParams) -> ViewResult | None:
        """The answer of a small query on this very thread: to wake another one takes longer. None for others."""
        if params.update == "lazy" or (total := index.known_total(index.seq, view.map_index)) is None:
            return None
        with index.reader() as connection:
            seq = connection.execute("SELECT seq FROM state").fetchone()[0]
            found = read_few(connection, view, params, total) if seq == index.seq else None
        return None if found is None else ViewResult(found[0], seq if params.update_seq else None, found[1])

    async def info(self, ddoc: Mapping[str, Any]) -> dict[str, Any]:
        """The `view_index` member of CouchDB's `_design/x/_info`."""
        group = self._group(ddoc)
        kept = self._kept(group, str(ddoc.get("_id", "")))
        size = kept.index.size_bytes()
        pending = max(self._source.update_seq() - max(kept.index.seq, 0), 0)
        return {
            "signature": group.signature,
            "language": group.language,
            "sizes": {"file": size, "external": size, "active": size},
            "updater_running": kept.running,
            "compact_running": False,
            "waiting_commit": False,
            "waiting_clients": kept.waiting,
            "update_seq": max(kept.index.seq, 0),
            "collator_versions": [COLLATOR_VERSION],
            "updates_pending": {"minimum": pending, "preferred": pending, "total": pending},
        }

    def tasks(self) -> list[dict[str, Any]]:
        """The running index builds, as CouchDB's `_active_tasks` lists them; `database` is the caller's to add."""
        return [kept.task() for kept in self._indexes.values() if kept.running]

    async def cleanup(self, ddocs: Iterable[Mapping[str, Any]]) -> None:
        """Delete the indexes that belong to none of these design documents."""
        wanted = {self._group(ddoc).signature for ddoc in ddocs if isinstance(ddoc.get("views"), Mapping)}
        unwanted = [self._indexes.pop(signature) for signature in self._indexes.keys() - wanted]
        for kept in unwanted:
            await kept.close()
        await asyncio.to_thread(self._remove_files, wanted)

    async def close(self) -> None:
        """Stop building and close all files, for good: who still asks is told that they are closed."""
        self._closed = True
        await asyncio.gather(*(kept.close() for kept in self._indexes.values()))
        self._indexes.clear()

    def _remove_files(self, wanted: set[str]) -> None:
        if self._folder.exists():
            for path in self._folder.glob("*.view*"):
                if (signature := path.name.split(".")[0]) not in wanted and signature not in self._indexes:
                    path.unlink(missing_ok=True)

    def _group(self, ddoc: Mapping[str, Any]) -> ViewGroup:
        version = (ddoc.get("_id"), ddoc.get("_rev"))
        if None in version:
            return view_group(ddoc)
        group = self._groups.get(version)
        if group is None:
            if len(self._groups) > 200:
                self._groups.clear()
            group = self._groups[version] = view_group(ddoc)
        return group

    def _kept(self, group: ViewGroup, ddoc_id: str) -> _Kept:
        if self._closed:
            raise Stopped("The database is being closed.")
        kept = self._indexes.get(group.signature)
        if kept is None:
            engine = self._javascript.index_engine(group.signature)
            mapper = MangoMapper() if group.language == "query" else None
            index = ViewIndex(self._folder, group, self._source, engine, mapper)
            kept = self._indexes[group.signature] = _Kept(index, self._source)
        kept.ddoc_id = ddoc_id
        return kept

    def _read(
        self, index: ViewIndex, group: ViewGroup, view: View, params: ViewParams, reduces: bool
    ) -> Generator[Any, None, None]:
        """(Head, seq), then pieces of rows. An index never built has no rows."""
        if index.seq < 0:
            yield (Head(None, None) if reduces else Head(0, 0)), 0
            return
        with index.reader() as connection:
            seq = connection.execute("SELECT seq FROM state").fetchone()[0]
            if reduces:
                engine = self._javascript.engine(group.signature)
                pieces = reduction(connection, group, view, engine).read(params)
            else:
                pieces = read_rows(connection, view, params, self._read_docs)
            yield next(pieces), seq
            yield from pieces


class _Kept:
    """An index in use, with the one update of it that may be running."""

    def __init__(self, index: ViewIndex, source: DocSource) -> None:
        self.index = index
        self.ddoc_id = ""
        self.waiting = 0
        self._source = source
        self._update: asyncio.Future[None] | None = None

    @property
    def running(self) -> bool:
        return self._update is not None and not self._update.done()

    async def refresh(self) -> None:
        """Wait until the index has what its database had when this was called."""
        target = self._source.update_seq()
        while self.index.seq < target:
            self.waiting += 1
            try:
                await asyncio.shield(self.refresh_later())
            finally:
                self.waiting -= 1

    def refresh_later(self) -> asyncio.Future[None]:
        """Start an update unless one is running; the future of the running one."""
        if self._update is None or self._update.done():
            self._update = _in_own_thread(self.index.update)
            self._update.add_done_callback(_retrieve)
        return self._update

    def task(self) -> dict[str, Any]:
        done, total = self.index.changes_done, max(self.index.total_changes, 1)
        return {
            "type": "indexer",
            "node": "nonode@nohost",
            "pid": "<0.1.0>",
            "design_document": self.ddoc_id,
            "changes_done": done,
            "total_changes": self.index.total_changes,
            "progress": min(done * 100 // total, 100),
            "started_on": int(self.index.started_s),
            "updated_on": int(self.index.updated_s),
        }

    async def close(self) -> None:
        self.index.stop()
        if self._update is not None:
            await asyncio.wait([self._update])


def _in_own_thread(work: Callable[[], None]) -> asyncio.Future[None]:
    """Run something long without taking a thread from those that answer requests."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as raised:
            error = raised
        loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=run, name="view-index", daemon=True).start()
    return future


def _retrieve(future: asyncio.Future[None]) -> None:
    """An error of an update that nobody waits for was logged where it happened."""
    if not future.cancelled():
        future.exception()
