"""What each class of caller may reach: the table of 10 §7.1 for everybody but offline users."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from api.handlers.storage import is_write
from core.couch.client import Database
from tests.api.raw import raw

Client = TestClient[Any, Any]
DDOC = {"views": {"all": {"map": "function (doc) { emit(doc._id, null); }"}}}
OK = "passed on"
NO_EDIT = "403 Insufficient privileges"
NOT_ADMIN = "refused by CouchDB"
DOC_FORBIDDEN = "403 as CouchDB tells it"
MANGO = "passed on to Mango"

# Method and path ({db}: the main database, {doc}: a document of the row's own with an attachment, {rev}: its revision),
# body, then what happens for an online user without can_edit, one with it, and the server administrator.
TABLE: list[tuple[str, str, Any, str, str, str]] = [
    ("GET", "/{db}/_changes?limit=1", None, OK, OK, OK),
    ("POST", "/{db}/_changes?limit=1", {}, OK, OK, OK),
    ("GET", "/{db}/_all_docs?limit=1", None, OK, OK, OK),
    ("POST", "/{db}/_all_docs", {"keys": ["doc"]}, OK, OK, OK),
    ("POST", "/{db}/_bulk_get", {"docs": [{"id": "doc"}]}, OK, OK, OK),
    ("POST", "/{db}/_bulk_docs", {"docs": [{"n": 1}]}, NO_EDIT, OK, OK),
    ("POST", "/{db}/", {"n": 1}, NO_EDIT, OK, OK),
    ("POST", "/{db}", {"n": 1}, NO_EDIT, OK, OK),
    ("GET", "/{db}/{doc}", None, OK, OK, OK),
    ("HEAD", "/{db}/{doc}", None, OK, OK, OK),
    ("PUT", "/{db}/{doc}?rev={rev}", {"n": 1}, NO_EDIT, OK, OK),
    ("DELETE", "/{db}/{doc}?rev={rev}", None, NO_EDIT, OK, OK),
    ("GET", "/{db}/{doc}/note", None, OK, OK, OK),
    ("PUT", "/{db}/{doc}/other?rev={rev}", "text", NO_EDIT, OK, OK),
    ("DELETE", "/{db}/{doc}/note?rev={rev}", None, NO_EDIT, OK, OK),
    ("PUT", "/{db}/_local/mine", {"n": 1}, OK, OK, OK),
    ("POST", "/{db}/_revs_diff", {"doc": ["1-a"]}, OK, OK, OK),
    ("POST", "/{db}/_missing_revs", {"doc": ["1-a"]}, OK, OK, OK),
    ("GET", "/{db}/_design/medic-client", None, OK, OK, OK),
    ("PUT", "/{db}/_design/mine", DDOC, NO_EDIT, NOT_ADMIN, OK),
    ("GET", "/{db}/_design/medic-client/_view/doc_by_type?limit=1", None, OK, OK, OK),
    ("POST", "/{db}/_design/medic-client/_view/doc_by_type", {"keys": [["form"]]}, OK, OK, OK),
    ("POST", "/{db}/_find", {"selector": {"_id": "doc"}}, MANGO, MANGO, MANGO),
    ("POST", "/{db}/_explain", {"selector": {"_id": "doc"}}, MANGO, MANGO, MANGO),
    ("GET", "/{db}/_index", None, MANGO, MANGO, MANGO),
    ("POST", "/{db}/_ensure_full_commit", {}, NO_EDIT, OK, OK),
    ("GET", "/{db}/_security", None, OK, OK, OK),
    ("POST", "/{db}/_compact", {}, NO_EDIT, NOT_ADMIN, OK),
    ("GET", "/{db}/_revs_limit", None, OK, OK, OK),
    ("GET", "/{db}/", None, OK, OK, OK),
    ("GET", "/{db}-vault/_all_docs", None, NOT_ADMIN, NOT_ADMIN, OK),
    ("GET", "/{db}-sentinel/_all_docs", None, NOT_ADMIN, NOT_ADMIN, OK),
    ("GET", "/{db}-user-somebody-meta/_all_docs", None, "404", "404", "404"),
    ("GET", "/_users/_all_docs", None, NOT_ADMIN, NOT_ADMIN, OK),
    ("PUT", "/_users/org.couchdb.user:{doc}", {}, DOC_FORBIDDEN, DOC_FORBIDDEN, NOT_ADMIN),
    ("PUT", "/{db}-made/", None, NOT_ADMIN, NOT_ADMIN, OK),
    ("GET", "/api/v1/unknown", None, "404", "404", "404"),
    ("GET", "/_session", None, OK, OK, OK),
    ("GET", "/api/deploy-info", None, OK, OK, OK),
    ("GET", "/{db}/_local/none", None, "404", "404", "404"),
    ("DELETE", "/{db}/_local/none", None, "404", "404", "404"),
    ("PATCH", "/{db}/{doc}/note", None, NO_EDIT, "405", "405"),
    ("DELETE", "/{db}/_design/none?rev=1-a", None, NO_EDIT, "404", "404"),
    ("GET", "/{db}/_design/medic-client/_show/none", None, "404", "404", "404"),
    ("GET", "/{db}/_design/medic-client/_list/none/none", None, "404", "404", "404"),
    ("GET", "/{db}/_revs_limit", None, OK, OK, OK),
    ("PUT", "/{db}/_revs_limit", "1000", NO_EDIT, NOT_ADMIN, OK),
    ("POST", "/{db}/_view_cleanup", {}, NO_EDIT, NOT_ADMIN, OK),
    ("POST", "/{db}/_purge", {}, NO_EDIT, NOT_ADMIN, OK),
    ("GET", "/_all_dbs", None, NOT_ADMIN, NOT_ADMIN, OK),
    ("GET", "/_utils/", None, "404", "404", "404"),
    ("GET", "/_node/_local/_config", None, NOT_ADMIN, NOT_ADMIN, OK),
    ("PUT", "/{db}/_security", {}, NO_EDIT, NOT_ADMIN, OK),
]
CALLERS: dict[str, list[str] | None] = {
    "online without can_edit": ["data_entry"],
    "online with can_edit": ["program_officer"],
    "server administrator": None,
}


async def outcomes(client: Client, db: Database, headers: Any) -> dict[str, str]:
    """What became of every request of the table, each on a document of its own."""
    note = {"note": {"content_type": "text/plain", "data": "aGk="}}
    rows = await db.bulk_docs([{"_id": f"doc{n}", "_attachments": note} for n in range(len(TABLE))])
    found = {}
    for (method, path, body, *_), row in zip(TABLE, rows, strict=True):
        options: dict[str, Any] = {"data": body} if isinstance(body, str) else {} if body is None else {"json": body}
        url = path.format(db=db.name, doc=row["id"], rev=row["rev"])
        answer = await client.request(method, url, headers={**headers, "Accept": "application/json"}, **options)
        is_json = answer.content_type == "application/json" and method != "HEAD"
        found[f"{method} {path}"] = told(answer.status, await answer.json() if is_json else {})
    return found


def told(status: int, answer: Any) -> str:
    match status, answer:
        case 403, {"code": 403, "error": "Insufficient privileges"}:
            return NO_EDIT
        case 403, {"error": "forbidden", "reason": "Insufficient privileges"}:
            return DOC_FORBIDDEN
        case ((401 | 403 | 500), _):  # a cluster answers 500 where its nodes refused
            return NOT_ADMIN
        case _:
            return OK if 200 <= status < 300 else str(status)


@pytest.mark.parametrize("caller", CALLERS)
async def test_who_is_online_reaches_what_the_table_says(
    client: Client, db: Database, caller: str, make_user: Any
) -> None:
    roles = CALLERS[caller]
    found = await outcomes(client, db, {} if roles is None else await make_user("caller", roles=roles))

    expected = {f"{row[0]} {row[1]}": row[3 + list(CALLERS).index(caller)] for row in TABLE}
    for path, outcome in expected.items():
        if outcome == MANGO:
            expected[path] = OK if found[path] == OK else "404"  # of a store without Mango
    assert found == expected  # 10 §7.1, column Online; PROXY-1, PROXY-2, PROXY-10, PROXY-11


async def test_nobody_reaches_anything_but_a_login(client: Client, db: Database) -> None:
    for method, path, *_ in TABLE:
        url = path.format(db=db.name, doc="doc", rev="1-a")
        answer = await client.request(method, url, headers={"Authorization": "", "Accept": "application/json"})
        assert answer.status == 401, path  # 10 §7.1, column Anonymous
        assert answer.headers["logout-authorization"] == "CHT-Core API"  # ERR-6


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/dbinfo", 200), ("/api/info", 200), ("/setup/poll", 200)])
async def test_some_things_everybody_may_know(client: Client, path: str, status: int) -> None:
    answer = await client.get(path, headers={"Authorization": "", "Accept": "application/json"})

    assert answer.status == status
    body = await answer.json()
    if path in ("/", "/dbinfo"):
        assert body["couchdb"] == "Welcome"  # AUTH-127, EP-OTH-6
    else:
        assert body["version"]  # AUTH-120, AUTH-121, EP-OTH-6


OFFLINE_FIREWALL = [
    ("GET", "/_all_dbs"),
    ("GET", "/_users/_all_docs"),
    ("GET", "/_users/org.couchdb.user:admin"),
    ("GET", "/{db}-vault/_all_docs"),
    ("GET", "/{db}-sentinel/_changes"),
    ("GET", "/{db}-logs"),
    ("PUT", "/elsewhere"),
    ("POST", "/_replicate"),
    ("GET", "/_node/_local/_config"),
    ("GET", "/api/v1/unknown"),
    ("DELETE", "/api/v1/settings"),
    ("GET", "//_all_dbs//"),
    ("GET", "/%5Fall_dbs"),
    ("GET", "/%5fusers/_all_docs"),
    ("GET", "/{db}%2F_all_docs"),
    ("GET", "/{db}-user-x-meta%2F..%2F_users"),
]


async def test_the_firewall_stops_offline_users(client: Client, db: Database, make_user: Any) -> None:
    chw = await make_user("chw", roles=["chw"])
    for method, path in OFFLINE_FIREWALL:
        answer = await raw(client, method, path.format(db=db.name), headers=chw)
        assert answer.status == 403, path  # PROXY-40, ERR-11
        assert await answer.json() == {
            "code": 403,
            "error": "forbidden",
            "details": "Offline users are not allowed access to this endpoint",
        }


@pytest.mark.parametrize(
    ("method", "rest", "write"),
    [
        ("POST", ["_find"], False),
        ("POST", ["_local_docs"], False),
        ("PUT", ["_local", "x"], False),
        ("PUT", ["_local/x"], False),
        ("POST", ["_design", "d", "_view", "v"], False),
        ("POST", ["_design", "d", "_view", "v", "queries"], False),
        ("POST", ["_design", "d", "_update", "u"], True),
        ("POST", ["_design", "d", "_view"], True),
        ("COPY", ["doc"], True),
        ("PUT", ["doc"], True),
        ("POST", ["_index"], True),
        ("POST", ["_purge"], True),
        ("POST", [], True),
        ("OPTIONS", ["doc"], False),
    ],
)
def test_what_counts_as_a_write(method: str, rest: list[str], write: bool) -> None:  # PROXY-10
    assert is_write(method, rest) is write
