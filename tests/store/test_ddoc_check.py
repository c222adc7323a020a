"""Design documents that CouchDB refuses to store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from store.ddoc_check import InvalidDesignDoc, check_design_doc
from store.errors import CompilationError
from store.javascript import JavaScript

MAP = "function (doc) { emit(doc._id); }"


@pytest.fixture(scope="module")
def engine() -> Iterator[JavaScript]:
    engine = JavaScript()
    yield engine
    engine.close()


@pytest.mark.parametrize(
    "ddoc",
    [
        {},
        {"views": {"lib": {"m": "exports.x = ("}, "v": {"map": MAP, "reduce": "_sum"}}},
        {"views": {"v": {"map": "doc => emit(1)", "reduce": "(k, v) => sum(v)"}}, "validate_doc_update": MAP},
        {"views": {"v": {"map": MAP, "reduce": "_sum\n \r\nandothergarbage"}}},
        {"language": "query", "views": {"v": {"map": {"fields": {}}}}},
    ],
)
async def test_good_design_documents_pass(engine: JavaScript, ddoc: dict[str, Any]) -> None:
    assert await check_design_doc(ddoc, engine) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("view", "kind"),
    [({"map": "function ("}, "map"), ({"map": "7"}, "map"), ({"map": MAP, "reduce": "1"}, "reduce")],
)
async def test_functions_that_do_not_compile_are_named(engine: JavaScript, view: dict[str, str], kind: str) -> None:
    with pytest.raises(CompilationError, match=f"Compilation of the {kind} function in the 'v' view failed: ") as error:
        await check_design_doc({"views": {"v": view}}, engine)

    assert (error.value.status, error.value.slug) == (400, "compilation_error")


@pytest.mark.parametrize(
    ("ddoc", "reason"),
    [
        ({"views": []}, "`views` field must have object type"),
        ({"filters": "f"}, "`filters` field must have object type"),
        ({"language": 1}, "`language` field must have string type"),
        ({"validate_doc_update": {}}, "`validate_doc_update` field must have string type"),
        ({"views": {"v": "function"}}, "`views.v` field must have object type"),
        ({"views": {"v": {}}}, "View `v` must contain map function"),
        ({"views": {"v": {"map": {}}}}, "`views.v.map` field must have string type"),
        ({"language": "query", "views": {"v": {"map": "m"}}}, "`views.v.map` field must have object type"),
        ({"views": {"v": {"map": MAP, "reduce": True}}}, "`views.v.reduce` field must have string type"),
        ({"filters": {"f": 1}}, "`filters.f` field must have object or string type"),
        ({"options": {"partitioned": True}}, "partitioned option cannot be true in a non-partitioned database."),
        ({"rewrites": {}}, "`rewrites` field must have string or array type"),
        ({"options": {"local_seq": 1}}, "`options.local_seq` field must have boolean type"),
        ({"views": {"v": {"map": MAP, "reduce": "_median"}}}, "`_median` is not a supported reduce function."),
    ],
)
async def test_members_of_a_wrong_kind_are_named(engine: JavaScript, ddoc: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidDesignDoc) as error:
        await check_design_doc(ddoc, engine)

    assert error.value.reason == reason
