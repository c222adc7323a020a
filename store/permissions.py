"""Who may do what with a database: CouchDB's `_security` and its two refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from store.errors import BadRequest, Forbidden, StoreError, Unauthorized


@dataclass(frozen=True, slots=True)
class User:
    """Who is calling. `name` is None for nobody; `method` is how they showed it (`default`: Basic, or `cookie`)."""

    name: str | None = None
    roles: tuple[str, ...] = ()
    method: str | None = None

    @property
    def is_server_admin(self) -> bool:
        return "_admin" in self.roles

    def context(self, database: str | None = None) -> dict[str, Any]:
        """`userCtx` as CouchDB hands it to clients and to JavaScript."""
        shown: dict[str, Any] = {"name": self.name, "roles": list(self.roles)}
        return shown if database is None else {"db": database, **shown}


NOBODY = User()
_OF_SECRETS = frozenset({"_users", "_replicator"})


def is_db_admin(user: User, security: Mapping[str, Any]) -> bool:
    return user.is_server_admin or _named(user, security.get("admins"))


def is_db_member(user: User, security: Mapping[str, Any]) -> bool:
    """Members, admins, and everybody where no member is named."""
    members = security.get("members") or {}
    if not members.get("names") and not members.get("roles"):
        return True
    return is_db_admin(user, security) or _named(user, members)


def require_server_admin(user: User) -> None:
    if not user.is_server_admin:
        raise Unauthorized("You are not a server admin.")


def require_db_admin(user: User, security: Mapping[str, Any]) -> None:
    if not is_db_admin(user, security):
        raise _refusal(user, "You are not a db or server admin.")


def require_db_member(user: User, security: Mapping[str, Any]) -> None:
    if not is_db_member(user, security):
        if user.name is None:
            raise Unauthorized("You are not authorized to access this db.")
        raise Forbidden("You are not allowed to access this db.")


def require_reader_of_all(user: User, database: str, security: Mapping[str, Any]) -> None:
    """Documents of `_users` and `_replicator` are each somebody's own secret: administrators alone list them."""
    if database in _OF_SECRETS:
        require_db_admin(user, security)


def check_security(security: Any) -> dict[str, Any]:
    """A `_security` object as sent, when its admins and members are lists of strings; raises BadRequest otherwise."""
    if not isinstance(security, dict):
        raise BadRequest("Request body must be a JSON object")
    for group in ("admins", "members"):
        listed = security.get(group, {})
        if not isinstance(listed, dict):
            raise BadRequest(f"{group} must be a JSON object")
        for kind in ("names", "roles"):
            values = listed.get(kind, [])
            if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                raise BadRequest(f"{kind} must be a JSON list of strings")
    return security


def _named(user: User, group: Any) -> bool:
    if not group:
        return False
    return user.name in (group.get("names") or ()) or not set(group.get("roles") or ()).isdisjoint(user.roles)


def _refusal(user: User, reason: str) -> StoreError:
    return Unauthorized(reason) if user.name is None else Forbidden(reason)
