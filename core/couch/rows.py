"""The rows of a view as CouchDB sends them, a network read at a time: one snapshot however long it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from io import BytesIO
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from core.couch.client import JSON_HEADERS, Database, Row, query_string
from core.couch.errors import from_answer, from_network
from core.errors import DomainError, Unavailable

READ_BYTES = 2**16  # parsed at once: documents are gone through while the processor has them at hand
AHEAD_BYTES = 2**19  # kept of what CouchDB sends meanwhile
SILENCE_S = 600.0  # CouchDB says nothing while it brings an index up to date


async def view_rows(
    db: Database, ddoc: str, view: str, *, keys: Iterable[Any] | None = None, **params: Any
) -> AsyncGenerator[list[Row], None]:
    """All rows of one state of the view, in its order, some at a time. Parameters as of `Database.view`.

    Raises the DomainError of the answer's status, Unavailable when the answer is cut. What is not read is kept waiting
    in CouchDB, which gives up after some minutes without a read.
    """
    target = f"{db.path}/_design/{quote(ddoc, safe='')}/_view/{quote(view, safe='')}{query_string(params)}"
    headers = {**JSON_HEADERS, "Authorization": db.couch.authorization, "Accept-Encoding": "identity"}
    body = None if keys is None else BytesIO(orjson.dumps({"keys": list(keys)}))
    url = URL(db.couch.server_url + target, encoded=True)
    options: Any = {
        "timeout": aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE_S),
        "read_bufsize": AHEAD_BYTES,
    }
    try:
        async with db.couch.session.request(
            "GET" if body is None else "POST",
            url,
            data=body,
            headers=headers,
            **options,
        ) as response:
            if response.status >= 400:
                raise from_answer(response.status, await response.read())
            head, _, rest = (await response.content.readline()).partition(b'"rows":[')
            if not head:
                raise Unavailable("CouchDB's answer was cut")
            async for chunk in response.content.iter_chunked(READ_BYTES):
                whole, newline, rest = (rest + chunk).rpartition(b"\n")
                if newline and (rows := read_lines(whole)):
                    yield rows
            if rest.strip() not in (b"", b"]}"):
                raise Unavailable("CouchDB's answer was cut")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise from_network(error) from error


def read_lines(lines: bytes) -> list[Row]:
    """The rows of whole lines: one row on each, but for the last of the answer, which closes it."""
    text = lines.strip(b",\r\n")
    if text == b"]}" or text.endswith(b"\n]}"):
        text = text[:-2].rstrip(b"\r\n")
    rows: list[Row] = orjson.loads(b"[" + text + b"]")
    if rows and "error" in rows[-1]:
        raise DomainError(f"CouchDB could not go on with the view: {rows[-1].get('reason')}")
    return rows
