"""The node: configuration in sections, statistics, and what a cluster of one says of itself."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from tests.store.store_client import ADMIN, Client
from tests.store.store_clock import Clock

CONFIG = "/_node/_local/_config"


async def test_config_value_is_put_read_and_deleted(store: Client) -> None:
    path = f"{CONFIG}/my_section/my_key"

    assert (await store.get(path)).body == {"error": "not_found", "reason": "unknown_config_value"}
    assert (await store.put(path, "one")).body == ""
    assert (await store.put(path, "two")).body == "one"
    assert (await store.get(path)).body == "two"
    assert (await store.get(f"{CONFIG}/my_section")).body == {"my_key": "two"}
    assert (await store.get(CONFIG)).body["my_section"] == {"my_key": "two"}
    assert (await store.delete(path)).body == "two"
    assert (await store.delete(path)).status == 404
    assert "my_section" not in (await store.get(CONFIG)).body


async def test_config_change_is_kept_in_the_data_folder(store: Client, tmp_path: Path) -> None:
    from store.node_config import NodeConfig

    await store.put(f"{CONFIG}/my_section/my_key", "kept")
    file = tmp_path / "data" / "config.json"

    assert NodeConfig(file, {"admins": {}}).get("my_section", "my_key") == "kept"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("path", "value", "status", "slug"),
    [
        ("a/b", 5, 400, "bad_request"),
        ("a/b", "two\nlines", 400, "bad_request"),
        ("chttpd_auth/timeout", "soon", 400, "bad_request"),
        ("chttpd_auth/timeout", "0", 400, "bad_request"),
        ("chttpd/enable_cors", "yes", 400, "bad_request"),
        ("daemons/x", "x", 403, "forbidden"),
        ("chttpd/port", "1", 403, "forbidden"),
        ("admins/admin", "other", 403, "forbidden"),
        ("admins/other", "", 400, "bad_request"),
        ("admins/a%3Ab", "password", 400, "bad_request"),
        ("admins/other", "-pbkdf2-zz,salt,10", 400, "bad_request"),
        ("admins/other", "-pbkdf2-ab,salt,99999999", 400, "bad_request"),
    ],
)
async def test_wrong_config_value_is_refused(store: Client, path: str, value: object, status: int, slug: str) -> None:
    before = (await store.get(CONFIG)).body

    answer = await store.put(f"{CONFIG}/{path}", value)

    assert (answer.status, answer.body["error"]) == (status, slug)
    assert (await store.get(CONFIG)).body == before


async def test_config_changes_made_at_once_are_all_kept(store: Client) -> None:
    answers = await asyncio.gather(*(store.put(f"{CONFIG}/notes/{n}", str(n)) for n in range(30)))

    assert [answer.status for answer in answers] == [200] * 30
    assert (await store.get(f"{CONFIG}/notes")).body == {str(n): str(n) for n in range(30)}


async def test_config_is_for_server_admins(store: Client) -> None:
    asha = await store.make_user("asha", "pass-1")

    assert (await store.get(CONFIG, user=asha)).status == 401
    assert (await store.put(f"{CONFIG}/a/b", "c", user=asha)).status == 401
    assert (await store.get(CONFIG, user=None)).status == 401


async def test_timeout_of_the_config_is_the_session_timeout(store: Client, clock: Clock) -> None:
    await store.put(f"{CONFIG}/chttpd_auth/timeout", "50")
    made = await store.post("/_session", {"name": ADMIN[0], "password": ADMIN[1]}, user=None)
    cookie = {"Cookie": made.headers["Set-Cookie"].split(";")[0]}
    clock.now_s += 49
    assert (await store.get("/_all_dbs", user=None, headers=cookie)).status == 200
    clock.now_s += 2

    assert (await store.get("/_all_dbs", user=None, headers=cookie)).status == 401
    assert "Max-Age=50" in made.headers["Set-Cookie"]


async def test_administrator_is_made_and_removed_over_http(store: Client) -> None:
    path = f"{CONFIG}/admins/bina"

    assert (await store.put(path, "first")).body == ""
    shown = (await store.get(path)).body
    assert shown.startswith("-pbkdf2:sha256-")
    session = await store.get("/_session", user=("bina", "first"))
    assert session.body["userCtx"] == {"name": "bina", "roles": ["_admin"]}
    assert (await store.put("/made-by-bina", user=("bina", "first"))).status == 201
    assert (await store.put(path, "second")).body == shown
    assert (await store.get("/_session", user=("bina", "first"))).status == 401
    assert (await store.get("/_session", user=("bina", "second"))).status == 200
    await store.delete(path)
    assert (await store.get("/_session", user=("bina", "second"))).status == 401


async def test_given_administrators_password_is_never_shown(store: Client) -> None:
    shown = await store.get(f"{CONFIG}/admins")

    assert list(shown.body) == [ADMIN[0]]
    assert ADMIN[1].encode() not in shown.raw


async def test_hashed_administrator_of_another_couchdb_is_taken_as_it_is(store: Client) -> None:
    import hashlib

    derived = hashlib.pbkdf2_hmac("sha1", b"pw", b"salt", 10, 20).hex()

    await store.put(f"{CONFIG}/admins/old", f"-pbkdf2-{derived},salt,10")

    assert (await store.get("/_session", user=("old", "pw"))).body["userCtx"]["roles"] == ["_admin"]


async def test_node_names_itself(store: Client) -> None:
    name = (await store.get("/_node/_local")).body["name"]

    assert (await store.get("/_membership")).body == {"all_nodes": [name], "cluster_nodes": [name]}
    assert (await store.get(f"/_node/{name}/_versions")).body["javascript_engine"] == {"name": "quickjs"}
    assert (await store.get("/_node/other/_stats")).body["reason"] == "no such node: other"
    assert (await store.get("/_node")).status == 400
    assert (await store.get("/_node/_local/_nothing")).status == 404


async def test_stats_count_requests(store: Client) -> None:
    path = "/_node/_local/_stats/couchdb/httpd_request_methods/GET"
    await store.get("/")
    before = (await store.get(path)).body["value"]

    await store.get("/")

    assert (await store.get(path)).body["value"] == before + 2
    assert (await store.get("/_node/_local/_stats/couchdb/httpd_status_codes/200")).body["value"] > 0
    assert (await store.get("/_node/_local/_system")).body["uptime"] >= 0


@pytest.mark.parametrize("path", ["/_prometheus", "/_node/_local/_prometheus"])
async def test_prometheus_reads_the_counters(store: Client, path: str) -> None:
    await store.get("/")

    found = await store.get(path)

    assert found.headers["Content-Type"].startswith("text/plain")
    assert b'couchdb_httpd_status_codes_total{code="200"}' in found.raw
    assert b"couchdb_databases 2.0" in found.raw
    assert (await store.get(path, user=None)).status == 401


async def test_cluster_of_one_is_set_up_and_never_resharded(store: Client) -> None:
    assert (await store.get("/_cluster_setup")).body == {"state": "single_node_enabled"}
    assert (await store.post("/_cluster_setup", {"action": "enable_single_node"})).status == 201
    assert (await store.post("/_cluster_setup", {"action": "enable_cluster"})).status == 501
    assert (await store.post("/_cluster_setup", {"action": "x"})).status == 400
    assert (await store.get("/_reshard")).status == 501
    assert (await store.post("/_reshard/jobs", {})).status == 501
