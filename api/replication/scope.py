"""What the caller may have, by account and settings (20 §2, §4)."""

from __future__ import annotations

from aiohttp import web

from api.access.rules import Scope, scope_of, truthy
from api.keys import REQUEST_SETTINGS
from api.sessions import User
from core.settings import Settings

UNASSIGNED_PERMISSION = "can_view_unallocated_data_records"


def user_scope(request: web.Request, user: User) -> Scope:
    settings = request[REQUEST_SETTINGS]
    return account_scope(settings, user.name, user.roles, user.facility_ids, user.contact_id)


def account_scope(
    settings: Settings,
    name: str | None,
    roles: tuple[str, ...],
    facilities: tuple[str, ...],
    contact_id: str | None,
) -> Scope:
    """The scope of an account, or of a virtual one without a name (EP-USI-6)."""
    unassigned = truthy(settings.get("district_admins_access_unallocated_messages")) and settings.has_permission(
        roles, UNASSIGNED_PERMISSION
    )
    deleted_contacts = settings.get("deleted_contacts_keep_documents") is not False  # REPL-36
    depth = settings.get("replication_depth")
    return scope_of(name, roles, facilities, contact_id, depth, unassigned, deleted_contacts)
