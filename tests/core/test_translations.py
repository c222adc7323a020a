"""Texts of the messages-<locale> documents (35 MOD-11, 40 SEN-6)."""

from __future__ import annotations

import pytest

from core.couch.client import Database
from core.templates import TemplateRules, render
from core.translations import BUILT_IN_ENGLISH, Translations, load_translations

SW = {
    "_id": "messages-sw",
    "code": "sw",
    "generic": {"sys.empty": "Ujumbe hauna maneno.", "a": "generic", "n": 5, "bad": {"x": 1}},
    "custom": {"a": "custom ${n} ${nope} ${b}", "b": "see ${a}"},
}
EN = {"_id": "messages-en", "code": "en", "generic": {"only.en": "English"}}
TRANSLATIONS = Translations.from_docs([SW, EN])


def test_custom_texts_win_over_generic_ones() -> None:
    assert TRANSLATIONS.text("a", "sw").startswith("custom")  # MOD-11


def test_references_are_replaced_once() -> None:
    assert TRANSLATIONS.text("a", "sw") == "custom 5 ${nope} see ${a}"  # SEN-6


def test_a_missing_text_is_taken_from_english() -> None:
    assert TRANSLATIONS.text("only.en", "sw") == "English"  # MOD-11


def test_what_english_lacks_is_built_in() -> None:
    assert TRANSLATIONS.text("sys.missing_fields", "sw") == BUILT_IN_ENGLISH["sys.missing_fields"]


def test_an_unknown_key_is_its_own_text() -> None:
    assert TRANSLATIONS.text("no.such.key", "sw") == "no.such.key"  # MOD-11
    assert TRANSLATIONS.text("no.such.key", "sw", "default") == "default"


def test_values_that_are_no_text_are_left_out() -> None:
    assert TRANSLATIONS.text("bad", "sw") == "bad"


def test_older_documents_have_values() -> None:
    translations = Translations.from_docs([{"_id": "messages-fr", "values": {"a": "un"}}])

    assert translations.text("a", "fr") == "un"  # MOD-11


@pytest.mark.parametrize("key", BUILT_IN_ENGLISH)
def test_every_built_in_text_is_a_template(key: str) -> None:
    assert render(BUILT_IN_ENGLISH[key], {"fields": {"patient_id": "12345"}}, TemplateRules()).strip()


async def test_all_translation_documents_are_loaded(db: Database) -> None:
    await db.put(SW)

    translations = await load_translations(db)

    assert translations.text("sys.empty", "sw") == "Ujumbe hauna maneno."  # SEN-6
    assert "en" in translations.locales
