"""The server's own resources, sessions and user documents."""

from __future__ import annotations

import base64
import hmac
import stat
from pathlib import Path
from typing import Any

import pytest

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
    assert (await store.get(f"{db}/_all_docs/more")).status == 404
    named = await store.put("/_nothing")
    assert (named.status, named.body["error"]) == (400, "illegal_database_name")
    written = await store.put(f"{db}/_nothing", {})
    assert (written.status, written.body["error"]) == (400, "illegal_docid")
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
