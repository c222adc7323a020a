"""While the index is behind: answers say so, writes are judged by what CouchDB holds, and nobody gets more."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from core.config import Config
from tests.conftest import eventually, serving
from tests.core.cutting_proxy import CuttingProxy

GET_IDS = "/api/v1/replication/get-ids"
H1 = {"_id": "H1", "parent": {"_id": "D1"}}
H2 = {"_id": "H2", "parent": {"_id": "D1"}}
A1 = {"_id": "A1", "parent": H1}


def visit(doc_id: str, subject: str) -> dict[str, Any]:
    return {"_id": doc_id, "type": "data_record", "form": "visit", "contact": A1, "fields": {"patient_id": subject}}


async def test_answers_tell_how_many_changes_are_missing(district: Any, indexer: Any) -> None:
    await district.get_ids()
    await indexer.close()
    await district.db.bulk_docs([visit("new", "P1"), visit("foreign", "C2")])

    async def told() -> list[str | None]:
        paths = (GET_IDS, "/api/v1/users-info", "/medic/_changes", "/medic/_all_docs")
        answers = [await district.client.get(path, headers=district.asha) for path in paths]
        return [answer.headers.get("X-Replication-Lag") for answer in answers]

    async def all_told() -> bool:
        return await told() == ["2"] * 4

    await eventually(all_told)  # CouchDB is asked once a second


async def test_an_index_that_is_level_has_no_lag_header(district: Any) -> None:
    await district.db.put(visit("new", "P1"))

    await district.level()

    answer = await district.client.get(GET_IDS, headers=district.asha)

    assert "X-Replication-Lag" not in answer.headers
    assert "new" in {each["id"] for each in (await answer.json())["doc_ids_revs"]}


async def test_writes_about_contacts_that_are_not_indexed_yet(district: Any, indexer: Any) -> None:
    await district.get_ids()
    await indexer.close()
    await district.db.bulk_docs(
        [{"_id": "X1", "type": "clinic", "parent": H1}, {"_id": "X2", "type": "clinic", "parent": H2}]
    )

    own = await district.call("PUT", "about-own", json=visit("about-own", "X1"))
    foreign = await district.call("PUT", "about-foreign", json=visit("about-foreign", "X2"))
    read = await district.get("about-own")

    assert (own.status, foreign.status, read.status) == (201, 403, 200)


async def test_writes_about_shortcodes_that_are_not_indexed_yet(district: Any, indexer: Any) -> None:
    await district.get_ids()
    await indexer.close()
    await district.db.bulk_docs(
        [
            {"_id": "X1", "type": "clinic", "parent": H1, "place_id": "81001"},
            {"_id": "X2", "type": "clinic", "parent": H2, "place_id": "81002"},
            {"_id": "X3", "type": "person", "parent": H1, "patient_id": 81003},
        ]
    )

    own = await district.call("PUT", "about-own", json=visit("about-own", "81001"))
    person = await district.call("PUT", "about-person", json=visit("about-person", "81003"))
    foreign = await district.call("PUT", "about-foreign", json=visit("about-foreign", "81002"))
    unknown = await district.call("PUT", "about-nobody", json=visit("about-nobody", "81009"))
    read = await district.get("about-own")

    assert (own.status, person.status, foreign.status, unknown.status, read.status) == (201, 201, 403, 403, 200)


async def test_a_private_report_naming_the_users_new_shortcode_is_not_told(district: Any, indexer: Any) -> None:
    # REPL-34, REPL-45: the facility's new shortcode is not indexed yet
    await district.get_ids()
    await indexer.close()
    await district.db.put({**await district.db.get("H1"), "place_id": "79999"})
    secret = {**visit("secret", "79999"), "contact": {"_id": "S1"}}
    secret["fields"] = {"place_id": "79999", "private": True}
    await district.db.put(secret)
    await district.db.put(visit("open", "79999"))

    assert (await district.get("secret")).status == 403
    assert (await district.get("open")).status == 200


async def test_a_document_is_judged_by_what_it_says_now(district: Any, indexer: Any) -> None:
    await district.get_ids()
    await indexer.close()
    report = await district.db.get("R1")
    await district.db.put({**report, "fields": {"patient_id": "C2"}})

    single = await district.get("R1")
    many = await district.json("POST", "_bulk_get", json={"docs": [{"id": "R1"}]})
    rows = await district.json("POST", "_all_docs", json={"keys": ["R1"]})
    included = await district.json("GET", "_changes?include_docs=true")

    assert single.status == 403
    assert many == {"results": []}
    assert rows["rows"] == [{"id": "R1", "error": "forbidden"}]
    assert "R1" not in {row["id"] for row in included["results"]}


async def test_a_phone_that_pushes_then_pulls_sees_its_documents(district: Any, config: Config) -> None:
    # Whichever process of the machine took the documents, and whichever is asked.
    async with serving(config) as other:
        for number, (first, second) in enumerate([(district.client, other), (other, district.client)] * 3):
            mine = f"mine{number}"
            rev = f"1-{number:032x}"
            docs = [{**visit(mine, "P1"), "_rev": rev}] if number % 2 else [visit(mine, "P1")]
            pushed = {"docs": docs, "new_edits": not number % 2}
            since = (await (await second.get("/medic/_changes?since=now", headers=district.asha)).json())["last_seq"]

            await first.post("/medic/_bulk_docs", json=pushed, headers=district.asha)
            listed = await (await second.get(GET_IDS, headers=district.asha)).json()
            await first.delete(f"/medic/{mine}", params={"rev": rev_in(listed, mine)}, headers=district.asha)
            news = await (await second.get("/medic/_changes", params={"since": since}, headers=district.asha)).json()

            assert [row["deleted"] for row in news["results"] if row["id"] == mine] == [True]


def rev_in(listed: Any, doc_id: str) -> str:
    return next(str(each["rev"]) for each in listed["doc_ids_revs"] if each["id"] == doc_id)


class SlowToTell(CuttingProxy):
    """A CouchDB that does not tell, until `told` is set, what has changed; held feeds go on."""

    def __init__(self, target: str) -> None:
        super().__init__(target, at=10**9, answered=True, stays_away=False)
        self.told = asyncio.Event()
        self.asked = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        if request.path.endswith("/_changes") and "feed" not in request.query:
            self.asked.set()
            await self.told.wait()
        return await super().answer(request)


@asynccontextmanager
async def slow_to_tell(config: Config) -> AsyncIterator[tuple[Any, SlowToTell]]:
    """The API on such a CouchDB, and that."""
    proxy = SlowToTell(config.server_url)
    await proxy.server.start_server()
    name, password = config.couch_admin
    url = f"http://{name}:{password}@127.0.0.1:{proxy.server.port}/{config.database}"
    try:
        async with serving(config.with_couch_url(url)) as client:
            yield client, proxy
    finally:
        proxy.told.set()
        await proxy.server.close()
        await proxy.session.close()


async def test_a_list_waits_for_couchdb_only_after_ones_own_writes(district: Any, config: Config) -> None:
    async with slow_to_tell(config) as (client, couchdb):
        untouched = await client.get(GET_IDS, headers=district.asha)
        feed = await client.get("/medic/_changes", headers=district.asha)
        stored = await client.put("/medic/mine", json=visit("mine", "P1"), headers=district.asha)
        foreign = await client.get(GET_IDS, headers=district.sue)
        couchdb.asked.clear()
        listing = asyncio.create_task(client.get(GET_IDS, headers=district.asha))
        await couchdb.asked.wait()
        couchdb.told.set()
        listed = await listing

        assert (untouched.status, feed.status, stored.status, foreign.status) == (200, 200, 201, 200)
        assert rev_in(await listed.json(), "mine") == (await stored.json())["rev"]
        assert "X-Replication-Lag" not in listed.headers


async def test_an_own_write_that_is_not_in_a_list_is_told(district: Any, indexer: Any) -> None:
    await district.get_ids()
    await indexer.close()
    await district.call("PUT", "mine", json=visit("mine", "P1"))

    listed = await district.client.get(GET_IDS, headers=district.asha)

    assert int(listed.headers["X-Replication-Lag"]) >= 1


async def put_then_list(client: Any, user: Any) -> set[str]:
    await client.put("/medic/mine", json=visit("mine", "P1"), headers=user)
    listed = await client.get(GET_IDS, headers=user)
    return {each["id"] for each in (await listed.json())["doc_ids_revs"]}


async def test_times_of_writes_from_before_the_machine_was_started_again(district: Any, config: Config) -> None:
    with config.last_writes.open("r+b") as file:
        array("d", [1e12] * 65_536).tofile(file)
    async with serving(config) as restarted:
        listed = await put_then_list(restarted, district.asha)
        again = await restarted.get(GET_IDS, headers=district.asha)

        assert "mine" in listed
        assert "X-Replication-Lag" not in again.headers


async def test_where_times_cannot_be_shared_a_process_still_waits_for_its_own(district: Any, config: Config) -> None:
    config.last_writes.unlink()
    config.last_writes.mkdir()
    async with serving(config) as alone:
        assert "mine" in await put_then_list(alone, district.asha)
