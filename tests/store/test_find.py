"""Mango over HTTP: `_index`, `_find`, `_explain`, and the `_selector` filter of `_changes`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.store.store_client import Answer, Client

FULL_SCAN = "No matching index found, create an index to optimize query time."


@pytest.fixture
async def people(store: Client, db: str) -> str:
    """Forty people in seven areas, a person without an area, and indexes by area and by area and name."""
    docs: list[dict[str, Any]] = [
        {"_id": f"p{n:02}", "area": n % 7, "name": f"n{n % 5}", "at": {"x": n / 2}} for n in range(40)
    ]
    await store.post(f"{db}/_bulk_docs", {"docs": [*docs, {"_id": "q", "name": "n1"}]})
    await make_index(store, db, fields=["area"], name="by_area", ddoc="area")
    await make_index(store, db, fields=["area", "name"], name="by_area_and_name", ddoc="areas")
    return db


async def make_index(store: Client, db: str, *, name: str, ddoc: str, **definition: Any) -> Answer:
    answer = await store.post(f"{db}/_index", {"index": definition, "name": name, "ddoc": ddoc})
    assert answer.status == 200, answer.body
    return answer


async def find(store: Client, db: str, selector: Any, **options: Any) -> dict[str, Any]:
    answer = await store.post(f"{db}/_find", {"selector": selector, **options})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.body
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [doc["_id"] for doc in found["docs"]]


# --- indexes ----------------------------------------------------------------------------------------------------------


async def test_index_is_a_design_document_of_language_query(store: Client, db: str) -> None:
    made = await make_index(store, db, fields=["a", {"b": "asc"}], name="ab", ddoc="d")
    again = await make_index(store, db, fields=["a", {"b": "asc"}], name="ab", ddoc="d")

    assert made.body == {"result": "created", "id": "_design/d", "name": "ab"}
    assert again.body["result"] == "exists"
    ddoc = (await store.get(f"{db}/_design/d")).body
    assert ddoc["language"] == "query"
    assert ddoc["views"]["ab"] == {
        "map": {"fields": {"a": "asc", "b": "asc"}, "partial_filter_selector": {}},
        "reduce": "_count",
        "options": {"def": {"fields": ["a", {"b": "asc"}]}},
    }


async def test_indexes_are_listed_with_all_docs_first(store: Client, people: str) -> None:
    listed = (await store.get(f"{people}/_index")).body

    assert listed["total_rows"] == 3
    assert listed["indexes"][0] == {
        "ddoc": None,
        "name": "_all_docs",
        "type": "special",
        "def": {"fields": [{"_id": "asc"}]},
    }
    assert listed["indexes"][2]["def"] == {"fields": [{"area": "asc"}, {"name": "asc"}]}


async def test_deleting_the_last_index_deletes_its_design_document(store: Client, people: str) -> None:
    deleted = await store.delete(f"{people}/_index/areas/json/by_area_and_name")
    again = await store.delete(f"{people}/_index/_design/areas/json/by_area_and_name")

    assert deleted.body == {"ok": True}
    assert again.status == 404
    assert (await store.get(f"{people}/_design/areas")).status == 404


async def test_indexes_are_deleted_in_bulk(store: Client, people: str) -> None:
    answer = await store.post(f"{people}/_index/_bulk_delete", {"docids": ["_design/areas", "nope"]})

    assert answer.body["success"] == [{"id": "_design/areas", "ok": True}]
    assert answer.body["fail"] == [{"id": "_design/nope", "error": "not_found"}]


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        ({"index": {"fields": ["a"]}, "type": "text"}, 501, "not_implemented"),
        ({"index": {"fields": ["a"]}, "type": "other"}, 400, "invalid_index"),
        ({"index": {}}, 400, "missing_required_key"),
        ({"index": []}, 400, "invalid_index"),
        ({"index": {"fields": ["a"], "x": 1}}, 400, "invalid_key"),
        ({"index": {"fields": ["a", {"b": "desc"}]}}, 400, "unsupported_mixed_sort"),
        ({"index": {"fields": [1]}}, 400, "invalid_sort_field"),
        ({"index": {"fields": ["a"]}, "name": ""}, 400, "invalid_empty_string"),
        ({"index": {"fields": ["a"], "partial_filter_selector": {"$bad": 1}}}, 400, "invalid_operator"),
        ({}, 400, "missing_required_key"),
    ],
    ids=str,
)
async def test_bad_index_is_refused(store: Client, db: str, body: Any, status: int, slug: str) -> None:
    answer = await store.post(f"{db}/_index", body)

    assert (answer.status, answer.body["error"]) == (status, slug)


async def test_only_admins_of_the_database_make_indexes(store: Client, people: str) -> None:
    user = await store.make_user("asha", "pw")
    answer = await store.post(f"{people}/_index", {"index": {"fields": ["a"]}}, user=user)
    found = await store.post(f"{people}/_find", {"selector": {"area": 3}}, user=user)

    assert answer.status == 403
    assert len(found.body["docs"]) == 6


async def test_javascript_design_document_takes_no_index(store: Client, db: str) -> None:
    await store.put(f"{db}/_design/js", {"views": {"v": {"map": "function (doc) { emit(1); }"}}})
    answer = await store.post(f"{db}/_index", {"index": {"fields": ["a"]}, "ddoc": "js"})

    assert (answer.status, answer.body["error"]) == (400, "invalid_ddoc_lang")


# --- finding ----------------------------------------------------------------------------------------------------------


async def test_find_by_index(store: Client, people: str) -> None:
    found = await find(store, people, {"area": 3, "name": {"$gt": "n1"}})

    assert ids(found) == ["p17", "p03", "p38", "p24"]
    assert "warning" not in found


async def test_find_without_index_scans_and_warns(store: Client, people: str) -> None:
    found = await find(store, people, {"name": "n1"}, limit=3)

    assert ids(found) == ["p01", "p06", "p11"]
    assert found["warning"] == FULL_SCAN


async def test_index_follows_every_write(store: Client, people: str) -> None:
    assert ids(await find(store, people, {"area": 99})) == []
    rev = (await store.put(f"{people}/new", {"area": 99, "name": "x"})).body["rev"]
    assert ids(await find(store, people, {"area": 99})) == ["new"]
    await store.delete(f"{people}/new", rev=rev)

    assert ids(await find(store, people, {"area": 99})) == []


async def test_documents_without_an_indexed_field_are_found_by_scan(store: Client, people: str) -> None:
    found = await find(store, people, {"area": {"$exists": False}})

    assert ids(found) == ["q"]
    assert found["warning"].startswith(f"{FULL_SCAN}\nThe number of documents examined is high")


async def test_sort_limit_and_skip(store: Client, people: str) -> None:
    selector = {"area": {"$gte": 5}}
    ascending = await find(store, people, selector, sort=["area", "name"], fields=["_id"])
    descending = await find(store, people, selector, sort=[{"area": "desc"}, {"name": "desc"}], fields=["_id"])

    assert len(ascending["docs"]) == 10
    assert descending["docs"] == ascending["docs"][::-1]
    part = await find(store, people, selector, sort=["area", "name"], fields=["_id"], skip=2, limit=3)
    assert part["docs"] == ascending["docs"][2:5]


async def test_sort_without_index_is_refused(store: Client, people: str) -> None:
    answer = await store.post(f"{people}/_find", {"selector": {"name": "n1"}, "sort": ["name"]})

    assert (answer.status, answer.body["error"]) == (400, "no_usable_index")


@pytest.mark.parametrize("options", [{"sort": ["area"]}, {"sort": [{"area": "desc"}]}, {"sort": ["_id"]}], ids=str)
async def test_bookmark_leads_through_all_pages(store: Client, people: str, options: dict[str, Any]) -> None:
    selector = {"area": {"$gt": 0}, "_id": {"$gt": None}}
    whole = ids(await find(store, people, selector, limit=100, **options))
    paged: list[str] = []
    bookmark = None
    while page := await find(store, people, selector, limit=4, **options, bookmark=bookmark):
        if not page["docs"]:
            break
        paged += ids(page)
        bookmark = page["bookmark"]

    assert len(whole) == 34
    assert paged == whole


async def test_fields_reach_into_objects(store: Client, people: str) -> None:
    found = await find(store, people, {"_id": "p03"}, fields=["_id", "at.x", "nothing"])

    assert found["docs"] == [{"_id": "p03", "at": {"x": 1.5}}]


async def test_covering_index_reads_no_document(store: Client, people: str) -> None:
    selector = {"area": 3, "name": {"$gt": None}}
    found = await find(store, people, selector, fields=["_id", "name"], execution_stats=True)

    assert found["docs"][0] == {"_id": "p10", "name": "n0"}
    assert found["execution_stats"]["total_docs_examined"] == 0
    assert found["execution_stats"]["results_returned"] == 6


async def test_partial_index_is_used_when_named(store: Client, people: str) -> None:
    await make_index(
        store, people, fields=["name"], partial_filter_selector={"area": {"$gt": 4}}, name="few", ddoc="part"
    )
    named = await find(store, people, {"name": "n1"}, use_index=["part", "few"])
    unnamed = await find(store, people, {"name": "n1"})

    assert ids(named) == ["p06", "p26"]
    assert unnamed["warning"] == FULL_SCAN


async def test_index_that_does_not_fit_is_replaced_with_a_warning(store: Client, people: str) -> None:
    found = await find(store, people, {"name": "n1"}, use_index="areas")
    refused = await store.post(
        f"{people}/_find", {"selector": {"name": "n1"}, "use_index": "areas", "allow_fallback": False}
    )

    assert found["warning"].startswith("_design/areas was not used because it does not contain a valid index")
    assert (refused.status, refused.body["error"]) == (400, "invalid_index")


async def test_conflicts_are_shown_when_asked_for(store: Client, people: str) -> None:
    docs = [{"_id": "p03", "_rev": f"2-{mark * 32}", "area": 3, "name": "n9"} for mark in "ab"]
    await store.post(f"{people}/_bulk_docs", {"docs": docs, "new_edits": False})
    found = await find(store, people, {"area": 3, "name": "n9"}, conflicts=True)

    assert found["docs"][0]["_conflicts"][0] == f"2-{'a' * 32}"


async def test_impossible_range_answers_nothing_at_once(store: Client, people: str) -> None:
    found = await find(store, people, {"area": {"$gt": 5, "$lt": 3}}, execution_stats=True)

    assert found == {"docs": []}


async def test_update_false_answers_from_the_index_as_it_is(store: Client, people: str) -> None:
    await find(store, people, {"area": 3})
    await store.put(f"{people}/late", {"area": 3, "name": "z"})
    stale = await find(store, people, {"area": 3}, update=False)

    assert "late" not in ids(stale)
    assert "late" in ids(await find(store, people, {"area": 3}))


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        ({}, "missing_required_key"),
        ({"selector": []}, "invalid_selector_json"),
        ({"selector": {"a": {"$bad": 1}}}, "invalid_operator"),
        ({"selector": {}, "limit": -1}, "invalid_non_neg_integer"),
        ({"selector": {}, "skip": "a"}, "invalid_non_neg_integer"),
        ({"selector": {}, "r": 0}, "invalid_pos_integer"),
        ({"selector": {}, "sort": "a"}, "invalid_sort_json"),
        ({"selector": {}, "fields": "a"}, "invalid_fields"),
        ({"selector": {}, "fields": [1]}, "invalid_field"),
        ({"selector": {}, "use_index": "a/b/c/d"}, "invalid_index_name"),
        ({"selector": {}, "bookmark": "!!"}, "invalid_bookmark"),
        ({"selector": {}, "conflicts": 3}, "invalid_boolean"),
        ({"selector": {}, "other": 3}, "invalid_key"),
        ({"selector": {"name": {"$regex": "^(n+)+[0-9]+x$"}}, "bookmark": 1}, "invalid_bookmark"),
    ],
    ids=str,
)
async def test_bad_query_is_refused(store: Client, db: str, body: Any, slug: str) -> None:
    answer = await store.post(f"{db}/_find", body)

    assert (answer.status, answer.body["error"]) == (400, slug)


# --- explaining -------------------------------------------------------------------------------------------------------


async def test_explain_tells_index_range_and_candidates(store: Client, people: str) -> None:
    answer = await store.post(f"{people}/_explain", {"selector": {"area": 3, "name": {"$gt": "n1"}}})

    assert answer.body["index"]["name"] == "by_area_and_name"
    assert answer.body["mrargs"]["start_key"] == [3, "n1"]
    assert answer.body["mrargs"]["end_key"] == [3, "<MAX>"]
    reasons = {each["index"]["name"]: each["analysis"]["reasons"] for each in answer.body["index_candidates"]}
    assert reasons == {"by_area": [{"name": "less_overlap"}], "_all_docs": [{"name": "unfavored_type"}]}
    assert answer.body["selector"] == {"$and": [{"area": {"$eq": 3}}, {"name": {"$gt": "n1"}}]}


async def test_explain_of_a_sort_without_index_has_none(store: Client, people: str) -> None:
    answer = await store.post(f"{people}/_explain", {"selector": {"name": "n1"}, "sort": ["name"]})

    assert answer.body["index"] is None
    assert {each["analysis"]["usable"] for each in answer.body["index_candidates"]} == {False}


async def test_changes_by_a_selector_show_the_fields_asked_for(store: Client, people: str) -> None:
    asked = {"selector": {"area": 3}, "fields": ["name", "_id"]}

    answer = await store.post(f"{people}/_changes", asked, filter="_selector", include_docs=True, limit=1)

    assert answer.body["results"][0]["doc"] == {"name": "n3", "_id": "p03"}


@pytest.mark.parametrize("fields", ["name", [1], ["a..b"], None], ids=str)
async def test_changes_by_a_selector_refuse_wrong_fields(store: Client, people: str, fields: Any) -> None:
    answer = await store.post(f"{people}/_changes", {"selector": {}, "fields": fields}, filter="_selector")

    assert (answer.status, answer.body["error"]) == (400, "bad_request")


async def test_changes_can_be_filtered_by_a_selector(store: Client, people: str) -> None:
    answer = await store.post(f"{people}/_changes", {"selector": {"area": 3}}, filter="_selector")

    assert [row["id"] for row in answer.body["results"]] == ["p03", "p10", "p17", "p24", "p31", "p38"]
