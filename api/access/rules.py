"""Which documents belong to a phone: pure rules over a document's own body (20 §3 to §6)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

from msgspec import Struct

from core.documents import CONTACT_DOC_TYPES
from core.purging import role_set_hash

ALL = "_all"
UNASSIGNED = "_unassigned"
CLIENT_DDOC = "_design/medic-client"
USER_PREFIX = "org.couchdb.user:"
UNLIMITED = -1
MOST_INTEGER = 2**64 - 1
MOST_LEVELS = 50  # of an embedded parent chain (35 MOD-40)

# REPL-10
EVERYONES_IDS = frozenset(
    {
        "resources",
        "branding",
        "partners",
        "service-worker-meta",
        "zscore-charts",
        "settings",
        "privacy-policies",
        "extension-libs",
    }
)
EVERYONES_TYPES = frozenset({"form", "translations", "ui-extension"})
UNKNOWN_SUBJECT_ERRORS = frozenset({"registration_not_found", "invalid_patient_id"})
FALSE_TEXTS = frozenset({"false", "no", "0"})
LEADING_INTEGER = re.compile(r"\s*([+-]?\d{1,9})", re.ASCII)


class Kind(IntEnum):
    """What the rules tell apart; stored in the index, so numbers never change."""

    OTHER = 0
    CONTACT = 1
    REPORT = 2
    TASK = 3
    TARGET = 4


class Facts(Struct, frozen=True):
    """All that the rules need to know of one document.

    `chain` is a contact's way up: (id, depth) of itself, its parent and so on, each id with its least depth.
    """

    id: str
    kind: Kind
    subject: str | None = None
    signoff: tuple[str, ...] = ()
    submitter: str | None = None
    private: bool = False
    chain: tuple[tuple[str, int], ...] = ()
    shortcode: str | None = None
    primary_contact: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The replication keys; a document without keys belongs to nobody."""
        return self.signoff if self.subject is None else (self.subject, *self.signoff)


@dataclass(frozen=True)
class Scope:
    """What a user's account and the settings grant; equal scopes see the same documents. Depth -1 is unlimited."""

    user_id: str | None
    facilities: tuple[str, ...] = ()
    contact_id: str | None = None
    contact_depth: int = UNLIMITED
    report_depth: int = UNLIMITED
    unassigned: bool = False
    primary_contacts: bool = False
    role_set: str | None = None  # whose purged documents are hidden, by its hash (REPL-55)
    deleted_contacts: bool = True  # whether they keep what is about them in scope (REPL-36)

    @cached_property
    def own_keys(self) -> tuple[str, ...]:
        """Subjects that need no contact (REPL-31, REPL-33). All count as depth 0 (REPL-47)."""
        keys = (ALL,) if self.user_id is None else (ALL, self.user_id)
        return (*keys, UNASSIGNED) if self.unassigned else keys

    @cached_property
    def own_ids(self) -> tuple[str, ...]:
        """Documents the user has in any case (REPL-40)."""
        return (CLIENT_DDOC,) if self.user_id is None else (CLIENT_DDOC, self.user_id)


@dataclass(frozen=True)
class Context:
    """A scope with the subjects it reaches and their least depth, at least for the keys about to be judged."""

    scope: Scope
    subjects: Mapping[str, int]
    sensitive: Collection[str] = frozenset()
    primary_contacts: Collection[str] = frozenset()  # of the contacts in scope, where the scope grants them (REPL-35)


def scope_of(
    name: str | None,
    roles: Collection[str],
    facilities: Iterable[str],
    contact_id: str | None,
    replication_depth: Any,
    unassigned: bool,
    deleted_contacts: bool = True,
) -> Scope:
    """The scope of an account. `replication_depth` is the settings' member as stored; `unassigned` is REPL-33's answer.

    An account without a facility has the defaults only (REPL-3).
    """
    contact_depth, report_depth, primary_contacts = depth_limits(roles, replication_depth)
    facilities = tuple(sorted(set(facilities)))
    return Scope(
        user_id=None if name is None else USER_PREFIX + name,
        facilities=facilities,
        contact_id=contact_id,
        contact_depth=contact_depth,
        report_depth=report_depth,
        unassigned=unassigned and bool(facilities),
        primary_contacts=primary_contacts,
        role_set=role_set_hash(roles),
        deleted_contacts=deleted_contacts,
    )


def depth_limits(roles: Iterable[str], configured: Any) -> tuple[int, int, bool]:
    """Contact depth, report depth and primary contacts of an account with these roles (REPL-25..28)."""
    entries = [entry for entry in configured if isinstance(entry, dict)] if isinstance(configured, list) else []
    deepest: tuple[int, int, bool] | None = None
    for role in dict.fromkeys(roles):
        entry = next((entry for entry in entries if entry.get("role") == role), None)
        depth = None if entry is None else whole_number(entry.get("depth"))
        if entry is None or depth is None:
            continue
        report_depth = whole_number(entry.get("report_depth"))
        report_depth = UNLIMITED if report_depth is None else max(report_depth, UNLIMITED)
        primary_contacts = truthy(entry.get("replicate_primary_contacts"))
        if deepest is None or depth > deepest[0]:
            deepest = (depth, report_depth, primary_contacts)
        elif depth == deepest[0]:
            deepest = (depth, max(deepest[1], report_depth), deepest[2] or primary_contacts)
    if deepest is None:
        return (UNLIMITED, UNLIMITED, False)
    return (max(deepest[0], UNLIMITED), *deepest[1:])


def facts_of(doc: Mapping[str, Any], doc_id: str | None = None) -> Facts:
    """Judge a body by the first row of 20 §3 that applies. `doc_id` where the body has no `_id`."""
    doc_id = doc_id if doc_id is not None else str(doc.get("_id") or "")
    kind = doc.get("type")
    if not isinstance(kind, str):
        kind = ""
    if doc_id in EVERYONES_IDS or kind in EVERYONES_TYPES:
        return Facts(doc_id, Kind.OTHER, subject=ALL)
    if kind == "data_record":
        return report_facts(doc_id, doc)
    if kind == "task":
        return Facts(doc_id, Kind.TASK, subject=key_of(doc.get("user")))
    if kind == "target":
        return Facts(doc_id, Kind.TARGET, subject=key_of(doc.get("owner")))
    if kind in CONTACT_DOC_TYPES:
        return Facts(
            doc_id,
            Kind.CONTACT,
            subject=doc_id,
            chain=chain_of(doc_id, doc.get("parent")),
            shortcode=key_of(doc.get("patient_id")) or key_of(doc.get("place_id")),
            primary_contact=key_of(reference_id(doc.get("contact"))),
        )
    return Facts(doc_id, Kind.OTHER)


def report_facts(doc_id: str, doc: Mapping[str, Any]) -> Facts:
    fields = doc.get("fields")
    fields = fields if isinstance(fields, dict) else {}
    contact = doc.get("contact")
    subject = report_subject(doc, fields, contact)
    submitter = key_of(member_id(contact)) if truthy(doc.get("form")) else None
    return Facts(
        doc_id,
        Kind.REPORT,
        subject=subject,
        signoff=signoff_keys(contact, subject) if claims(fields.get("needs_signoff")) else (),
        submitter=submitter,
        private=submitter is not None and claims(fields.get("private")),
    )


def report_subject(doc: Mapping[str, Any], fields: Mapping[str, Any], contact: Any) -> str:
    """The one contact, by id or shortcode, that a report or message is about (REPL-15)."""
    if truthy(doc.get("form")):
        if truthy(contact) and names_unknown_subject(doc.get("errors")):
            found = member_id(contact)
        else:
            candidates = (
                doc.get("patient_id"),
                fields.get("patient_id"),
                doc.get("place_id"),
                fields.get("place_id"),
                fields.get("patient_uuid"),
                member_id(contact),
            )
            found = None
            for found in candidates:
                if truthy(found):
                    break
    elif truthy(doc.get("sms_message")):
        found = member_id(contact)
    elif truthy(doc.get("kujua_message")):
        found = member_id(first_message(doc).get("contact"))
    else:
        found = None
    return key_of(found) or UNASSIGNED


def names_unknown_subject(errors: Any) -> bool:
    return isinstance(errors, list) and any(
        isinstance(error, dict) and isinstance(error.get("code"), str) and error["code"] in UNKNOWN_SUBJECT_ERRORS
        for error in errors
    )


def first_message(doc: Mapping[str, Any]) -> Mapping[str, Any]:
    node: Any = doc
    for name in ("tasks", "messages"):
        entries = node.get(name)
        node = entries[0] if isinstance(entries, list) and entries else None
        if not isinstance(node, dict):
            return {}
    return node if isinstance(node, dict) else {}


def signoff_keys(contact: Any, subject: str) -> tuple[str, ...]:
    """The submitter and its embedded ancestors, but for the subject; links without id are skipped (REPL-17)."""
    keys: dict[str, None] = {}
    for _ in range(MOST_LEVELS):
        if not isinstance(contact, dict):
            break
        key = key_of(contact.get("_id"))
        if key is not None and key != subject:
            keys[key] = None
        contact = contact.get("parent")
    return tuple(keys)


def chain_of(doc_id: str, parent: Any) -> tuple[tuple[str, int], ...]:
    """(id, depth) for the contact and each embedded ancestor; a link without id counts a level (REPL-22)."""
    depths = {doc_id: 0}
    for depth in range(1, MOST_LEVELS + 1):
        if not isinstance(parent, dict):
            break
        ancestor = key_of(parent.get("_id"))
        if ancestor is not None:
            depths.setdefault(ancestor, depth)
        parent = parent.get("parent")
    return tuple(depths.items())


def contact_depth(chain: Iterable[tuple[str, int]], scope: Scope) -> int | None:
    """The least depth at which a contact with this chain lies in the scope; None outside it (REPL-30, REPL-43)."""
    within = [
        depth
        for ancestor, depth in chain
        if ancestor in scope.facilities and (scope.contact_depth == UNLIMITED or depth <= scope.contact_depth)
    ]
    return min(within, default=None)


def visible(facts: Facts, context: Context) -> bool:
    """May the user see the document? (20 §6) `context.subjects` must be right for every key and the submitter."""
    scope = context.scope
    if facts.id in scope.own_ids:
        return True
    if facts.kind is Kind.CONTACT:
        return contact_depth(facts.chain, scope) is not None or facts.id in context.primary_contacts
    if ALL in facts.keys:
        return True
    matching = [key for key in facts.keys if key in context.subjects]
    if not matching:
        return False
    if facts.private and facts.subject in context.sensitive and facts.submitter not in context.subjects:
        return False
    if facts.kind is not Kind.REPORT or scope.report_depth == UNLIMITED:
        return True
    own = facts.submitter is not None and facts.submitter == scope.contact_id
    return own or any(context.subjects[key] <= scope.report_depth for key in matching)


def names_of(facts: Facts) -> set[str]:
    """The subjects that must be resolved before `visible` can be asked."""
    names = set(facts.keys)
    if facts.private and facts.submitter is not None:
        names.add(facts.submitter)
    return names


def is_deletion_stub(doc: Mapping[str, Any]) -> bool:
    """Whether a revision says no more than that the document was deleted (REPL-102)."""
    return bool(doc.get("_deleted")) and all(name.startswith("_") for name in doc)


def claims(value: Any) -> bool:
    """Truthy, but for the texts by which forms write no (REPL-18)."""
    return truthy(value) and not (isinstance(value, str) and value.strip().lower() in FALSE_TEXTS)


def truthy(value: Any) -> bool:
    """JavaScript's notion: empty objects and lists count."""
    return bool(value) or isinstance(value, (dict, list))


def key_of(value: Any) -> str | None:
    """A key as the text CouchDB's JavaScript would compare it by (REPL-19); None for what can name no document."""
    if isinstance(value, bool) or not value:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int) and abs(value) > MOST_INTEGER:
        value = float(value)  # as every reader of JSON but msgspec's has it already
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value) if isinstance(value, int | float) else None


def whole_number(value: Any) -> int | None:
    """An integer, or the integer at the start of a text, as JavaScript's `parseInt` takes it (REPL-25)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return int(value)
    found = LEADING_INTEGER.match(value) if isinstance(value, str) else None
    return None if found is None else int(found[1])


def member_id(node: Any) -> Any:
    return node.get("_id") if isinstance(node, dict) else None


def reference_id(node: Any) -> Any:
    return node.get("_id") if isinstance(node, dict) else node
