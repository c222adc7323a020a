"""What the rules read of a stored document, cut out of its JSON: most of a body is never built."""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec

from api.access.rules import Facts, facts_of, is_deletion_stub

Scalar = str | int | float | bool | None


class Fields(TypedDict, total=False):
    patient_id: Any
    place_id: Any
    patient_uuid: Any
    needs_signoff: Any
    private: Any


class Body(TypedDict, total=False):
    """The members that `rules.facts_of` looks at; the last where one comes twice."""

    _id: Any
    _deleted: Any
    type: Any
    form: Any
    fields: Fields | list[Any] | Scalar
    contact: Any
    parent: Any
    errors: Any
    patient_id: Any
    place_id: Any
    user: Any
    owner: Any
    sms_message: Any
    kujua_message: Any
    tasks: Any


class Leaf(TypedDict, total=False):
    """One of several revisions asked for: `ok`, or else another member that says why not."""

    ok: msgspec.Raw


BODY = msgspec.json.Decoder(Body)
LEAVES = msgspec.json.Decoder(list[Leaf])
WHOLE = msgspec.json.Decoder(dict[str, Any])


def facts_in(raw: bytes | msgspec.Raw) -> Facts | None:
    """The facts of a body; None for a pure deletion stub, which tells nothing (REPL-102)."""
    body = BODY.decode(raw)
    if body.get("_deleted") and is_deletion_stub(WHOLE.decode(raw)):
        return None
    return facts_of(body)
