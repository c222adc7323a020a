"""The validate_doc_update functions: who may write what (60 §9, 10 §7.5)."""

from __future__ import annotations

import pytest

USER = {"name": "mary", "roles": ["chw"]}
PHONE_USER = {**USER, "facility_id": "h0"}
SERVER_ADMIN = {"name": "admin", "roles": ["_admin"]}
PURGED = "Purged documents should not be written to CouchDB!"
ADMIN_ONLY = "You are not authorized to edit admin only docs"
OWN_PLACE = "You are not authorized to edit your own place"
SETTINGS = {
    "_id": "org.couchdb.user:mary",
    "type": "user-settings",
    "name": "mary",
    "roles": ["chw", "data"],
    "known": True,
}
ADMIN_ONLY_IDS = [
    "_design/medic",
    "_design/anything",
    "resources",
    "service-worker-meta",
    "zscore-charts",
    "settings",
    "branding",
    "partners",
    "privacy-policies",
    "extension-libs",
    "migration-log",
]


@pytest.fixture
def judge(engine, ddocs):
    """`judge(new, old=..., user=..., security=..., ddoc=...)`: the reason of the refusal, or None."""

    def run(new, old=None, user=USER, security=None, ddoc="medic-client"):
        return engine.validate(ddocs[ddoc]["validate_doc_update"], [new, old, user, security or {}])

    return run


@pytest.mark.parametrize("user", [USER, SERVER_ADMIN, {"name": None, "roles": []}], ids=["user", "admin", "nobody"])
def test_purged_is_refused_for_everybody(judge, user):  # VDU-1, PROXY-42, X4
    assert judge({"_id": "x", "purged": True}, user=user) == PURGED


@pytest.mark.parametrize("user", [{"name": None, "roles": []}, {"roles": ["_admin"]}, None])
def test_nobody_must_log_in(judge, user):  # VDU-2
    assert judge({"_id": "x"}, user=user) == "You must be logged in to edit documents"


@pytest.mark.parametrize(
    ("user", "security"),
    [
        (SERVER_ADMIN, {}),
        (USER, {"admins": {"names": ["mary"]}}),
        (USER, {"admins": {"names": [], "roles": ["chw"]}}),
    ],
    ids=["server-admin", "named", "role"],
)
@pytest.mark.parametrize("doc", [{"_id": "settings"}, {"_id": "FORM", "type": "form"}, {**SETTINGS, "roles": []}])
def test_an_admin_may_write_anything(judge, doc, user, security):  # VDU-3
    assert judge(doc, user=user, security=security) is None


@pytest.mark.parametrize("security", [{}, {"admins": None}, {"admins": {"names": ["sue"], "roles": ["boss"]}}])
def test_who_is_not_named_is_no_admin(judge, security):  # VDU-3
    assert judge({"_id": "settings"}, security=security) == ADMIN_ONLY


@pytest.mark.parametrize("doc_id", ADMIN_ONLY_IDS)
def test_admin_only_ids(judge, doc_id):  # VDU-4, X4
    assert judge({"_id": doc_id}) == ADMIN_ONLY  # MOD-16


@pytest.mark.parametrize("doc_type", ["form", "translations", "token_login", "ui-extension"])
def test_admin_only_types(judge, doc_type):  # VDU-4
    assert judge({"_id": "x", "type": doc_type}) == ADMIN_ONLY


def test_an_admin_only_document_can_be_neither_deleted_nor_disguised(judge):  # VDU-4
    stored = {"_id": "x", "type": "form"}

    assert judge({"_id": "x", "_deleted": True}, old=stored) == ADMIN_ONLY
    assert judge({"_id": "x", "type": "person"}, old=stored) == ADMIN_ONLY


@pytest.mark.parametrize("doc", [{"_id": "p1", "type": "person"}, {"_id": "r1", "type": "data_record", "form": "V"}])
def test_a_user_may_write_contacts_and_reports(judge, doc):  # VDU-4
    assert judge(doc) is None
    assert judge({**doc, "_deleted": True}, old=doc) is None


@pytest.mark.parametrize("facility_id", ["h1", ["h0", "h1"]], ids=["text", "list"])
def test_a_phone_refuses_its_users_own_place(judge, facility_id):  # VDU-5
    user = {**USER, "facility_id": facility_id}

    assert judge({"_id": "h1", "type": "clinic"}, user=user) == OWN_PLACE
    assert judge({"_id": "h2", "type": "clinic"}, user=user) is None


def test_the_server_lets_users_edit_their_own_place(judge):  # PROXY-43, X4
    assert judge({"_id": "h1", "type": "health_center"}) is None


@pytest.mark.parametrize(
    ("doc_id", "reason"),
    [
        ("form:registration", None),
        ("form:contact:clinic:create", None),
        ("registration", '_id property must be prefixed with "form:". e.g. "form:registration"'),
        ("form:", '_id property must define a value after "form:". e.g. "form:registration"'),
        ("form:Registration", '_id property must be lower case. e.g. "form:registration"'),
    ],
)
def test_a_form_has_its_id_on_a_phone(judge, doc_id, reason):  # VDU-6, PROXY-42
    assert judge({"_id": doc_id, "type": "form"}, user=PHONE_USER) == reason


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"_id": "mary"}, "_id property must be prefixed"),
        ({"_id": "org.couchdb.user:", "name": ""}, "_id property must define a value"),
        ({"_id": "org.couchdb.user:Mary", "name": "Mary"}, "_id property must be lower case"),
        ({"name": "sue"}, "name property"),
        ({"name": None}, "name property"),
        ({"known": "true"}, "known property"),
        ({"known": None}, "known property"),
        ({"roles": "chw"}, "roles property"),
        ({"roles": None}, "roles property"),
        ({"roles": ["data", "chw"]}, "You are not authorized to edit roles"),
        ({"roles": ["chw", "data", "boss"]}, "You are not authorized to edit roles"),
        ({"roles": []}, "You are not authorized to edit roles"),
    ],
)
def test_user_settings_keep_their_shape_and_roles(judge, change, part):  # VDU-7
    reason = judge({**SETTINGS, **change}, old=SETTINGS)

    assert reason is not None
    assert reason.startswith(part)


def test_user_settings_may_change_otherwise(judge):  # VDU-7
    changed = {name: value for name, value in SETTINGS.items() if name != "known"}

    assert judge({**changed, "language": "sw"}, old=SETTINGS) is None


@pytest.mark.parametrize("old", [None, {"_id": SETTINGS["_id"], "_deleted": True}], ids=["never", "deleted"])
def test_user_settings_cannot_be_created(judge, old):  # VDU-7
    assert judge(SETTINGS, old=old) == "You are not authorized to create user-settings"


def test_a_personal_database_refuses_purge_stubs(judge):  # DDOC-60, PROXY-44, MOD-73
    assert judge({"_id": "x", "_deleted": True, "purged": True}, ddoc="medic-user") == PURGED
    assert judge({"_id": "x", "_deleted": True}, ddoc="medic-user") is None
    assert judge({"_id": "x", "purged": True}, ddoc="medic-user") is None


@pytest.mark.parametrize("doc", [{"_id": "settings"}, {"_id": "x", "_deleted": True, "purged": True}])
def test_a_phone_may_hold_what_only_the_server_guards(judge, doc):  # VDU-8
    assert judge(doc, user=PHONE_USER) is None


def test_side_databases_have_no_rules_of_their_own(ddocs):  # VDU-9
    with_rules = {name for name, ddoc in ddocs.items() if "validate_doc_update" in ddoc}

    assert with_rules == {"medic-client", "legacy medic-client", "medic-user"}
