"""Hydrate documents with the contacts they name (35 §8), in as few reads as there is foresight for."""

from __future__ import annotations

import logging
from asyncio import gather
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from core.couch.client import Database, Doc, Row
from core.documents import id_of
from core.lineage import (
    PATIENT_KEYS,
    PLACE_KEYS,
    chain_ids,
    is_contact_doc,
    is_record,
    linked_ids,
    named_ids,
    subject_key,
    subject_keys,
)

log = logging.getLogger(__name__)

MOST_NAMED = 5  # in a warning
BATCH = 250  # documents read and hydrated at once: what bounds the memory of a long list


class Nearby(NamedTuple):
    """What an index knows around some names, which are ids of documents and shortcodes.

    `ids`: the contacts that they mean or that documents of these ids name, the places above these, and the primary
    contacts of all of them. `shortcodes`: for each name that is a shortcode the ids of its contacts, the lowest first.
    """

    ids: Collection[str]
    shortcodes: Mapping[str, Sequence[str]]


# May be behind, incomplete or empty: it only saves reads, and is believed as far as the documents themselves agree.
# What nobody notices is a contact that another wrote a moment ago, which shares a shortcode and has the lower id.
Foresee = Callable[[Collection[str]], Awaitable[Nearby]]


async def hydrate_ids(db: Database, doc_ids: Sequence[str], foresee: Foresee | None = None) -> AsyncIterator[list[Row]]:
    """For each id, in the order given and in batches: `{id, doc}`, or `{id, error}` for one missing or deleted.

    A batch takes one read of its documents and those of `hydrate`, however many ids it has (EP-HYD-2, EP-HYD-4).
    With foresight that is one read in all, but for linked documents.
    """
    for start in range(0, len(doc_ids), BATCH):
        batch = doc_ids[start : start + BATCH]
        known = Known(db, foresee)
        await known.read_around(batch, batch)
        docs = {each: known.docs[each] for each in batch if each in known.docs}
        full = dict(zip(docs, await hydrate(db, list(docs.values()), shared=True, known=known), strict=True))
        yield [
            {"id": each, "doc": full[each]} if each in full else {"id": each, "error": "not_found"} for each in batch
        ]


async def hydrate(db: Database, docs: Sequence[Doc], *, shared: bool = False, known: Known | None = None) -> list[Doc]:
    """Copies of the documents with parents, contacts, links and subjects in full (MOD-42..46), in the same order.

    One view read for the subjects' shortcodes and at most four multi-gets, whatever the number of documents: named
    ids and embedded chains; subjects' ids that might have been shortcodes; chains only seen in what came; primary
    contacts and links. What is `known` is not read again. Documents need not be stored.
    Only the levels themselves are copied: nested values are shared with `docs` and must not be changed in place.
    `shared`, for who only writes them out: a contact that many of them name is one object in all of them.
    """
    wanted = [doc for doc in docs if is_contact_doc(doc) or is_record(doc)]
    if not wanted:
        return list(docs)
    known = known or Known(db)
    keys = {key for doc in wanted if is_record(doc) for key in subject_keys(doc)}
    named = {each for doc in wanted for each in named_ids(doc)}
    by_shortcode = await known.find_subjects(keys, named)

    found = [*by_shortcode.values(), *(known.docs[each] for each in (named | keys) & known.docs.keys())]
    above = {each for doc in found for each in chain_ids(doc)}
    await known.read(above)
    places = [known.docs[each] for each in above & known.docs.keys()]
    await known.read(each for doc in (*wanted, *found, *places) if is_contact_doc(doc) for each in linked_ids(doc))
    lineages = Lineages(known.docs, shared=shared)
    return [hydrated(doc, by_shortcode, lineages) for doc in docs]


class Known:
    """The documents that have been read to hydrate others, each once."""

    def __init__(self, db: Database, foresee: Foresee | None = None) -> None:
        self.docs: dict[str, Doc] = {}
        self._db = db
        self._asked: set[str] = set()
        self._foresee = foresee
        self._foreseen: dict[str, Sequence[str]] = {}  # of shortcodes

    async def read(self, ids: Iterable[str]) -> None:
        """Read those of them that have not been asked for."""
        missing = set(ids) - self._asked
        self._asked |= missing
        self.docs |= await self._db.get_many(sorted(missing))

    async def read_around(self, names: Collection[str], ids: Iterable[str]) -> None:
        """Read the documents of those ids, and what there will be need of around the names."""
        around: Collection[str] = ()
        if self._foresee is not None and names:
            around, shortcodes = await self._foresee(names)
            self._foreseen |= shortcodes
        await self.read({*ids, *around})

    async def find_subjects(self, keys: Collection[str], named: Collection[str]) -> dict[str, Doc]:
        """The contacts of those keys that are shortcodes. What other keys mean as ids is read, as are the `named`."""
        ids = {*named, *(each for each in keys if not looks_like_shortcode(each))}
        if self._foresee is None:
            found, _ = await gather(find_by_shortcodes(self._db, keys), self.read(ids))
        else:
            await self.read_around(set(keys) - self._foreseen.keys(), ids)
            owners = {key: self._owners(key) for key in keys}
            found = {key: lowest(key, docs) for key, docs in owners.items() if docs}
            doubtful = [each for each in keys if each not in found and each not in self.docs]
            found |= await find_by_shortcodes(self._db, doubtful)
        self.docs |= {doc["_id"]: doc for doc in found.values()}
        self._asked |= self.docs.keys()
        await self.read(keys - found.keys())  # seldom any
        return found

    def _owners(self, shortcode: str) -> list[Doc]:
        """Those foreseen, and found to have it."""
        docs = [self.docs[each] for each in self._foreseen.get(shortcode, ()) if each in self.docs]
        return [doc for doc in docs if shortcode in (str(doc.get("patient_id")), str(doc.get("place_id")))]


async def find_by_shortcodes(db: Database, shortcodes: Iterable[str]) -> dict[str, Doc]:
    """The contact of each shortcode in use; the lowest document id wins when several share one (HYD-4)."""
    keys = [["shortcode", each] for each in sorted(set(shortcodes))]
    if not keys:
        return {}
    owners: dict[str, list[Doc]] = {}
    for row in await db.view("medic-client", "contacts_by_reference", keys=keys, include_docs=True):
        if row.get("doc"):
            owners.setdefault(row["key"][1], []).append(row["doc"])
    return {shortcode: lowest(shortcode, docs) for shortcode, docs in owners.items()}


def lowest(shortcode: str, owners: Sequence[Doc]) -> Doc:
    """The one of its contacts that the shortcode means (HYD-4)."""
    ids = sorted({doc["_id"] for doc in owners})
    if len(ids) > 1:
        log.warning("shortcode %s is shared by %d contacts: %s", shortcode, len(ids), ", ".join(ids[:MOST_NAMED]))
    return min(owners, key=lambda doc: str(doc["_id"]))


def looks_like_shortcode(key: str) -> bool:
    """As they are generated. What does may yet be the id of a document."""
    return key.isascii() and key.isdigit()


def hydrated(doc: Doc, by_shortcode: Mapping[str, Doc], lineages: Lineages) -> Doc:
    if is_contact_doc(doc):
        return lineages.in_full(doc)
    if not is_record(doc):
        return doc
    full, known = dict(doc), lineages.known
    contact = doc.get("contact")
    if contact:
        submitter = known.get(id_of(contact) or "") or contact
        full["contact"] = lineages.in_full(submitter) if isinstance(submitter, dict) else submitter
    for name, keys in (("patient", PATIENT_KEYS), ("place", PLACE_KEYS)):
        full.pop(name, None)
        key = subject_key(doc, keys)
        subject = (by_shortcode.get(key) or known.get(key)) if key else None
        if subject is not None and is_contact_doc(subject):
            full[name] = lineages.in_full(subject)
    return full


class Lineages:
    """Contacts under their full ancestors, made of the documents that are `known`.

    When they are `shared`, a contact that was asked for twice is one object, and so are ancestors of several contacts.
    """

    def __init__(self, known: Mapping[str, Doc], *, shared: bool) -> None:
        self.known = known
        self._shared = shared
        self._contacts: dict[int, Doc] = {}
        self._chains: dict[tuple[str, ...], Doc] = {}

    def in_full(self, contact: Doc) -> Doc:
        """The contact and each ancestor with its primary contact and links one level deep (MOD-42).

        The chain is the one embedded in the contact: what an ancestor's own document says of its parents is left out.
        """
        full = self._contacts.get(id(contact)) if self._shared else None
        if full is None:
            full = self._contacts[id(contact)] = self._with_links(contact)
            if chain := self._chain(tuple(chain_ids(contact))):
                full["parent"] = chain
        return full

    def _chain(self, ids: tuple[str, ...]) -> Doc:
        """The places of those ids, each within the one before; empty for none."""
        if not ids:
            return {}
        place = self._chains.get(ids) if self._shared else None
        if place is None:
            place = self._chains[ids] = self._with_links(self.known.get(ids[0], {"_id": ids[0]}))
            place.pop("parent", None)
            if above := self._chain(ids[1:]):
                place["parent"] = above
        return place

    def _with_links(self, contact: Doc) -> Doc:
        known = self.known
        full = dict(contact)
        primary = known.get(id_of(contact.get("contact")) or "")
        if primary is not None:
            full["contact"] = dict(primary)
        if isinstance(contact.get("linked_docs"), dict):
            full["linked_docs"] = {
                tag: dict(known[found]) if (found := id_of(each)) in known and found is not None else each
                for tag, each in contact["linked_docs"].items()
            }
        return full
