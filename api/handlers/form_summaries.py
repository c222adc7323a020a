"""What is known of each form, for administrators (FORM-16, FORM-65)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from api.auth import require
from api.keys import CONFIG, COUCH
from api.operations import Access, Operation, describe
from api.responses import json_response
from api.xforms import FORMS
from core.xforms.form_errors import FormErrors
from core.xforms.summaries import FormSummary, summary_of


@describe(Operation(access=Access.ACCOUNT, permissions=("can_configure",), answers={200: list[FormSummary]}))
async def get_form_summaries(request: web.Request) -> web.Response:
    """GET /api/v2/forms: every form with its kind, version and media, and what is wrong with it.

    Permission: can_configure. `problem` says why clients cannot show a form: its XForm cannot be read or converted, or
    its document is incomplete.
    """
    require(request, "can_configure")
    return json_response(await form_summaries(request))


async def form_summaries(request: web.Request) -> list[FormSummary]:
    """In the order of the forms' ids."""
    sentinel_db = request.config_dict[COUCH].db(request.config_dict[CONFIG].db_name("sentinel"))
    errors = await FormErrors(sentinel_db).all()
    return [summary_of(form, errors) for form in await request.config_dict[FORMS].all()]


ROUTES: list[Any] = [web.get("/api/v2/forms", get_form_summaries)]
