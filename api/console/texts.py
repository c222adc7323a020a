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
from core.couch.client import Doc
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

    def __call__(self, key: str, default: str | None = None, /, **values: Any) -> str:
        """The text of `key` with each `{{name}}` replaced. KeyError for a key that nobody wrote, without `default`."""
        own = ENGLISH[key] if default is None else ENGLISH.get(key, default)
        text = self.translations.text(key, self.locale, own)
        return PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[0])), text)

    @property
    def direction(self) -> str:
        return "rtl" if self.locale.partition("-")[0] in RIGHT_TO_LEFT else "ltr"


class KnownTexts:
    """The translation documents and the branding as they were read last, until one of them has another revision."""

    def __init__(self) -> None:
        self.revs: object = None
        self.translations = Translations()
        self.languages: list[Doc] = []  # the documents without their texts
        self.branding: dict[str, str] = {}

    async def read(self, request: web.Request) -> None:
        db = request.config_dict[DB]
        texts = {"startkey": "messages-", "endkey": "messages-\ufff0"}
        rows, named = await asyncio.gather(db.all_docs(**texts), db.all_docs(["branding"]))
        revs = [(row["id"], row["value"]["rev"]) for row in (*rows, *named) if "id" in row]
        if revs == self.revs:
            return
        rows, brand = await asyncio.gather(db.all_docs(**texts, include_docs=True), branding(request))
        docs = [row["doc"] for row in rows if row.get("doc")]
        self.translations = Translations.from_docs(docs)
        self.languages = [{name: doc.get(name) for name in ("_id", "code", "name", "enabled")} for doc in docs]
        self.branding, self.revs = brand, revs


KNOWN_TEXTS = web.AppKey("known_texts", KnownTexts)


async def texts_and_branding(request: web.Request) -> tuple[Texts, dict[str, str]]:
    known = request.config_dict[KNOWN_TEXTS]
    await known.read(request)
    settings = request[REQUEST_SETTINGS]
    locales = enabled_locales(known.languages, settings.entries("languages"))
    locale = best_locale(request, [code for code, _ in locales], str(settings.get("locale") or "en"))
    return Texts(known.translations, locale, locales), known.branding
