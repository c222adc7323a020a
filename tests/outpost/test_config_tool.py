"""The configuring command line as it is published, with a project of ours, against a whole deployment (65 §2..4)."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.conftest import basic
from tests.outpost.conftest import Deployment

CLIENTS = Path(__file__).parent.parent / "clients"
TOOL = CLIENTS / "tools" / "node_modules" / ".bin" / "cht"
PROJECT = CLIENTS / "project"
JSON = {"Accept": "application/json"}

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(
        shutil.which("node") is None or not TOOL.exists(),
        reason="Node or the configuring command line is not here (scripts/test installs it where npm is present)",
    ),
]

UPLOADS = (
    "upload-app-settings",
    "upload-app-forms",
    "upload-contact-forms",
    "upload-collect-forms",
    "upload-resources",
    "upload-branding",
    "upload-partners",
    "upload-custom-translations",
    "upload-privacy-policies",
    "upload-training-forms",
    "upload-extension-libs",
    "upload-database-indexes",
)
UPLOADED = (
    "settings",
    "form:home_visit",
    "form:contact:clinic:create",
    "form:survey",
    "resources",
    "branding",
    "partners",
    "messages-en",
    "messages-sw",
    "privacy-policies",
    "form:training:first_aid",
    "extension-libs",
    "database-indexes",
)


class Author:
    """Somebody who configures the deployment from a copy of the project in a folder of the test's."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment, self.folder = deployment, folder
        user, password = deployment.admin
        self.url = deployment.url.replace("http://", f"http://{user}:{password}@")
        self.http = httpx.Client(base_url=f"{deployment.url}/medic", headers=basic(user, password), timeout=30)

    def runs(self, *actions: str, session: str = "", **arguments: str) -> str:
        """What the tool says while it does these actions, all of them with success; logged in, or by a session."""
        ran = self.tries(*actions, session=session, **arguments)
        said = ran.stdout + ran.stderr
        assert ran.returncode == 0, said
        return said

    def tries(self, *actions: str, session: str = "", **arguments: str) -> subprocess.CompletedProcess[str]:
        checks = [f"--skip-{name}-check" for name in ("version", "dependency", "git", "translation")]
        extra = ["--", *(f"--{name}={value}" if value else f"--{name}" for name, value in arguments.items())]
        login = [f"--url={self.deployment.url}", f"--session-token={session}"] if session else [f"--url={self.url}"]
        command = ["node", str(TOOL), *login, "--force", *checks, *actions, *(extra if arguments else ())]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)

    def doc(self, doc_id: str, **query: str) -> dict[str, Any]:
        answer = self.http.get(f"/{doc_id.replace(':', '%3A')}", params=query)
        doc: dict[str, Any] = answer.json()
        return doc

    def revs(self, ids: tuple[str, ...]) -> dict[str, str]:
        rows = self.http.post("/_all_docs", json={"keys": ids}).json()["rows"]
        return {row["key"]: row["value"]["rev"] for row in rows}

    def id_of(self, name: str) -> str:
        """The id that the tool has given to a contact of its CSV files."""
        made = (orjson.loads(path.read_bytes()) for path in (self.folder / "json_docs").iterdir())
        return next(str(doc["_id"]) for doc in made if doc.get("name") == name)

    def has(self, doc_id: str, name: str, path: str) -> bool:
        """Whether the attachment is that file of the project."""
        stored = self.http.get(f"/{doc_id.replace(':', '%3A')}/{name}")
        return stored.content == (self.folder / path).read_bytes()


@pytest.fixture(scope="module")
def author(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Author]:
    folder = tmp_path_factory.mktemp("author") / "project"
    shutil.copytree(PROJECT, folder)
    author = Author(deployment, folder)
    author.runs("compile-app-settings", *UPLOADS)
    yield author
    author.http.close()


@pytest.fixture(scope="module")
def district(author: Author) -> Author:
    """The author, who has made and uploaded the contacts, reports and accounts of the CSV files."""
    author.runs("csv-to-docs", "upload-docs", "create-users")
    return author


def test_settings_are_those_of_the_project(author: Author) -> None:
    settings = author.doc("settings")["settings"]

    assert settings["locale_outgoing"] == "sw"
    assert settings["forms"]["NET"]["public_form"] is True
    assert settings["permissions"]["can_configure"] == ["nurse"]
    assert "can_export_all" in settings["permissions"]  # CONF-53
    assert "net-check" in settings["tasks"]["rules"]
    assert [target["id"] for target in settings["tasks"]["targets"]["items"]] == ["home-visits"]


def test_forms_are_stored_with_all_their_parts(author: Author) -> None:
    home_visit = author.doc("form:home_visit")
    clinic = author.doc("form:contact:clinic:create")
    survey = author.doc("form:survey")

    assert home_visit["context"] == {"person": True, "place": False, "expression": "contact.nets < 5"}  # CONF-40
    assert home_visit["_attachments"].keys() == {"images/net.png", "xml", "form.html", "model.xml"}
    assert author.has("form:home_visit", "images/net.png", "forms/app/home_visit-media/images/net.png")
    assert author.has("form:home_visit", "xml", "forms/app/home_visit.xml")
    assert clinic["context"] == {"person": False, "place": False}
    assert clinic["_attachments"].keys() == {"xml", "form.html", "model.xml"}
    assert (survey["context"], survey["_attachments"].keys()) == ({"collect": True}, {"xml"})
    assert [home_visit["_rev"][:2], clinic["_rev"][:2], survey["_rev"][:2]] == ["1-", "1-", "1-"]  # FORM-60


def test_resources_branding_partners_and_policies_are_stored(author: Author) -> None:
    resources, branding, partners = author.doc("resources"), author.doc("branding"), author.doc("partners")
    policies = author.doc("privacy-policies")
    digest = base64.b64encode(hashlib.md5((author.folder / "resources/hut.png").read_bytes()).digest()).decode()

    assert resources["resources"] == {"icon-net": "net.svg", "icon-hut": "hut.png"}  # CONF-41, MOD-12
    assert resources["_attachments"]["hut.png"]["digest"] == f"md5-{digest}"  # CONF-32
    assert author.has("resources", "net.svg", "resources/net.svg")
    assert branding["title"] == "Net visits"  # CONF-42, MOD-13
    assert author.has("branding", "favicon.png", "branding/favicon.png")
    assert partners["resources"] == {"Ministry of Health": "ministry.png"}
    assert author.has("partners", "ministry.png", "partners/ministry.png")
    assert policies["privacy_policies"] == {"en": "en.html", "sw": "sw.html"}  # CONF-43, MOD-14
    assert author.has("privacy-policies", "sw.html", "privacy-policies/sw.html")


def test_training_cards_libraries_and_indexes_are_stored(author: Author) -> None:
    training = author.doc("form:training:first_aid")
    indexes = author.http.get("/_index").json()["indexes"]

    assert training["context"] == {"start_date": "2026-01-01", "duration": 10, "user_roles": ["nurse"]}
    assert training["_attachments"].keys() == {"xml", "form.html", "model.xml"}  # CONF-14
    assert author.has("extension-libs", "average.js", "extension-libs/average.js")  # CONF-44
    assert [each["def"]["fields"] for each in indexes if each["name"] == "reports_by_patient"] == [
        [{"type": "asc"}, {"fields.patient_id": "asc"}]
    ]  # CONF-20
    assert author.doc("database-indexes")["database-indexes"].keys() == {"reports_by_patient"}  # CONF-46


def test_translations_are_stored(author: Author) -> None:
    swahili = author.doc("messages-sw")

    assert (swahili["type"], swahili["code"]) == ("translations", "sw")
    assert swahili["custom"]["target.home-visits"] == "Ziara za nyumbani"  # CONF-45
    assert author.doc("messages-en")["custom"]["usertype.nurse"] == "Nurse"


def test_a_second_run_writes_nothing(author: Author) -> None:
    before = author.revs(UPLOADED)
    author.runs(*UPLOADS)

    assert author.revs(UPLOADED) == before  # CONF-30..33, CONF-53


def test_settings_and_forms_are_backed_up(author: Author) -> None:
    author.runs("backup-app-settings", "backup-all-forms")
    backups = author.folder / "backups"
    settings = orjson.loads(next(backups.glob("app_settings.json.*.bak")).read_bytes())
    forms = next(backups.glob("forms.*.bak"))

    assert settings["locale_outgoing"] == "sw"  # CONF-11
    assert {path.name for path in forms.iterdir()} == {
        "form_home_visit",
        "form_contact_clinic_create",
        "form_survey",
        "form_training_first_aid",
    }  # CONF-15


def test_a_form_is_deleted_and_uploaded_again_by_a_session(author: Author) -> None:
    user, password = author.deployment.admin
    login = author.http.post(f"{author.deployment.url}/_session", json={"name": user, "password": password})
    author.runs("delete-forms", "--", "survey")
    deleted = author.doc("form:survey")
    said = author.runs("upload-collect-forms", session=login.cookies["AuthSession"])

    assert deleted["reason"] == "deleted"  # CONF-17
    assert author.doc("form:survey")["_rev"].startswith("3-")  # CONF-2
    assert "uploaded" in said


def test_documents_of_csv_files_are_uploaded(district: Author) -> None:
    neema = district.doc(district.id_of("Neema"))

    assert (neema["type"], neema["nets"]) == ("person", 3)
    assert neema["parent"]["_id"] == district.id_of("Ilala")
    assert "imported_date" in neema  # CONF-21


def test_accounts_are_created(district: Author) -> None:
    asha = httpx.get(f"{district.deployment.url}/_session", headers=basic("net-asha", "Blue-kite-77"))

    assert asha.json()["userCtx"] == {"name": "net-asha", "roles": ["chw"]}  # CONF-22
    assert district.doc("org.couchdb.user:net-asha")["facility_id"] == district.id_of("Kibaha")


def test_accounts_that_exist_are_refused_and_stay_as_they_are(district: Author) -> None:
    ids = ("org.couchdb.user:net-asha", "org.couchdb.user:net-baraka")
    before = district.revs(ids)
    second = district.tries("create-users")
    asha = httpx.get(f"{district.deployment.url}/_session", headers=basic("net-asha", "Blue-kite-77"))

    assert second.returncode != 0
    assert "409" in second.stdout + second.stderr  # CONF-22, EP-USR-26
    assert (district.revs(ids), asha.status_code) == (before, 200)


def test_messages_of_a_csv_file_become_reports(author: Author) -> None:
    author.runs("upload-sms-from-csv", "--", "sms.csv")
    found = author.http.get("/_design/medic-client/_view/reports_by_form", params={"key": '["NET"]', "reduce": "false"})

    assert len(found.json()["rows"]) == 1  # CONF-23


def test_a_place_is_moved_with_all_below_it(district: Author) -> None:
    ilala, mlandizi = district.id_of("Ilala"), district.id_of("Mlandizi")
    district.runs("move-contacts", "upload-docs", contacts=ilala, parent=mlandizi, docDirectoryPath="moved")
    neema = district.doc(district.id_of("Neema"))

    pwani = {"_id": district.id_of("Pwani")}
    assert district.doc(ilala)["parent"] == {"_id": mlandizi, "parent": pwani}  # CONF-24
    assert neema["parent"] == {"_id": ilala, "parent": {"_id": mlandizi, "parent": pwani}}


def test_a_place_is_merged_into_another(district: Author) -> None:
    temeke, ubungo = district.id_of("Temeke"), district.id_of("Ubungo")
    district.runs("merge-contacts", "upload-docs", sources=temeke, destination=ubungo, docDirectoryPath="merged")
    reports = district.http.get(
        "/_design/medic-client/_view/reports_by_subject", params={"keys": orjson.dumps([temeke, ubungo]).decode()}
    )

    assert district.doc(temeke) == {"error": "not_found", "reason": "deleted"}
    assert district.doc(district.id_of("Juma"))["parent"]["_id"] == ubungo
    assert [row["key"] for row in reports.json()["rows"]] == [ubungo]


def test_contacts_are_edited(district: Author) -> None:
    kigamboni = district.id_of("Kigamboni")
    (district.folder / "csv" / "contact.csv").write_text(f"documentID,area:int\n{kigamboni},7\n")
    district.runs("edit-contacts", "upload-docs", columns="area", docDirectoryPath="edited")

    assert district.doc(kigamboni)["area"] == 7  # CONF-25


def test_a_place_is_deleted_with_all_below_it_and_its_accounts(district: Author) -> None:
    bagamoyo, zawadi = district.id_of("Bagamoyo"), district.id_of("Zawadi")
    district.runs(
        "delete-contacts", "upload-docs", contacts=bagamoyo, docDirectoryPath="deleted", **{"disable-users": ""}
    )
    reports = district.http.get("/_design/medic-client/_view/reports_by_subject", params={"key": f'"{zawadi}"'})
    baraka = httpx.get(
        f"{district.deployment.url}/api/deploy-info", headers=basic("net-baraka", "Green-boat-31") | JSON
    )

    assert [district.doc(each)["reason"] for each in (bagamoyo, zawadi)] == ["deleted", "deleted"]
    assert reports.json()["rows"] == []
    assert baraka.status_code == 401  # CONF-37
