"""The tree of places with its counts, level by level, and where somebody is in it."""

from __future__ import annotations

from aiohttp import web

from api.auth import holds
from api.console.frame import Page, allow, show
from api.export_search import term
from api.handlers.contact_tree import VIEW_CONTACTS, counted
from api.keys import ACCESS, DB, REQUEST_SETTINGS, SEARCH
from api.paging import CURSOR
from api.search.query import joined
from api.search.tokens import SHORTEST, Kind
from core.contact_tree import page_within, shown
from core.couch.client import Doc
from core.errors import NotFound
from core.paging import PageRequest
from core.user_list import find_users, user_with_roles

PAGE = Page("places", any_of=(VIEW_CONTACTS,))
A_PAGE = 50


async def show_places(request: web.Request) -> web.Response:
    """GET /admin/places?at&cursor or ?find: the places at the top, what is within one, or what words find."""
    user = allow(request, PAGE)
    db, at, find = request.config_dict[DB], request.query.get("at", ""), request.query.get("find", "").strip()
    place, users, cursor = None, list[Doc](), None
    if find:
        contacts = await shown(db, await found_ids(request, find))
    else:
        asked = PageRequest.read(str(A_PAGE), CURSOR.text(request), default=A_PAGE, most=A_PAGE)
        if at:
            place = await one(request, at)
            if holds(request, user, "can_view_users"):
                batches = find_users(db, user_with_roles, facility_id=at, contact_id=None)
                users = [each async for batch in batches for each in batch]
        contacts, cursor = await page_within(db, request[REQUEST_SETTINGS].contact_types, at or None, asked)
    return await show(
        request,
        PAGE,
        "places.html",
        place=place,
        users=users,
        contacts=await counted(request, contacts),
        find=find,
        behind=await request.config_dict[ACCESS].catch_up(db, most_s=0.0),
        first=CURSOR.text(request) and str(request.rel_url.with_query({"at": at} if at else {})),
        next=cursor and str(request.rel_url.update_query(cursor=cursor)),
    )


async def one(request: web.Request, contact_id: str) -> Doc:
    found = await shown(request.config_dict[DB], [contact_id])
    if not found:
        raise NotFound(f"There is no place or person {contact_id!r}")
    [contact] = await counted(request, found)
    return contact


async def found_ids(request: web.Request, text: str) -> list[str]:
    """Contacts with all the words, as the search of the application finds them; a whole id finds its own."""
    terms = [term(request, Kind.CONTACT, each) for each in text.lower().split() if len(each) >= SHORTEST]
    search = request.config_dict[SEARCH]
    hits = await search.ids(Kind.CONTACT, joined("AND", terms), None, A_PAGE) if terms else []
    return list(dict.fromkeys([text, *hits]))


ROUTES = [web.get(PAGE.path, show_places)]
