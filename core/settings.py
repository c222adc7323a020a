"""The settings document: a frozen snapshot, replaced whole whenever the document changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from core.couch.changes import follow
from core.couch.client import Database
from core.documents import ContactTypes

log = logging.getLogger(__name__)

SETTINGS_ID = "settings"

DEFAULT_ROLES: dict[str, Any] = {
    "data_entry": {"name": "usertype.data-entry"},
    "analytics": {"name": "usertype.analytics"},
    "gateway": {"name": "usertype.gateway"},
    "program_officer": {"name": "usertype.program-officer"},
    "crfo": {"name": "usertype.crfo"},
    "chw_supervisor": {"name": "usertype.chw-supervisor", "offline": True},
    "chw": {"name": "usertype.chw", "offline": True},
}

_PO_SV_CHW = ("program_officer", "chw_supervisor", "chw")
# 10 PERM §5.2, filled into the stored permissions where they are missing (30 EP-SET-9).
DEFAULT_PERMISSIONS: dict[str, tuple[str, ...]] = {
    "can_edit": ("gateway", *_PO_SV_CHW),
    "can_configure": ("program_officer", "crfo"),
    "can_upgrade": ("program_officer",),
    "can_create_records": ("data_entry", "gateway", *_PO_SV_CHW),
    "can_create_people": _PO_SV_CHW,
    "can_create_places": _PO_SV_CHW,
    "can_view_users": ("program_officer",),
    "can_create_users": ("program_officer",),
    "can_update_users": ("program_officer",),
    "can_delete_users": ("program_officer",),
    "can_update_people": (),
    "can_update_places": _PO_SV_CHW,
    "can_access_gateway_api": ("gateway",),
    "can_export_all": ("program_officer", "crfo"),
    "can_export_contacts": _PO_SV_CHW,
    "can_export_messages": ("analytics", *_PO_SV_CHW),
    "can_export_feedback": ("program_officer",),
    "can_export_dhis": ("national_admin", "crfo"),
    "can_export_devices_details": ("national_admin",),
    "can_view_contacts": _PO_SV_CHW,
    "can_view_reports": _PO_SV_CHW,
    "can_update_reports": _PO_SV_CHW,
    "can_view_unallocated_data_records": ("gateway", *_PO_SV_CHW),
    "can_have_multiple_places": (),
    "can_skip_password_change": (),
}


@dataclass(frozen=True)
class Settings:
    """One state of `doc.settings`. A request or a change keeps the snapshot it began with.

    `values` is shared and must never be changed in place. Readers tolerate oddly typed members (35 MOD-2).
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    rev: str | None = None

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any] | None) -> Settings:
        values = (doc or {}).get("settings")
        return cls(values if isinstance(values, dict) else {}, (doc or {}).get("_rev"))

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def section(self, name: str) -> Mapping[str, Any]:
        """An object member, empty when it is missing or something else."""
        value = self.values.get(name)
        return value if isinstance(value, dict) else {}

    def entries(self, name: str) -> list[Mapping[str, Any]]:
        """The objects of a list member, empty when it is missing or something else."""
        value = self.values.get(name)
        return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []

    @cached_property
    def contact_types(self) -> ContactTypes:
        return ContactTypes.from_settings(self.values.get("contact_types"))

    @property
    def roles(self) -> Mapping[str, Any]:
        return self.section("roles")

    @property
    def forms(self) -> Mapping[str, Any]:
        """JSON form definitions by their code (35 MOD-9)."""
        return self.section("forms")

    def has_permission(self, roles: Iterable[str], permission: str) -> bool:
        """Whether any of the roles holds the permission; `_admin` holds every one (10 PERM-2, PERM-3).

        With `!` in front: whether none of them does (PERM-5).
        """
        if permission.startswith("!"):
            return not self.has_permission(roles, permission[1:])
        held = set(roles)
        if "_admin" in held:
            return True
        allowed = self.section("permissions").get(permission)
        return isinstance(allowed, list) and not held.isdisjoint(each for each in allowed if isinstance(each, str))

    def is_offline(self, roles: Iterable[str]) -> bool:
        """Whether an account with these roles replicates instead of asking (10 PERM-6, first match wins)."""
        held = list(roles)
        if "_admin" in held or "national_admin" in held:
            return False
        configured = [self.roles[role] for role in held if role in self.roles]
        if any(isinstance(role, dict) and role.get("offline") for role in configured):
            return True
        return not configured and "mm-online" not in held


def with_default_permissions(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings with every built-in permission that is missing filled in (30 EP-SET-9)."""
    stored = values.get("permissions")
    stored = stored if isinstance(stored, dict) else {}
    missing = {name: list(roles) for name, roles in DEFAULT_PERMISSIONS.items() if name not in stored}
    return {**values, "permissions": {**stored, **missing}}


class SettingsWatch:
    """Holds the current snapshot and follows the settings document.

    `start` reads it once; run `follow` as a task. Listeners are called, in order, after each replacement.
    """

    def __init__(self, db: Database) -> None:
        self.db = db
        self.current = Settings()
        self._listeners: list[Callable[[Settings], None]] = []
        self._reading = asyncio.Lock()

    def on_change(self, listener: Callable[[Settings], None]) -> None:
        self._listeners.append(listener)

    async def start(self) -> Settings:
        await self.reload()
        return self.current

    async def reload(self) -> None:
        """Read the document and replace the snapshot if its revision is another."""
        async with self._reading:  # an answer that comes late must not replace a newer one
            settings = Settings.from_doc(await self.db.find(SETTINGS_ID))
            if settings.rev == self.current.rev:
                return
            self.current = settings
            for listener in self._listeners:
                listener(settings)

    async def follow(self, heartbeat_s: float = 25.0) -> None:
        """Replace the snapshot within moments of every write, until cancelled (10 PERM-10)."""
        while True:
            info = await self.db.info()
            await self.reload()
            async for batch in follow(self.db, info["update_seq"], doc_ids=[SETTINGS_ID], heartbeat_s=heartbeat_s):
                if batch.changes:
                    await self.reload()
            await asyncio.sleep(0)
