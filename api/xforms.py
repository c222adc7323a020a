"""What the handlers of forms share: the catalogue of forms and the process that converts them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from api.keys import DB
from core.xforms.catalogue import Forms
from core.xforms.converter import Converter

FORMS = web.AppKey("forms", Forms)
CONVERTER = web.AppKey("converter", Converter)


async def open_xforms(app: web.Application) -> AsyncIterator[None]:
    """A `cleanup_ctx` to come after the one that opens CouchDB."""
    app[FORMS] = Forms(app[DB])
    app[CONVERTER] = converter = Converter()
    yield
    await converter.close()
