"""Create the person or place that a registration tells of (40 TR-REG-8..14)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.documents import ContactType, Doc, contact_type_id
from core.lineage import minify_parent
from core.loose import text_of
from core.settings import Settings
from sentinel.transitions.change import Change
from sentinel.transitions.conditions import fields_of, form_definition, parent_of
from sentinel.transitions.derived import derived_id
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.tools import Tools


class Rejected(Exception):
    """The contact cannot be created; `event` names the answer to the sender, `names` what it may mention."""

    def __init__(self, event: str, **names: Any) -> None:
        super().__init__(event)
        self.event = event
        self.names = names


@dataclass(frozen=True)
class NewContact:
    """How one event of a registration creates its contact. `number` is the event's place in its registration.

    `subject` and `code_field` are `patient` and `patient_id`, or `place` and `place_id`.
    """

    number: int
    type: ContactType
    subject: str
    code_field: str
    name_field: str
    params: Mapping[str, Any]

    async def create(self, change: Change, lookups: Lookups, settings: Settings, tools: Tools) -> None:
        """Give the report its shortcode and put the new contact beside it. Raises Rejected, with nothing created.

        The contact's id derives from the report's, so that a second run finds what the first one made (TRN-10).
        """
        doc = change.doc
        if doc.get(self.code_field):
            return
        contact_id = derived_id(change.id, self.number)
        made = await lookups.doc(contact_id)
        if made is not None:
            doc[self.code_field] = made.get(self.code_field)
            doc[self.subject] = await lookups.hydrated(made)
            return
        doc[self.code_field] = await self.shortcode(doc, contact_id, lookups)
        phone = phone_in(doc, settings, tools) if self.subject == "patient" else None
        parent = await self.parent(doc, lookups)
        contact = {
            "_id": contact_id,
            **({"type": self.type.id} if self.type.hard_coded else {"type": "contact", "contact_type": self.type.id}),
            "name": fields_of(doc).get(self.name_field),
            "reported_date": doc.get("reported_date"),
            self.code_field: doc[self.code_field],
            "source_id": change.id,
            **({"date_of_birth": doc["birth_date"]} if doc.get("birth_date") and self.subject == "patient" else {}),
            **({"phone": phone} if phone else {}),
            **created_by(doc),
        }
        change.others[contact_id] = {**contact, "parent": minify_parent(parent)}
        doc[self.subject] = {**contact, "parent": parent}
        change.created[contact_id] = doc[self.subject]

    async def shortcode(self, doc: Doc, contact_id: str, lookups: Lookups) -> str:
        """The id the report provides, or a new one (TR-REG-8)."""
        provided = self.params.get("patient_id_field")
        if not provided or self.subject != "patient":
            return await lookups.new_shortcode(contact_id)
        value = text_of(fields_of(doc).get(provided)).strip()
        if not value:
            raise Rejected("no_provided_patient_id")
        if await lookups.contact_by_shortcode(value) is not None:
            raise Rejected("provided_patient_id_not_unique")
        return value

    async def parent(self, doc: Doc, lookups: Lookups) -> Doc:
        """The place to register in, of a type that may have such a child (TR-REG-11)."""
        field = self.params.get("parent_id")
        if field:
            value = text_of(fields_of(doc).get(field)).strip()
            if not value:
                raise Rejected("parent_field_not_provided")
            parent = await lookups.contact_by_shortcode(value)
        else:
            parent = parent_of(doc.get("contact"))
            if parent is None and doc.get("from"):
                sender = await lookups.contact_by_phone(str(doc["from"]))
                parent = parent_of(sender)
                if parent is not None:
                    doc["contact"] = sender
        if parent is None or contact_type_id(parent) is None:
            raise Rejected("parent_not_found")
        if contact_type_id(parent) not in self.type.parents:
            raise Rejected("parent_invalid", parent=parent)
        return parent


def created_by(doc: Doc) -> Doc:
    contact = doc.get("contact")
    return {"created_by": contact["_id"]} if isinstance(contact, dict) and contact.get("_id") else {}


def phone_in(doc: Doc, settings: Settings, tools: Tools) -> str | None:
    """The value of the form's first phone field, None when there is none. Rejected when it is no number (TR-REG-10)."""
    definition = form_definition(doc, settings) or {}
    fields = definition.get("fields")
    for name, field in fields.items() if isinstance(fields, dict) else ():
        if isinstance(field, dict) and field.get("type") == "phone_number":
            raw = text_of(fields_of(doc).get(name)).strip()
            if not raw:
                return None
            phone = tools.phones.normalize(raw)
            if phone is None:
                raise Rejected("provided_phone_not_valid")
            return phone
    return None
