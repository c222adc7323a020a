"""The texts of the `messages-<locale>` documents, with our own English ones beneath them (35 MOD-11)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import orjson

from core.couch.client import Database, Doc

REFERENCE = re.compile(r"\$\{([^{}]*)\}")


# English texts of every key the server itself sends.
BUILT_IN_ENGLISH: Mapping[str, str] = orjson.loads(files("core").joinpath("data/messages-en.json").read_bytes())


@dataclass(frozen=True)
class Translations:
    """Texts by locale and key. A snapshot: replaced whole when a translations document changes."""

    locales: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def from_docs(cls, docs: Iterable[Doc]) -> Translations:
        return cls({str(doc.get("code") or doc["_id"].removeprefix("messages-")): texts_of(doc) for doc in docs})

    def text(self, key: str, locale: str, default: str | None = None) -> str:
        """The text in that locale, else in English, else `default`, else the key itself."""
        for texts in (self.locales.get(locale), self.locales.get("en"), BUILT_IN_ENGLISH):
            if texts is not None and key in texts:
                return texts[key]
        return key if default is None else default


async def load_translations(db: Database) -> Translations:
    rows = await db.all_docs(startkey="messages-", endkey="messages-\ufff0", include_docs=True)
    return Translations.from_docs(row["doc"] for row in rows if row.get("doc"))


def texts_of(doc: Doc) -> dict[str, str]:
    """`custom` over `generic` (older documents: `values`), with each `${other.key}` replaced once (SEN-6)."""
    raw: dict[str, Any] = {}
    for name in ("values", "generic", "custom"):
        if isinstance(doc.get(name), dict):
            raw |= doc[name]
    texts = {key: str(value) for key, value in raw.items() if is_text(value)}
    return {
        key: REFERENCE.sub(lambda found: texts.get(found[1], found[0]), text) if "${" in text else text
        for key, text in texts.items()
    }


def is_text(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
