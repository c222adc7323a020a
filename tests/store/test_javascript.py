"""The JavaScript sandbox: what CouchDB gives to functions, and what bad functions cost."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import orjson
import pytest

from store.errors import CompilationError, Forbidden, StoreError, Unauthorized
from store.javascript import JavaScript, MapProgram
from store.realm import JavaScriptError

GOOD = "function (doc) { emit(doc._id, doc.n); }"
BOMBS = {
    "loop": "while (true) {}",
    "memory": "var a = []; for (;;) { a.push(new Array(1000).fill(7)); }",
    "text": "var s = 'x'; for (;;) { s += s; s.charCodeAt(9); }",
    "recursion": "(function f() { return f() + 1; })();",
    "throw": "emit('lost', 1); throw new Error('boom');",
    "throw null": "throw null;",
    "missing member": "doc.a.b.c;",
    "cycle": "var c = {}; c.c = c; emit(c);",
    "deep value": "var v = []; for (var i = 0; i < 20000; i++) { v = [v]; } emit(1, v);",
    "regexp": "/(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab');",
}


@pytest.fixture
def engine() -> Iterator[JavaScript]:
    engine = JavaScript(memory_limit_bytes=16 * 1024 * 1024, time_limit_s=0.2)
    yield engine
    engine.close()


def _doc(**members: object) -> bytes:
    return orjson.dumps({"_id": "d", "_rev": "1-a", "n": 1, **members})


def _rows(engine: JavaScript, source: str, *docs: bytes, lib: bytes = b"{}") -> list[list[tuple[object, object]]]:
    program = MapProgram((("v", source),), lib)
    mapped = engine.map_docs(program, docs).result()
    return [[(orjson.loads(row.key), orjson.loads(row.value)) for row in views[0]] for views in mapped]


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bad_document_costs_only_its_own_rows_of_that_view(
    engine: JavaScript, bomb: str, caplog: pytest.LogCaptureFixture
) -> None:
    program = MapProgram(
        (("bad", "function (doc) { if (doc.bad) { " + BOMBS[bomb] + " } emit(doc._id, doc.n); }"), ("good", GOOD))
    )
    docs = [_doc(_id="first"), _doc(_id="second", bad=True), _doc(_id="third")]

    with caplog.at_level(logging.INFO, "store.javascript"):
        mapped = engine.map_docs(program, docs).result()

    bad = [[orjson.loads(row.key) for row in views[0]] for views in mapped]
    good = [[orjson.loads(row.key) for row in views[1]] for views in mapped]
    assert [keys[-1:] for keys in bad] == [["first"], [], ["third"]]
    assert good == [["first"], ["second"], ["third"]]
    assert "second" in caplog.text


def test_a_function_that_loops_at_every_document_gets_less_time_each_time(engine: JavaScript) -> None:
    """100 documents would cost 20 s of 0.2 s each."""
    started_s = time.process_time()

    rows = _rows(engine, "function (doc) { if (doc._id !== 'last') { while (true) {} } emit(1); }", *[_doc()] * 100)
    rows += _rows(engine, "function (doc) { if (doc._id !== 'last') { while (true) {} } emit(1); }", _doc(_id="last"))

    assert rows == [[]] * 100 + [[(1, None)]]
    assert time.process_time() - started_s < 5


def test_a_closed_engine_does_not_finish_its_batch() -> None:
    engine = JavaScript(time_limit_s=0.2)
    mapped = engine.map_docs(MapProgram((("v", "function (doc) { while (true) {} }"),)), [_doc()] * 10_000)
    while not mapped.running():
        time.sleep(0.001)

    engine.close()

    with pytest.raises(StoreError):
        mapped.result()


def test_a_function_that_hoards_memory_does_not_lose_later_documents(engine: JavaScript) -> None:
    hoarder = """function (doc) {
      hoard = (typeof hoard === 'undefined') ? [] : hoard;
      hoard.push(new Array(60000).fill(1));
      emit(1);
    }"""

    assert all(len(rows) == 1 for rows in _rows(engine, hoarder, *[_doc()] * 60))


@pytest.mark.parametrize(
    "source",
    [
        GOOD,
        "doc => emit(doc._id, doc.n)",
        "function named(doc) { emit(doc._id, doc.n); };",
        "// a comment\nfunction (doc) { emit(doc._id, doc.n); } // and another",
        "(function (doc) { emit(doc._id, doc.n); })",
    ],
)
def test_functions_are_taken_in_every_form_that_couchdb_takes(engine: JavaScript, source: str) -> None:
    assert _rows(engine, source, _doc()) == [[("d", 1)]]


@pytest.mark.parametrize("source", ["function (doc {", "1 + 1", "", "throw 1"])
def test_a_source_that_is_no_function_is_a_compilation_error(engine: JavaScript, source: str) -> None:
    with pytest.raises(CompilationError):
        _rows(engine, source, _doc())


def test_emissions_that_json_cannot_hold_become_null(engine: JavaScript) -> None:
    source = "function (doc) { emit(); emit(undefined, NaN); emit(1 / 0, function () {}); emit([undefined]); }"

    assert _rows(engine, source, _doc()) == [[(None, None), (None, None), (None, None), ([None], None)]]


def test_lone_surrogates_become_replacement_characters(engine: JavaScript) -> None:
    assert _rows(engine, "function () { emit('\\ud800x'); }", _doc()) == [[("\ufffdx", None)]]


def test_the_harness_has_couchdbs_functions(engine: JavaScript) -> None:
    source = "function (doc) { emit([sum([1, 2, 3]), isArray([]), toJSON({a: 1}), JSON.stringify([1])]); log('seen'); }"

    assert _rows(engine, source, _doc()) == [[([6, True, '{"a":1}', "[1]"], None)]]


def test_a_map_cannot_change_the_document_for_the_next_map(engine: JavaScript) -> None:
    program = MapProgram(
        (("a", "function (doc) { doc.n = 2; doc.deep.x = 2; }"), ("b", "function (doc) { emit(doc.n, doc.deep.x); }"))
    )

    [[_, [row]]] = engine.map_docs(program, [_doc(deep={"x": 1})]).result()

    assert (row.key, row.value) == (b"1", b"1")


def test_programs_do_not_see_each_others_globals(engine: JavaScript) -> None:
    _rows(engine, "function (doc) { leaked = doc.secret; }", _doc(secret="s"))

    assert _rows(engine, "function () { emit(typeof leaked); }", _doc()) == [[("undefined", None)]]


def test_maps_require_modules_of_views_lib(engine: JavaScript) -> None:
    lib = orjson.dumps(
        {
            "names": {
                "upper": "exports.upper = function (s) { return require('./mark').mark(s.toUpperCase()); };",
                "mark": "module.exports = {mark: function (s) { return s + '!'; }};",
            },
            "loop": "exports.partial = require('./loop2').partial; exports.done = true;",
            "loop2": "exports.partial = typeof require('./loop').done;",
        }
    )
    source = (
        "function (doc) { emit(require('views/lib/names/upper').upper('ama'), require('views/lib/loop').partial); }"
    )

    assert _rows(engine, source, _doc(), lib=lib) == [[("AMA!", "undefined")]]


def test_a_missing_module_costs_the_row(engine: JavaScript) -> None:
    assert _rows(engine, "function () { emit(require('views/lib/none')); }", _doc()) == [[]]


VALIDATE = """function (newDoc, oldDoc, userCtx, secObj) {
  if (newDoc.forbid) { throw({forbidden: "no " + userCtx.name}); }
  if (newDoc.login) { throw({unauthorized: "who are you"}); }
  if (newDoc.broken) { newDoc.a.b.c(); }
  if (newDoc.loop) { while (true) {} }
  if (newDoc.text) { throw "only text"; }
  if (oldDoc && oldDoc.locked) { throw({forbidden: require("lib/words").locked}); }
  if (this._id !== "_design/rules" || !isArray(secObj.admins.names)) { throw({forbidden: "context is missing"}); }
}"""
DDOC = orjson.dumps({"_id": "_design/rules", "lib": {"words": "exports.locked = 'locked';"}})
SECURITY = {"admins": {"names": [], "roles": []}}


@pytest.mark.parametrize(
    ("members", "error", "reason"),
    [
        ({"forbid": True}, Forbidden, "no mary"),
        ({"login": True}, Unauthorized, "who are you"),
        ({"broken": True}, Forbidden, "TypeError: cannot read property 'b' of undefined"),
        ({"loop": True}, Forbidden, "InternalError: interrupted"),
        ({"text": True}, Forbidden, "only text"),
    ],
)
async def test_validate_doc_update_refuses_with_its_reason(
    engine: JavaScript, members: dict[str, object], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error) as refused:
        await engine.validate(VALIDATE, _doc(**members), None, {"name": "mary", "roles": []}, SECURITY, DDOC)

    assert refused.value.reason == reason  # type: ignore[attr-defined]


async def test_validate_doc_update_sees_the_stored_document_and_its_modules(engine: JavaScript) -> None:
    with pytest.raises(Forbidden, match="locked"):
        await engine.validate(VALIDATE, _doc(), _doc(locked=True), {"name": "mary", "roles": []}, SECURITY, DDOC)


async def test_validation_of_many_documents_gives_one_result_each(engine: JavaScript) -> None:
    docs = [(_doc(), None), (_doc(forbid=True), None), (_doc(), _doc())]

    refusals = await engine.validate_docs(VALIDATE, docs, {"name": "mary", "roles": []}, SECURITY, DDOC)

    assert [type(refusal) for refusal in refusals] == [type(None), Forbidden, type(None)]


async def test_a_filter_answers_for_each_document(engine: JavaScript) -> None:
    source = "function (doc, req) { return doc.type === req.query.type; }"

    passed = await engine.filter_docs(source, [_doc(type="a"), _doc(type="b")], {"query": {"type": "b"}}, b"{}")

    assert passed == [False, True]


async def test_a_filter_that_throws_is_an_error_named_as_in_javascript(engine: JavaScript) -> None:
    with pytest.raises(JavaScriptError) as error:
        await engine.filter_docs("function (doc) { return doc.a.b; }", [_doc()], {}, b"{}")

    assert (error.value.status, error.value.slug) == (500, "TypeError")


async def test_a_map_serves_as_a_filter(engine: JavaScript) -> None:
    source = "function (doc) { if (doc.n > 1) { emit(doc.n); } }"

    assert await engine.filter_by_view(source, [_doc(), _doc(n=2)]) == [False, True]


def test_reduce_gets_keys_values_and_rereduce(engine: JavaScript) -> None:
    source = "function (keys, values, rereduce) { return [keys, sum(values), rereduce]; }"

    first = engine.reduce(source, b"{}", b'[["k","d"]]', b"[1,2]", rereduce=False).result()
    second = engine.reduce(source, b"{}", b"null", b"[3,4]", rereduce=True).result()

    assert (first, second) == (b'[[["k","d"]],3,false]', b"[null,7,true]")


@pytest.mark.parametrize(
    "source", ["function () { while (true) {} }", "function (k, v) { return v.a.b; }", "function () {}"]
)
def test_a_reduce_that_fails_gives_null(engine: JavaScript, source: str) -> None:
    assert engine.reduce(source, b"{}", b"[]", b"[]", rereduce=False).result() == b"null"
