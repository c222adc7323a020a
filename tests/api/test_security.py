"""Attempts to be somebody else or to reach what is another's, all refused: the table of docs/security.md."""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from aiohttp.test_utils import TestClient

from core.config import Config
from core.couch.client import Couch, Database
from tests.api.raw import raw
from tests.conftest import basic

Client = TestClient[Any, Any]
JSON = {"Accept": "application/json"}
ANONYMOUS = {"Authorization": "", **JSON}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def forged(name: str, issued_s: float, key: bytes = b"secret", digest: str = "sha256") -> str:
    signed = f"{name}:{int(issued_s):X}".encode()
    return b64(signed + b":" + hmac.digest(key, signed, digest))


async def session_of(client: Client, login: Any) -> str:
    body = {"name": login.name, "password": login.password}
    answer = await client.post("/_session", json=body, headers=ANONYMOUS)
    client.session.cookie_jar.clear()
    return str(answer.cookies["AuthSession"].value)


async def asked_as(client: Client, cookie: str, path: str = "/api/deploy-info") -> int:
    answer = await client.get(path, headers={**ANONYMOUS, "Cookie": f"AuthSession={cookie}"})
    return answer.status


# --- cookies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["admin", "asha"])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512", "md5"])
async def test_a_cookie_signed_with_a_guessed_secret_is_refused(
    client: Client, make_user: Any, name: str, digest: str
) -> None:
    asha = await make_user("asha", roles=["program_officer"])
    victim = asha.name if name == "asha" else name

    for key in (b"", b"secret", b"couchdb"):
        assert await asked_as(client, forged(victim, time.time(), key, digest)) == 401


async def test_a_cookie_of_one_user_cannot_be_made_anothers(client: Client, make_user: Any) -> None:
    asha, officer = await make_user("asha", roles=["chw"]), await make_user("officer", roles=["program_officer"])
    own = await session_of(client, asha)
    assert await asked_as(client, own) == 200
    name, issued, signature = base64.urlsafe_b64decode(own + "=" * (-len(own) % 4)).split(b":", 2)

    for plain in (
        b":".join((officer.name.encode(), issued, signature)),
        b":".join((b"admin", issued, signature)),
        b":".join((name, b"%X" % (int(issued, 16) + 3600), signature)),
        b":".join((name, b"0" + issued, signature)),
        b":".join((name, issued, signature[:-1])),
        b":".join((name, issued, signature[:4])),
        b":".join((name, issued, b"")),
        b":".join((name + b"\0", issued, signature)),
        b":".join((name.upper(), issued, signature)),
    ):
        assert await asked_as(client, b64(plain)) == 401, plain


@pytest.mark.parametrize("issued_s", [0, 1, 1_000_000_000, -1])
async def test_an_old_cookie_is_refused_whoever_signed_it(
    client: Client, make_user: Any, couch: Couch, issued_s: int
) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    await session_of(client, asha)  # CouchDB makes its secret at the first login
    section = await couch.request("GET", "/_node/_local/_config/chttpd_auth")
    account = await couch.db("_users").get(f"org.couchdb.user:{asha.name}")
    key = (section["secret"] + account["salt"]).encode()

    assert await asked_as(client, forged(asha.name, time.time(), key)) == 200
    assert await asked_as(client, forged(asha.name, issued_s, key)) == 401
    assert await asked_as(client, forged(asha.name, time.time() - int(section["timeout"]) - 1, key)) == 401


@pytest.mark.parametrize(
    "cookie", ["%", "e30", "AAAA", "YTpi", "YTo6", "....", "eyJhbGciOiJub25lIn0.eyJuYW1lIjoiYWRtaW4ifQ."]
)
async def test_a_cookie_of_another_make_is_refused(client: Client, cookie: str) -> None:
    assert await asked_as(client, cookie) in (400, 401)  # AUTH-31


async def test_the_user_context_cookie_grants_nothing(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    admin = quote('{"name":"admin","roles":["_admin"]}')
    alone = await client.get("/_users/_all_docs", headers={**ANONYMOUS, "Cookie": f"userCtx={admin}"})
    with_login = await client.get("/_users/_all_docs", headers={**asha, **JSON, "Cookie": f"userCtx={admin}"})

    assert (alone.status, with_login.status) == (401, 403)


# --- Basic -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic YWRtaW4=",
        "Basic YWRtaW46",
        "Basic OnNlY3JldA==",
        "Basic !!!!",
        "Basic YWRtaW46c2VjcmV0IA==",
        "Basic YWRtaW4Ac2VjcmV0",
        "Basic YWRtaW46c2VjcmV0Cg==",
        "Basic YWRtaW46U0VDUkVU",
        "Basic QURNSU46c2VjcmV0",
        "Basic: YWRtaW46c2VjcmV0",
        "Digest YWRtaW46c2VjcmV0",
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsInJvbGVzIjpbIl9hZG1pbiJdfQ.",
        "Bearer YWRtaW46c2VjcmV0",
        "Negotiate YWRtaW46c2VjcmV0",
        "YWRtaW46c2VjcmV0",
    ],
)
@pytest.mark.parametrize("path", ["/_users/_all_docs", "/api/v1/users", "/medic/_all_docs"])
async def test_other_writings_of_basic_credentials_let_nobody_in(client: Client, header: str, path: str) -> None:
    answer = await client.get(path, headers={**JSON, "Authorization": header})

    assert answer.status == 401


async def test_the_hash_of_a_password_is_not_the_password(client: Client, make_user: Any, couch: Couch) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    account = await couch.db("_users").get(f"org.couchdb.user:{asha.name}")

    for secret in (account["derived_key"], account["salt"], f"-pbkdf2-{account['derived_key']},{account['salt']},10"):
        assert (await client.get("/api/deploy-info", headers={**JSON, **basic(asha.name, secret)})).status == 401


# --- headers ---------------------------------------------------------------------------------------------------------

CLAIMS = {
    "X-Medic-User": "admin",
    "X-Medic-Service": "api",
    "X-Auth-CouchDB-UserName": "admin",
    "X-Auth-CouchDB-Roles": "_admin",
    "X-Auth-CouchDB-Token": "0",
    "X-Forwarded-User": "admin",
    "X-Remote-User": "admin",
    "X-HTTP-Method-Override": "PUT",
}


async def test_headers_that_claim_an_identity_are_not_believed(client: Client, make_user: Any) -> None:
    asha, clerk = await make_user("asha", roles=["chw"]), await make_user("clerk", roles=["data_entry"])

    assert (await client.get("/medic/_all_docs", headers={**ANONYMOUS, **CLAIMS})).status == 401  # AUTH-12
    assert (await client.get("/_users/_all_docs", headers={**JSON, **asha, **CLAIMS})).status == 403
    assert (await client.get("/_users/_all_docs", headers={**JSON, **clerk, **CLAIMS})).status in (401, 403)


async def test_a_connection_header_cannot_take_away_what_we_add(client: Client, make_user: Any, db: Database) -> None:
    clerk = await make_user("clerk", roles=["data_entry"])
    headers = {**JSON, **clerk, "Connection": "keep-alive, Authorization, X-Medic-User, Cookie, Content-Length"}
    session = await (await client.get("/_session", headers=headers)).json()

    assert session["userCtx"]["name"] == clerk.name


@pytest.mark.parametrize("method", ["PUT", "DELETE", "put", "COPY"])
@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
async def test_a_read_cannot_be_turned_into_a_write(
    client: Client, make_user: Any, db: Database, method: str, header: str
) -> None:
    clerk = await make_user("clerk", roles=["data_entry"])
    rev = await db.put({"_id": "kept", "n": 1})
    headers = {**JSON, **clerk, header: method, "Destination": "copied"}
    await client.get(f"/medic/kept?rev={rev}", headers=headers)
    await client.post("/medic/_all_docs", json={"n": 2}, headers=headers)

    assert (await db.get("kept"))["n"] == 1  # PROXY-10
    assert await db.find("copied") is None


async def test_a_checkpoint_cannot_be_copied_into_a_document(client: Client, make_user: Any, db: Database) -> None:
    clerk = await make_user("clerk", roles=["data_entry"])  # who may not edit
    await client.put("/medic/_local/mine", json={"n": 1}, headers={**JSON, **clerk})
    answer = await raw(client, "COPY", "/medic/_local/mine", headers={**JSON, **clerk, "Destination": "copied"})

    assert answer.status == 403  # PROXY-10
    assert await db.find("copied") is None


@pytest.mark.parametrize("path", ["/_session/", "/_session//", "/_session/x", "/_session%2F"])
async def test_no_other_spelling_lets_passwords_be_tried_uncounted(client: Client, make_user: Any, path: str) -> None:
    clerk = await make_user("clerk", roles=["data_entry"])
    tried = await raw(
        client, "POST", path, json={"name": clerk.name, "password": clerk.password}, headers={**JSON, **clerk}
    )

    assert tried.status in (401, 404)  # AUTH-101
    assert "AuthSession" not in tried.cookies


async def test_no_way_leads_to_the_servers_notes(client: Client, make_user: Any, db: Database) -> None:
    editor = {**JSON, **await make_user("ed", roles=["program_officer"]), "Content-Type": "application/json"}
    await db.put({"_id": "kept"})
    bulk = b'{"docs":[{"_id":"%s","n":1}]}'
    attempts = [
        ("PUT", "_local/sms-offers", b'{"n":1}', ""),
        ("POST", "", b'{"_id":"_local/sms-offers","n":1}', ""),
        ("POST", "_bulk_docs", bulk % b"_local/sms-offers", ""),
        ("POST", "_bulk_docs", bulk % rb"\u005flocal\/sms\u002doffers", ""),
        ("POST", "_bulk_docs", (bulk % b"_local/sms-offers")[:-1] + b',"docs":[]}', ""),
        ("POST", "_bulk_docs/", bulk % b"_local/sms-offers", ""),
        ("POST", "_bulk_docs%2F", bulk % b"_local/sms-offers", ""),
        ("COPY", "kept", None, "_local/sms-offers"),
        ("COPY", "kept", None, "%5Flocal%2Fsms-offers"),
    ]
    answers = [
        await raw(client, method, f"/medic/{path}", data=body, headers={**editor, "Destination": target})
        for method, path, body, target in attempts
    ]

    assert [answer.status for answer in answers] == [403] * len(attempts)
    assert await db.get_local("sms-offers") is None


async def send_raw(client: Client, text: str) -> bytes:
    """Everything the server answers to these bytes until it closes the connection."""
    url = client.make_url("/")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(text.replace("\n", "\r\n").encode())
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\nContent-Length: 60",
        "Content-Length: 5\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\nContent-Length: 5",
        "Transfer-Encoding: chunked\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity, chunked, identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: xchunked",
        "Content-Length: +5",
        "Content-Length: 5_0",
        "Content-Length: -1",
        "Content-Length: 0x10",
    ],
)
async def test_a_second_request_cannot_hide_in_a_body(
    client: Client, config: Config, db: Database, framing: str
) -> None:
    admin = basic(*config.couch_admin)["Authorization"]
    hidden = f"PUT /medic/hidden HTTP/1.1\nHost: x\nAuthorization: {admin}\nContent-Length: 2\n\n{{}}"
    head = f"POST /medic/_all_docs HTTP/1.1\nHost: x\nAuthorization: {admin}\nContent-Type: application/json\n"
    answer = await send_raw(client, f"{head}{framing}\n\n0\n\n{hidden}")

    assert answer.startswith(b"HTTP/1.1 400") or answer.startswith(b"HTTP/1.0 400"), answer[:200]
    assert answer.count(b"HTTP/1.") == 1
    assert await db.find("hidden") is None


async def test_a_line_break_in_a_path_or_cookie_sets_no_header(client: Client) -> None:
    for path in ("/medic/login?redirect=%0d%0aSet-Cookie:%20x=y", "/medic/x%0d%0aSet-Cookie:%20x=y"):
        answer = await raw(client, "GET", path, headers={**ANONYMOUS, "User-Agent": "Mozilla"}, allow_redirects=False)

        assert "x=y" not in "".join(answer.headers.getall("Set-Cookie", []))


# --- paths -----------------------------------------------------------------------------------------------------------

FOREIGN = [
    "/_users/_all_docs",
    "//_users///_all_docs",
    "/%5Fusers/_all_docs",
    "/_users%2F_all_docs",
    "/_users/_all_docs/",
    "/_users/_all_docs/.",
    "/_users/./_all_docs",
    "/medic/../_users/_all_docs",
    "/medic/%2e%2e/_users/_all_docs",
    "/medic/..%2F_users%2F_all_docs",
    "/medic/_design/medic/../../../_users/_all_docs",
    "/medic%2F..%2F_users/_all_docs",
    "/medic-user-{name}-meta/../_users/_all_docs",
    "/medic-user-{name}-meta/%2e%2e/_users/_all_docs",
    "/medic-user-{name}-meta%2F..%2F_users/_all_docs",
    "/medic-user-x-meta%2F..%2F..%2F_users%2F_all_docs-meta",
    "/_users/org.couchdb.user:{other}",
    "/_users/org.couchdb.user%3A{other}",
    "/_users//org.couchdb.user:{other}",
    "/_users/_bulk_get",
    "/_users/_changes?include_docs=true",
    "/_users/_changes?filter=_doc_ids",
    "/_users/_design/_auth",
    "/_users/_design%2F_auth",
    "/_users/_find",
    "/_users/_local_docs",
    "/_node/_local/_config",
    "/_node/_local/_config/admins",
    "//_node//_local/_config/chttpd_auth/secret",
    "/%5Fnode/_local/_config",
    "/_node/nonode@nohost/_config",
    "/_config/admins",
    "/_config",
    "/_all_dbs",
    "/_dbs_info",
    "/_active_tasks",
    "/_replicator/_all_docs",
    "/_scheduler/jobs",
    "/_cluster_setup",
    "/medic-vault/_all_docs",
    "/medic%2Dvault/_all_docs",
    "/medic-sentinel/_all_docs",
    "/medic-logs/_all_docs",
    "/medic-users-meta/_all_docs",
    "/medic-user-{other}-meta/_all_docs",
    "/medic-user-{other}-meta/",
    "//medic-user-{other}-meta//_changes",
    "/{db}-user-{other}-meta/_all_docs",
    "/%6Dedic-user-{other}-meta/_all_docs",
    "/medic-user-{other}%2Dmeta/_all_docs",
    "/MEDIC/_all_docs",
    "/medic./_all_docs",
    "/medic%00/_all_docs",
    "/medic;/_all_docs",
]


@pytest.mark.parametrize("role", ["chw", "data_entry", "program_officer"], ids=["offline", "online", "may edit"])
async def test_what_belongs_to_the_administrator_or_to_others_is_out_of_reach(
    client: Client, make_user: Any, db: Database, couch: Couch, role: str
) -> None:
    caller, other = await make_user("asha", roles=[role]), await make_user("other", roles=["chw"])
    for login in (caller, other):
        assert (await client.put(f"/medic-user-{login.name}-meta/", headers=login)).status == 200
    meta = couch.db(f"{db.name}-user-{other.name}-meta")
    await meta.put({"_id": "read:report:private-note"})
    leaked = []
    for pattern in FOREIGN:
        path = pattern.format(name=caller.name, other=other.name, db=db.name)
        for method, body in (("GET", None), ("POST", b'{"docs":[{"id":"org.couchdb.user:x"}],"selector":{}}')):
            headers = {**JSON, **caller, "Content-Type": "application/json"}
            answer = await raw(client, method, path, data=body, headers=headers)
            text = await answer.text()
            told = [
                word for word in ("private-note", "derived_key", f"user:{other.name}", "hash_algor") if word in text
            ]
            empty = answer.status == 200 and "_changes" in path and other.name not in text
            if told or (answer.status < 400 and not empty):
                leaked.append((method, path, answer.status, text[:150]))

    assert not leaked


@pytest.mark.parametrize("role", ["chw", "data_entry", "program_officer"], ids=["offline", "online", "may edit"])
@pytest.mark.parametrize(
    "path",
    [
        "/_users/org.couchdb.user:{name}",
        "//_users/org.couchdb.user:{name}",
        "/_users%2Forg.couchdb.user:{name}",
        "/medic/../_users/org.couchdb.user:{name}",
        "/medic/_local/../../_users/org.couchdb.user:{name}",
        "/medic/_local%2F..%2F..%2F_users%2Forg.couchdb.user:{name}",
        "/_users/_bulk_docs",
        "/_users/",
    ],
)
async def test_nobody_raises_the_own_account(
    client: Client, make_user: Any, couch: Couch, role: str, path: str
) -> None:
    asha = await make_user("asha", roles=[role])
    users = couch.db("_users")
    account = await users.get(f"org.couchdb.user:{asha.name}")
    raised = {**account, "roles": ["_admin"], "facility_id": "elsewhere"}
    body = {"docs": [raised]} if path.endswith("_bulk_docs") else raised
    method = "POST" if path.endswith(("_bulk_docs", "/")) else "PUT"
    answer = await raw(client, method, path.format(name=asha.name), json=body, headers={**JSON, **asha})

    assert answer.status >= 400  # PROXY-2
    after = await users.get(account["_id"])
    assert (after["roles"], after.get("facility_id")) == ([role], None)


@pytest.mark.parametrize(
    "path", ["_local/access-identity", "_local%2Fsms-offers", "_local//sms-offers", "_local/%61ccess-identity"]
)
@pytest.mark.parametrize("role", ["chw", "program_officer"])
async def test_the_servers_own_notes_are_not_for_clients(client: Client, make_user: Any, path: str, role: str) -> None:
    caller = await make_user("asha", roles=[role])
    answers = [
        await raw(client, method, f"/medic/{path}", json={}, headers={**JSON, **caller}) for method in ("GET", "PUT")
    ]

    assert [answer.status for answer in answers] == [403, 403]


@pytest.mark.parametrize("path", ["/_replicate", "//_replicate", "/%5Freplicate", "/_replicate/"])
async def test_couchdb_is_not_made_to_call_other_servers(client: Client, make_user: Any, path: str) -> None:
    officer = await make_user("officer", roles=["program_officer"])
    body = {"source": "http://127.0.0.1:1/inside", "target": "http://127.0.0.1:1/inside"}
    answer = await raw(client, "POST", path, json=body, headers={**JSON, **officer})

    assert (answer.status, (await answer.json())["error"]) == (403, "forbidden")


async def test_a_login_leads_to_this_server_only(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    for redirect in ("//evil.example", "https://evil.example", "/\\evil.example", "/%2F/evil.example", "javascript:x"):
        body = {"user": asha.name, "password": asha.password, "redirect": redirect}
        answer = await client.post("/medic/login", json=body, headers=ANONYMOUS, allow_redirects=False)
        target = await answer.text()

        assert target.startswith("/")  # AUTH-64
        assert not target.startswith(("//", "/\\"))
        assert "evil.example" not in target or redirect == "https://evil.example/"


async def test_sessions_of_answers_are_not_told_to_other_origins(client: Client) -> None:
    answer = await client.get("/_session", headers={**JSON, "Origin": "https://evil.example"})

    assert "Access-Control-Allow-Origin" not in answer.headers  # AUTH-16


def test_orjson_reads_a_repeated_member_as_couchdb_is_sent_it() -> None:
    assert orjson.loads(b'{"_id":"a","_id":"b"}') == {"_id": "b"}
