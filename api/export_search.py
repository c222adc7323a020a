"""What the search index finds for the words of an export's `filters.search` (EP-EXP-12)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiohttp import web

from api.keys import DB, REQUEST_SETTINGS, SEARCH
from api.search.index import Hit
from api.search.query import exact, joined, word
from api.search.tokens import SHORTEST, Kind
from core.exports.asked import Hits
from core.phones import PhoneRules

HITS_AT_ONCE = 20_000


def hits_of(request: web.Request, kind: Kind, text: str) -> Hits | None:
    """All documents with every word, the words as the beginnings of theirs; None where no word is long enough.

    A phone number is found in either form, as it was typed and as the deployment stores it.
    """
    terms = [term(request, kind, each) for each in text.lower().split() if len(each) >= SHORTEST]
    return pages_of_hits(request, kind, joined("AND", terms)) if terms else None


def term(request: web.Request, kind: Kind, text: str) -> str:
    if ":" in text:
        return exact(kind, text)
    number = PhoneRules.from_settings(request[REQUEST_SETTINGS]).normalize(text)
    forms = dict.fromkeys([text] if number is None else [text, number])
    return joined("OR", [word(kind, each, prefix=True) for each in forms])


async def pages_of_hits(request: web.Request, kind: Kind, match: str) -> AsyncIterator[Sequence[tuple[str, Any]]]:
    search = request.config_dict[SEARCH]
    await search.catch_up(request.config_dict[DB])
    after: Hit | None = None
    while True:
        page = await search.page(kind, match, after, HITS_AT_ONCE, descending=False)
        yield page.hits
        if len(page.hits) < HITS_AT_ONCE:
            return
        after = page.hits[-1]
