"""Write messages into documents: text, recipient, state, errors and replies (40 §6)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from core.couch.client import Doc
from core.dates import ms_of
from core.duplicates import HIGHEST_DUPLICATE_LIMIT
from core.duplicates import DuplicateGuard as DuplicateGuard
from core.phones import PhoneRules
from core.recipients import MessageContext as MessageContext
from core.recipients import resolution_view, resolve_recipient, rewrite_phone
from core.settings import Settings
from core.sms_tasks import Task, messages_of, new_task, tasks_to_send
from core.templates import InvalidTemplate, TemplateRules, render
from core.translations import Translations
from core.truncation import DEFAULT_PARTS, truncate
from core.uuids import uuid7

log = logging.getLogger(__name__)

NO_TEXT = "messages.errors.message.empty"
NO_PATIENT = "messages.errors.patient.missing"
NO_PLACE = "messages.errors.place.missing"
NO_CONTEXT = MessageContext()

DUPLICATE_LIMIT = 5


@dataclass(frozen=True)
class Messenger:
    """Everything that adds messages and errors to a document, under one state of the settings. Free of I/O."""

    settings: Settings
    translations: Translations
    now: Callable[[], datetime]
    duplicates: DuplicateGuard

    # --- messages -----------------------------------------------------------------------------------------------------

    def add_message(
        self,
        doc: Doc,
        message_config: Mapping[str, Any],
        recipient: Any = "reporting_unit",
        context: MessageContext = NO_CONTEXT,
        *,
        unique: bool = False,
    ) -> Task | None:
        """Append a task with the message to `doc.tasks` and return it (MSG-1).

        `unique` returns the task that has the same message already. None when the message could not be made: the
        document then has the error `parse_error`.
        """
        try:
            message, replies = self._generated(doc, message_config, recipient, context)
        except Exception as error:  # whatever odd settings and documents do, the document itself must be kept (MSG-12)
            log.warning("cannot write a message for document %s: %s", doc.get("_id"), error)
            key = translation_key(message_config) or "message"
            self.add_error(doc, {"code": "parse_error", "message": f"{error}: {key}"}, context)
            return None
        if unique and (same := find_task(doc, message)) is not None:
            return same
        task = new_task(message, self._first_state(doc, message, replies), now=self.now())
        doc["tasks"] = [*tasks_to_send(doc), task]
        return task

    def generate(
        self, doc: Doc, message_config: Mapping[str, Any], recipient: Any, context: MessageContext = NO_CONTEXT
    ) -> Doc:
        """The message `{uuid, to, message, original_message?, error?}` (MSG-2). InvalidTemplate."""
        return self._generated(doc, message_config, recipient, context)[0]

    def _generated(
        self, doc: Doc, message_config: Mapping[str, Any], recipient: Any, context: MessageContext
    ) -> tuple[Doc, bool]:
        """The message, and whether it goes back to the number that the document came from."""
        view = resolution_view(doc, context)
        phone = resolve_recipient(recipient or "reporting_unit", doc, context, view, self.settings)
        message: Doc = {"uuid": uuid7(ms_of(self.now())), "to": rewrite_phone(phone, self.settings)}
        text = self._text(doc, message_config, view)
        if text:
            message["message"] = truncate(text, self._most_parts)
            if message["message"] != text:
                message["original_message"] = text
        error = message_error(text, context)
        if error:
            message["error"] = error
        return message, bool(phone) and phone == str(doc.get("from") or "").strip()

    def _text(self, doc: Doc, message_config: Mapping[str, Any], view: Mapping[str, Any]) -> str:
        """The rendered text; empty when there is none or only an untranslated key (MSG-5)."""
        source = self.source_text(doc, message_config)
        if source == translation_key(message_config):
            return ""
        text = render(source, view, self._template_rules(doc))
        return text if text.strip() else ""

    def source_text(self, doc: Doc, message_config: Mapping[str, Any]) -> str:
        """The template of a message config in the document's locale, before it is rendered (MSG-3)."""
        locale = locale_of(doc, self.settings)
        key = translation_key(message_config)
        if key:
            return self.translations.text(key, locale).strip()
        return own_text(message_config.get("messages") or message_config.get("message"), locale)

    def is_denied(self, number: Any) -> bool:
        """Whether nothing may be sent to this number: the gateway itself, short codes, names, listed ones (MSG-7)."""
        text = str(number or "").strip()
        if not text:
            return False
        gateway = str(self.settings.get("gateway_number") or "")
        shortest = whole(self.settings.get("outgoing_deny_shorter_than"), default=0)
        denied = str(self.settings.get("outgoing_deny_list") or "").lower().split(",")
        return (
            (bool(gateway) and self._phones.same_number(text, gateway))
            or len(text) < shortest
            or (self.settings.get("outgoing_deny_with_alphas") is True and any(char.isalpha() for char in text))
            or any(text.lower().startswith(each.strip()) for each in denied if each.strip())
        )

    def _first_state(self, doc: Doc, message: Doc, replies: bool) -> str:
        """`denied` for the recipient, or for the sender when it is the sender who would be answered (MSG-9)."""
        if self.is_denied(message["to"]) or (replies and self.is_denied(doc.get("from"))):
            return "denied"
        configured = whole(self.settings.section("sms").get("duplicate_limit"), default=DUPLICATE_LIMIT)
        text = message.get("message", "")
        source = (doc.get("_id"), len(tasks_to_send(doc))) if doc.get("_id") else None
        if text and self.duplicates.count(message["to"], text, source) > min(configured, HIGHEST_DUPLICATE_LIMIT):
            return "duplicate"
        return "pending"

    # --- errors and answers -------------------------------------------------------------------------------------------

    def add_error(self, doc: Doc, error: str | Mapping[str, Any], context: MessageContext = NO_CONTEXT) -> bool:
        """Put an error into `doc.errors`, its text rendered; False when it has no text or its code is there (TRN-9)."""
        entry = {"message": error} if isinstance(error, str) else dict(error)
        code, text = entry.get("code") or "invalid_report", entry.get("message")
        errors = doc.get("errors")
        known = errors if isinstance(errors, list) else []
        if not text or any(isinstance(each, dict) and each.get("code") == code for each in known):
            return False
        doc["errors"] = [*known, {**entry, "code": code, "message": self._rendered(doc, str(text), context)}]
        return True

    def reject(
        self, doc: Doc, config: Mapping[str, Any] | None, event: str, context: MessageContext = NO_CONTEXT
    ) -> None:
        """Answer with the message configured for the event, or our general one, and record the error (TRN-17)."""
        configured = configured_message(config, event) or {"translation_key": f"messages.generic.{event}"}
        self.add_message(doc, configured, configured.get("recipient") or "from", context)
        self.add_error(doc, {"code": event, "message": self.source_text(doc, configured)}, context)

    def accept(
        self, doc: Doc, config: Mapping[str, Any] | None, event: str, context: MessageContext = NO_CONTEXT
    ) -> bool:
        """Answer with the message configured for the event; False when none is (TRN-17)."""
        configured = configured_message(config, event)
        if configured is None:
            return False
        self.add_message(doc, configured, configured.get("recipient") or "from", context)
        return True

    def answer_invalid(
        self,
        doc: Doc,
        errors: Iterable[str | Mapping[str, Any]],
        context: MessageContext = NO_CONTEXT,
        *,
        join_responses: bool = False,
    ) -> None:
        """Record every failed validation and tell the sender of the first, or of all in one message (MSG-14)."""
        texts = []
        for error in errors:
            self.add_error(doc, error, context)
            text = error if isinstance(error, str) else error.get("message")
            if text:
                texts.append(str(text))
        if texts:
            answer = "  ".join(texts) if join_responses else texts[0]
            self.add_message(doc, {"message": answer}, "from", context)

    def _rendered(self, doc: Doc, text: str, context: MessageContext) -> str:
        try:
            return render(text, resolution_view(doc, context), self._template_rules(doc))
        except InvalidTemplate:
            return text

    def _template_rules(self, doc: Doc) -> TemplateRules:
        return TemplateRules.from_settings(self.settings, locale_of(doc, self.settings))

    @cached_property
    def _phones(self) -> PhoneRules:
        return PhoneRules.from_settings(self.settings)

    @cached_property
    def _most_parts(self) -> int:
        return whole(self.settings.get("multipart_sms_limit"), default=DEFAULT_PARTS) or DEFAULT_PARTS


def message_error(text: str, context: MessageContext) -> str | None:
    """Why a message must not be sent as it is (MSG-5)."""
    if not text:
        return NO_TEXT
    if context.registrations and not context.patient:
        return NO_PATIENT
    if context.place_registrations and not context.place:
        return NO_PLACE
    return None


def configured_message(config: Mapping[str, Any] | None, event: str) -> Mapping[str, Any] | None:
    """The first of `config.messages` for that event type."""
    messages = (config or {}).get("messages")
    entries = messages if isinstance(messages, list) else []
    return next((each for each in entries if isinstance(each, dict) and each.get("event_type") == event), None)


def find_task(doc: Doc, message: Doc) -> Task | None:
    """The task of `doc.tasks` that says the same to the same number (MSG-11)."""
    return next(
        (task for task in tasks_to_send(doc) for each in messages_of(task) if said(each) == said(message)), None
    )


def said(message: Doc) -> tuple[Any, Any]:
    return message.get("to"), message.get("message")


def locale_of(doc: Mapping[str, Any], settings: Settings) -> str:
    """The language a document's messages are written in (MSG-4)."""
    sms_message = doc.get("sms_message")
    asked = doc.get("locale") or (sms_message.get("locale") if isinstance(sms_message, dict) else None)
    return str(asked or settings.get("locale_outgoing") or settings.get("locale") or "en")


def translation_key(message_config: Mapping[str, Any]) -> str | None:
    key = message_config.get("translation_key") or message_config.get("translationKey")
    return str(key).strip() if key else None


def own_text(value: Any, locale: str) -> str:
    """The text written into the settings themselves: one for all, or `[{locale, content}]`, else the first."""
    if isinstance(value, list):
        entries = [each for each in value if isinstance(each, dict)]
        chosen = next((each for each in entries if each.get("locale") == locale), entries[0] if entries else {})
        value = chosen.get("content")
    return value.strip() if isinstance(value, str) else ""


def whole(value: Any, *, default: int) -> int:
    """A positive whole number written as a number or as digits, else the default."""
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else default
