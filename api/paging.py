"""Pages of documents and ids in the query and in the answer (EP-CON-10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from aiohttp import web

from api.params import Param
from api.responses import json_response
from core.errors import InvalidInput
from core.paging import DOCS_A_PAGE, IDS_A_PAGE, MOST_DOCS, MOST_IDS, PageRequest

LIMIT = Param(name="limit", about="the most to be told at once", schema={"type": "integer", "minimum": 1})
CURSOR = Param(name="cursor", about="the `cursor` of the page before")


class PageOfDocs(TypedDict):
    """Documents, and the cursor of the next page; null after the last."""

    data: list[dict[str, Any]]
    cursor: str | None


class PageOfIds(TypedDict):
    """Ids of documents, and the cursor of the next page; null after the last."""

    data: list[str]
    cursor: str | None


class AskedIds(TypedDict):
    ids: list[str]


def asked_docs(request: web.Request) -> PageRequest:
    return PageRequest.read(LIMIT.text(request), CURSOR.text(request), default=DOCS_A_PAGE, most=MOST_DOCS)


def asked_ids(request: web.Request) -> PageRequest:
    return PageRequest.read(LIMIT.text(request), CURSOR.text(request), default=IDS_A_PAGE, most=MOST_IDS)


def page_response(data: Sequence[Any], cursor: str | None) -> web.Response:
    return json_response({"data": data, "cursor": cursor})


def ids_in(body: Any) -> list[str]:
    """The `ids` of a body."""
    ids = body.get("ids") if isinstance(body, dict) else None
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise InvalidInput("`ids` must be an array of document ids.")
    if len(ids) > MOST_IDS:
        raise InvalidInput(f"`ids` must be at most {MOST_IDS} document ids, not {len(ids)}.")
    return list(dict.fromkeys(ids))
