"""The words of the console, by key and language: a deployment's translations over our English ones."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import orjson
from aiohttp import web

from api.keys import DB, REQUEST_SETTINGS
from api.login_page import best_locale, branding, enabled_locales
from core.translations import Translations

# Not in core/data/messages-en.json: what stands there is sent to every phone.
ENGLISH: Mapping[str, str] = orjson.loads(files("api").joinpath("data", "console-en.json").read_bytes())

PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
RIGHT_TO_LEFT = frozenset({"ar", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"})


@dataclass(frozen=True)
class Texts:
    """The texts in one language; templates call it `t`."""

    translations: Translations
    locale: str
    locales: list[tuple[str, str]]  # code and name of all that are enabled

    def __call__(self, key: str, default: str | None = None, **values: Any) -> str:
        """The text of `key` with each `{{name}}` replaced. KeyError for a key that nobody wrote, without `default`."""
        own = ENGLISH[key] if default is None else ENGLISH.get(key, default)
        text = self.translations.text(key, self.locale, own)
        return PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[0])), text)

    @property
    def direction(self) -> str:
        return "rtl" if self.locale.partition("-")[0] in RIGHT_TO_LEFT else "ltr"


async def texts_and_branding(request: web.Request) -> tuple[Texts, dict[str, str]]:
    rows, brand = await asyncio.gather(
        request.config_dict[DB].all_docs(startkey="messages-", endkey="messages-\ufff0", include_docs=True),
        branding(request),
    )
    docs = [row["doc"] for row in rows if row.get("doc")]
    settings = request[REQUEST_SETTINGS]
    locales = enabled_locales(docs, settings.entries("languages"))
    locale = best_locale(request, [code for code, _ in locales], str(settings.get("locale") or "en"))
    return Texts(Translations.from_docs(docs), locale, locales), brand
