"""Who is calling and what they may do; the first step of every handler (PERM-1..21)."""

from __future__ import annotations

from aiohttp import web

from api.errors import InsufficientPrivileges, LoginPrompt, OfflineFirewall
from api.keys import REQUEST_SETTINGS, USER
from api.sessions import User
from core.errors import DomainError, Unauthorized

# Why the credentials of this request were refused; raised only where a user is needed (AUTH-10).
REFUSED = web.RequestKey("refused", DomainError)


def current_user(request: web.Request) -> User:
    """The caller. Unauthorized when nobody is logged in, or the reason why the credentials were refused."""
    user = request[USER]
    if user is None:
        raise request.get(REFUSED) or Unauthorized("not logged in")
    return user


def user_or_prompt(request: web.Request) -> User:
    """The caller, at an endpoint that asks whoever is not logged in for Basic credentials (ERR-3, first row)."""
    try:
        return current_user(request)
    except Unauthorized as error:
        raise LoginPrompt from error


def require(request: web.Request, *permissions: str) -> User:
    """The caller, who holds every one of the permissions. Unauthorized (never 403) for the anonymous (PERM-20)."""
    user = current_user(request)
    if not all(holds(request, user, permission) for permission in permissions):
        raise InsufficientPrivileges
    return user


def require_any(request: web.Request, *permissions: str) -> User:
    """The caller, who holds at least one of the permissions."""
    user = current_user(request)
    if not any(holds(request, user, permission) for permission in permissions):
        raise InsufficientPrivileges
    return user


def require_online(request: web.Request) -> User:
    """The caller, who is not an offline user (ERR-11)."""
    user = current_user(request)
    if user.offline:
        raise OfflineFirewall
    return user


def holds(request: web.Request, user: User, permission: str) -> bool:
    return request[REQUEST_SETTINGS].has_permission(user.roles, permission)
