"""Views over a list of documents: indexes that keep up, every query option, reductions."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.collation import sort_key
from store.errors import BadRequest, CompilationError, NotFound, QueryParseError, StoreError
from store.javascript import JavaScriptPool
from store.source import Winner
from store.view_query import ViewParams
from store.views import Views


class Documents:
    """A database as views see it."""

    def __init__(self) -> None:
        self._winners: dict[str, Winner] = {}
        self._seq = 0
        self.gate = threading.Event()
        self.gate.set()
        self.reads_from_start = 0

    def put(self, doc_id: str, *, conflicts: tuple[str, ...] = (), **members: Any) -> None:
        self._seq += 1
        body = orjson.dumps({"_id": doc_id, "_rev": f"{self._seq}-a", **members})
        self._winners.pop(doc_id, None)
        self._winners[doc_id] = Winner(self._seq, doc_id, False, body, conflicts)

    def delete(self, doc_id: str) -> None:
        self._seq += 1
        self._winners.pop(doc_id, None)
        self._winners[doc_id] = Winner(self._seq, doc_id, True, b"")

    def winners_since(self, seq: int, limit: int) -> list[Winner]:
        self.gate.wait(10)
        self.reads_from_start += seq == 0
        return list(itertools.islice((winner for winner in self._winners.values() if winner.seq > seq), limit))

    def update_seq(self) -> int:
        return self._seq

    def docs_by_id(self, ids: Sequence[str]) -> dict[str, bytes | None]:
        found = {id_: self._winners[id_] for id_ in ids if id_ in self._winners}
        return {id_: None if winner.deleted else winner.body for id_, winner in found.items()}


@pytest.fixture(scope="module")
def pool() -> Iterable[JavaScriptPool]:
    pool = JavaScriptPool(2, time_limit_s=0.5)
    yield pool
    pool.close()


@pytest.fixture
def documents() -> Documents:
    return Documents()


@pytest.fixture
async def views(documents: Documents, tmp_path: Path, pool: JavaScriptPool) -> AsyncIterator[Views]:
    views = Views(documents, tmp_path / "views", pool)
    yield views
    documents.gate.set()
    await views.close()


def ddoc(name: str = "d", lib: dict[str, Any] | None = None, **functions: Any) -> dict[str, Any]:
    """A design document whose views are given as `name="map"` or `name=("map", "reduce")`."""
    definitions: dict[str, Any] = {} if lib is None else {"lib": lib}
    for view, source in functions.items():
        definitions[view] = {"map": source} if isinstance(source, str) else {"map": source[0], "reduce": source[1]}
    return {"_id": f"_design/{name}", "language": "javascript", "views": definitions}


KEYED = "function (doc) { emit(doc.key, doc.value); }"


async def query(
    views: Views, design: dict[str, Any], view: str = "v", body: dict[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    """The parsed answer; options that are not text are written as JSON."""
    texts = [
        (name, value if isinstance(value, str) else orjson.dumps(value).decode()) for name, value in options.items()
    ]
    result = await views.query(design, view, ViewParams.parse(texts, body))
    return dict(orjson.loads(b"".join([piece async for piece in result.body()])))


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until something is so; the test's own time limit ends a wait in vain."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def ids(views: Views, design: dict[str, Any], **options: Any) -> list[str]:
    return [row["id"] for row in (await query(views, design, **options))["rows"]]


# --- ranges -----------------------------------------------------------------------------------------------------------


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


async def test_rows_are_ordered_by_key_then_id_then_emission(views: Views, documents: Documents) -> None:
    for doc_id in ("b", "B", "a", "é"):
        documents.put(doc_id)
    design = ddoc(v="function (doc) { emit(1, 'first'); emit(0, null); emit(1, 'second'); }")

    rows = (await query(views, design))["rows"]

    assert [(row["key"], row["id"], row["value"]) for row in rows[:4]] == [
        (0, id_, None) for id_ in ("B", "a", "b", "é")
    ]
    assert [(row["id"], row["value"]) for row in rows[4:6]] == [("B", "first"), ("B", "second")]


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


# --- indexes ----------------------------------------------------------------------------------------------------------


async def test_changes_and_deletions_replace_rows(views: Views, documents: Documents) -> None:
    design = ddoc(v=KEYED)
    for doc_id in "abc":
        documents.put(doc_id, key=doc_id)
    before = await ids(views, design)
    documents.put("a", key="z")
    documents.delete("b")

    after = await query(views, design)

    assert before == ["a", "b", "c"]
    assert [row["id"] for row in after["rows"]] == ["c", "a"]
    assert after["total_rows"] == 2


async def test_update_false_reads_what_is_indexed(views: Views, documents: Documents) -> None:
    design = ddoc(v=KEYED)
    documents.put("a", key=1)
    unbuilt = await query(views, design, update="false")
    built = await ids(views, design)
    documents.put("b", key=2)

    assert unbuilt == {"total_rows": 0, "offset": 0, "rows": []}
    assert built == ["a"]
    assert await ids(views, design, stale="ok") == ["a"]
    assert await ids(views, design) == ["a", "b"]


async def test_update_lazy_answers_at_once_and_builds_afterwards(views: Views, documents: Documents) -> None:
    design = ddoc(v=KEYED)
    documents.put("a", key=1)

    assert await ids(views, design, update="lazy") == []
    await until(lambda: not views.tasks())
    assert await ids(views, design, update="false") == ["a"]


async def test_equal_views_share_one_index_whatever_the_design_document(
    views: Views, documents: Documents, tmp_path: Path
) -> None:  # DDOC-95
    documents.put("a", key=1)
    await query(views, ddoc("one", v=KEYED))
    await query(views, ddoc(":staged:one", renamed=KEYED), "renamed")

    assert len(list((tmp_path / "views").glob("*.view"))) == 1


@pytest.mark.parametrize(
    "other",
    [
        ddoc(v="function (doc) { emit(doc.key); }"),
        ddoc(v=(KEYED, "_count")),
        ddoc(v=KEYED, lib={"m": "exports.x = 1;"}),
        {**ddoc(v=KEYED), "options": {"include_design": True}},
    ],
)
async def test_different_views_have_different_indexes(views: Views, other: dict[str, Any]) -> None:
    assert (await views.info(ddoc(v=KEYED)))["signature"] != (await views.info(other))["signature"]


async def test_an_index_survives_a_restart(documents: Documents, tmp_path: Path, pool: JavaScriptPool) -> None:
    design = ddoc(v=KEYED)
    documents.put("a", key=1)
    first = Views(documents, tmp_path, pool)
    await query(first, design)
    await first.close()
    reads = documents.reads_from_start
    documents.put("b", key=0)

    second = Views(documents, tmp_path, pool)
    found = await ids(second, design)
    await second.close()

    assert found == ["b", "a"]
    assert documents.reads_from_start == reads


def damage_index(folder: Path, content: bytes) -> None:
    [path] = folder.glob("*.view")
    path.write_bytes(content)
    Path(f"{path}.building").write_bytes(b"left by a process that was killed")


@pytest.mark.parametrize("damage", [b"", b"not a database", b"\x00" * 10_000])
async def test_a_damaged_index_is_built_anew(
    documents: Documents, tmp_path: Path, pool: JavaScriptPool, damage: bytes
) -> None:
    design = ddoc(v=KEYED)
    documents.put("a", key=1)
    first = Views(documents, tmp_path, pool)
    await query(first, design)
    await first.close()
    damage_index(tmp_path, damage)

    second = Views(documents, tmp_path, pool)
    found = await ids(second, design)
    await second.close()

    assert found == ["a"]


async def test_an_index_of_another_database_is_built_anew(tmp_path: Path, pool: JavaScriptPool) -> None:
    for count in (5, 2):
        documents = Documents()
        for number in range(count):
            documents.put(f"{count}-{number}", key=number)
        views = Views(documents, tmp_path, pool)
        found = await ids(views, ddoc(v=KEYED))
        await views.close()

        assert found == [f"{count}-{number}" for number in range(count)]


async def test_concurrent_queries_wait_for_one_build_that_is_listed(views: Views, documents: Documents) -> None:
    design = ddoc(v=KEYED)
    documents.put("a", key=1)
    documents.gate.clear()
    queries = [asyncio.create_task(ids(views, design)) for _ in range(5)]
    await until(lambda: bool(views.tasks()))
    [task] = views.tasks()
    documents.gate.set()

    assert await asyncio.gather(*queries) == [["a"]] * 5
    assert documents.reads_from_start == 1
    assert {name: task[name] for name in ("type", "design_document", "total_changes")} == {
        "type": "indexer",
        "design_document": "_design/d",
        "total_changes": 1,
    }
    assert views.tasks() == []


async def test_a_reader_keeps_its_state_while_the_index_moves_on(views: Views, documents: Documents) -> None:
    design = ddoc(v=KEYED)
    for number in range(2000):
        documents.put(f"{number:04}", key=number)
    result = await views.query(design, "v", ViewParams())
    pages = result.pages()
    first = await anext(pages)
    for number in range(2000):
        documents.delete(f"{number:04}")
    await query(views, design)

    rest = [page async for page in pages]

    assert len(orjson.loads(b"[" + b",".join([first, *rest]) + b"]")) == 2000


async def test_conflicts_are_seen_by_maps(views: Views, documents: Documents) -> None:  # DDOC-46
    documents.put("a", conflicts=("1-x", "1-y"))
    documents.put("b")
    design = ddoc(v="function (doc) { if (doc._conflicts) { emit(doc._id, doc._conflicts); } }")

    assert [row["value"] for row in (await query(views, design))["rows"]] == [["1-x", "1-y"]]


async def test_design_documents_are_mapped_only_when_asked(views: Views, documents: Documents) -> None:
    documents.put("_design/x")
    documents.put("a")
    design = ddoc(v="function (doc) { emit(doc._id, doc._local_seq); }")
    options = {"include_design": True, "local_seq": True}

    assert [row["id"] for row in (await query(views, design))["rows"]] == ["a"]
    rows = (await query(views, {**design, "options": options}))["rows"]
    assert [(row["id"], row["value"]) for row in rows] == [("_design/x", 1), ("a", 2)]


async def test_cleanup_removes_indexes_that_no_design_document_has(
    views: Views, documents: Documents, tmp_path: Path
) -> None:
    documents.put("a", key=1)
    kept, dropped = ddoc(v=KEYED), ddoc("old", v=(KEYED, "_count"))
    await query(views, kept)
    await query(views, dropped)

    await views.cleanup([kept, {"_id": "_design/without-views"}])

    assert [path.stem for path in (tmp_path / "views").iterdir() if path.suffix == ".view"] == [
        (await views.info(kept))["signature"]
    ]
    assert await ids(views, kept) == ["a"]


@pytest.mark.parametrize(
    ("functions", "where"),
    [({"v": "function ("}, "map function in the 'v'"), ({"v": (KEYED, "1")}, "reduce function in the 'v'")],
)
async def test_sources_that_do_not_compile_are_told(views: Views, functions: dict[str, Any], where: str) -> None:
    with pytest.raises(CompilationError, match=f"Compilation of the {where} view failed: "):
        await views.check(ddoc(**functions))


async def test_a_map_that_does_not_compile_fails_the_query_and_a_repaired_one_works(
    views: Views, documents: Documents
) -> None:
    documents.put("a", key=1)
    with pytest.raises(CompilationError):
        await query(views, ddoc(v="function ("))

    assert await ids(views, ddoc(v=KEYED)) == ["a"]


async def test_another_language_is_refused(views: Views) -> None:
    with pytest.raises(BadRequest) as error:
        await query(views, {**ddoc(v=KEYED), "language": "erlang"})

    assert error.value.slug == "unknown_query_language"


async def test_maps_that_loop_do_not_stop_queries_of_other_indexes(views: Views, documents: Documents) -> None:
    documents.put("a", key=1)
    looping = ddoc("loop", v="function (doc) { while (true) {} }")

    assert await asyncio.gather(ids(views, looping), ids(views, ddoc(v=KEYED))) == [[], ["a"]]


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"), st.integers(0, 12), st.lists(st.integers(0, 5) | st.text("ab", max_size=2), max_size=3)
        ),
        st.tuples(st.just("delete"), st.integers(0, 12), st.none()),
        st.tuples(st.just("query"), st.none(), st.none()),
    ),
    max_size=40,
)
SPREAD = "function (doc) { doc.keys.forEach(function (key, n) { emit([key, n], n); }); }"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_an_index_kept_up_equals_one_built_at_the_end(
    pool: JavaScriptPool, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any, Any]]
) -> None:
    design = ddoc(v=(SPREAD, "_sum"), j=(SPREAD, "function (k, v) { return sum(v); }"))

    async def answers(views: Views) -> list[Any]:
        return [
            await query(views, design, reduce=False),
            await query(views, design, reduce=False, startkey="[2]", endkey="[4]"),
            await query(views, design),
            await query(views, design, group_level=1),
            await query(views, design, "j", group=True),
        ]

    async def run() -> tuple[list[Any], list[Any]]:
        documents = Documents()
        kept = Views(documents, tmp_path_factory.mktemp("kept"), pool)
        for step, number, keys in steps:
            if step == "put":
                documents.put(f"d{number}", keys=keys)
            elif step == "delete":
                documents.delete(f"d{number}")
            else:
                await query(kept, design)
        fresh = Views(documents, tmp_path_factory.mktemp("fresh"), pool)
        both = await answers(kept), await answers(fresh)
        await kept.close()
        await fresh.close()
        return both

    kept_answers, fresh_answers = asyncio.run(run())

    assert kept_answers == fresh_answers


# --- reductions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def visits(documents: Documents) -> None:
    """2,000 documents with keys [clinic of 4, month of 5, day] and numbers 0 to 1999; enough to make several blocks."""
    for number in range(2000):
        documents.put(f"v{number:04}", key=[f"c{number % 4}", number % 5, number // 20], value=number)


SUM_IN_JAVASCRIPT = "function (keys, values, rereduce) { return sum(values); }"


@pytest.mark.usefixtures("visits")
@pytest.mark.parametrize("reduce", ["_sum", "_count", "_stats", SUM_IN_JAVASCRIPT], ids=["sum", "count", "stats", "js"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"group_level": 1},
        {"group_level": 2, "descending": True},
        {"group": True, "limit": 7, "skip": 3},
        {"startkey": ["c1"], "endkey": ["c2", 3]},
        {"startkey": ["c1", 2], "endkey": ["c1", 2, {}]},
        {"startkey": ["c1"], "endkey": ["c3", {}], "group_level": 1},
        {"startkey": ["c3", {}], "endkey": ["c1", 4], "group_level": 2, "descending": True, "skip": 1, "limit": 4},
        {"startkey": ["c1", 0, 5], "endkey": ["c1", 0, 60], "inclusive_end": False},
        {"key": ["c1", 1, 0]},
        {"startkey": ["x"]},
    ],
    ids=str,
)
async def test_reductions_equal_those_of_the_rows(
    views: Views, documents: Documents, reduce: str, options: dict[str, Any]
) -> None:
    design = ddoc(v=(KEYED, reduce))
    await query(views, design)
    for number in range(0, 2000, 7):  # some blocks change after they were reduced
        documents.put(f"v{number:04}", key=[f"c{number % 3}", number % 5, number // 20], value=number)
    ranged = {name: value for name, value in options.items() if name not in ("group", "group_level", "skip", "limit")}
    rows = (await query(views, design, reduce=False, **ranged))["rows"]
    level = 9 if options.get("group") else options.get("group_level", 0)
    groups: dict[bytes, list[int]] = {}
    for row in rows:
        groups.setdefault(orjson.dumps(row["key"][:level] if level else None), []).append(row["value"])
    expected = [{"key": orjson.loads(key), "value": _reduced(reduce, values)} for key, values in groups.items()]
    start = options.get("skip", 0)

    answer = await query(views, design, **options)

    assert answer == {"rows": expected[start : start + options.get("limit", len(expected))]}


def _reduced(reduce: str, values: list[int]) -> Any:
    if reduce == "_count":
        return len(values)
    if reduce == "_stats":
        squares = sum(value * value for value in values)
        return {"sum": sum(values), "count": len(values), "min": min(values), "max": max(values), "sumsqr": squares}
    return sum(values)


async def test_keys_with_group_reduce_each_key(views: Views, documents: Documents) -> None:  # DDOC-107
    for number in range(6):
        documents.put(f"d{number}", key=[number % 3], value=number)

    answer = await query(views, ddoc(v=(KEYED, "_stats")), body={"keys": [[2], [0], [9]]}, group=True)

    assert [(row["key"], row["value"]["max"]) for row in answer["rows"]] == [([2], 5), ([0], 3)]


async def test_large_groups_are_reduced_by_key(views: Views, documents: Documents) -> None:  # DDOC-116
    for number in range(1500):
        documents.put(f"d{number:04}", key="report" if number % 3 else "message")
    design = ddoc(v=(KEYED, "_count"), j=(KEYED, "function (k, v, r) { return r ? sum(v) : v.length; }"))

    for view in ("v", "j"):
        assert (await query(views, design, view, group=True, descending=True))["rows"] == [
            {"key": "report", "value": 1000},
            {"key": "message", "value": 500},
        ]


async def test_short_and_other_keys_are_their_own_groups(views: Views, documents: Documents) -> None:
    for number, key in enumerate((None, 5, "a", [], ["a"], ["a", 1], ["a", 1, 2], ["a", 2], {"x": 1})):
        documents.put(f"d{number}", key=key)

    answer = await query(views, ddoc(v=(KEYED, "_count")), group_level=2)

    assert [(row["key"], row["value"]) for row in answer["rows"]] == [
        (None, 1),
        (5, 1),
        ("a", 1),
        ([], 1),
        (["a"], 1),
        (["a", 1], 2),
        (["a", 2], 1),
        ({"x": 1}, 1),
    ]


@pytest.mark.parametrize("reduce", ["_sum", "_count", "_stats", SUM_IN_JAVASCRIPT])
async def test_no_rows_reduce_to_no_row(views: Views, reduce: str) -> None:
    assert await query(views, ddoc(v=(KEYED, reduce))) == {"rows": []}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5], 3.5),
        ([[1, 2], [3]], [4, 2]),
        ([1, [2, 3]], [3, 3]),
        ([{"a": 1, "b": {"c": 2}}, {"a": 2, "b": {"c": [1]}}], {"a": 3, "b": {"c": [3]}}),
    ],
)
async def test_sum_adds_numbers_arrays_and_objects(
    views: Views, documents: Documents, values: list[Any], expected: Any
) -> None:
    for number, value in enumerate(values):
        documents.put(f"d{number}", key=number, value=value)

    [row] = (await query(views, ddoc(v=(KEYED, "_sum"))))["rows"]

    assert row["value"] == expected


async def test_sum_of_text_is_an_error_in_the_row(views: Views, documents: Documents) -> None:
    documents.put("a", key=1, value="text")

    [row] = (await query(views, ddoc(v=(KEYED, "_sum"))))["rows"]

    assert row["value"]["error"] == "builtin_reduce_error"


async def test_stats_takes_arrays_and_earlier_statistics(views: Views, documents: Documents) -> None:
    earlier = {"sum": 5, "count": 2, "min": 2, "max": 3, "sumsqr": 13}
    documents.put("a", key=1, value=4)
    documents.put("b", key=1, value=earlier)
    documents.put("c", key=2, value=[1, 2])
    documents.put("d", key=2, value=[3, 4])

    rows = (await query(views, ddoc(v=(KEYED, "_stats")), group=True))["rows"]

    assert rows[0]["value"] == {"sum": 9, "count": 3, "min": 2, "max": 4, "sumsqr": 29}
    assert [part["sum"] for part in rows[1]["value"]] == [4, 6]


async def test_stats_of_text_is_an_error(views: Views, documents: Documents) -> None:
    documents.put("a", key=1, value="text")
    design = ddoc(v=(KEYED, "_stats"))

    with pytest.raises(StoreError) as error:
        await query(views, design)

    assert error.value.slug == "invalid_value"
    assert await ids(views, design, reduce=False) == ["a"]


async def test_distinct_keys_are_counted(views: Views, documents: Documents) -> None:
    for number in range(100):
        documents.put(f"d{number}", key=number % 7)

    assert (await query(views, ddoc(v=(KEYED, "_approx_count_distinct"))))["rows"] == [{"key": None, "value": 7}]


async def test_an_unknown_built_in_is_an_error(views: Views, documents: Documents) -> None:
    documents.put("a", key=1)

    with pytest.raises(StoreError) as error:
        await query(views, ddoc(v=(KEYED, "_median")))

    assert error.value.slug == "invalid_builtin_reduce"


async def test_a_javascript_reduce_of_many_rows_gets_a_few_hundred_at_once(views: Views, documents: Documents) -> None:
    for number in range(1000):
        documents.put(f"d{number:04}", key=number, value=1)
    largest = "function (keys, values, rereduce) { return rereduce ? Math.max.apply(null, values) : values.length; }"

    [row] = (await query(views, ddoc(v=(KEYED, largest))))["rows"]

    assert 0 < row["value"] <= 300


async def test_the_latest_of_each_group_by_a_javascript_reduce(views: Views, documents: Documents) -> None:  # DDOC-28
    for number in range(600):
        documents.put(f"d{number:03}", key=[f"contact{number % 2}", number], value={"date": number})
    latest = """function (keys, values) {
      return values.reduce(function (best, value) { return value.date > best.date ? value : best; }, {date: 0});
    }"""

    rows = (await query(views, ddoc(v=(KEYED, latest)), group_level=1))["rows"]

    assert rows == [
        {"key": ["contact0"], "value": {"date": 598}},
        {"key": ["contact1"], "value": {"date": 599}},
    ]


async def test_mixed_keys_come_in_collation_order(views: Views, documents: Documents) -> None:  # DDOC-117
    keys = [["p1", 5], 7, "text", None, {"a": 1}, ["p1", 20], 100, True]
    for number, key in enumerate(keys):
        documents.put(f"d{number}", key=key)

    answer = await query(views, ddoc(v=KEYED))

    assert [row["key"] for row in answer["rows"]] == sorted(keys, key=sort_key)
