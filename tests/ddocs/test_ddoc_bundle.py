"""Reading the bundle and installing it."""

from __future__ import annotations

import copy
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.couch.ddocs import FOLDER, install, load_bundle, outdated
from core.errors import Conflict, Forbidden

BUNDLED = {
    "medic": [
        "medic",
        "medic-admin",
        "medic-client",
        "medic-conflicts",
        "medic-openrosa",
        "medic-phones",
        "medic-purging",
        "medic-scripts",
        "medic-sms",
        "medic-validation",
    ],
    "sentinel": ["sentinel"],
    "logs": ["logs"],
    "users-meta": ["users-meta"],
    "users": ["users"],
    "user-meta": ["medic-user"],
}
SEMVER = re.compile(r"(\d+)\.(\d+)\.(\d+)\+[0-9A-Za-z.-]+")


class FakeDatabase:
    """The two calls of a Database that an installation makes, over a dict; counts them."""

    name = "medic"

    def __init__(self) -> None:
        self.docs: dict[str, Any] = {}
        self.reads = 0
        self.writes = 0

    async def all_docs(self, keys: list[str], include_docs: bool) -> list[dict[str, Any]]:
        assert include_docs
        self.reads += 1
        return [
            {"id": key, "key": key, "value": {}, "doc": copy.deepcopy(self.docs[key])}
            if key in self.docs
            else {"key": key, "error": "not_found"}
            for key in keys
        ]

    async def bulk_docs(self, docs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.writes += 1
        return [self.write(doc) for doc in docs]

    def write(self, doc: dict[str, Any]) -> dict[str, Any]:
        stored_rev = self.docs.get(doc["_id"], {}).get("_rev")
        if doc.get("_rev") != stored_rev:
            return {"id": doc["_id"], "error": "conflict", "reason": "Document update conflict."}
        rev = f"{int((stored_rev or '0').split('-')[0]) + 1}-a"
        self.docs[doc["_id"]] = {**copy.deepcopy(doc), "_rev": rev}
        return {"ok": True, "id": doc["_id"], "rev": rev}


class RacingDatabase(FakeDatabase):
    """Another process writes the same documents between our read and our write, each of the first `races` times."""

    def __init__(self, rivals: list[dict[str, Any]], races: int) -> None:
        super().__init__()
        self.rivals = rivals
        self.races = races

    async def bulk_docs(self, docs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.races:
            self.races -= 1
            for rival in self.rivals:
                self.write({**rival, "_rev": self.docs[rival["_id"]]["_rev"]} if rival["_id"] in self.docs else rival)
        return await super().bulk_docs(docs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundle to change."""
    return Path(shutil.copytree(FOLDER, tmp_path / "ddocs"))


@pytest.fixture
def medic() -> list[dict[str, Any]]:
    return load_bundle()["medic"]


def versions(bundle: dict[str, list[dict[str, Any]]]) -> set[str]:
    return {ddoc["version"] for ddocs in bundle.values() for ddoc in ddocs}


def test_the_bundle_holds_each_databases_documents():  # DDOC-1
    ids = {role: [ddoc["_id"] for ddoc in ddocs] for role, ddocs in load_bundle().items()}

    assert ids == {role: [f"_design/{name}" for name in names] for role, names in BUNDLED.items()}


def test_every_document_of_a_build_has_one_version_and_build_info():  # DDOC-2
    bundle = load_bundle()
    (version,) = versions(bundle)

    for ddoc in (each for ddocs in bundle.values() for each in ddocs):
        info = ddoc["build_info"]
        assert info["version"] == version
        assert (info["namespace"], info["application"], info["schema_version"]) == ("medic", "medic", 2)
        assert {"base_version", "build", "time", "author"} <= set(info)
        assert ddoc["language"] == "javascript"


def test_the_version_is_semver_and_tells_tools_they_may_query_full_text():  # DDOC-3, CONF-7
    (version,) = versions(load_bundle())

    match = SEMVER.fullmatch(version)

    assert match is not None
    assert int(match[1]) >= 5


def test_loading_twice_gives_the_same_documents():
    assert load_bundle() == load_bundle()


@pytest.mark.parametrize(
    "path", ["medic/medic/views/contacts_by_depth/map.js", "logs/logs/views/connected_users/reduce"]
)
def test_a_changed_file_changes_the_version_of_all(folder, path):  # DDOC-2, UPG-3
    before = load_bundle(folder)
    (folder / path).write_text("_sum" if path.endswith("reduce") else "function (doc) {}")
    after = load_bundle(folder)

    assert versions(after).isdisjoint(versions(before))
    for role, ddocs in after.items():
        assert all(new["digest"] != old["digest"] for new, old in zip(ddocs, before[role], strict=True))


def test_legacy_views_change_the_documents_and_not_the_version_of_the_build():  # DDOC-88
    plain, legacy = load_bundle(), load_bundle(legacy=True)
    digests = [{ddoc["_id"]: ddoc["digest"] for ddoc in bundle["medic"]} for bundle in (plain, legacy)]

    assert versions(plain) == versions(legacy)
    assert {doc_id for doc_id in digests[0] if digests[0][doc_id] != digests[1][doc_id]} == {"_design/medic-client"}


def test_a_language_file_is_followed(folder):
    (folder / "medic/medic-scripts/language").write_text("query\n")

    scripts = next(ddoc for ddoc in load_bundle(folder)["medic"] if ddoc["_id"] == "_design/medic-scripts")

    assert scripts["language"] == "query"


def test_a_view_without_map_is_named(folder):
    (folder / "logs/logs/views/connected_users/map.js").unlink()

    with pytest.raises(FileNotFoundError, match=r"connected_users/map\.js"):
        load_bundle(folder)


def test_a_folder_without_documents_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no design documents"):
        load_bundle(tmp_path)


async def test_install_writes_what_is_missing_in_one_read_and_one_write(medic):
    db = FakeDatabase()

    written = await install(db, medic)

    assert written == [ddoc["_id"] for ddoc in medic]
    assert (db.reads, db.writes) == (1, 1)
    assert await outdated(db, medic) == []


async def test_install_does_not_rewrite_what_is_there(medic):
    db = FakeDatabase()
    await install(db, medic)

    assert await install(db, medic) == []

    assert (db.reads, db.writes) == (2, 1)


async def test_install_replaces_a_different_document_only(medic):
    db = FakeDatabase()
    await install(db, medic)
    db.docs["_design/medic"] = {"_id": "_design/medic", "_rev": "4-b", "version": "4.2.0", "views": {}}

    assert await install(db, medic) == ["_design/medic"]

    assert db.docs["_design/medic"]["_rev"] == "5-a"
    assert "contacts_by_depth" in db.docs["_design/medic"]["views"]


async def test_install_keeps_the_attachments_of_what_it_replaces(medic):
    db = FakeDatabase()
    app = {"index.html": {"stub": True, "digest": "md5-x", "length": 5, "content_type": "text/html", "revpos": 1}}
    db.docs["_design/medic"] = {"_id": "_design/medic", "_rev": "1-b", "views": {}, "_attachments": app}

    await install(db, medic)

    assert db.docs["_design/medic"]["_attachments"] == app


async def test_install_leaves_unknown_documents_alone(medic):  # UPG-6
    db = FakeDatabase()
    db.docs["_design/mine"] = {"_id": "_design/mine", "_rev": "1-a", "views": {}}

    await install(db, medic)

    assert db.docs["_design/mine"]["_rev"] == "1-a"


async def test_install_keeps_deploy_info(medic):  # DDOC-2
    db = FakeDatabase()

    await install(db, medic, deploy_info={"user": "admin", "timestamp": 5})

    assert db.docs["_design/medic"]["deploy_info"] == {"user": "admin", "timestamp": 5}
    assert await install(db, medic, deploy_info={"user": "sue", "timestamp": 6}) == []


async def test_two_processes_installing_the_same_build_at_once_agree(medic):
    db = RacingDatabase(rivals=medic, races=1)

    assert await install(db, medic) == []

    assert await outdated(db, medic) == []


async def test_install_wins_over_another_writer(medic):
    other = [{**ddoc, "digest": "other"} for ddoc in medic[:2]]
    db = RacingDatabase(rivals=other, races=1)

    assert sorted(await install(db, medic)) == sorted(ddoc["_id"] for ddoc in medic)

    assert await outdated(db, medic) == []


async def test_install_gives_up_against_a_writer_who_does_not(medic):
    db = RacingDatabase(rivals=[{**medic[0], "digest": "other"}], races=100)

    with pytest.raises(Conflict, match="medic"):
        await install(db, medic)


async def test_install_reports_any_other_refusal(medic):
    class RefusingDatabase(FakeDatabase):
        def write(self, doc: dict[str, Any]) -> dict[str, Any]:
            return {"id": doc["_id"], "error": "forbidden", "reason": "not you"}

    with pytest.raises(Forbidden, match="not you"):
        await install(RefusingDatabase(), medic)


def test_every_view_is_named_in_the_documentation():
    page = (FOLDER.parent / "docs" / "ddocs.md").read_text()
    sections = dict(re.findall(r"^## `([^`]+)`[^\n]*\n(.*?)(?=^## |\Z)", page, flags=re.DOTALL | re.MULTILINE))

    documented = {
        f"{ddoc}/{view}" for ddoc, text in sections.items() for view in re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)
    }

    assert documented == {
        f"{ddoc['_id'].removeprefix('_design/')}/{view}"
        for ddocs in load_bundle(legacy=True).values()
        for ddoc in ddocs
        for view in ddoc["views"]
    }
