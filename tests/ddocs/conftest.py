"""Run the functions of the design documents in QuickJS, as CouchDB and the embedded store do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
import quickjs

from core.couch.ddocs import load_bundle

# Only JSON text leaves the engine. A function is compiled once and sees nothing of ours but `emit`, as in CouchDB.
HARNESS = """
var rows = [];
var compiled = {};
function emit(key, value) { rows.push([key, value]); }
function compile(source) { return compiled[source] || (compiled[source] = (0, eval)('(' + source + ')')); }
function runMap(source, docs) {
  var map = compile(source);
  return JSON.stringify(JSON.parse(docs).map(function (doc) {
    rows = [];
    try { map(doc); } catch (error) { return { error: String(error) }; }
    return rows;
  }));
}
function runReduce(source, keys, values, rereduce) {
  return JSON.stringify(compile(source)(JSON.parse(keys), JSON.parse(values), rereduce));
}
function runValidate(source, args) {
  try { compile(source).apply(null, JSON.parse(args)); } catch (error) {
    return JSON.stringify(error.forbidden ? error : { error: String(error) });
  }
  return JSON.stringify({});
}
"""


class Engine:
    """One QuickJS context, used from the thread that made it."""

    def __init__(self) -> None:
        self.context = quickjs.Context()
        self.context.eval(HARNESS)

    def map_all(self, source: str, docs: list[Any]) -> list[Any]:
        """For each document its rows `[key, value]`, or `{error}` when the function threw."""
        return orjson.loads(self.context.get("runMap")(source, orjson.dumps(docs).decode()))

    def reduce(self, source: str, keys: Any, values: list[Any], rereduce: bool) -> Any:
        run = self.context.get("runReduce")
        return orjson.loads(run(source, orjson.dumps(keys).decode(), orjson.dumps(values).decode(), rereduce))

    def validate(self, source: str, args: list[Any]) -> str | None:
        """The reason of the refusal, None when the write is allowed. Fails when the function breaks."""
        answer = orjson.loads(self.context.get("runValidate")(source, orjson.dumps(args).decode()))
        assert "error" not in answer, answer["error"]
        return answer.get("forbidden")


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="session")
def ddocs() -> dict[str, Any]:
    """Every design document by name, with the views of older clients under `legacy medic-client`."""
    found = {ddoc["_id"].removeprefix("_design/"): ddoc for role in load_bundle().values() for ddoc in role}
    for ddoc in load_bundle(legacy=True)["medic"]:
        if ddoc["_id"] == "_design/medic-client":
            found["legacy medic-client"] = ddoc
    return found


@pytest.fixture
def rows(engine: Engine, ddocs: dict[str, Any]) -> Callable[..., list[Any]]:
    """`rows("medic/contacts_by_depth", doc, ...)`: the rows `[key, value]` the documents emit, in order."""

    def run(view: str, *docs: dict[str, Any]) -> list[Any]:
        ddoc, name = view.split("/")
        with_ids = [{"_id": "d1", "_rev": "1-a", **doc} for doc in docs]
        answers = engine.map_all(ddocs[ddoc]["views"][name]["map"], with_ids)
        assert all(isinstance(answer, list) for answer in answers), answers
        return [row for answer in answers for row in answer]

    return run


@pytest.fixture
def keys(rows: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """As `rows`, but the keys alone."""
    return lambda view, *docs: [key for key, _value in rows(view, *docs)]
