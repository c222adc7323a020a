"""The members of a user in a request: their checks, in order and with their words, and the roles they mean (30 §9)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from core.couch.client import Doc
from core.errors import InvalidInput
from core.passwords import LEAST_SCORE, SHORTEST, password_score
from core.phones import PhoneRules
from core.settings import Settings

USERNAME = re.compile(r"[a-z0-9-][a-z0-9_-]{0,199}")
ONLINE_ROLE = "mm-online"

PROFILE_TEXTS = ("fullname", "email", "phone", "language", "external_id")
EDITABLE = (
    "password",
    "known",
    "place",
    "type",
    "roles",
    "fullname",
    "email",
    "phone",
    "language",
    "contact",
    "external_id",
    "token_login",
)
SSO = "oidc_username"  # of the identity provider; not among the fields that EP-USR-52 names
CLEARABLE = ("place", "contact", SSO)

# EP-USR-20: what the deprecated `type` stands for.
ROLES_OF_TYPE = {
    "national-manager": ("national-manager", "kujua_user", "data_entry", "national_admin"),
    "district-manager": ("district-manager", "kujua_user", "data_entry", "district_admin"),
    "facility-manager": ("facility-manager", "kujua_user", "data_entry"),
    "data-entry": ("data-entry", "data_entry"),
    "analytics": ("analytics", "kujua_analytics"),
    "gateway": ("gateway", "kujua_gateway"),
}


class InvalidUser(InvalidInput):
    """A message with the key and parameters by which a client translates it (10 ERR-7)."""

    def __init__(self, message: str, key: str, **params: Any) -> None:
        super().__init__(message, translationKey=key, **({"translationParams": params} if params else {}))


def roles_of(body: Doc, settings: Settings) -> list[str] | None:
    """The roles a body asks for, with `mm-online` exactly where they are online (EP-USR-20, 21); None without any."""
    roles = body.get("roles")
    if roles is not None and not is_role_list(roles):
        raise InvalidInput('Property "roles" must be a list of role names that do not start with an underscore.')
    if not roles:
        kind = body.get("type")
        if not kind:
            return None
        if not isinstance(kind, str) or kind.startswith("_"):
            raise InvalidInput('Property "type" must be the name of a role.')
        roles = ROLES_OF_TYPE.get(kind, (kind,))
    plain = [role for role in dict.fromkeys(roles) if role != ONLINE_ROLE]
    # A list of nothing but the marker is judged as it came: the marker alone is what makes it online.
    return plain if settings.is_offline(plain or roles) else [*plain, ONLINE_ROLE]


def is_role_list(value: Any) -> bool:
    """Whether it is a list of names; those with an underscore in front are CouchDB's own, `_admin` above all."""
    return isinstance(value, list) and all(isinstance(each, str) and each and each[0] != "_" for each in value)


def needs_place(roles: Sequence[str], settings: Settings) -> bool:
    """Whether such an account must have a place and a contact (EP-USR-2)."""
    return "district_admin" in roles or settings.is_offline(roles)


def check_new_user(body: Doc, roles: Sequence[str] | None, settings: Settings) -> None:
    """Apply the checks of EP-USR-25 that need no lookup, in their order."""
    tokens = wants_token_login(body, settings)
    required = ["username", *([] if body.get(SSO) else ["phone" if tokens else "password"])]
    if roles is not None and needs_place(roles, settings):
        required += ["place", "contact"]
    missing = [name for name in required if not body.get(name)]
    if roles is None:
        missing.append("type or roles")
    if missing:
        fields = ", ".join(missing)
        raise InvalidUser(f"Missing required fields: {fields}", "fields.required", fields=fields)
    check_sso(body)
    if tokens:
        link_phone(body["phone"], settings)
    elif not body.get(SSO):
        check_password(body["password"], settings)
    if not isinstance(body["username"], str) or not USERNAME.fullmatch(body["username"]):
        raise InvalidUser(
            "Invalid user name. Valid characters are lower case letters, numbers, underscore (_), and hyphen (-).",
            "username.invalid",
        )
    check_profile(body)


def link_phone(phone: Any, settings: Settings) -> str:
    """The number that a login link is sent to, normalised. InvalidUser when it is none (EP-USR-25)."""
    number = PhoneRules.from_settings(settings).normalize(str(phone or ""))
    if number is None:
        raise InvalidUser("A valid phone number is required for SMS login.", "configuration.enable.token.login.phone")
    return number


def check_changes(body: Doc, settings: Settings) -> None:
    """Refuse an update without anything to change, or with something of the wrong type (EP-USR-52, 53)."""
    if not any(name in body and (body[name] is not None or name in CLEARABLE) for name in (*EDITABLE, SSO)):
        raise InvalidUser(
            f"One of the following fields are required: {', '.join(EDITABLE)}",
            "fields.one.required",
            fields=", ".join(EDITABLE),
        )
    if body.get("roles") == []:
        raise InvalidInput('Property "roles" must name at least one role.')
    if body.get("password") is not None and not wants_token_login(body, settings):
        check_password(body["password"], settings)
    check_profile(body)


def wants_token_login(body: Doc, settings: Settings) -> bool:
    """Whether a login link is asked for where the settings offer it; elsewhere the member is ignored (EP-USR-60)."""
    return bool(body.get("token_login")) and bool(settings.section("token_login").get("enabled"))


def must_change_password(body: Doc, roles: Iterable[str], settings: Settings) -> bool:
    """Whether a password that somebody else chose is to be replaced at the first login (10 AUTH-91)."""
    return not (
        body.get("password_change_required") is False
        or body.get(SSO)
        or wants_token_login(body, settings)
        or settings.has_permission(roles, "can_skip_password_change")
    )


def check_sso(body: Doc) -> None:
    """Refuse an `oidc_username` that is no text, or that comes with another way to log in (10 AUTH-110)."""
    if not isinstance(body.get(SSO), str | None):
        raise InvalidInput(f'Property "{SSO}" must be a string.')
    if body.get(SSO) and (body.get("password") or body.get("token_login")):
        raise InvalidInput(f'Neither "password" nor "token_login" can be given with "{SSO}".')


def check_password(password: Any, settings: Settings) -> None:
    """Apply the setting `password_policy`: `none` takes any text, `cht` a long and varied one (EP-USR-40, 41)."""
    if not isinstance(password, str) or not password:
        raise InvalidInput('Property "password" must be a string that is not empty.')
    if settings.get("password_policy") != "cht":
        return
    if len(password) < SHORTEST:
        raise InvalidUser(
            f"The password must be at least {SHORTEST} characters long.", "password.length.minimum", minimum=SHORTEST
        )
    if password_score(password) < LEAST_SCORE:
        raise InvalidUser(
            "The password is too easy to guess. Include a range of types of characters to increase the score.",
            "password.weak",
        )


def check_profile(body: Doc) -> None:
    for name in PROFILE_TEXTS:
        value = language_code(body["language"]) if name == "language" and name in body else body.get(name)
        if value is not None and not isinstance(value, str):
            raise InvalidInput(f'Property "{name}" must be a string.')
    if not isinstance(body.get("known"), bool | None):
        raise InvalidInput('Property "known" must be true or false.')


def language_code(value: Any) -> Any:
    """`sw` of `sw` or `{"code": "sw"}`."""
    return value.get("code") if isinstance(value, dict) else value


def profile_of(body: Doc) -> Doc:
    """What the body says for the user-settings document alone, as it is stored."""
    values = {name: language_code(body.get(name)) if name == "language" else body.get(name) for name in PROFILE_TEXTS}
    return {name: value for name, value in values.items() if value is not None}


def forbidden_to_self(body: Doc, allowed: Iterable[str]) -> list[str]:
    """The members of a body that users may not change on their own account (EP-USR-51)."""
    return [name for name in body if name in (*EDITABLE, SSO) and name not in allowed]
