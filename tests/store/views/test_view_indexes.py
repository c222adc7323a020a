"""View indexes keep up with their database, survive what happens to them, and are shared."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.errors import BadRequest, CompilationError
from store.javascript import JavaScriptPool, MapProgram
from store.view_group import view_group
from store.view_index import Stopped, ViewIndex
from store.view_query import ViewParams
from store.views import Views
from tests.store.views.view_documents import KEYED, Documents, damage_index, ddoc, ids, query, until


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


async def test_cleanups_at_the_same_time_do_not_meet(views: Views, documents: Documents) -> None:
    documents.put("a", key=1, value=1)
    for name in ("_count", "_sum", "_stats"):
        await query(views, ddoc(v=(KEYED, name)))

    await asyncio.gather(*(views.cleanup([ddoc(v=KEYED)]) for _ in range(5)))

    assert await ids(views, ddoc(v=KEYED)) == ["a"]


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


async def test_an_update_is_stopped_while_functions_take_their_time(
    documents: Documents, tmp_path: Path, pool: JavaScriptPool
) -> None:
    class Endless:
        asked: ClassVar[list[Future[Any]]] = []

        def map_docs(self, program: MapProgram, docs: Sequence[bytes]) -> Future[Any]:
            self.asked.append(Future())
            return self.asked[-1]

    for number in range(300):
        documents.put(f"d{number}")
    index = ViewIndex(tmp_path, view_group(ddoc(v=KEYED)), documents, pool.index_engine(""), Endless())
    update = asyncio.ensure_future(asyncio.to_thread(index.update))
    await until(lambda: len(Endless.asked) == 2)

    index.stop()

    with pytest.raises(Stopped):
        await update
    assert all(future.cancelled() for future in Endless.asked)


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
