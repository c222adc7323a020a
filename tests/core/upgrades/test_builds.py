"""Builds: made from a folder of design documents, kept in a folder or a database, read back whole or not at all."""

from __future__ import annotations

import base64
import copy
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from core.config import Config
from core.couch.client import connect
from core.couch.ddocs import FOLDER, load_bundle
from core.errors import Conflict, DomainError, InvalidInput, NotFound, Unavailable
from core.upgrades.builds import BuildName, is_older, make_build, read_build, release_key
from core.upgrades.sources import Builds, builds_at, open_builds


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return make_build()


def name(version: str) -> BuildName:
    return BuildName("medic", "medic", version)


@pytest.fixture
async def database(couch_url: str) -> AsyncIterator[str]:
    """The URL of an empty builds database."""
    parts = urlsplit(couch_url)
    config = Config().with_couch_url(f"{couch_url}/builds-{secrets.token_hex(4)}")
    async with connect(config) as couch:
        await couch.db(config.database).create()
        yield f"{parts.scheme}://{parts.netloc}/{config.database}"
        await couch.db(config.database).delete_database()


@pytest.fixture(params=["folder", "database"])
def builds(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> Builds:
    """An empty place for builds, of either kind."""
    return builds_at(str(tmp_path) if request.param == "folder" else database)


def test_a_build_holds_every_databases_design_documents(made: dict[str, Any]) -> None:  # UPG-10
    build = read_build(made)

    assert made["_id"] == f"medic:medic:{build.info['version']}"
    assert set(build.plain) == {"medic", "sentinel", "logs", "users-meta", "users"}
    plain, legacy = build.bundle(legacy=False), build.bundle(legacy=True)
    for role, ddocs in plain.items():
        assert [ddoc["digest"] for ddoc in ddocs] == [ddoc["digest"] for ddoc in load_bundle()[role]]
    assert legacy["medic"] != plain["medic"]  # DDOC-88
    assert legacy["logs"] == plain["logs"]


def test_a_build_may_have_a_version_of_its_own() -> None:
    build = read_build(make_build(version="5.1.0-beta.1"))

    assert {ddoc["version"] for ddocs in build.plain.values() for ddoc in ddocs} == {"5.1.0-beta.1"}
    assert build.name == name("5.1.0-beta.1")


async def test_what_was_put_in_is_given_back(builds: Builds, made: dict[str, Any]) -> None:
    version = made["build_info"]["version"]

    await builds.add(made)
    await builds.add(made)

    assert await builds.get(name(version)) == read_build(made)
    assert [(each["kind"], each["version"]) for each in await builds.releases()] == [("release", version)]
    assert "@" not in builds.url


def test_a_folder_may_be_named_by_its_url(tmp_path: Path) -> None:
    assert builds_at((tmp_path / "a folder").as_uri()).url == str(tmp_path / "a folder")


VERSIONS = ["5.0.0", "5.10.0", "5.2.0", "5.2.0-beta.2", "5.2.0-beta.10", "main", "v4.1.0+x.1", "5.2.0-FR-maps"]


async def test_releases_are_listed_by_kind_the_newest_first(builds: Builds, made: dict[str, Any]) -> None:
    for version in VERSIONS:
        info = {**made["build_info"], "version": version}
        await builds.add({"_id": name(version).doc_id, "build_info": info, "digest": version})

    found = [(each["kind"], each["version"]) for each in await builds.releases()]

    assert found == [
        *(("release", version) for version in ("5.10.0", "5.2.0", "5.0.0", "v4.1.0+x.1")),
        *(("beta", version) for version in ("5.2.0-beta.10", "5.2.0-beta.2")),
        ("branch", "main"),
        ("FR-maps", "5.2.0-FR-maps"),
    ]


async def test_what_is_not_there_is_not_found(builds: Builds) -> None:

    with pytest.raises(NotFound, match=r"medic:medic:9\.9\.9"):
        await builds.get(name("9.9.9"))


async def test_a_version_cannot_be_another_build_later(builds: Builds, made: dict[str, Any]) -> None:
    await builds.add(made)

    with pytest.raises(Conflict, match="another build"):
        await builds.add({**made, "digest": "sha256-other"})


async def test_a_builds_server_that_is_away_is_named() -> None:
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9/builds cannot be reached"):
        await builds_at("http://me:secret@127.0.0.1:9/builds").get(name("5.0.0"))


@pytest.fixture
async def liar() -> AsyncIterator[TestServer]:
    """A server that answers with what its path says, and anything else without an end."""

    async def lie(request: web.Request) -> web.StreamResponse:
        said = request.match_info["said"]
        if said == "moved":
            return web.json_response({"rows": []}, status=302, headers={"Location": "/elsewhere"})
        if said != "endless":
            return web.Response(text=said)
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(2**20))

    app = web.Application()
    app.add_routes([web.get("/{said:[^/]+}/{rest:.*}", lie)])
    async with TestServer(app) as server:
        yield server


@pytest.mark.parametrize(
    "said",
    ["[1]", '"hi"', "{}", '{"rows": [5]}', '{"rows": [{"key": 5, "value": "x"}]}', "<html>", "moved", "endless"],
)
async def test_a_server_of_another_kind_is_named(liar: TestServer, said: str) -> None:
    builds = builds_at(str(liar.make_url(f"/{quote(said)}")))

    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:"):
        await builds.get(name("5.0.0"))
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:"):
        await builds.releases()


async def test_files_of_another_kind_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"_id": "medic:medic:a", "build_info": "x"}')
    (tmp_path / "b.json").write_text('["medic:medic:b"]')

    assert await builds_at(str(tmp_path)).releases() == []


async def test_a_file_cut_short_is_named(made: dict[str, Any], tmp_path: Path) -> None:
    version = made["build_info"]["version"]
    (tmp_path / f"{version}.json").write_bytes(orjson.dumps(made)[:5000])
    builds = builds_at(str(tmp_path))

    with pytest.raises(InvalidInput, match="is no build"):
        await builds.get(name(version))
    assert await builds.releases() == []


def bundled(bundle: Any) -> dict[str, Any]:
    return {"ddocs/medic.json": {"data": base64.b64encode(orjson.dumps(bundle)).decode()}}


def changed(doc: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**copy.deepcopy(doc), **members}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"digest": "sha256-0"}, "damaged"),
        ({"_id": "medic:medic:other"}, "says of itself"),
        ({"build_info": {"namespace": "medic", "application": 5, "version": "1"}}, "Invalid build info"),
        ({"build_info": {"namespace": "medic", "application": "medic", "version": "../x"}}, "`version` must be"),
        ({"_attachments": {}, "digest": None}, "damaged"),
        ({"_attachments": {"ddocs/medic.json": {"data": "!"}}}, "cannot be read"),
        ({"_attachments": {"ddocs/medic.json": {"data": "e30="}}}, "cannot be read"),
        ({"_attachments": ["ddocs/medic.json"]}, "has no attachments"),
        ({"_attachments": bundled({"docs": []}), "digest": None}, "damaged"),
        ({"_attachments": bundled({"docs": 5})}, "cannot be read"),
        ({"_attachments": bundled({"docs": [{"_id": "_design/medic", "views": []}]})}, "cannot be read"),
    ],
)
def test_a_damaged_build_is_refused(made: dict[str, Any], change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_build(changed(made, **change))


def test_a_build_without_digest_and_info_is_read_by_its_id(made: dict[str, Any]) -> None:
    foreign = {name: value for name, value in made.items() if name in ("_id", "_attachments")}

    assert read_build(foreign).name.version == made["build_info"]["version"]


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("5.0.0", "5.0.1"),
        ("5.0.0-beta.1", "5.0.0"),
        ("5.0.0-beta.2", "5.0.0-beta.10"),
        ("5.0.0+0.1.0.aa", "5.0.0+0.2.0.00"),
    ],
)
def test_versions_tell_which_is_older(older: str, newer: str) -> None:
    assert is_older({"version": older}, {"version": newer})
    assert not is_older({"version": newer}, {"version": older})


def test_times_tell_where_versions_do_not() -> None:
    first = {"version": "5.0.0+0.1.0.aa", "time": "2031-01-01T00:00:00.000Z"}
    second = {"version": "5.0.0+0.1.0.bb", "time": "2031-01-02T00:00:00.000Z"}

    assert is_older(first, second)
    assert not is_older(second, first)
    assert not is_older(first, {**first, "time": second["time"]})


def test_the_folder_of_builds_is_in_the_data_folder(tmp_path: Path) -> None:
    assert open_builds(Config(data=tmp_path)).url == str(tmp_path / "builds")


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="BUILDS_URL must be"):
        builds_at("ftp://host/builds")
    with pytest.raises(InvalidInput, match="BUILDS_URL is not a URL"):
        builds_at("http://[host/builds")


def test_release_keys_are_as_documented() -> None:  # UPG-10
    info = {"namespace": "medic", "application": "medic"}

    assert release_key({**info, "version": "4.5.6"}) == ["release", "medic", "medic", 4, 5, 6]
    assert release_key({**info, "version": "4.5.6-beta.7"}) == ["beta", "medic", "medic", 4, 5, 6, 7]
    assert release_key({**info, "version": "4.5.6-archive"}) == ["archive", "medic", "medic", 4, 5, 6]


def test_a_changed_view_is_another_version(made: dict[str, Any], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "ddocs"))
    (folder / "medic/medic-client/views/contacts_by_type/map.js").write_text("function (doc) {}")

    assert make_build(folder)["_id"] != made["_id"]


def test_unfit_names_are_refused() -> None:
    for value in (None, {}, {"namespace": "medic", "application": "medic"}):
        with pytest.raises(DomainError, match="Invalid build info"):
            BuildName.of(value)
