"""People, places and contacts one by one, in pages and in brief; created and updated as documents (EP-CON-1..16)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from api.auth import require, require_any, require_online
from api.bodies import now_ms
from api.infodocs import note_writes
from api.json_errors import always_json
from api.keys import DB, REQUEST_SETTINGS
from api.operations import Access, Operation, describe
from api.paging import (
    CURSOR,
    LIMIT,
    AskedIds,
    PageOfDocs,
    PageOfIds,
    asked_docs,
    asked_ids,
    ids_in,
    page_response,
)
from api.params import Flag, Param, TextList, read_json, require_json
from api.responses import json_response
from core.contact_writes import create_person, create_place, update_contact
from core.couch.client import Doc
from core.documents import ContactType, ContactTypes
from core.errors import InvalidInput, NotBuilt, NotFound
from core.lineage import hydrate
from core.paging import page_of_list, read_page, view_range
from core.shapes import ChangedContactDoc, NewPersonDoc, NewPlaceDoc
from core.summaries import ContactSummary, contact_summary, summaries

SHORTEST_FREETEXT = 3

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


IDS = TextList(name="ids", about="ids of documents")
CONTACT_TYPE = Param(name="type", about="a contact type of the settings")
FREETEXT = Param(
    name="freetext", about="words, or `key:value`, of the documents", schema={"type": "string", "minLength": 3}
)
WITH_LINEAGE = Flag(name="with_lineage", about="the places above, and whom else it refers to, in full")


@dataclass(frozen=True)
class Kind:
    """One of the resources: its path, its name in sentences, and which contacts it is about."""

    path: str
    label: str
    is_one: Callable[[ContactTypes, Doc], bool]


PERSON = Kind("person", "Person", ContactTypes.is_person)
PLACE = Kind("place", "Place", ContactTypes.is_place)
CONTACT = Kind("contact", "Contact", ContactTypes.is_contact)


def get_one(kind: Kind) -> Handler:
    @describe(
        Operation(
            access=Access.ONLINE,
            permissions=("can_view_contacts",),
            query=(WITH_LINEAGE,),
            answers={200: dict[str, Any]},
            errors=(404,),
        )
    )
    async def get_contact(request: web.Request) -> web.StreamResponse:
        """GET /api/v1/{person,place,contact}/{id}: the document; with_lineage=true puts the places above it in full.

        Online users with can_view_contacts. 404 for another kind too.
        """
        require_online(request)
        require(request, "can_view_contacts")
        whole = WITH_LINEAGE.read(request)
        db, doc_id = request.config_dict[DB], request.match_info["id"]
        doc = (await db.get_many([doc_id])).get(doc_id)
        if doc is None or not kind.is_one(request[REQUEST_SETTINGS].contact_types, doc):
            raise NotFound(f"{kind.label} not found")
        return json_response((await hydrate(db, [doc]))[0] if whole else doc)

    return get_contact


def get_page(kind: Kind) -> Handler:
    @describe(
        Operation(
            access=Access.ONLINE,
            permissions=("can_view_contacts",),
            query=(CONTACT_TYPE, LIMIT, CURSOR),
            answers={200: PageOfDocs},
        )
    )
    async def get_contacts(request: web.Request) -> web.StreamResponse:
        """GET /api/v1/{person,place}?type=: a page of the documents of a contact type, `{data, cursor}`.

        Online users with can_view_contacts.
        """
        require_online(request)
        require(request, "can_view_contacts")
        type_id = asked_type(request, kind)
        asked = asked_docs(request)
        by_type = view_range(request.config_dict[DB], "medic-client", "contacts_by_type", [type_id], include_docs=True)
        rows, cursor = await read_page([by_type], asked)
        return page_response([row["doc"] for row in rows if row.get("doc")], cursor)

    return get_contacts


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=("can_view_contacts",),
        query=(IDS, CONTACT_TYPE, LIMIT, CURSOR),
        answers={200: PageOfDocs},
    )
)
async def get_contacts(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/contact?ids=a,b or ?type=: a page of documents, `{data, cursor}`. Online users; can_view_contacts."""
    require_online(request)
    require(request, "can_view_contacts")
    ids = IDS.read(request)
    if not ids:
        if CONTACT_TYPE.text(request) is None:
            raise InvalidInput("Either query param ids or type is required")
        return await get_page(CONTACT)(request)
    part, cursor = page_of_list(ids, asked_docs(request))
    docs = await request.config_dict[DB].get_many(part)
    types = request[REQUEST_SETTINGS].contact_types
    return page_response([docs[each] for each in part if each in docs and types.is_contact(docs[each])], cursor)


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=("can_view_contacts",),
        query=(CONTACT_TYPE, FREETEXT, LIMIT, CURSOR),
        answers={200: PageOfIds},
        errors=(501,),
    )
)
async def get_contact_ids(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/contact/uuid?type=: a page of ids, `{data, cursor}`. Online users with can_view_contacts."""
    require_online(request)
    require(request, "can_view_contacts")
    if FREETEXT.text(request) is None and CONTACT_TYPE.text(request) is None:
        raise InvalidInput("Either query param freetext or type is required")
    type_id = asked_type(request, CONTACT) if CONTACT_TYPE.text(request) is not None else None
    asked = asked_ids(request)
    check_freetext(request)
    rows, cursor = await read_page(
        [view_range(request.config_dict[DB], "medic-client", "contacts_by_type", [type_id])], asked
    )
    return page_response([row["id"] for row in rows], cursor)


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=("can_view_contacts",),
        body=AskedIds,
        answers={200: list[ContactSummary]},
    )
)
async def post_contact_summaries(request: web.Request) -> web.StreamResponse:
    """POST /api/v1/contact/summary `{"ids": [...]}`: the contacts in brief, without those that are missing."""
    require_json(request)
    require_online(request)
    require(request, "can_view_contacts")
    ids = ids_in(await read_json(request))
    types = request[REQUEST_SETTINGS].contact_types
    return json_response(await summaries(request.config_dict[DB], ids, types.is_contact, contact_summary))


@describe(
    Operation(
        access=Access.ONLINE,
        any_of=("can_create_people", "can_edit"),
        body=NewPersonDoc,
        answers={200: dict[str, Any]},
        errors=(409,),
    )
)
async def post_person(request: web.Request) -> web.StreamResponse:
    """POST /api/v1/person: store a person and answer the document. Online users; can_create_people or can_edit."""
    require_json(request)
    require_online(request)
    require_any(request, "can_create_people", "can_edit")
    body = await read_json(request)
    return stored(
        request, await create_person(request.config_dict[DB], request[REQUEST_SETTINGS], body, now_ms=now_ms())
    )


@describe(
    Operation(
        access=Access.ONLINE,
        any_of=("can_create_places", "can_edit"),
        body=NewPlaceDoc,
        answers={200: dict[str, Any]},
        errors=(409,),
    )
)
async def post_place(request: web.Request) -> web.StreamResponse:
    """POST /api/v1/place: store a place and answer the document. Online users; can_create_places or can_edit."""
    require_json(request)
    require_online(request)
    require_any(request, "can_create_places", "can_edit")
    body = await read_json(request)
    return stored(
        request, await create_place(request.config_dict[DB], request[REQUEST_SETTINGS], body, now_ms=now_ms())
    )


def put_one(kind: Kind, permission: str) -> Handler:
    @describe(
        Operation(
            access=Access.ONLINE,
            any_of=(permission, "can_edit"),
            body=ChangedContactDoc,
            answers={200: dict[str, Any]},
            errors=(404, 409),
        )
    )
    async def put_contact(request: web.Request) -> web.StreamResponse:
        """PUT /api/v1/{person,place}/{id}: replace the document and answer it. Online users.

        Permission: can_update_people or can_update_places, or can_edit. 404 for another kind.
        """
        require_json(request)
        require_online(request)
        require_any(request, permission, "can_edit")
        doc = await update_contact(
            request.config_dict[DB],
            request[REQUEST_SETTINGS],
            request.match_info["id"],
            await read_json(request),
            person=kind is PERSON,
        )
        return stored(request, doc)

    return put_contact


def stored(request: web.Request, doc: Doc) -> web.Response:
    note_writes(request, [doc["_id"]])
    return json_response(doc)


def asked_type(request: web.Request, kind: Kind) -> str:
    type_id = CONTACT_TYPE.text(request)
    types = request[REQUEST_SETTINGS].contact_types
    found: ContactType | None = types.of({"type": type_id}) if type_id else None
    if type_id is None or found is None or not kind.is_one(types, {"type": type_id}):
        raise InvalidInput(f"Invalid contact type [{'undefined' if type_id is None else type_id}].")
    return type_id


def check_freetext(request: web.Request) -> None:
    """Refuse a search that could not be answered, then say that searches are not built."""
    text: Any = FREETEXT.text(request)
    if text is None:
        return
    if len(text) < SHORTEST_FREETEXT or (any(each.isspace() for each in text) and ":" not in text):
        raise InvalidInput(f'Invalid freetext ["{text}"].')
    raise NotBuilt("Finding documents by freetext is not built in this version")


ROUTES = [
    web.get("/api/v1/person", always_json(get_page(PERSON))),
    web.post("/api/v1/person", always_json(post_person)),
    web.get("/api/v1/person/{id}", always_json(get_one(PERSON))),
    web.put("/api/v1/person/{id}", always_json(put_one(PERSON, "can_update_people"))),
    web.get("/api/v1/place", always_json(get_page(PLACE))),
    web.post("/api/v1/place", always_json(post_place)),
    web.get("/api/v1/place/{id}", always_json(get_one(PLACE))),
    web.put("/api/v1/place/{id}", always_json(put_one(PLACE, "can_update_places"))),
    web.get("/api/v1/contact", always_json(get_contacts)),
    web.get("/api/v1/contact/uuid", always_json(get_contact_ids)),
    web.post("/api/v1/contact/summary", always_json(post_contact_summaries)),
    web.get("/api/v1/contact/{id}", always_json(get_one(CONTACT))),
]
