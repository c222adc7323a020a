"""The server's own resources, sessions, users, databases and who may do what."""

from __future__ import annotations

import base64
import hmac
import stat
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from store.server import StoreConfig, create_app
from tests.store.store_client import ADMIN, Client
from tests.store.store_clock import Clock


async def test_welcome_is_couchdbs(store: Client) -> None:
    answer = await store.get("/", user=None)

    assert answer.status == 200
    assert answer.body["couchdb"] == "Welcome"
    assert answer.body["version"].startswith("3.")
    assert answer.body["vendor"]["name"] == "Outpost embedded store"
    assert answer.raw.endswith(b"}\n")


async def test_up_and_session_need_no_login(store: Client) -> None:
    assert (await store.get("/_up", user=None)).body["status"] == "ok"
    session = await store.get("/_session", user=None)
    assert session.body["userCtx"] == {"name": None, "roles": []}


@pytest.mark.parametrize("path", ["/_all_dbs", "/db", "/db/a", "/_uuids", "/nope"])
async def test_nobody_is_asked_to_log_in(store: Client, db: str, path: str) -> None:
    answer = await store.get(path, user=None)

    assert (answer.status, answer.body["error"]) == (401, "unauthorized")


@pytest.mark.parametrize("login", [("admin", "wrong"), ("nobody", "x"), ("", "")])
async def test_wrong_password_is_refused(store: Client, login: tuple[str, str]) -> None:
    answer = await store.get("/", user=login)

    assert (answer.status, answer.body["reason"]) == (401, "Name or password is incorrect.")


async def test_uuids_are_fresh(store: Client) -> None:
    uuids = (await store.get("/_uuids", count=5)).body["uuids"]

    assert len(set(uuids)) == 5
    assert (await store.get("/_uuids?count=x")).status == 400


async def test_unknown_path_and_method(store: Client, db: str) -> None:
    assert (await store.get("/_nothing")).status == 404
    assert (await store.get(f"{db}/_nothing")).status == 404
    answer = await store.delete(f"{db}/_bulk_docs")
    assert (answer.status, answer.body["error"], answer.headers["Allow"]) == (405, "method_not_allowed", "POST")


# -- sessions


async def log_in(store: Client, name: str, password: str, **options: Any) -> str:
    answer = await store.post("/_session", {"name": name, "password": password}, user=None, **options)
    assert answer.status == 200
    return answer.headers["Set-Cookie"].split(";")[0]


async def test_cookie_logs_in(store: Client) -> None:
    await store.make_user("asha", "pass-1", "chw")

    cookie = await log_in(store, "asha", "pass-1")

    session = await store.get("/_session", user=None, headers={"Cookie": cookie})
    assert session.body["userCtx"] == {"name": "asha", "roles": ["chw"]}
    assert session.body["info"]["authenticated"] == "cookie"


async def test_form_login_sets_a_cookie_as_couchdb_does(store: Client) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await store.post("/_session", data="name=admin&password=secret", user=None, headers=form)

    assert answer.body == {"ok": True, "name": "admin", "roles": ["_admin"]}
    parts = [part.strip() for part in answer.headers["Set-Cookie"].split(";")]
    assert parts[0].startswith("AuthSession=")
    assert {"Version=1", "Path=/", "HttpOnly", "Max-Age=1000"} <= set(parts)


async def test_failed_login_is_401(store: Client) -> None:
    answer = await store.post("/_session", {"name": "admin", "password": "no"}, user=None)

    assert (answer.status, answer.body["error"]) == (401, "unauthorized")
    assert (await store.post("/_session", {"name": 5, "password": "no"}, user=None)).status == 400
    assert (await store.post("/_session", data=b"x", user=None)).status == 415


async def test_cookie_is_made_by_couchdbs_algorithm(store: Client, tmp_path: Path, clock: Clock) -> None:
    await store.make_user("asha", "pass-1")
    salt = (await store.get("/_users/org.couchdb.user:asha")).body["salt"]
    cookie = (await log_in(store, "asha", "pass-1")).removeprefix("AuthSession=")

    secret = (tmp_path / "data" / "cookie-secret").read_bytes()
    message = f"asha:{int(clock.now_s):X}".encode()
    expected = message + b":" + hmac.digest(secret + salt.encode(), message, "sha256")

    assert base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4)) == expected


async def test_cookie_secret_is_its_owners_alone(store: Client, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "data" / "cookie-secret").stat().st_mode) == 0o600


async def test_cookie_is_renewed_when_a_tenth_of_its_time_is_over(store: Client, clock: Clock) -> None:
    cookie = await log_in(store, *ADMIN)
    fresh = await store.get("/_all_dbs", user=None, headers={"Cookie": cookie})
    clock.now_s += 150

    ageing = await store.get("/_all_dbs", user=None, headers={"Cookie": cookie})

    assert "Set-Cookie" not in fresh.headers
    assert ageing.headers["Set-Cookie"].startswith("AuthSession=")


async def test_cookie_ends(store: Client, clock: Clock) -> None:
    cookie = await log_in(store, *ADMIN)
    clock.now_s += 1001

    assert (await store.get("/_all_dbs", user=None, headers={"Cookie": cookie})).status == 401


async def test_new_password_ends_old_sessions(store: Client) -> None:
    await store.make_user("asha", "pass-1")
    cookie = await log_in(store, "asha", "pass-1")
    doc = (await store.get("/_users/org.couchdb.user:asha")).body

    await store.put("/_users/org.couchdb.user:asha", {**doc, "password": "pass-2"})

    session = await store.get("/_session", user=None, headers={"Cookie": cookie})
    assert session.body["userCtx"]["name"] is None
    assert (await store.get("/_session", user=("asha", "pass-1"))).status == 401
    assert (await store.get("/_session", user=("asha", "pass-2"))).status == 200


@pytest.mark.parametrize(("cookie", "status"), [("nonsense", 400), ("YTp6ejpj", 400), ("YWRtaW46NjU1M0YxMDA6eA", 401)])
async def test_forged_cookie_is_refused(store: Client, cookie: str, status: int) -> None:
    answer = await store.get("/_all_dbs", user=None, headers={"Cookie": f"AuthSession={cookie}"})

    assert answer.status == status


async def test_log_out_drops_the_cookie(store: Client) -> None:
    answer = await store.delete("/_session")

    assert answer.headers["Set-Cookie"].startswith("AuthSession=;")


# -- users


async def test_password_is_stored_as_a_salted_hash(store: Client) -> None:  # AUTH-22
    await store.make_user("asha", "pass-1")

    doc = (await store.get("/_users/org.couchdb.user:asha")).body

    assert "password" not in doc
    assert (doc["password_scheme"], doc["pbkdf2_prf"], doc["iterations"]) == ("pbkdf2", "sha256", 10)
    assert len(doc["derived_key"]) == 64


async def test_hashes_of_older_couchdbs_are_verified(store: Client) -> None:
    import hashlib

    derived = hashlib.pbkdf2_hmac("sha1", b"old-pass", b"salt", 10, 20).hex()
    doc = {"name": "old", "roles": [], "type": "user", "password_scheme": "pbkdf2", "iterations": 10, "salt": "salt"}
    await store.put("/_users/org.couchdb.user:old", {**doc, "derived_key": derived})

    assert (await store.get("/_session", user=("old", "old-pass"))).body["userCtx"]["name"] == "old"
    assert (await store.get("/_session", user=("old", "other"))).status == 401


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": "x"}, "doc.type must be user"),
        ({"name": None}, "doc.name is required"),
        ({"name": "other"}, "Doc ID must be of the form org.couchdb.user:name"),
        ({"roles": None}, "doc.roles must exist"),
        ({"roles": "chw"}, "doc.roles must be an array"),
        ({"roles": [1]}, "doc.roles can only contain strings"),
        ({"roles": ["_admin"]}, "No system roles (starting with underscore) in users db."),
        ({"password_scheme": "pbkdf2"}, "iterations must be a number."),
    ],
)
async def test_wrong_user_document_is_refused(store: Client, change: dict[str, Any], reason: str) -> None:
    doc = {"name": "asha", "roles": [], "type": "user", **change}

    answer = await store.put("/_users/org.couchdb.user:asha", doc)

    assert (answer.status, answer.body) == (403, {"error": "forbidden", "reason": reason})


async def test_user_reads_and_changes_only_the_own_document(store: Client) -> None:
    asha = await store.make_user("asha", "pass-1", "chw")
    await store.make_user("babu", "pass-2")
    own = "/_users/org.couchdb.user:asha"
    doc = (await store.get(own, user=asha)).body

    assert (await store.get("/_users/org.couchdb.user:babu", user=asha)).status == 404
    assert (await store.get("/_users/_all_docs", user=asha)).status == 403
    assert (await store.get("/_users/_changes", user=asha)).status == 403
    assert (await store.post("/_users/_revs_diff", {"a": ["1-x"]}, user=asha)).status == 403
    assert (await store.post("/_users/_bulk_get", {"docs": [{"id": "a"}]}, user=asha)).status == 403
    assert (await store.put("/_users/_local/x", {}, user=asha)).status == 403
    bulk = await store.post("/_users/_bulk_docs", {"docs": [{"_id": "_local/x"}, {"_id": "_design/x"}]}, user=asha)
    assert [row["error"] for row in bulk.body] == ["forbidden", "forbidden"]
    assert (await store.put(own, {**doc, "roles": ["nurse"]}, user=asha)).body["reason"] == "Only _admin may edit roles"
    assert (await store.put(own, {**doc, "nick": "a"}, user=asha)).status == 201
    other = {"name": "new", "roles": [], "type": "user", "password": "x"}
    assert (await store.put("/_users/org.couchdb.user:new", other, user=asha)).status == 404


async def test_deleted_user_cannot_log_in(store: Client) -> None:
    asha = await store.make_user("asha", "pass-1")
    assert (await store.get("/_session", user=asha)).status == 200
    rev = (await store.get("/_users/org.couchdb.user:asha")).body["_rev"]

    await store.delete("/_users/org.couchdb.user:asha", rev=rev)

    assert (await store.get("/_session", user=asha)).status == 401


# -- databases


async def test_database_is_made_described_and_removed(store: Client) -> None:
    assert (await store.put("/a-b/c")).status == 404
    assert (await store.put("/a-b%2Fc+(1)$_")).status == 201
    assert "a-b/c+(1)$_" in (await store.get("/_all_dbs")).body
    assert (await store.put("/a-b%2Fc+(1)$_")).body["error"] == "file_exists"
    info = (await store.get("/a-b%2Fc+(1)$_")).body
    assert (info["db_name"], info["doc_count"], info["doc_del_count"]) == ("a-b/c+(1)$_", 0, 0)
    assert (await store.ask("HEAD", "/a-b%2Fc+(1)$_")).status == 200

    assert (await store.delete("/a-b%2Fc+(1)$_")).body == {"ok": True}

    assert (await store.get("/a-b%2Fc+(1)$_")).status == 404
    assert (await store.delete("/a-b%2Fc+(1)$_")).status == 404


@pytest.mark.parametrize("name", ["A", "1a", "a.b", "%C3%A9", "a%20b", "..%2F..%2Fetc", "a" * 300])
async def test_wrong_database_name_is_refused(store: Client, name: str) -> None:
    assert (await store.put(f"/{name}")).status == 400


async def test_deleted_database_comes_back_empty(store: Client, db: str) -> None:
    await store.put(f"{db}/a", {})
    await store.delete(db)
    await store.put(db)

    assert (await store.get(f"{db}/a")).status == 404


async def test_dbs_info_describes_those_asked_for(store: Client, db: str) -> None:
    answer = await store.post("/_dbs_info", {"keys": ["db", "nope"]})

    assert answer.body[0]["info"]["db_name"] == "db"
    assert answer.body[1] == {"key": "nope", "error": "not_found"}


async def test_new_database_is_for_admins_alone(store: Client) -> None:
    asha = await store.make_user("asha", "pass-1")
    await store.put("/closed")

    assert (await store.get("/closed")).status == 200
    answer = await store.get("/closed", user=asha)
    assert (answer.status, answer.body["reason"]) == (403, "You are not allowed to access this db.")


async def test_security_names_members_and_admins(store: Client, db: str) -> None:
    asha = await store.make_user("asha", "pass-1", "chw")
    babu = await store.make_user("babu", "pass-2")
    security = {"members": {"roles": ["chw"]}, "admins": {"names": ["babu"]}}
    assert (await store.put(f"{db}/_security", security)).status == 200

    assert (await store.get(f"{db}/_security")).body == security
    assert (await store.put(f"{db}/x", {}, user=asha)).status == 201
    assert (await store.put(f"{db}/_design/d", {}, user=asha)).status == 403
    assert (await store.put(f"{db}/_design/d", {}, user=babu)).status == 201
    assert (await store.put(f"{db}/_security", {}, user=asha)).status == 403
    assert (await store.delete(db, user=babu)).status == 401


@pytest.mark.parametrize("security", [[], {"admins": []}, {"members": {"names": "x"}}, {"members": {"roles": [1]}}])
async def test_wrong_security_is_refused(store: Client, db: str, security: Any) -> None:
    assert (await store.put(f"{db}/_security", security)).status == 400


async def test_more_databases_than_may_be_open(tmp_path: Path) -> None:
    config = StoreConfig(data=tmp_path, admins=dict([ADMIN]), most_open_databases=3)
    server = TestServer(create_app(config))
    await server.start_server()
    async with ClientSession() as session:
        store = Client(session, str(server.make_url("/")).rstrip("/"))
        for n in range(10):
            await store.put(f"/db{n}")
            await store.put(f"/db{n}/doc", {"n": n})

        found = [(await store.get(f"/db{n}/doc")).body["n"] for n in range(10)]
    await server.close()

    assert found == list(range(10))
    assert not list((tmp_path / "databases").glob("*-wal"))


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    config = StoreConfig(data=tmp_path, admins=dict([ADMIN]))
    seqs = []
    for run in range(2):
        server = TestServer(create_app(config))
        await server.start_server()
        async with ClientSession() as session:
            store = Client(session, str(server.make_url("/")).rstrip("/"))
            await store.put("/db")
            await store.put(f"/db/doc{run}", {})
            seqs.append((await store.get("/db")).body["update_seq"])
            found = await store.get("/db/doc0")
        await server.close()

    assert found.status == 200
    assert [seq.split("-")[0] for seq in seqs] == ["1", "2"]


# -- validate_doc_update


VALIDATE = """function (newDoc, oldDoc, userCtx, secObj) {
  if (newDoc.kind === 'bad') { throw({ forbidden: 'no ' + newDoc._id }); }
  if (newDoc.kind === 'login') { throw({ unauthorized: 'log in' }); }
  if (oldDoc && oldDoc.owner !== userCtx.name) { throw({ forbidden: 'owner is ' + oldDoc.owner }); }
}"""


async def test_validate_function_refuses_one_document_of_many(store: Client, db: str) -> None:
    await store.put(f"{db}/_design/v", {"validate_doc_update": VALIDATE})

    answer = await store.post(f"{db}/_bulk_docs", {"docs": [{"_id": "a"}, {"_id": "b", "kind": "bad"}, {"_id": "c"}]})

    assert answer.body[1] == {"id": "b", "error": "forbidden", "reason": "no b"}
    assert [row.get("ok") for row in answer.body] == [True, None, True]
    assert (await store.put(f"{db}/d", {"kind": "bad"})).status == 403
    assert (await store.put(f"{db}/d", {"kind": "login"})).status == 401
    assert (await store.put(f"{db}/_local/d", {"kind": "bad"})).status == 201


async def test_validate_function_sees_the_stored_document_and_the_user(store: Client, db: str) -> None:
    asha = await store.make_user("asha", "pass-1")
    babu = await store.make_user("babu", "pass-2")
    await store.put(f"{db}/_design/v", {"validate_doc_update": VALIDATE})
    rev = (await store.put(f"{db}/a", {"owner": "asha"}, user=asha)).body["rev"]

    refused = await store.put(f"{db}/a", {"_rev": rev, "owner": "babu"}, user=babu)
    deleted = await store.delete(f"{db}/a", rev=rev, user=babu)
    allowed = await store.put(f"{db}/a", {"_rev": rev, "owner": "asha", "x": 1}, user=asha)

    assert (refused.status, refused.body["reason"]) == (403, "owner is asha")
    assert (deleted.status, allowed.status) == (403, 201)


async def test_changed_validate_function_counts_at_once(store: Client, db: str) -> None:
    rev = (await store.put(f"{db}/_design/v", {"validate_doc_update": VALIDATE})).body["rev"]
    assert (await store.put(f"{db}/a", {"kind": "bad"})).status == 403

    await store.put(f"{db}/_design/v", {"_rev": rev})

    assert (await store.put(f"{db}/a", {"kind": "bad"})).status == 201


# -- views


async def test_view_over_http_follows_writes(store: Client, db: str) -> None:
    views = {"by": {"map": "function (doc) { emit(doc.n, null); }", "reduce": "_count"}}
    await store.put(f"{db}/_design/v", {"views": views})
    await store.post(f"{db}/_bulk_docs", {"docs": [{"_id": f"d{n}", "n": n} for n in range(20)]})
    path = f"{db}/_design/v/_view/by"

    rows = await store.get(path, reduce=False, startkey=5, endkey=7, include_docs=True)
    await store.put(f"{db}/late", {"n": 6})

    assert [row["doc"]["n"] for row in rows.body["rows"]] == [5, 6, 7]
    assert (await store.get(path, key=6)).body["rows"] == [{"key": None, "value": 2}]
    assert [row["id"] for row in (await store.post(path, {"keys": [3, 1]}, reduce=False)).body["rows"]] == ["d3", "d1"]
    several = await store.post(f"{path}/queries", {"queries": [{"key": 1}, {"reduce": False, "limit": 2}]})
    assert [len(result["rows"]) for result in several.body["results"]] == [1, 2]
    assert (await store.get(f"{db}/_design/v/_info")).body["name"] == "v"
    assert (await store.get(f"{db}/_design/v/_view/none")).status == 404
    assert (await store.get(f"{db}/_design/none/_view/by")).status == 404
    assert (await store.get(path, limit="x")).status == 400
    assert (await store.post(f"{db}/_view_cleanup", {})).status == 202
