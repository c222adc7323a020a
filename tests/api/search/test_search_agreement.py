"""Whatever is written in whatever order, the index finds what a plain look at every document finds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from api.search.index import Hit, find_ids, find_page
from api.search.query import exact, match_of, word
from api.search.schema import connect_reader
from api.search.tokens import Kind, content_of
from api.search.writer import SearchWriter

WORDS = st.sampled_from(["Ann", "anna", "\u0905\u0928\u093e", "o'neil", "a-b", '"q"', "x:y", "\u00dcber"])
TEXTS = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
CONTACTS = st.fixed_dictionaries({"type": st.just("person"), "name": TEXTS})
REPORTS = st.fixed_dictionaries(
    {
        "type": st.just("data_record"),
        "form": TEXTS,
        "reported_date": st.integers(1, 3),
        "fields": st.just({"name": "Ann"}),
    }
)
WRITES = st.lists(st.tuples(st.sampled_from("abcd"), CONTACTS | REPORTS | st.none()), max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(WRITES, max_size=4), WORDS, st.sampled_from(Kind), st.integers(1, 3), st.booleans())
def test_the_index_agrees_with_a_look_at_every_document(
    batches: list[list[tuple[str, Any]]], text: str, kind: Kind, limit: int, descending: bool
) -> None:
    docs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        writer = SearchWriter.open(Path(folder) / "search.sqlite", "identity")
        for batch in batches:
            docs.update(batch)
            writer.apply({doc_id: doc and content_of(doc) for doc_id, doc in batch}, "1", 0)
        reader = connect_reader(Path(folder) / "search.sqlite")
        contents = {doc_id: content for doc_id, doc in docs.items() if doc and (content := content_of(doc))}
        of_kind = {doc_id: content for doc_id, content in contents.items() if content.kind is kind}
        folded = text.lower()
        mark = "cr"[kind]

        for prefix in (False, True):
            naive = {
                doc_id
                for doc_id, content in of_kind.items()
                if any(each.startswith(mark + folded) if prefix else each == mark + folded for each in content.tokens)
            }
            assert find_ids(reader, kind, word(kind, text, prefix=prefix), None, 100) == sorted(naive)
        by_value = {doc_id for doc_id, content in of_kind.items() if "12"[kind] + f"name:{folded}" in content.tokens}
        assert find_ids(reader, kind, exact(kind, f"name:{text}"), None, 100) == sorted(by_value)

        expected = sorted(of_kind, key=lambda doc_id: doc_id)
        expected.sort(key=lambda doc_id: of_kind[doc_id].sort, reverse=descending)
        pages: list[str] = []
        after: Hit | None = None
        while page := find_page(reader, kind, match_of("*:*", kind), after, limit, descending=descending):
            assert page.total == len(expected)
            if not page.hits:
                break
            pages += [hit.id for hit in page.hits]
            after = page.hits[-1]
        assert pages == expected
        reader.close()
        writer.close()
