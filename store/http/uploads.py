"""Attachments as they are sent: streamed from the request into memory or a nameless file, never held whole."""

from __future__ import annotations

from collections.abc import Callable

from store import multipart
from store.documents import UNKNOWN_LENGTH, Edit, Incoming, load_object, parse_edit
from store.errors import BadRequest, TooLarge
from store.http.call import Call
from store.multipart import End, Headers
from store.spool import Spool


async def read_attachment(call: Call, incoming: Incoming) -> None:
    """The whole request body as the content of one attachment. Close the edit it belongs to afterwards."""
    spool = _spool(call, incoming)
    try:
        async for chunk in call.chunks(call.store.config.max_attachment_bytes):
            await spool.feed(chunk)
        await spool.give(incoming)
    finally:
        spool.close()


async def read_related(call: Call, doc_id: str, rev: str | None, *, new_edits: bool) -> Edit:
    """The document of a `multipart/related` body with the attachments that follow it. Close the edit afterwards."""

    def parse(document: bytes) -> Edit:
        return parse_edit(load_object(document, "Document"), doc_id=doc_id, rev=rev, new_edits=new_edits)

    reader = _Related(call, parse)
    try:
        splitter = multipart.Splitter(multipart.boundary_of(call.request.headers["Content-Type"]))
        async for chunk in call.chunks(call.store.config.max_attachment_bytes):
            for event in splitter.feed(chunk):
                await reader.take(event)
        if not splitter.ended:
            raise BadRequest("multipart body ends early")
        return reader.result()
    except BaseException:
        reader.close()
        raise


class _Related:
    """What was read of a `multipart/related` body: first the document, then one attachment after the other."""

    def __init__(self, call: Call, parse: Callable[[bytes], Edit]) -> None:
        self._call = call
        self._parse = parse
        self._document = bytearray()
        self._edit: Edit | None = None
        self._waiting: dict[str, Incoming] = {}
        self._incoming: Incoming | None = None
        self._spool: Spool | None = None

    async def take(self, event: multipart.Event) -> None:
        if isinstance(event, Headers):
            if self._edit is not None:
                self._begin(event)
        elif isinstance(event, End):
            await self._end()
        elif self._spool is not None:
            await self._spool.feed(event)
        elif self._edit is None:
            self._document += event
            if len(self._document) > self._call.store.config.max_body_bytes:
                raise TooLarge("the request entity is too large")

    def result(self) -> Edit:
        if self._edit is None:
            raise BadRequest("multipart body has no parts")
        if self._waiting:
            raise BadRequest("the multipart body has fewer attachments than the document says")
        return self._edit

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()
        if self._edit is not None:
            self._edit.close()

    def _begin(self, headers: Headers) -> None:
        """A part follows: by its file name where it has one, else the next that waits. More than named are let pass."""
        if not self._waiting:
            return
        name = multipart.file_name(headers)
        if name not in self._waiting:
            name = next(iter(self._waiting))
        self._incoming = self._waiting.pop(name)
        self._spool = _spool(self._call, self._incoming)

    async def _end(self) -> None:
        if self._edit is None:
            document = bytes(self._document)
            self._document.clear()
            self._edit = await self._call.in_thread(lambda: self._parse(document))
            self._waiting = {name: item for name, item in self._edit.attachments.items() if item.follows}
        elif self._spool is not None and self._incoming is not None:
            expected, found = self._incoming.length, self._spool.travelled
            if expected not in (UNKNOWN_LENGTH, found):
                raise BadRequest(f"attachment {'longer' if found > expected else 'shorter'} than expected")
            await self._spool.give(self._incoming)
            self._spool = self._incoming = None


def _spool(call: Call, incoming: Incoming) -> Spool:
    config = call.store.config
    return Spool(config.data, config.max_attachment_bytes, call.in_thread, gzipped=incoming.encoding == "gzip")
