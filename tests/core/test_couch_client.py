"""The client's bulk read, which has to choose and to refuse what CouchDB leaves to it."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import Any

import orjson
import pytest

from core.config import Config
from core.couch.changes import follow, read_backlog
from core.couch.client import LARGE_BODY_BYTES, Database, Doc, winner
from core.couch.errors import from_answer
from core.errors import Conflict, DiskFull, DomainError, Unavailable
from tests.core.cutting_proxy import cutting


async def test_many_documents_in_one_read(db: Database) -> None:
    await db.bulk_docs([{"_id": "a", "n": 1}, {"_id": "b", "n": 2}])
    await db.delete("gone", await db.put({"_id": "gone"}))

    found = await db.get_many(["b", "gone", "missing", "a", "b", "", "_odd", "a"])

    assert {each: doc["n"] for each, doc in found.items()} == {"a": 1, "b": 2}
    assert await db.get_many([]) == {}


async def test_of_conflicting_revisions_the_winner_is_read(db: Database) -> None:
    leaves = [("2-aaa", {}), ("2-ccc", {}), ("2-bbb", {}), ("3-zzz", {"_deleted": True})]
    await db.bulk_docs([{"_id": "torn", "_rev": rev, **more} for rev, more in leaves], new_edits=False)

    assert (await db.get_many(["torn"]))["torn"] == await db.get("torn")


async def test_a_longer_history_wins_by_its_number(db: Database) -> None:
    await db.bulk_docs([{"_id": "torn", "_rev": rev} for rev in ("9-fff", "10-aaa")], new_edits=False)

    assert (await db.get_many(["torn"]))["torn"]["_rev"] == "10-aaa"


async def test_more_than_fit_in_one_request(db: Database) -> None:
    await db.bulk_docs([{"_id": f"n{each}"} for each in range(2_100)])

    assert len(await db.get_many(f"n{each}" for each in range(2_200))) == 2_100


def test_full_disk_is_told_as_that() -> None:
    error = from_answer(507, b'{"error":"insufficient_storage","reason":"the disk is full"}')

    assert (type(error), error.message) == (DiskFull, "the disk is full")


def test_a_couchdb_that_waited_too_long_for_itself_did_not_answer_in_time() -> None:
    error = from_answer(500, b'{"error":"timeout","reason":"The request could not be processed in a reasonable time."}')

    assert isinstance(error, Unavailable)


def test_what_could_not_be_read_is_not_taken_for_missing() -> None:
    leaves: list[dict[str, Any]] = [{"error": {"id": "a", "error": "timeout", "reason": "shard"}}]

    with pytest.raises(DomainError, match="could not read a: shard"):
        winner(leaves)


@pytest.mark.parametrize("size", [10, LARGE_BODY_BYTES], ids=["small", "large"])
@pytest.mark.parametrize("answered", [False, True], ids=["before it is stored", "before it is answered"])
async def test_a_write_that_is_cut_off_is_stored_once(db: Database, config: Config, answered: bool, size: int) -> None:
    first = await db.put({"_id": "doc"})
    async with cutting(config, at=1, answered=answered, stays_away=False) as (behind_proxy, _):
        rev = await behind_proxy.put({"_id": "doc", "_rev": first, "text": "x" * size})

    stored = await db.get("doc")
    assert stored == {"_id": "doc", "_rev": rev, "text": "x" * size}
    assert rev.startswith("2-")


async def test_a_write_that_is_cut_off_loses_against_another_one(db: Database, config: Config) -> None:
    first = await db.put({"_id": "doc"})
    await db.put({"_id": "doc", "_rev": first, "by": "another"})
    async with cutting(config, at=1, answered=True, stays_away=False) as (behind_proxy, _):
        with pytest.raises(Conflict):
            await behind_proxy.put({"_id": "doc", "_rev": first, "by": "us"})


async def test_a_feed_that_failed_goes_on_where_it_was(db: Database) -> None:  # SEN-15
    class Failing(Database):
        """Away at the second question for changes."""

        asked = 0

        async def request(self, method: str, path: str = "", **options: Any) -> Any:
            self.asked += path == "/_changes"
            if path == "/_changes" and self.asked == 2:
                raise Unavailable("CouchDB cannot be reached")
            return await super().request(method, path, **options)

    failing = Failing(db.couch, db.name)
    feed = follow(failing, (await db.info())["update_seq"])
    seen = []
    for doc_id in ("first", "second"):
        await db.put({"_id": doc_id})
        seen += [change.id for change in (await anext(feed)).changes]
    await feed.aclose()  # type: ignore[attr-defined]

    assert (seen, failing.asked) == (["first", "second"], 3)


async def test_a_feed_is_asked_for_more_when_the_last_of_it_was_dealt_with(db: Database) -> None:  # SEN-10
    class Counting(Database):
        asked = 0

        async def request(self, method: str, path: str = "", **options: Any) -> Any:
            self.asked += path == "/_changes"
            return await super().request(method, path, **options)

    counting = Counting(db.couch, db.name)
    since = (await db.info())["update_seq"]
    for number in range(5):
        await db.put({"_id": f"doc-{number}"})
    feed = follow(counting, since, limit=2)
    taken = [({change.id for change in (await anext(feed)).changes}, counting.asked) for _ in range(3)]
    await feed.aclose()  # type: ignore[attr-defined]

    assert [(len(ids), asked) for ids, asked in taken] == [(2, 1), (2, 2), (1, 3)]
    assert set.union(*(ids for ids, _ in taken)) == {f"doc-{number}" for number in range(5)}


class Deep(Database):
    """Of one of whose documents no sense can be made, as of one nested a thousand levels deep."""

    async def request(self, method: str, path: str = "", **options: Any) -> Any:
        answer = await super().request(method, path, **options)
        if "unreadable" in str(answer):
            raise orjson.JSONDecodeError("depth limit exceeded", "", 0)
        return answer


@pytest.mark.parametrize("read", [read_backlog, partial(follow, include_docs=True)], ids=["backlog", "live"])
async def test_a_feed_passes_over_what_cannot_be_read(
    db: Database, read: Any, caplog: pytest.LogCaptureFixture
) -> None:
    since = (await db.info())["update_seq"]
    await db.bulk_docs([{"_id": "a"}, {"_id": "deep", "text": "unreadable"}, {"_id": "z"}])
    async with aclosing(read(Deep(db.couch, db.name), since)) as batches:
        batch = await anext(batches)

    assert {change.id: change.doc is not None for change in batch.changes} == {"a": True, "deep": False, "z": True}
    assert "document deep of" in caplog.text


class Crawling(Database):
    """Whose feed with documents comes to no end."""

    async def changes(self, since: str | int = 0, **params: Any) -> Doc:
        if params.get("include_docs"):
            raise Unavailable("CouchDB did not answer in time")
        return await super().changes(since, **params)


async def test_a_backlog_that_crawls_is_read_to_the_same_end(db: Database) -> None:
    since = (await db.info())["update_seq"]
    docs = [{"_id": f"n{each}", "type": "x", "n": each} for each in range(5)]
    revs = [row["rev"] for row in await db.bulk_docs(docs)]
    await db.bulk_docs([{"_id": "n1", "_rev": "1-0", "n": 9}], new_edits=False)  # a conflict, and it loses
    await db.delete("n2", revs[2])
    await db.put({"_id": "n3", "_rev": revs[3], "_deleted": True, "why": "moved"})

    async def told(feed: Database) -> list[tuple[Any, ...]]:
        batches = [each async for each in read_backlog(feed, since, all_leaves=True, limit=1)]
        assert [batch.pending for batch in batches] == [4, 3, 2, 1, 0]
        changes = sorted((each for batch in batches for each in batch.changes), key=lambda change: change.id)
        return [(each.id, each.rev, each.deleted, each.leaves, each.doc) for each in changes]

    found = await told(Crawling(db.couch, db.name))

    assert found == await told(db)
    assert all(doc["_rev"] == rev for _, rev, _, _, doc in found)
