"""Records made of SMS and JSON: the worked examples of 45 §12, then one test for each rule."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import DomainError
from core.records import record_from_json, record_from_message, unparsable_record
from core.settings import Settings
from core.translations import Translations

pytestmark = pytest.mark.usefixtures("utc")

NOW_MS = 1_709_280_000_000
SENDER = "0712345678"
VISIT_MS = 1_709_337_600_000

REG = {
    "meta": {"code": "REG"},
    "fields": {
        "name": {"type": "string", "required": True, "labels": {"tiny": "N"}},
        "lmp": {"type": "integer", "required": True, "labels": {"tiny": "LMP"}},
        "risk": {"type": "boolean", "labels": {"tiny": "R"}},
        "visit": {"type": "date", "labels": {"tiny": "V"}},
    },
}
LST = {
    "meta": {"code": "LST"},
    "fields": {
        "kind": {"type": "integer", "list": [[1, "urgent"], [2, "routine"]]},
        "patient_id": {"type": "string"},
        "note": {"type": "string"},
    },
}
PH = {"meta": {"code": "PH"}, "fields": {"phone": {"type": "phone_number"}, "a.b": {"type": "integer"}}}
FAC = {
    "meta": {"code": "FAC"},
    "facility_reference": "fac",
    "fields": {"fac": {"type": "string"}, "n": {"type": "integer"}},
}


def settings(**values: Any) -> Settings:
    forms = {"REG": REG, "LST": LST, "PH": PH, "FAC": FAC}
    return Settings({"default_country_code": "254", "forms": forms, **values})


def record(text: str, sender: str = SENDER, *, given: Settings | None = None, **options: Any) -> dict[str, Any]:
    return record_from_message(
        text, sender, settings=given or settings(), translations=Translations(), now_ms=NOW_MS, **options
    )


def form_record(fields: dict[str, Any], text: str, **members: Any) -> dict[str, Any]:
    return record(text, given=settings(forms={"F": {"meta": {"code": "F"}, "fields": fields, **members}}))


def codes(doc: dict[str, Any]) -> list[str]:
    return [error["code"] for error in doc["errors"]]


ALL_FOUR = {"name": "Anna", "lmp": 12, "risk": True, "visit": VISIT_MS}
TWO = {"name": "Anna", "lmp": 12}
EXAMPLES: list[tuple[str, str | None, dict[str, Any], list[str]]] = [
    ("REG Anna 12 1 2024-03-02", "REG", ALL_FOUR, []),
    ('reg "Anna Otieno" 12', "REG", {"name": "Anna Otieno", "lmp": 12}, []),
    ("REG N Anna#LMP 12#R 1", "REG", {**TWO, "risk": True}, []),
    ("REG N Anna#LMP12", "REG", TWO, []),
    ("REG!Anna 12", "REG", TWO, []),
    ("1!REG!Anna#12#1#2024-03-02", "REG", ALL_FOUR, []),
    ("1!REG!Anna#12#1#2024-03-02#x", "REG", ALL_FOUR, ["extra_fields"]),
    ("1!REG!#12#1", "REG", {"name": None, "lmp": 12, "risk": True}, ["sys.missing_fields"]),
    ("J1!REG!N#Anna \\#2#LMP#12", "REG", {"name": "Anna #2", "lmp": 12}, []),
    ("REG", "REG", {}, ["sys.missing_fields"]),
    ("REG Anna twelve", "REG", {"name": "Anna", "lmp": None}, ["sys.missing_fields"]),
    ("REG Anna 1.5", "REG", {"name": "Anna", "lmp": 1.5}, ["sys.incorrect_type"]),
    ("REG-Anna-12", "REG", {"name": "Anna-12"}, ["sys.missing_fields"]),
    ("REG N Anna#LMP 12 weeks", "REG", {"name": "Anna", "lmp": None}, ["sys.missing_fields"]),
    ("REG N A#N B#LMP 2", "REG", {"name": ["A", "B"], "lmp": 2}, ["sys.incorrect_type"]),
    ("hello there", None, {}, []),
    ("   ", None, {}, ["sys.empty"]),
    ("LST 2 १२३४५ this is the tail", "LST", {"kind": "routine", "patient_id": "12345", "note": "this is the tail"}, []),
    ("LST 9 12345 x", "LST", {"kind": None, "patient_id": "12345", "note": "x"}, []),
    ("PH 0712000111 7", "PH", {"phone": "+254712000111", "a": {"b": 7}}, []),
    ("FAC abc 5", "FAC", {"fac": "abc", "n": 5}, []),
]


@pytest.mark.parametrize(("text", "form", "fields", "errors"), EXAMPLES, ids=[each[0] for each in EXAMPLES])
def test_worked_examples(text: str, form: str | None, fields: dict[str, Any], errors: list[str]) -> None:
    doc = record(text)  # 45 §12, EP-REC-10

    assert doc.get("form") == form
    assert doc["fields"] == fields
    assert list(doc["fields"]) == list(fields)
    assert codes(doc) == errors
    assert doc["from"] == "+254712345678"


def test_a_record_has_every_member() -> None:
    doc = record("REG Anna 12", gateway_ref="g-1", locale="sw", sent_timestamp="1352399720000")

    assert doc == {  # SMS-22, SMS-25
        "type": "data_record",
        "from": "+254712345678",
        "form": "REG",
        "fields": {"name": "Anna", "lmp": 12},
        "errors": [],
        "tasks": [],
        "reported_date": 1352399720000,
        "sms_message": {
            "type": "sms_message",
            "message": "REG Anna 12",
            "form": "REG",
            "from": SENDER,
            "gateway_ref": "g-1",
            "reported_date": "1352399720000",
            "locale": "sw",
        },
    }


def test_the_published_positional_example() -> None:
    fields = {"nurse": "string", "week": "integer", "year": "integer", "visit": "string"}
    form = {"meta": {"code": "YYYZ"}, "fields": {name: {"type": kind} for name, kind in fields.items()}}
    given = settings(default_country_code=55, forms={"YYYZ": form})

    doc = record("1!YYYZ!Sam#23#2015#ANC", " 5511943348031", given=given, sent_timestamp="1352399720000")

    assert doc["from"] == "+5511943348031"  # 30 §4, example
    assert doc["fields"] == {"nurse": "Sam", "week": 23, "year": 2015, "visit": "ANC"}
    assert doc["reported_date"] == 1352399720000
    assert doc["sms_message"]["from"] == " 5511943348031"


def test_forms_only_mode_keeps_the_unknown_code() -> None:
    doc = record("hello", given=settings(forms_only_mode=True))

    assert (doc["form"], doc["fields"]) == ("HELLO", {})  # JF-6
    assert doc["errors"] == [{"code": "sys.form_not_found", "message": "The form HELLO is not known."}]


def test_facility_reference_becomes_refid() -> None:
    assert record("FAC abc 5")["refid"] == "ABC"  # EP-REC-15, MOD-9


@pytest.mark.parametrize(
    "text", ["re\u200bg Anna 12", "\ufeffREG Anna 12", "1!R\u200dEG!Anna#12", "\u200b1!REG!Anna#12"]
)
def test_invisible_characters_in_the_code_are_dropped(text: str) -> None:
    doc = record(text)  # JF-5

    assert (doc["form"], doc["fields"]) == ("REG", TWO)
    assert doc["sms_message"]["message"] == text


def test_a_code_may_be_in_any_script() -> None:
    form = {"meta": {"code": "दर्ता"}, "fields": {"name": {"type": "string"}}}

    doc = record("दर्ता सीता", given=settings(forms={"दर्ता": form}))

    assert (doc["form"], doc["fields"]) == ("दर्ता", {"name": "सीता"})  # JF-4


def test_an_unknown_muvuku_sign_is_a_parse_error() -> None:
    doc = record("7!REG!Anna#12")

    assert (doc["form"], doc["fields"], codes(doc)) == ("REG", {}, ["parse_error"])  # 45 §8, ours


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("F a b c d", {"one": "a", "two": "b c d"}),
        ('F "a b" c', {"one": "a b", "two": "c"}),
        ("F #", {}),
        ("F a", {"one": "a"}),
    ],
)
def test_compact_values(text: str, fields: dict[str, Any]) -> None:
    doc = form_record({"one": {"type": "string"}, "two": {"type": "string"}}, text)

    assert doc["fields"] == fields  # JF-8


def test_surplus_compact_values_are_ignored() -> None:
    doc = form_record({"one": {"type": "string"}, "two": {"type": "integer"}}, "F a 2 3 4")

    assert (doc["fields"], doc["errors"]) == ({"one": "a", "two": 2}, [])  # JF-8


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("F Q Anna", "Anna"),
        ("F q-Anna", "q-Anna"),
        ("F question Anna", "Anna"),
        ("F Quentin", "Quentin"),
    ],
)
def test_a_label_in_front_ends_compact_reading(text: str, name: str) -> None:
    field = {"type": "string", "labels": {"tiny": "Q", "short": "question"}}

    assert form_record({"question": field}, text)["fields"] == {"question": name}  # JF-7, JF-9


def test_unknown_labels_are_ignored() -> None:
    assert record("REG N Anna#WHAT 7#LMP 12")["fields"] == TWO  # JF-10


def test_labels_are_read_in_the_locale_of_the_message() -> None:
    fields = {"name": {"type": "string", "labels": {"tiny": {"en": "N", "sw": "J"}}}, "x": {"type": "string"}}
    given = settings(forms={"F": {"meta": {"code": "F"}, "fields": fields}})

    assert record("F J Asha#X y", given=given, locale="sw")["fields"] == {"name": "Asha", "x": "y"}  # JF-2
    assert record("F N Asha#X y", given=given)["fields"] == {"name": "Asha", "x": "y"}


def test_javarosa_ignores_unknown_labels() -> None:
    assert record("J1!REG!n#Anna#zz#9#lmp#12")["fields"] == TWO  # JF-12


def test_positional_values_are_trimmed_and_keep_their_exclamation_marks() -> None:
    doc = record("1!REG! Anna!B # 12 ##")

    assert doc["fields"] == {"name": "Anna!B", "lmp": 12, "risk": None, "visit": None}  # JF-11, JF-14
    assert doc["errors"] == []


def test_textforms_set_only_what_is_there() -> None:
    assert record("REG R 1#LMP 12#N Anna")["fields"] == {**TWO, "risk": True}  # JF-13


def test_missing_fields_are_named_in_definition_order() -> None:
    doc = record("REG")

    assert doc["errors"] == [  # JF-15
        {"code": "sys.missing_fields", "message": "Values are missing or not valid: name,lmp."}
    ]


def test_type_errors_come_before_missing_fields() -> None:
    assert codes(record("1!REG!#1.5")) == ["sys.incorrect_type", "sys.missing_fields"]  # JF-15


def test_error_texts_are_in_the_locale_of_the_record() -> None:
    translations = Translations({"sw": {"sys.empty": "Ujumbe hauna maneno."}})

    doc = record_from_message("", "1", settings=settings(), translations=translations, now_ms=NOW_MS, locale="sw")

    assert doc["errors"] == [{"code": "sys.empty", "message": "Ujumbe hauna maneno."}]  # JF-3, SMS-24


@pytest.mark.parametrize(("text", "code"), [("REG Anna 12 2", "invalid_risk"), ("REG Anna 12 1 soon", "invalid_visit")])
def test_an_unreadable_optional_value_is_a_warning(text: str, code: str) -> None:
    doc = record(text)

    assert doc["errors"] == []  # JF-16
    assert [warning["code"] for warning in doc["warnings"]] == [code]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "१२", 12),
        ("integer", "1\u200b2", 12),
        ("integer", "-3", -3),
        ("integer", "99999999999999999999", 1e20),
        ("integer", "1e5", None),
        ("month", "7", 7),
        ("boolean", "०", False),
        ("boolean", "2", None),
        ("date", "2024-3-2", VISIT_MS),
        ("date", "2024/03/02", VISIT_MS),
        ("date", "2024-02-30", None),
        ("date", "12", None),
        ("phone_number", "०७१२०००१११", "+254712000111"),
        ("phone_number", "123", "123"),
        ("bsYear", "२०८०", "2080"),
        ("bsDate", "2080-07-28", 1_699_920_000_000),
        ("bsDate", "2078-02-32", None),
        ("custom", "as it is", "as it is"),
        ("nonsense", "as it is", "as it is"),
    ],
)
def test_values_by_type(kind: str, text: str, value: Any) -> None:
    doc = form_record({"v": {"type": kind}, "w": {"type": "string"}}, f"1!F!{text}#z")

    assert doc["fields"]["v"] == value  # 45 §9


def test_a_list_stores_the_translated_label() -> None:
    field = {"type": "string", "list": [["a", {"translation_key": "k.a"}], ["b", {"en": "Bee"}]]}
    translations = Translations({"en": {"k.a": "Ay"}})
    given = settings(forms={"F": {"meta": {"code": "F"}, "fields": {"one": field, "two": field, "three": field}}})

    doc = record_from_message("1!F!a#b#c", "1", settings=given, translations=translations, now_ms=NOW_MS)

    assert doc["fields"] == {"one": "Ay", "two": "Bee", "three": "c"}  # 45 §9, string with list


@pytest.mark.parametrize(
    ("fields", "text", "value"),
    [
        (("bsYear", "bsMonth", "bsDay"), "2080#7#28", 1_699_920_000_000),
        (("bsYear",), "2080", 1_681_430_400_000),
        (("bsYear", "bsMonth", "bsDay"), "2080#7", None),
        (("bsYear", "bsMonth", "bsDay"), "2080#13#1", None),
    ],
)
def test_an_aggregated_nepali_date(fields: tuple[str, ...], text: str, value: int | None) -> None:
    definition = {kind: {"type": kind} for kind in fields} | {"born": {"type": "bsAggreDate"}}

    assert form_record(definition, f"1!F!{text}")["fields"]["born"] == value  # 45 §9


def test_an_aggregated_date_without_a_year_is_unset() -> None:
    definition = {"y": {"type": "bsYear"}, "m": {"type": "bsMonth"}, "born": {"type": "bsAggreDate"}}

    assert "born" not in form_record(definition, "1!F!#7")["fields"]  # 45 §9


@pytest.mark.parametrize(
    ("given", "reported_date"),
    [
        (1352399720000, 1352399720000),
        ("1352399720000", 1352399720000),
        ("at 1352399720000 ms", 1352399720000),
        ("2024-03-02T00:00:00Z", VISIT_MS),
        ("Sat, 02 Mar 2024 00:00:00 GMT", VISIT_MS),
        ("rubbish", NOW_MS),
        ("12", NOW_MS),
        ("9" * 30, NOW_MS),
        (-1, NOW_MS),
        (True, NOW_MS),
        ([], NOW_MS),
        (None, NOW_MS),
    ],
)
def test_the_reported_date(given: Any, reported_date: int) -> None:
    assert record("hello", sent_timestamp=given)["reported_date"] == reported_date  # SMS-23, EP-REC-12


def test_a_free_message_has_no_form() -> None:
    doc = record("hello there")

    assert "form" not in doc  # SMS-26
    assert "form" not in doc["sms_message"]


def test_an_unparsable_text_is_kept() -> None:
    doc = unparsable_record(
        "x", SENDER, settings=settings(), translations=Translations(), now_ms=NOW_MS, gateway_ref="g-1"
    )

    assert codes(doc) == ["parse_error"]  # SMS-21
    assert doc["sms_message"]["gateway_ref"] == "g-1"


# --- JSON -------------------------------------------------------------------------------------------------------------


def json_record(body: Any, **options: Any) -> dict[str, Any]:
    return record_from_json(body, settings=settings(), translations=Translations(), now_ms=NOW_MS, **options)


def test_a_json_record() -> None:
    body = {
        "Name": "Anna",
        "LMP": 12,
        "Risk": 1,
        "visit": "2024-03-02",
        "other": 5,
        "_meta": {"form": "reg", "from": SENDER, "reported_date": 1352399720000, "locale": "fr"},
    }

    doc = json_record(body)

    assert doc["fields"] == ALL_FOUR  # REC-3, REC-4, EP-REC-6, EP-REC-9
    assert (doc["form"], doc["from"], doc["reported_date"]) == ("REG", "+254712345678", 1352399720000)
    assert doc["errors"] == []
    assert doc["sms_message"] == {
        "form": "REG",
        "from": SENDER,
        "reported_date": 1352399720000,
        "locale": "fr",
        "type": "sms_message",
    }


def test_a_json_record_builds_nested_fields() -> None:
    assert json_record({"a.b": 7, "_meta": {"form": "PH"}})["fields"] == {"a": {"b": 7}}  # EP-REC-9, JF-1


def test_a_json_record_without_sender_has_no_from() -> None:
    doc = json_record({"name": "A", "lmp": 1, "_meta": {"form": "REG"}})

    assert "from" not in doc
    assert doc["reported_date"] == NOW_MS


@pytest.mark.parametrize("sender", [None, {}, [], True])
def test_a_sender_that_is_no_number_is_left_out(sender: Any) -> None:
    doc = json_record({"name": "A", "lmp": 1, "_meta": {"form": "REG", "from": sender}})

    assert "from" not in doc  # MOD-2


def test_a_json_record_with_wrong_types_is_kept_with_errors() -> None:
    doc = json_record({"name": 5, "lmp": "12", "_meta": {"form": "REG"}})

    assert codes(doc) == ["sys.incorrect_type", "sys.incorrect_type"]  # JF-15
    assert doc["fields"] == {"name": 5, "lmp": "12"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Missing _meta property."),
        ([], "Missing _meta property."),
        ({"_meta": "REG"}, "Missing _meta property."),
        ({"_meta": {}}, "Missing required field: form"),
        ({"_meta": {"form": "nope"}}, "Form not found: NOPE"),
    ],
)
def test_a_json_body_that_is_no_record(body: Any, message: str) -> None:
    with pytest.raises(DomainError, match=message) as caught:  # EP-REC-7
        json_record(body)

    assert caught.value.status == 500
