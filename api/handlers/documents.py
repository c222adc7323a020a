"""What the resources of single documents share: one in full, by ids, in brief, created and replaced (EP-CON-1..16)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from api.auth import require, require_any, require_online
from api.bodies import now_ms
from api.infodocs import note_writes
from api.keys import DB, REQUEST_SETTINGS
from api.operations import Access, Operation, describe
from api.paging import AskedIds, asked_docs, ids_in, page_response
from api.params import Flag, TextList, read_json, require_json
from api.responses import json_response
from core.couch.client import Database, Doc
from core.errors import NotFound
from core.hydration import hydrate
from core.paging import page_of_list
from core.settings import Settings
from core.summaries import summaries

IDS = TextList(name="ids", about="ids of documents")
WITH_LINEAGE = Flag(name="with_lineage", about="the places above, and whom else it refers to, in full")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Update = Callable[[Database, Settings, str, Any], Awaitable[Doc]]


class Create(Protocol):
    def __call__(self, db: Database, settings: Settings, body: Any, *, now_ms: int) -> Awaitable[Doc]: ...


@dataclass(frozen=True)
class Resource:
    """A kind of documents: its name in sentences, who may read them, and which documents are such."""

    label: str
    view_permission: str
    is_one: Callable[[Settings, Doc], bool]

    def allow_view(self, request: web.Request) -> None:
        require_online(request)
        require(request, self.view_permission)


def get_one(resource: Resource) -> Handler:
    @describe(
        Operation(
            access=Access.ONLINE,
            permissions=(resource.view_permission,),
            query=(WITH_LINEAGE,),
            answers={200: dict[str, Any]},
            errors=(404,),
        )
    )
    async def get_document(request: web.Request) -> web.StreamResponse:
        """GET /api/v1/{person,place,contact,report}/{id}: the document; with_lineage=true fills in whom it names.

        404 for a document of another kind too.
        """
        resource.allow_view(request)
        whole = WITH_LINEAGE.read(request)
        db, doc_id = request.config_dict[DB], request.match_info["id"]
        doc = (await db.get_many([doc_id])).get(doc_id)
        if doc is None or not resource.is_one(request[REQUEST_SETTINGS], doc):
            raise NotFound(f"{resource.label} not found")
        return json_response((await hydrate(db, [doc]))[0] if whole else doc)

    return get_document


async def page_by_ids(request: web.Request, resource: Resource, ids: list[str]) -> web.Response:
    """The documents among those ids that are of the kind, in the order of the ids."""
    part, cursor = page_of_list(ids, asked_docs(request))
    docs = await request.config_dict[DB].get_many(part)
    settings = request[REQUEST_SETTINGS]
    return page_response(
        [docs[each] for each in part if each in docs and resource.is_one(settings, docs[each])], cursor
    )


def post_summaries(resource: Resource, summary: Callable[[Doc], Doc], shape: Any) -> Handler:
    @describe(
        Operation(
            access=Access.ONLINE, permissions=(resource.view_permission,), body=AskedIds, answers={200: list[shape]}
        )
    )
    async def post_ids(request: web.Request) -> web.StreamResponse:
        """POST /api/v1/{contact,report}/summary `{"ids": [...]}`: the documents in brief, without those missing."""
        require_json(request)
        resource.allow_view(request)
        ids = ids_in(await read_json(request))
        settings = request[REQUEST_SETTINGS]
        db = request.config_dict[DB]
        return json_response(await summaries(db, ids, lambda doc: resource.is_one(settings, doc), summary))

    return post_ids


def write_operation(permission: str, shape: Any, *errors: int) -> Operation:
    answers = {200: dict[str, Any]}
    return Operation(access=Access.ONLINE, any_of=(permission, "can_edit"), body=shape, answers=answers, errors=errors)


def post_one(create: Create, permission: str, shape: Any) -> Handler:
    @describe(write_operation(permission, shape, 409))
    async def post_document(request: web.Request) -> web.StreamResponse:
        """POST /api/v1/{person,place,report}: store a new document and answer it."""
        require_json(request)
        require_online(request)
        require_any(request, permission, "can_edit")
        body = await read_json(request)
        doc = await create(request.config_dict[DB], request[REQUEST_SETTINGS], body, now_ms=now_ms())
        return stored(request, doc)

    return post_document


def put_one(update: Update, permission: str, shape: Any) -> Handler:
    @describe(write_operation(permission, shape, 404, 409))
    async def put_document(request: web.Request) -> web.StreamResponse:
        """PUT /api/v1/{person,place,report}/{id}: replace the document and answer it. 404 for another kind."""
        require_json(request)
        require_online(request)
        require_any(request, permission, "can_edit")
        doc_id, body = request.match_info["id"], await read_json(request)
        return stored(request, await update(request.config_dict[DB], request[REQUEST_SETTINGS], doc_id, body))

    return put_document


def stored(request: web.Request, doc: Doc) -> web.Response:
    note_writes(request, [doc["_id"]])
    return json_response(doc)
