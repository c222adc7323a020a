"""Contacts by their phone number, whichever way it was written when it was stored (30 §13)."""

from __future__ import annotations

from core.couch.client import Database, Doc
from core.hydration import Foresee, Known, hydrate
from core.phones import PhoneRules

ENDING_DIGITS = 6  # as the view contacts_by_phone_ending emits them


async def contacts_by_phone(db: Database, rules: PhoneRules, number: str, foresee: Foresee | None = None) -> list[Doc]:
    """The hydrated contacts whose `phone` means this normalised number, by id; empty for none (EP-CBP-2, EP-CBP-5).

    The view narrows a number to those with the same ending, in any notation; the rules of the deployment decide.
    """
    ending = "".join(each for each in number if each.isdigit())[-ENDING_DIGITS:]
    rows = await db.view("medic-phones", "contacts_by_phone_ending", key=ending)
    ids = [row["id"] for row in rows]
    known = Known(db, foresee)
    await known.read_around(ids, ids)
    docs = [known.docs[each] for each in ids if each in known.docs]
    return await hydrate(
        db, [doc for doc in docs if means(rules, str(doc.get("phone")), number)], shared=True, known=known
    )


def means(rules: PhoneRules, phone: str, number: str) -> bool:
    return phone == number or rules.normalize(phone) == number
