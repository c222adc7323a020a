"""People, places and contacts: pages of a type, ids by type or words, and single ones (EP-CON-1..16)."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from api.handlers.documents import IDS, Handler, Resource, get_one, page_by_ids, post_one, post_summaries, put_one
from api.handlers.freetext import FREETEXT, asked_match, page_of_hits
from api.json_errors import always_json
from api.keys import DB, REQUEST_SETTINGS
from api.operations import Access, Operation, describe
from api.paging import CURSOR, LIMIT, PageOfDocs, PageOfIds, asked_docs, asked_ids, page_response
from api.params import Param
from api.search.query import contact_type, joined
from api.search.tokens import Kind
from core.contact_writes import create_person, create_place, update_contact
from core.errors import InvalidInput
from core.paging import read_page, view_range
from core.shapes import ChangedContactDoc, NewPersonDoc, NewPlaceDoc
from core.summaries import ContactSummary, contact_summary

CONTACT_TYPE = Param(name="type", about="a contact type of the settings")
VIEW = "can_view_contacts"
PERSON = Resource("Person", VIEW, lambda settings, doc: settings.contact_types.is_person(doc))
PLACE = Resource("Place", VIEW, lambda settings, doc: settings.contact_types.is_place(doc))
CONTACT = Resource("Contact", VIEW, lambda settings, doc: settings.contact_types.is_contact(doc))


def get_page(resource: Resource) -> Handler:
    @describe(
        Operation(
            access=Access.ONLINE,
            permissions=(VIEW,),
            query=(CONTACT_TYPE, LIMIT, CURSOR),
            answers={200: PageOfDocs},
        )
    )
    async def get_contacts(request: web.Request) -> web.StreamResponse:
        """GET /api/v1/{person,place}?type=: a page of the documents of a contact type, `{data, cursor}`.

        Online users with can_view_contacts.
        """
        resource.allow_view(request)
        type_id = asked_type(request, resource)
        asked = asked_docs(request)
        by_type = view_range(request.config_dict[DB], "medic-client", "contacts_by_type", [type_id], include_docs=True)
        rows, cursor = await read_page([by_type], asked)
        return page_response([row["doc"] for row in rows if row.get("doc")], cursor)

    return get_contacts


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=(VIEW,),
        query=(IDS, CONTACT_TYPE, LIMIT, CURSOR),
        answers={200: PageOfDocs},
    )
)
async def get_contacts(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/contact?ids=a,b or ?type=: a page of documents, `{data, cursor}`. Online users; can_view_contacts."""
    CONTACT.allow_view(request)
    ids = IDS.read(request)
    if ids:
        return await page_by_ids(request, CONTACT, ids)
    if CONTACT_TYPE.text(request) is None:
        raise InvalidInput("Either query param ids or type is required")
    return await get_page(CONTACT)(request)


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=(VIEW,),
        query=(CONTACT_TYPE, FREETEXT, LIMIT, CURSOR),
        answers={200: PageOfIds},
    )
)
async def get_contact_ids(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/contact/uuid?type=, ?freetext= or both: a page of ids, `{data, cursor}`.

    Online users with can_view_contacts. `freetext` is the beginning of a word, or a whole `key:value`.
    """
    CONTACT.allow_view(request)
    if FREETEXT.text(request) is None and CONTACT_TYPE.text(request) is None:
        raise InvalidInput("Either query param freetext or type is required")
    type_id = None if CONTACT_TYPE.text(request) is None else asked_type(request, CONTACT)
    asked = asked_ids(request)
    match = asked_match(request, Kind.CONTACT)
    if match is not None:
        wanted = match if type_id is None else joined("AND", [match, contact_type(type_id)])
        return await page_of_hits(request, Kind.CONTACT, wanted, asked)
    by_type = view_range(request.config_dict[DB], "medic-client", "contacts_by_type", [type_id])
    rows, cursor = await read_page([by_type], asked)
    return page_response([row["id"] for row in rows], cursor)


def asked_type(request: web.Request, resource: Resource) -> str:
    type_id = CONTACT_TYPE.text(request)
    settings = request[REQUEST_SETTINGS]
    found = settings.contact_types.of({"type": type_id}) if type_id else None
    if type_id is None or found is None or not resource.is_one(settings, {"type": type_id}):
        raise InvalidInput(f"Invalid contact type [{'undefined' if type_id is None else type_id}].")
    return type_id


update_person = partial(update_contact, person=True)
update_place = partial(update_contact, person=False)

ROUTES = [
    web.get("/api/v1/person", always_json(get_page(PERSON))),
    web.post("/api/v1/person", always_json(post_one(create_person, "can_create_people", NewPersonDoc))),
    web.get("/api/v1/person/{id}", always_json(get_one(PERSON))),
    web.put("/api/v1/person/{id}", always_json(put_one(update_person, "can_update_people", ChangedContactDoc))),
    web.get("/api/v1/place", always_json(get_page(PLACE))),
    web.post("/api/v1/place", always_json(post_one(create_place, "can_create_places", NewPlaceDoc))),
    web.get("/api/v1/place/{id}", always_json(get_one(PLACE))),
    web.put("/api/v1/place/{id}", always_json(put_one(update_place, "can_update_places", ChangedContactDoc))),
    web.get("/api/v1/contact", always_json(get_contacts)),
    web.get("/api/v1/contact/uuid", always_json(get_contact_ids)),
    web.post("/api/v1/contact/summary", always_json(post_summaries(CONTACT, contact_summary, ContactSummary))),
    web.get("/api/v1/contact/{id}", always_json(get_one(CONTACT))),
]
