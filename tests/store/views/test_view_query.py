"""Every option of a view query, and the order of rows."""

from __future__ import annotations

from typing import Any

import pytest

from store.errors import BadRequest, NotFound, QueryParseError
from store.view_query import ViewParams
from store.view_read import FEW_ROWS, PAGE_ROWS
from store.views import Views
from tests.store.views.view_documents import KEYED, Documents, ddoc, ids, query


@pytest.fixture
def letters(documents: Documents) -> dict[str, Any]:
    """Documents d0 to d9: two for each of the keys "a" to "e", the second one first by seq."""
    for number in (1, 0, 3, 2, 5, 4, 7, 6, 9, 8):
        documents.put(f"d{number}", key="abcde"[number // 2], value=number)
    return ddoc(v=KEYED)


RANGES: list[tuple[dict[str, Any], str]] = [
    ({}, "0123456789"),
    ({"descending": True}, "9876543210"),
    ({"key": '"b"'}, "23"),
    ({"key": '"b"', "descending": True}, "32"),
    ({"key": '"b"', "startkey_docid": "d3"}, "3"),
    ({"key": '"b"', "inclusive_end": False}, ""),
    ({"startkey": '"b"'}, "23456789"),
    ({"start_key": '"b"'}, "23456789"),
    ({"endkey": '"b"'}, "0123"),
    ({"end_key": '"b"'}, "0123"),
    ({"startkey": '"b"', "endkey": '"c"'}, "2345"),
    ({"startkey": '"b"', "endkey": '"c"', "inclusive_end": False}, "23"),
    ({"startkey": '"b"', "startkey_docid": "d3", "endkey": '"c"', "endkey_docid": "d4"}, "34"),
    ({"startkey": '"b"', "endkey": '"c"', "endkey_docid": "d5", "inclusive_end": False}, "234"),
    ({"startkey": '"c"', "endkey": '"b"', "descending": True}, "5432"),
    ({"startkey": '"c"', "endkey": '"b"', "descending": True, "inclusive_end": False}, "54"),
    ({"startkey": '"c"', "start_key_doc_id": "d4", "endkey": '"b"', "end_key_doc_id": "d3", "descending": True}, "43"),
    ({"startkey_docid": "d5"}, "0123456789"),
    ({"skip": 3, "limit": 2}, "34"),
    ({"limit": 0}, ""),
    ({"skip": 100}, ""),
    ({"descending": True, "skip": 1, "limit": 3}, "876"),
    ({"keys": ["d", "a", "none", "d"]}, "670167"),
    ({"keys": ["d", "a"], "skip": 1, "limit": 2}, "70"),
    ({"keys": ["d", "a"], "skip": 3}, "1"),
    ({"keys": ["d", "a", "b"], "descending": True, "skip": 1, "limit": 4}, "2107"),
    ({"keys": []}, ""),
    ({"startkey": '"x"'}, ""),
    ({"startkey": "null", "endkey": "{}"}, "0123456789"),
    ({"stable": True, "sorted": False}, "0123456789"),
]


@pytest.mark.parametrize(("options", "expected"), RANGES, ids=lambda value: str(value).replace(" ", ""))
async def test_ranges_give_couchdbs_rows(
    views: Views, letters: dict[str, Any], options: dict[str, Any], expected: str
) -> None:
    assert "".join(id_[1] for id_ in await ids(views, letters, **options)) == expected


@pytest.mark.parametrize(("options", "expected"), RANGES, ids=lambda value: str(value).replace(" ", ""))
async def test_asking_again_gives_the_same_answer(
    views: Views, letters: dict[str, Any], options: dict[str, Any], expected: str
) -> None:
    """The second small answer is read another way, on the thread that asks."""
    first = await query(views, letters, **options)

    assert await query(views, letters, **options) == first


@pytest.mark.parametrize("count", [0, 1, FEW_ROWS, FEW_ROWS + 1, PAGE_ROWS * 2 + 1])
async def test_any_number_of_rows_of_a_key_is_given_whole(views: Views, documents: Documents, count: int) -> None:
    for number in range(count + 10):
        documents.put(f"d{number:05d}", key="many" if number < count else "other")
    await query(views, ddoc(v=KEYED), key='"other"')

    answer = await query(views, ddoc(v=KEYED), key='"many"')

    assert [row["id"] for row in answer["rows"]] == [f"d{number:05d}" for number in range(count)]
    assert answer["total_rows"] == count + 10


async def test_a_small_answer_has_what_was_written_before_it_was_asked_for(
    views: Views, letters: dict[str, Any], documents: Documents
) -> None:
    for number in range(10, 20):
        documents.put(f"d{number}", key="b")

        answer = await query(views, letters, key='"b"')

        assert answer["total_rows"] == number + 1
        assert f"d{number}" in [row["id"] for row in answer["rows"]]
        assert await query(views, letters, key='"b"') == answer


async def test_rows_are_ordered_by_key_then_id(views: Views, documents: Documents) -> None:
    for doc_id in ("b", "B", "a", "é"):
        documents.put(doc_id)
    design = ddoc(v="function (doc) { emit(1, 'first'); emit(0, null); emit(1, 'second'); }")

    rows = (await query(views, design))["rows"]

    assert [(row["key"], row["id"], row["value"]) for row in rows[:4]] == [
        (0, id_, None) for id_ in ("B", "a", "b", "é")
    ]
    assert [(row["id"], row["value"]) for row in rows[4:6]] == [("B", "first"), ("B", "second")]


@pytest.mark.parametrize("descending", [False, True])
async def test_rows_of_one_key_and_document_are_in_erlangs_order_of_values(
    views: Views, documents: Documents, descending: bool
) -> None:
    """PouchDB's "Testing multiple emissions (issue #14)"; the order is that of CouchDB 3.5, in both directions."""
    documents.put("d")
    design = ddoc(
        v="""function (doc) {
          ["b", [1], {b: 0}, null, 10, true, "é", {a: 1, b: 2}, "B", {a: 1}, [0, 1], "", {}, false, [], -1, 2.5]
            .forEach(function (value) { emit(1, value); });
        }"""
    )

    rows = (await query(views, design, descending=descending))["rows"]

    ordered = [-1, 2.5, 10, False, None, True, {}, {"a": 1}, {"a": 1, "b": 2}, {"b": 0}, [], [0, 1], [1]]
    assert [row["value"] for row in rows] == [*ordered, "", "B", "b", "é"]


@pytest.mark.parametrize(
    ("options", "offset"),
    [
        ({}, 0),
        ({"skip": 3}, 3),
        ({"startkey": '"c"'}, 4),
        ({"startkey": '"c"', "descending": True}, 4),
        ({"skip": 99}, 10),
    ],
    ids=str,
)
async def test_total_and_offset_are_told(
    views: Views, letters: dict[str, Any], options: dict[str, Any], offset: int
) -> None:
    answer = await query(views, letters, **options)

    assert (answer["total_rows"], answer["offset"]) == (10, offset)


async def test_a_post_body_gives_options_as_json_values(views: Views, letters: dict[str, Any]) -> None:
    answer = await query(
        views, letters, body={"startkey": "b", "endkey": "c", "descending": False, "limit": 3}, limit=1
    )

    assert [row["id"] for row in answer["rows"]] == ["d2", "d3", "d4"]


async def test_include_docs_adds_the_winning_document(views: Views, documents: Documents) -> None:
    documents.put("a", key=1)

    [row] = (await query(views, ddoc(v=KEYED), include_docs=True))["rows"]

    assert row == {"id": "a", "key": 1, "value": None, "doc": {"_id": "a", "_rev": "1-a", "key": 1}}


async def test_include_docs_follows_links(views: Views, documents: Documents) -> None:
    documents.put("child", key=1, parent="parent")
    documents.put("orphan", key=2, parent="nobody")
    documents.put("late", key=3, parent="gone")
    documents.put("gone")
    documents.delete("gone")
    documents.put("parent", name="P")
    design = ddoc(v="function (doc) { if (doc.parent) { emit(doc.key, {_id: doc.parent}); } }")

    rows = (await query(views, design, include_docs=True))["rows"]

    assert [row["doc"] and row["doc"]["name"] for row in rows] == ["P", None, None]


async def test_update_seq_is_told_when_asked_for(views: Views, letters: dict[str, Any]) -> None:
    result = await views.query(letters, "v", ViewParams.parse([("update_seq", "true")]))
    result.close()

    assert result.update_seq == 10


BAD: list[tuple[dict[str, Any], str]] = [
    ({"limit": "-1"}, 'Invalid value for positive integer: "-1"'),
    ({"limit": "many"}, 'Invalid value for integer: "many"'),
    ({"skip": "1.5"}, 'Invalid value for integer: "1.5"'),
    ({"descending": "maybe"}, 'Invalid boolean parameter: "maybe"'),
    ({"key": "{broken"}, 'Invalid JSON value for parameter key: "{broken"'),
    ({"update": "soon"}, "Invalid value for `update`."),
    ({"stale": "yes"}, "Invalid value for `stale`."),
    ({"reduce": "true"}, "Reduce is invalid for map-only views."),
    ({"group": "true"}, "Invalid use of grouping on a map view."),
    ({"group_level": "1"}, "Invalid use of grouping on a map view."),
    ({"keys": "[1]", "key": "1"}, "`keys` is incompatible with `key`, `start_key` and `end_key`"),
    (
        {"startkey": "2", "endkey": "1"},
        "No rows can match your key range, reverse your start_key and end_key or set descending=true",
    ),
]


@pytest.mark.parametrize(("options", "reason"), BAD, ids=str)
async def test_bad_options_are_a_query_parse_error(
    views: Views, letters: dict[str, Any], options: dict[str, str], reason: str
) -> None:
    with pytest.raises(QueryParseError) as error:
        await query(views, letters, **options)

    assert (error.value.status, error.value.reason) == (400, reason)


async def test_keys_must_be_an_array(views: Views, letters: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="`keys` member must be an array"):
        await query(views, letters, body={"keys": "a"})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"include_docs": True}, "`include_docs` is invalid for reduce"),
        ({"conflicts": True}, "`conflicts` is invalid for reduce views."),
        ({"keys": [1]}, "Multi-key fetches for reduce views must use `group=true`"),
    ],
    ids=str,
)
async def test_options_of_rows_are_refused_for_reductions(views: Views, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(QueryParseError) as error:
        await query(views, ddoc(v=(KEYED, "_count")), **options)

    assert error.value.reason == reason


@pytest.mark.parametrize("design", [ddoc(v=KEYED), {"_id": "_design/none"}])
async def test_an_unknown_view_is_not_found(views: Views, design: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match="missing_named_view"):
        await query(views, design, "other")
