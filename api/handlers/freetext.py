"""What the resources of contacts and reports take as `freetext`, and the page of ids it finds (EP-CON-4, EP-CON-6)."""

from __future__ import annotations

from aiohttp import web

from api.keys import DB, REQUEST_SETTINGS, SEARCH
from api.paging import page_response
from api.params import Param
from api.replication.lists import lag_headers
from api.search.query import exact, joined, word
from api.search.tokens import SHORTEST, Kind
from core.couch.client import Row
from core.errors import InvalidInput
from core.paging import PageRequest, read_page
from core.phones import PhoneRules

FREETEXT = Param(
    name="freetext",
    about="the beginning of a word, or a whole `key:value`, of the documents",
    schema={"type": "string", "minLength": SHORTEST},
)


def asked_match(request: web.Request, kind: Kind) -> str | None:
    """What the search index is to be asked for; None when the request has no `freetext`. InvalidInput.

    With a colon it is an exact match, else the beginning of a word. A phone number is found in either form, as it was
    typed and as the deployment stores them (DDOC-76).
    """
    text = FREETEXT.text(request)
    if text is None:
        return None
    if len(text) < SHORTEST or (any(each.isspace() for each in text) and ":" not in text):
        raise InvalidInput(f'Invalid freetext ["{text}"].')
    if ":" in text:
        return exact(kind, text)
    number = PhoneRules.from_settings(request[REQUEST_SETTINGS]).normalize(text)
    forms = dict.fromkeys([text] if number is None else [text, number])
    return joined("OR", [word(kind, each, prefix=True) for each in forms])


async def page_of_hits(request: web.Request, kind: Kind, match: str, asked: PageRequest) -> web.Response:
    """A page of their ids, in the order of ids; it says how many changes the index is behind, if any."""
    search = request.config_dict[SEARCH]
    behind = await search.catch_up(request.config_dict[DB])

    async def read(start: str | None, limit: int) -> list[Row]:
        return [{"id": each} for each in await search.ids(kind, match, start, limit)]

    rows, cursor = await read_page([read], asked)
    response = page_response([row["id"] for row in rows], cursor)
    response.headers.update(lag_headers(behind))
    return response
