"""Forms for any account: their names, their definitions, and whether a new one would work (FORM-30..41)."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from aiohttp import web

from api.auth import current_user, require
from api.forwarded import origin
from api.handlers.form_uploads import XLSX, XLSX_TYPES, converted, read_form
from api.keys import CONFIG, COUCH, REQUEST_SETTINGS
from api.openrosa import xml_response
from api.operations import Access, Operation, describe
from api.params import Param
from api.responses import json_response
from api.xforms import CONVERTER, FORMS
from core.errors import DomainError, InvalidInput, NotFound, UnsupportedMediaType
from core.xforms.openrosa import Listed, form_list
from core.xforms.versions import FormVersions

SHA256 = Param("sha256", "the `form_version.sha256` of a report, to get the XForm that it was filled in with")
XML_TYPES = frozenset({"application/xml", "text/xml", "text/plain", "application/octet-stream"})


class Valid(TypedDict):
    ok: Literal[True]
    warnings: list[str]


class Refused(TypedDict):
    """`problems` of an XLSForm: `{message, sheet?, row?, column?, cell?}`."""

    error: str
    problems: NotRequired[list[dict[str, Any]]]


@describe(
    Operation(
        access=Access.ACCOUNT,
        answers={200: {"application/json": list[str], "text/xml": str}},
        headers={"X-OpenRosa-Version": "any value asks for the OpenRosa form list"},
    )
)
async def list_forms(request: web.Request) -> web.Response:
    """GET /api/v1/forms: the names of all forms, `<code>.xml` and `<CODE>.json`.

    With the header X-OpenRosa-Version: an OpenRosa form list of the forms for external collectors.
    """
    current_user(request)
    forms = await request.config_dict[FORMS].all()
    if not request.headers.get("X-OpenRosa-Version"):
        json_forms = [f"{code}.json" for code in request[REQUEST_SETTINGS].forms]
        return json_response([*(f"{form.code}.xml" for form in forms), *json_forms])
    base = f"{origin(request)}/api/v1/forms"
    listed = [
        Listed(form.xform.title, form.xform.id, form.xform.version, form.md5, f"{base}/{form.code}.xml")
        for form in forms
        if form.is_collect and form.xform is not None
    ]
    return xml_response(form_list(listed))


@describe(
    Operation(
        access=Access.ACCOUNT,
        query=(SHA256,),
        answers={200: {"application/xml": str, "application/json": dict[str, Any]}},
        errors=(400, 404),
    )
)
async def get_form(request: web.Request) -> web.Response:
    """GET /api/v1/forms/{form}: the XForm of `<code>.xml`, the definition of `<CODE>.json`. 400, 404.

    With `sha256` the XForm that the form had when a report with this `form_version.sha256` was filled in (FORM-62).
    """
    current_user(request)
    code, _, kind = request.match_info["form"].rpartition(".")
    if not code:
        raise InvalidInput(f'Invalid form name (form="{code}", format="{kind}")')
    if kind == "json":
        return json_response(json_form(request, code))
    if kind != "xml":
        raise InvalidInput(f'Invalid file format (format="{kind}")')
    if digest := SHA256.text(request):
        logs_db = request.config_dict[COUCH].db(request.config_dict[CONFIG].db_name("logs"))
        kept = await FormVersions(logs_db).xml(code, digest)
        if kept is None:
            raise NotFound(f"Form not found: {code} (xml) with sha256 {digest[:64]}")
        return web.Response(body=kept, content_type="application/xml")
    forms = request.config_dict[FORMS]
    form = await forms.find(code)
    if form is None:
        raise NotFound(f"Form not found: {code} (xml)")
    return web.Response(body=await forms.xml(form), headers={"Content-Type": form.content_type})


def json_form(request: web.Request, code: str) -> object:
    """The definition in the settings, by its code whatever the letters' case (FORM-35)."""
    definitions = request[REQUEST_SETTINGS].forms
    for name in (code, *(each for each in definitions if each.lower() == code.lower())):
        if name in definitions:
            return definitions[name]
    raise NotFound(f"Form not found: {code} (json)")


@describe(
    Operation(
        access=Access.ACCOUNT,
        permissions=("can_configure",),
        body={"application/xml": str, XLSX: str},
        answers={200: Valid, 400: Refused},
        errors=(415,),
    )
)
async def validate_form(request: web.Request) -> web.Response:
    """POST /api/v1/forms/validate with an XForm or XLSForm: `{"ok": true, "warnings": [...]}`, or 400 `{"error"}`.

    Permission: can_configure. Warnings name what works, but hardly as its author meant. `problems` beside the error of
    an XLSForm name sheet, row and cell.
    """
    try:
        require(request, "can_configure")
        if request.content_type not in XML_TYPES | XLSX_TYPES:
            raise UnsupportedMediaType("The body must be an XForm with Content-Type: application/xml, or an .xlsx file")
        _, conversion = await converted(request.config_dict[CONVERTER], await read_form(request))
    except DomainError as error:
        return json_response({"error": error.message, **error.details}, status=error.status)
    return json_response({"ok": True, "warnings": list(conversion.warnings)})


ROUTES = [
    web.get("/api/v1/forms", list_forms),
    web.get("/api/v1/forms/", list_forms),
    web.get("/api/v1/forms/{form}", get_form),
    web.post("/api/v1/forms/validate", validate_form),
]
