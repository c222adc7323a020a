"""The tree of places and people with its counts, a level at a time, for who looks after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from aiohttp import web

from api.auth import require, require_online
from api.keys import ACCESS, DB, REQUEST_SETTINGS
from api.operations import Access, Operation, describe
from api.paging import CURSOR, LIMIT, asked_docs, page_response
from api.params import Param
from core.contact_tree import page_within
from core.couch.client import Doc

VIEW_CONTACTS = "can_view_contacts"
PARENT = Param(name="parent", about="the id of a place; without it the places at the top")


class Above(TypedDict):
    id: str
    name: str | None


class TreeContact(TypedDict):
    """A place or person. `contact` is the name of a place's contact, `parents` the places above, nearest first;
    `directly` and `below` count contacts."""

    id: str
    name: str | None
    type: str | None
    phone: Any
    shortcode: Any
    contact: str | None
    parents: list[Above]
    directly: int
    below: int


class TreePage(TypedDict):
    data: list[TreeContact]
    cursor: str | None


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=(VIEW_CONTACTS,),
        query=(PARENT, LIMIT, CURSOR),
        answers={200: TreePage},
        errors=(503,),
    )
)
async def get_contact_tree(request: web.Request) -> web.Response:
    """GET /api/v1/contact-tree: what is directly within a place, or at the top, a page at a time: places, then people.

    `{data, cursor}`; each `{id, name, type, phone, shortcode, contact, parents, directly, below}`, the last two how
    many contacts are within it. Online users with can_view_contacts.
    """
    require_online(request)
    require(request, VIEW_CONTACTS)
    types = request[REQUEST_SETTINGS].contact_types
    contacts, cursor = await page_within(
        request.config_dict[DB], types, PARENT.text(request) or None, asked_docs(request)
    )
    return page_response(await counted(request, contacts), cursor)


async def counted(request: web.Request, contacts: Sequence[Doc]) -> list[Doc]:
    """The contacts with how many are within each, as the access index knows it now."""
    below = await request.config_dict[ACCESS].count_below([each["id"] for each in contacts])
    counts = {place: {"directly": found.directly, "below": found.all} for place, found in below.items()}
    return [{**each, **counts.get(each["id"], {"directly": 0, "below": 0})} for each in contacts]


ROUTES = [web.get("/api/v1/contact-tree", get_contact_tree)]
