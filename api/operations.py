"""What an operation of the API takes and answers, said beside its handler; `api.openapi` makes one document of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from api.params import Param

H = TypeVar("H", bound=Callable[..., Any])

# Types by media type; a type alone is JSON, None no body at all.
Content = Mapping[str, Any] | Any


class Access(StrEnum):
    """Who may call an operation, before permissions are looked at."""

    PUBLIC = "everybody"
    ACCOUNT = "any account"
    ONLINE = "online users"
    OFFLINE = "offline users"
    ADMIN = "server administrators"
    SERVICE = "services that bring the secret kept for them"

    @property
    def needs_login(self) -> bool:
        return self not in (Access.PUBLIC, Access.SERVICE)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation. Types are what msgspec can make a JSON Schema of; `errors` are those beside the usual ones.

    The usual errors follow from the rest: see `api.openapi`. `permissions` are needed in any case, but of those in
    `any_of` one is enough.
    """

    access: Access
    answers: Mapping[int, Content]
    permissions: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    query: tuple[Param, ...] = ()
    body: Content = None
    errors: tuple[int, ...] = ()
    summary: str = ""  # of handlers whose docstring does not tell
    headers: Mapping[str, str] = field(default_factory=dict)  # that it takes, by what they are for


def describe(operation: Operation) -> Callable[[H], H]:
    """Attach the description to a handler."""

    def attach(handler: H) -> H:
        handler.__dict__["operation"] = operation
        return handler

    return attach


def operation_of(handler: Any) -> Operation | None:
    found = getattr(handler, "operation", None)
    return found if isinstance(found, Operation) else None
