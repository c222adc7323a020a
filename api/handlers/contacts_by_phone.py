"""Who has this phone number (EP-CBP-1..5)."""

from __future__ import annotations

from typing import Any, TypedDict

from aiohttp import web

from api.auth import require_online
from api.errors import StorageError
from api.handlers.hydrate import foresight
from api.keys import DB, REQUEST_SETTINGS
from api.operations import Access, Operation, describe
from api.params import Param, read_json, require_json
from api.responses import json_response
from core.phone_search import contacts_by_phone
from core.phones import PhoneRules

PHONE = Param(name="phone", about="a phone number in any notation")


class AskedPhone(TypedDict):
    phone: str


class ContactsFound(TypedDict):
    ok: bool
    docs: list[dict[str, Any]]


@describe(Operation(access=Access.ONLINE, query=(PHONE,), answers={200: ContactsFound}, errors=(404,)))
async def get_contacts_by_phone(request: web.Request) -> web.Response:
    """GET /api/v1/contacts-by-phone?phone=: `{ok, docs}` with the hydrated contacts of a number in any notation.

    Online users only. 404 when nobody has it, 400 when it is no phone number.
    """
    require_online(request)
    return await answer_contacts(request, PHONE.text(request))


@describe(Operation(access=Access.ONLINE, query=(PHONE,), body=AskedPhone, answers={200: ContactsFound}, errors=(404,)))
async def post_contacts_by_phone(request: web.Request) -> web.Response:
    """POST /api/v1/contacts-by-phone `{"phone": "..."}`: as GET. The query wins."""
    require_json(request)
    require_online(request)
    asked: Any = PHONE.text(request)
    if asked is None:
        body = await read_json(request)
        asked = body.get("phone") if isinstance(body, dict) else None
    return await answer_contacts(request, asked)


async def answer_contacts(request: web.Request, asked: Any) -> web.Response:
    rules = PhoneRules.from_settings(request[REQUEST_SETTINGS])
    number = read_number(rules, asked) if isinstance(asked, str) else None
    if number is None:
        raise StorageError(400, "bad_request", "`phone` parameter is required and must be a valid phone number")
    docs = await contacts_by_phone(request.config_dict[DB], rules, number, foresight(request))
    if not docs:
        raise StorageError(404, "not_found", "no matches found")
    return json_response({"ok": True, "docs": docs})


def read_number(rules: PhoneRules, text: str) -> str | None:
    """The normalised number. A leading space is a `+` that was not encoded for the URL (EP-CBP-5)."""
    bare = text.strip('"')
    number = rules.normalize(f"+{bare.strip()}") if bare.startswith(" ") else None
    return number or rules.normalize(bare)


ROUTES = [
    web.get("/api/v1/contacts-by-phone", get_contacts_by_phone),
    web.post("/api/v1/contacts-by-phone", post_contacts_by_phone),
]
