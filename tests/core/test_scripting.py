"""JavaScript of the settings runs in a sandbox with limits (40 §14)."""

from __future__ import annotations

import asyncio

import pytest

from core.scripting import ScriptError, call, evaluate, evaluate_all, truthy


async def test_expression_sees_its_names_as_json_copies() -> None:  # JSX-2
    assert await evaluate(
        "doc.fields.age > 4 && doc.tags.length === 2", {"doc": {"fields": {"age": 5}, "tags": [1, 2]}}
    )


@pytest.mark.parametrize(
    "source",
    ["doc.nothing.more", "while (true) {}", "syntax error(", "", "(function f() { return f(); })()"],
    ids=["throws", "statement", "syntax", "empty", "recursion"],
)
async def test_what_cannot_be_evaluated_raises(source: str) -> None:
    with pytest.raises(ScriptError):
        await evaluate(source, {"doc": {}})


async def test_endless_loop_ends_at_the_time_limit() -> None:  # JSX-2
    with pytest.raises(ScriptError, match="interrupted"):
        await evaluate("(function () { while (true) {} })()", {}, time_limit_s=0.05)


async def test_memory_is_limited() -> None:  # JSX-2, REPL-61
    with pytest.raises(ScriptError):
        await evaluate("(() => { const a = []; for (;;) a.push('x'.repeat(1e6) + a.length); })()", {})


async def test_each_expression_has_a_fresh_context() -> None:  # JSX-2
    assert await evaluate_all(["globalThis.left = 1", "typeof left"], {}) == [1, "undefined"]


async def test_one_failure_leaves_the_other_results() -> None:
    first, second = await evaluate_all(["doc.x.y", "doc.n"], {"doc": {"n": 3}})

    assert isinstance(first, ScriptError)
    assert second == 3


@pytest.mark.parametrize("source", ["doc.n > 2;", "doc.n > 2 ;\n", "doc.n > 2 // more than two"])
async def test_expression_may_end_as_people_end_it(source: str) -> None:  # JSX-1
    assert await evaluate(source, {"doc": {"n": 3}}) is True


@pytest.mark.parametrize("source", ["function (a, b) { return a + b; }", "(a, b) => a + b;"])
async def test_function_text_is_called(source: str) -> None:  # JSX-3
    assert await call(source, [1, 2]) == 3


@pytest.mark.parametrize("name", ["require", "fetch", "process", "std", "os", "WebAssembly"])
async def test_nothing_of_the_host_is_in_reach(name: str) -> None:  # JSX-2
    assert await evaluate(f"typeof {name}", {}) == "undefined"


async def test_many_run_at_once() -> None:
    results = await asyncio.gather(*(evaluate("doc.n * 2", {"doc": {"n": n}}) for n in range(40)))

    assert results == [n * 2 for n in range(40)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [([], True), ({}, True), ("", False), (0, False), ("0", True), (None, False), (False, False), (float("nan"), True)],
)
def test_truth_is_javascripts(value: object, expected: bool) -> None:
    assert truthy(value) is expected
