"""What the newer resources demand of single fields, in their words (EP-CON-12, EP-CON-13)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from core.contacts import reported_date_ms
from core.couch.client import Doc
from core.documents import id_of
from core.errors import InvalidInput

BAD_REPORTED_DATE = (
    "Invalid reported_date. Expected format to be 'YYYY-MM-DDTHH:mm:ssZ', 'YYYY-MM-DDTHH:mm:ss.SSSZ', or a Unix epoch."
)


def require_object(body: Any, what: str) -> Doc:
    if not isinstance(body, dict):
        raise InvalidInput(f"{what} must be a JSON object.")
    return body


def require_texts(body: Doc, names: Iterable[str]) -> None:
    for name in names:
        if not isinstance(body.get(name), str) or not body[name]:
            raise InvalidInput(f"The [{name}] field must have a [string] value.")


def require_reference(body: Doc, name: str) -> str:
    """The id a required member names, as a text or in an object."""
    found = id_of(body.get(name))
    if found is None:
        raise InvalidInput(f"The [{name}] field must have a [string] value.")
    return found


def optional_reference(body: Doc, name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    found = id_of(value)
    if found is None:
        raise InvalidInput(f"The [{name}] field must have the type [string].")
    return found


def check_optional_texts(body: Doc, names: Iterable[str]) -> None:
    for name in names:
        if body.get(name) is not None and not isinstance(body[name], str):
            raise InvalidInput(f"The [{name}] field must have the type [string].")


def check_date(body: Doc, name: str) -> None:
    value = body.get(name)
    if value is None or value == "":
        return
    if not isinstance(value, str) or not is_date(value):
        raise InvalidInput(f"The [{name}] field must have a [date] value.")


def is_date(text: str) -> bool:
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            read(text)
        except ValueError:
            continue
        return True
    return False


def refuse_set(body: Doc, names: Iterable[str]) -> None:
    for name in names:
        if name in body:
            raise InvalidInput(f"The [{name}] field must not be set.")


def reported_date(body: Doc, now_ms: int) -> int:
    """In ms since the epoch, `now_ms` when it is missing."""
    value = body.get("reported_date")
    found = reported_date_ms(body, now_ms)
    if found is None or (isinstance(value, float) and not value.is_integer()):
        raise InvalidInput(BAD_REPORTED_DATE)
    return found
