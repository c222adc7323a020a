"""OpenRosa 1.0 for ODK Collect, KoboCollect and Enketo: which forms there are, and their media (50 §5)."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from api.auth import holds
from api.keys import COUCH
from api.openrosa import HEADERS, XML, base_url, collector, openrosa, paths, xml_response
from api.proxy import ask, next_chunk
from api.responses import Stream
from api.sessions import User
from api.xforms import FORMS
from core.couch.client import doc_path
from core.errors import NotFound
from core.xforms.catalogue import Form, Media
from core.xforms.openrosa import Listed, MediaFile, form_list, manifest


async def get_form_list(request: web.Request) -> web.Response:
    """GET /openrosa/formList: the forms for external collectors that the caller may fill in (OR-3, OR-6).

    `formID` asks for one of them, `verbose=true` for descriptions.
    """
    user = collector(request)
    forms = request.config_dict[FORMS]
    wanted = request.query.get("formID")
    verbose = request.query.get("verbose") == "true"
    listed = [
        await listed_form(request, form, verbose=verbose)
        for form in await forms.all()
        if is_offered(request, user, form) and wanted in (None, form.xform and form.xform.id, form.code)
    ]
    return xml_response(form_list(listed))


async def listed_form(request: web.Request, form: Form, *, verbose: bool) -> Listed:
    assert form.xform is not None
    has_media = bool(await request.config_dict[FORMS].media(form))
    return Listed(
        name=form.xform.title,
        form_id=form.xform.id,
        version=form.xform.version,
        md5=form.md5,
        download_url=f"{form_url(request, form)}.xml",
        manifest_url=f"{form_url(request, form)}/manifest" if has_media else None,
        description=form.xform.description if verbose else None,
    )


def form_url(request: web.Request, form: Form) -> str:
    return f"{base_url(request)}/forms/{quote(form.code, safe='')}"


def is_offered(request: web.Request, user: User, form: Form) -> bool:
    """Collect forms, and app forms whose context says `openrosa`, for those with the form's permission (OR-6)."""
    return (
        form.xform is not None
        and (form.is_collect or form.context.get("openrosa") is True)
        and may_fill_in(request, user, form)
    )


def may_fill_in(request: web.Request, user: User, form: Form) -> bool:
    permission = form.context.get("permission")
    return not isinstance(permission, str) or not permission or holds(request, user, permission)


async def offered_form(request: web.Request) -> Form:
    """The form of the path, if the caller may fill it in. NotFound."""
    user = collector(request)
    code = request.match_info["code"]
    form = await request.config_dict[FORMS].find(code)
    if form is None or not is_offered(request, user, form):
        raise NotFound(f"There is no form {code}")
    return form


async def get_xform(request: web.Request) -> web.Response:
    """GET /openrosa/forms/{code}.xml: the bytes whose MD5 the list tells, which is their ETag too (OR-7, OR-9)."""
    form = await offered_form(request)
    answer = web.Response(headers=HEADERS)
    answer.etag = form.md5
    if any(tag.value in (form.md5, "*") for tag in request.if_none_match or ()):
        answer.set_status(304)
        return answer
    answer.body = await request.config_dict[FORMS].xml(form)
    answer.headers["Content-Type"] = XML
    return answer


async def get_manifest(request: web.Request) -> web.Response:
    """GET /openrosa/forms/{code}/manifest: the files a client downloads beside the form (OR-8)."""
    form = await offered_form(request)
    forms = request.config_dict[FORMS]
    base = f"{form_url(request, form)}/media"
    files = [
        MediaFile(media.filename, await forms.md5(media), f"{base}/{quote(media.filename, safe='')}")
        for media in await forms.media(form)
    ]
    return xml_response(manifest(files))


async def get_media(request: web.Request) -> web.StreamResponse:
    """GET /openrosa/forms/{code}/media/{filename}: one of these files."""
    form = await offered_form(request)
    filename = request.match_info["filename"]
    for media in await request.config_dict[FORMS].media(form):
        if media.filename == filename:
            return await stream_media(request, media)
    raise NotFound(f"The form {form.code} has no file {filename}")


async def stream_media(request: web.Request, media: Media) -> web.StreamResponse:
    couch, db = request.config_dict[COUCH], request.config_dict[FORMS].db
    path = f"{db.path}{doc_path(media.doc_id)}/{quote(media.name, safe='')}"
    headers = {"Authorization": couch.authorization, "Accept": "*/*", "Accept-Encoding": "identity"}
    async with ask(request, path=path, params={"rev": media.rev}, headers=headers) as found:
        if found.status != 200:
            raise NotFound(f"The file {media.filename} is not there any more")
        kind = found.headers.get("Content-Type", "application/octet-stream")
        answer = Stream(headers={**HEADERS, "Content-Type": kind})
        await answer.prepare(request)
        while chunk := await next_chunk(found):
            await answer.write(chunk)
        await answer.write_eof()
    return answer


ROUTES = [
    web.get(path, openrosa(handler))
    for under, handler in (
        ("/formList", get_form_list),
        ("/forms/{code}/manifest", get_manifest),
        ("/forms/{code}/media/{filename}", get_media),
        ("/forms/{code}.xml", get_xform),
    )
    for path in (*paths(under), *(["/formList"] if under == "/formList" else []))
]
