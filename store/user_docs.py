"""What CouchDB asks of a document in `_users`, and what of it each caller may read or write."""

from __future__ import annotations

from typing import Any

from store.errors import BadRequest, Forbidden, NotFound
from store.permissions import User

PREFIX = "org.couchdb.user:"


def require_readable(user: User, doc_id: str) -> None:
    """Everybody but an admin sees their own document and no other; raises NotFound so as not to tell who exists."""
    if not user.is_server_admin and doc_id != f"{PREFIX}{user.name}":
        raise NotFound("missing")


def check_user_doc(new: dict[str, Any], old: dict[str, Any] | None, user: User) -> None:
    """Raises Forbidden with CouchDB's reason when `user` may not make `new` out of `old`, or it is no user document."""
    if new.get("_deleted") is True:
        if user.is_server_admin or (old is not None and user.name == old.get("name")):
            return
        raise Forbidden("Only admins may delete other user docs.")
    name, roles = new.get("name"), new.get("roles")
    if new.get("type") != "user" or (old is not None and old.get("type") != "user"):
        raise Forbidden("doc.type must be user")
    if not name or not isinstance(name, str):
        raise Forbidden("doc.name is required")
    if roles is None:
        raise Forbidden("doc.roles must exist")
    if not isinstance(roles, list):
        raise Forbidden("doc.roles must be an array")
    if not all(isinstance(role, str) for role in roles):
        raise Forbidden("doc.roles can only contain strings")
    if new.get("_id") != f"{PREFIX}{name}":
        raise Forbidden(f"Doc ID must be of the form {PREFIX}name")
    if old is not None and old.get("name") != name:
        raise Forbidden("Usernames can not be changed.")
    if new.get("password_sha") and not new.get("salt"):
        raise Forbidden("Users with password_sha must have a salt.")
    if new.get("password_scheme") == "pbkdf2":
        if not isinstance(new.get("iterations"), int) or isinstance(new.get("iterations"), bool):
            raise Forbidden("iterations must be a number.")
        if not isinstance(new.get("derived_key"), str):
            raise Forbidden("derived_key must be a string.")
    if not user.is_server_admin:
        if old is None:
            if roles:
                raise Forbidden("Only _admin may set roles")
        else:
            if user.name != name:
                raise Forbidden("You may only update your own user document.")
            if sorted(old.get("roles") or []) != sorted(roles):
                raise Forbidden("Only _admin may edit roles")
    if any(role.startswith("_") for role in roles):
        raise Forbidden("No system roles (starting with underscore) in users db.")
    if name.startswith("_"):
        raise Forbidden("Username may not start with underscore.")
    if ":" in name:
        raise Forbidden("Character `:` is not allowed in usernames.")


def take_password(doc: dict[str, Any]) -> str | None:
    """The clear password of a user document about to be written, removed from it; None when it brings none."""
    password = doc.pop("password", None)
    if password is None:
        return None
    if not isinstance(password, str):
        raise BadRequest("password must be a string")
    return password
