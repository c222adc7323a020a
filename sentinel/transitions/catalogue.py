"""The transitions in their order, loaded from the settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.dates import local_zone
from core.errors import InvalidInput
from core.messages import DuplicateGuard, Messenger
from core.phones import PhoneRules
from core.settings import Settings
from core.translations import Translations
from sentinel.transitions.accept_case_reports import AcceptCaseReports
from sentinel.transitions.accept_patient_reports import AcceptPatientReports
from sentinel.transitions.change import Transition
from sentinel.transitions.conditional_alerts import ConditionalAlerts
from sentinel.transitions.create_user_for_contacts import CreateUserForContacts
from sentinel.transitions.death_reporting import DeathReporting
from sentinel.transitions.default_responses import DefaultResponses
from sentinel.transitions.generate_shortcode_on_contacts import GenerateShortcodeOnContacts
from sentinel.transitions.mark_for_outbound import MarkForOutbound
from sentinel.transitions.multi_report_alerts import MultiReportAlerts
from sentinel.transitions.muting import Muting, UpdateNotifications
from sentinel.transitions.registration import RegistrationTransition
from sentinel.transitions.resolve_pending import ResolvePending
from sentinel.transitions.self_report import SelfReport
from sentinel.transitions.tools import Tools
from sentinel.transitions.update_clinics import UpdateClinics
from sentinel.transitions.update_scheduled_reports import UpdateScheduledReports
from sentinel.transitions.update_sent_by import UpdateSentBy

log = logging.getLogger(__name__)

# TRN-2. update_clinics first: all others want to know the sender. default_responses after whatever may add an error.
ORDER = (
    "update_clinics",
    "self_report",
    "registration",
    "accept_patient_reports",
    "accept_case_reports",
    "generate_shortcode_on_contacts",
    "generate_patient_id_on_people",
    "default_responses",
    "update_sent_by",
    "death_reporting",
    "conditional_alerts",
    "multi_report_alerts",
    "update_notifications",
    "update_scheduled_reports",
    "resolve_pending",
    "muting",
    "mark_for_outbound",
    "create_user_for_contacts",
)

BY_NAME: Mapping[str, Any] = {
    "update_clinics": UpdateClinics,
    "self_report": SelfReport,
    "registration": RegistrationTransition,
    "accept_patient_reports": AcceptPatientReports,
    "accept_case_reports": AcceptCaseReports,
    "generate_shortcode_on_contacts": GenerateShortcodeOnContacts,
    "generate_patient_id_on_people": GenerateShortcodeOnContacts,
    "default_responses": DefaultResponses,
    "update_sent_by": UpdateSentBy,
    "death_reporting": DeathReporting,
    "conditional_alerts": ConditionalAlerts,
    "multi_report_alerts": MultiReportAlerts,
    "update_notifications": UpdateNotifications,
    "update_scheduled_reports": UpdateScheduledReports,
    "resolve_pending": ResolvePending,
    "muting": Muting,
    "mark_for_outbound": MarkForOutbound,
    "create_user_for_contacts": CreateUserForContacts,
}

# TRN-11: these run in the worker alone. mark_for_outbound too: a document is queued when it is stored.
ASYNC_ONLY = frozenset(
    {
        "multi_report_alerts",
        "update_notifications",
        "muting",
        "mark_for_outbound",
        "generate_shortcode_on_contacts",
        "generate_patient_id_on_people",
        "create_user_for_contacts",
    }
)

# TRN-3: gone from the reference for years and harmless in old settings.
REMOVED = frozenset({"update_sent_forms", "maintain_info_document"})


@dataclass(frozen=True)
class Transitions:
    """The enabled transitions of one state of the settings, in order."""

    ordered: tuple[Transition, ...]
    tools: Tools

    @property
    def synchronous(self) -> tuple[Transition, ...]:
        """Those that run before a document is first saved (TRN-11)."""
        return tuple(each for each in self.ordered if each.name not in ASYNC_ONLY)


def make_tools(
    settings: Settings,
    translations: Translations,
    now: Callable[[], datetime],
    duplicates: DuplicateGuard | None = None,
) -> Tools:
    """`now` may be in any timezone: the transitions reckon in the server's own."""

    def local_now() -> datetime:
        moment, zone = now(), local_zone()
        return moment if moment.tzinfo == zone else moment.astimezone(zone)

    guard = duplicates or DuplicateGuard(local_now)
    return Tools(Messenger(settings, translations, local_now, guard), PhoneRules.from_settings(settings), local_now)


def load(settings: Settings, tools: Tools) -> Transitions:
    """Make every enabled transition. InvalidInput, with all that is wrong in `errors`, when one cannot be (SEN-16)."""
    errors: list[str] = []
    loaded: dict[str, Transition] = {}
    for name in enabled(settings):
        if name in REMOVED:
            log.warning("transitions.%s does nothing any more and can be removed from the settings", name)
        elif name not in ORDER:
            errors.append(f'Unknown transition "{name}"')
        else:
            try:
                transition = BY_NAME[name].from_settings(settings, tools)
                loaded[transition.name] = transition
            except InvalidInput as error:
                errors.append(f"{name}: {error.message}")
    if errors:
        raise InvalidInput("; ".join(errors), errors=errors)
    return Transitions(tuple(loaded[name] for name in ORDER if name in loaded), tools)


def enabled(settings: Settings) -> list[str]:
    """Names whose value is truthy and does not say `disable` (TRN-1)."""
    configured = settings.get("transitions")
    if configured is None:
        return []
    if not isinstance(configured, dict):
        raise InvalidInput("transitions: expected an object", errors=["transitions: expected an object"])
    return [
        name
        for name, value in configured.items()
        if (isinstance(value, dict) and not value.get("disable")) or (value and not isinstance(value, dict))
    ]
