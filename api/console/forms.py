"""Forms: uploaded as XLSForms or XForms, with what is wrong told by row and cell; listed and looked at."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from aiohttp import web

from api.console.frame import Page, allow, done, pages, read_form, show
from api.handlers.form_summaries import form_summaries
from api.handlers.form_uploads import Brought, store_form
from api.keys import DB
from api.login_page import PAGE_POLICY
from api.params import parse_json
from api.xforms import FORMS
from core.errors import DomainError, InvalidInput, NotFound, TooLarge
from core.xforms.archive import is_workbook
from core.xforms.attachments import Attachment
from core.xforms.catalogue import FORM_HTML, GENERATED, MODEL_XML, Form
from core.xforms.preview import preview_of
from core.xforms.uploads import check_file_name, check_properties

PAGE = Page("forms", any_of=("can_configure",))
FIELDS = ("form", "media", "properties")
# Nothing of a form's author acts: no scripts, no requests but for the form's own pictures and sounds.
PREVIEW_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; media-src 'self'; form-action 'none'; "
    "frame-ancestors 'self'; base-uri 'none'; sandbox allow-same-origin"
)


async def show_forms(request: web.Request) -> web.Response:
    """GET /admin/forms: the form to upload one, and the list of `/api/v2/forms`."""
    allow(request, PAGE)
    return await show_list(request)


async def show_list(request: web.Request, error: DomainError | None = None) -> web.Response:
    """`problems` of a refused XLSForm are told by their cells."""
    problems = error.details.get("problems", []) if error else []
    message = "console.forms.refused" if problems else error.message if error else ""
    named = next((name for name in FIELDS if error and error.message.startswith(name)), "form")
    return await show(
        request,
        PAGE,
        "forms.html",
        status=error.status if error else 200,
        errors={named: message} if error else None,
        problems=problems,
        forms=await form_summaries(request),
    )


async def upload_form(request: web.Request) -> web.Response:
    """POST /admin/forms: store a form, as `POST /api/v1/forms`; to its own page, or what is wrong with it."""
    allow(request, PAGE)
    try:
        uploaded, _ = await store_form(request, await read_upload(request))
    except (InvalidInput, TooLarge) as error:
        return await show_list(request, error)
    path = path_of(uploaded["code"])
    if uploaded["warnings"]:
        told = " ".join(uploaded["warnings"])[:1000]
        return done(request, path, "console.forms.stored_with_warnings", kind="warn", warnings=told)
    return done(request, path, "console.forms.stored" if uploaded["changed"] else "console.forms.unchanged")


async def read_upload(request: web.Request) -> Brought:
    sent = await read_form(request)
    form = sent.files.get("form")
    if form is None:
        raise InvalidInput("console.forms.no_file")
    data = await asyncio.to_thread(form.file.read)
    text = sent.text("properties")
    media = {}
    for file in (await request.post()).getall("media", []):
        if isinstance(file, web.FileField) and file.filename:
            check_file_name(file.filename)
            media[file.filename] = Attachment(file.content_type, await asyncio.to_thread(file.file.read))
    return Brought(
        form=data,
        name=form.filename.rpartition(".")[0] or None,
        is_table=is_workbook(data) or form.filename.lower().endswith(".xlsx"),
        properties=read_properties(text) if text else {},
        media=media,
    )


def read_properties(text: str) -> dict[str, Any]:
    try:
        value = parse_json(text.encode())
    except InvalidInput as error:
        raise InvalidInput(f"properties: {error.message}") from error
    return check_properties(value)


async def show_form(request: web.Request) -> web.Response:
    """GET /admin/forms/{code}: one form, its files, what is wrong with it, and a preview."""
    allow(request, PAGE)
    form = await wanted_form(request)
    summary = next(each for each in await form_summaries(request) if each["id"] == form.doc_id)
    response = await show(
        request,
        PAGE,
        "form.html",
        form=summary,
        preview=f"{path_of(form.code)}/preview" if form.doc["_attachments"].keys() >= GENERATED else None,
    )
    response.headers["Content-Security-Policy"] = f"{PAGE_POLICY}; frame-src 'self'"
    return response


async def show_preview(request: web.Request) -> web.Response:
    """GET /admin/forms/{code}/preview: the form as its author wrote it, with nothing in it that acts."""
    allow(request, PAGE)
    form = await wanted_form(request)
    if not form.doc["_attachments"].keys() >= GENERATED:
        raise NotFound(f"The form {form.code} has no HTML")
    db = request.config_dict[DB]
    html, model = [await db.attachment(form.doc_id, name, form.rev) for name in (FORM_HTML, MODEL_XML)]
    shown = await asyncio.to_thread(preview_of, html, model, f"/medic/{quote(form.doc_id, safe='')}/")
    page = pages.get_template("console/form_preview.html").render(title=form.code, form=shown)
    headers = {"Content-Security-Policy": PREVIEW_POLICY, "Cache-Control": "no-store"}
    return web.Response(text=page, content_type="text/html", headers=headers)


async def wanted_form(request: web.Request) -> Form:
    code = request.match_info["code"]
    form = await request.config_dict[FORMS].find(code)
    if form is None:
        raise NotFound(f"There is no form {code}")
    return form


def path_of(code: str) -> str:
    return f"{PAGE.path}/{quote(code, safe='')}"


ROUTES: list[Any] = [
    web.get(PAGE.path, show_forms),
    web.post(PAGE.path, upload_form),
    web.get(f"{PAGE.path}/{{code}}", show_form),
    web.get(f"{PAGE.path}/{{code}}/preview", show_preview),
]
