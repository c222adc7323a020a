"""What a document is: its kind and its contact type, by the settings' contact types (35 MOD-17..20)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Doc = dict[str, Any]

HARD_CODED_TYPES = ("district_hospital", "health_center", "clinic", "person")
CONTACT_DOC_TYPES = frozenset({"contact", *HARD_CODED_TYPES})


@dataclass(frozen=True)
class ContactType:
    """One level of the hierarchy. Without `parents` it is a root."""

    id: str
    parents: tuple[str, ...] = ()
    person: bool = False

    @property
    def hard_coded(self) -> bool:
        """Hard-coded ids stand in a document's `type`; all others in `contact_type` (MOD-19)."""
        return self.id in HARD_CODED_TYPES or self.id == "national_office"


# MOD-18: the hierarchy of a deployment that configured none; `national_office` is known to the places API only.
DEFAULT_TYPES = (
    ContactType("district_hospital"),
    ContactType("health_center", ("district_hospital",)),
    ContactType("clinic", ("health_center",)),
    ContactType("person", ("district_hospital", "health_center", "clinic"), person=True),
)


@dataclass(frozen=True)
class ContactTypes:
    """The contact types of a deployment, in their configured order."""

    types: Mapping[str, ContactType] = field(default_factory=lambda: {each.id: each for each in DEFAULT_TYPES})

    @classmethod
    def from_settings(cls, configured: Any) -> ContactTypes:
        """Read `settings.contact_types`; entries without a text `id` are ignored (MOD-2)."""
        if not isinstance(configured, list) or not configured:
            return cls()
        types = (contact_type_from(entry) for entry in configured if isinstance(entry, dict))
        return cls({each.id: each for each in types if each.id})

    def get(self, type_id: str) -> ContactType | None:
        return self.types.get(type_id)

    def of(self, doc: Doc) -> ContactType | None:
        """The type of a contact document; None when it is no contact. A `person` is a contact in any case (MOD-20)."""
        type_id = contact_type_id(doc)
        if type_id is None:
            return None
        known = self.types.get(type_id)
        if known is None and type_id == "person":
            return ContactType("person", person=True)
        return known

    def is_person(self, doc: Doc) -> bool:
        found = self.of(doc)
        return found is not None and (found.person or found.id == "person")

    def is_place(self, doc: Doc) -> bool:
        found = self.of(doc)
        return found is not None and not (found.person or found.id == "person")

    def is_contact(self, doc: Doc) -> bool:
        return self.of(doc) is not None

    def persons(self) -> list[ContactType]:
        return [each for each in self.types.values() if each.person or each.id == "person"]

    def places(self) -> list[ContactType]:
        return [each for each in self.types.values() if not (each.person or each.id == "person")]


def contact_type_from(entry: Mapping[str, Any]) -> ContactType:
    parents = entry.get("parents")
    return ContactType(
        id=str(entry.get("id") or ""),
        parents=tuple(str(parent) for parent in parents) if isinstance(parents, list) else (),
        person=bool(entry.get("person")),
    )


def contact_type_id(doc: Doc) -> str | None:
    """`contact_type` of a document of type `contact`, else its `type` (MOD-19)."""
    found = doc.get("contact_type") if doc.get("type") == "contact" else doc.get("type")
    return found if isinstance(found, str) else None


def is_report(doc: Doc) -> bool:
    return doc.get("type") == "data_record" and bool(doc.get("form"))


def id_of(reference: Any) -> str | None:
    """The id in a reference, which is `{_id}` or a plain text (MOD-21)."""
    if isinstance(reference, dict):
        reference = reference.get("_id")
    return reference if isinstance(reference, str) and reference else None


def lineage_ids(node: Any, *, most: int = 50) -> list[str]:
    """The ids of a `parent` chain from the nearest up. Links without `_id` are skipped; cycles end it (MOD-45)."""
    ids: dict[str, None] = {}
    for _ in range(most):
        if not isinstance(node, dict):
            break
        found = id_of(node)
        if found is not None:
            if found in ids:
                break
            ids[found] = None
        node = node.get("parent")
    return list(ids)


def subject_ids(contact: Doc) -> list[str]:
    """The ids by which reports name a contact: its own and its shortcodes (40 TRN-16)."""
    return list(dict.fromkeys(str(contact[name]) for name in ("_id", "patient_id", "place_id") if contact.get(name)))


def facility_ids(value: Any) -> list[str]:
    """`facility_id` as a list, whether it was stored as text, a list or not at all (MOD-62)."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        return [each for each in value if isinstance(each, str) and each]
    return []
