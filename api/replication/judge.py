"""May the caller see these documents? By their own bodies, the index, and CouchDB for what is not indexed yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from aiohttp import web

from api.access.last_live import last_live_docs
from api.access.rules import Context, Facts, Kind, Scope, contact_depth, facts_of, names_of, visible
from api.keys import ACCESS, DB
from api.replication.unindexed import unindexed_contacts
from core.couch.client import Doc


async def judge(request: web.Request, scope: Scope, facts: Sequence[Facts]) -> list[bool]:
    """One verdict for each document. Only what CouchDB itself does not know by now is refused (REPL-40..48)."""
    context = await context_for(request, scope, facts)
    return [visible(each, context) for each in facts]


async def context_for(request: web.Request, scope: Scope, facts: Sequence[Facts]) -> Context:
    """A context good for those documents: an index that is behind and would refuse one is waited for, then helped."""
    if not facts:
        return Context(scope, {})
    access, db = request.config_dict[ACCESS], request.config_dict[DB]
    names = names_in(facts)
    context = await access.context(scope, names)
    if all(visible(each, context) for each in facts):
        return context
    before = await access.state()
    behind = await access.catch_up(db)
    if behind == 0 and before.change == (await access.state()).change:
        return context
    context = await access.context(scope, names)
    refused = [each for each in facts if not visible(each, context)]
    if behind == 0 or not refused:
        return context
    unknown = names_in(refused) - context.subjects.keys()
    reached = await access.state()
    return with_contacts(context, await unindexed_contacts(db, unknown, reached.couch_seq, behind))


def names_in(facts: Iterable[Facts]) -> set[str]:
    return set().union(*(names_of(each) for each in facts))


def with_contacts(context: Context, contacts: Iterable[Facts]) -> Context:
    """The context with the subjects of those contacts in its scope, and with the home's shortcodes (REPL-34)."""
    subjects = dict(context.subjects)
    home = {*context.scope.facilities, context.scope.contact_id}
    sensitive = set(context.sensitive)
    for contact in contacts:
        if contact.id in home and contact.shortcode is not None:
            sensitive.add(contact.shortcode)
        depth = contact_depth(contact.chain, context.scope) if contact.kind is Kind.CONTACT else None
        if depth is None:
            continue
        for subject in (contact.id, contact.shortcode):
            if subject is not None:
                subjects[subject] = min(depth, subjects.get(subject, depth))
    return replace(context, subjects=subjects, sensitive=sensitive)


def without_contacts(context: Context, contacts: Iterable[Facts]) -> Context:
    """The context without the subjects of those contacts (REPL-117)."""
    gone = {subject for contact in contacts for subject in (contact.id, contact.shortcode)}
    gone -= set(context.scope.own_keys)
    return replace(context, subjects={each: depth for each, depth in context.subjects.items() if each not in gone})


async def stored_versions(request: web.Request, ids: Collection[str]) -> dict[str, Facts]:
    """The facts of each document as CouchDB holds it now, of deleted ones those of the last live body (REPL-115).

    Documents that never existed are absent. A deleted one about which nothing is known belongs to nobody.
    """
    found: dict[str, Facts] = {}
    tombstones: dict[str, Doc] = {}
    rows = await request.config_dict[DB].all_docs(list(dict.fromkeys(ids)), include_docs=True) if ids else []
    for row in rows:
        if row.get("doc"):
            found[row["id"]] = facts_of(row["doc"])
        elif (row.get("value") or {}).get("deleted"):
            tombstones[row["id"]] = {"_id": row["id"], "_rev": row["value"]["rev"], "_deleted": True}
    return found | await deleted_facts(request, tombstones)


async def deleted_facts(request: web.Request, tombstones: Mapping[str, Doc]) -> dict[str, Facts]:
    """The facts of deleted documents' last live bodies, from the index or else from CouchDB."""
    if not tombstones:
        return {}
    found = await request.config_dict[ACCESS].stored_facts(tombstones)
    unknown = {doc_id: doc for doc_id, doc in tombstones.items() if doc_id not in found}
    bodies = await last_live_docs(request.config_dict[DB], unknown)
    found.update((doc_id, facts_of(body, doc_id)) for doc_id, body in bodies.items())
    return {doc_id: found.get(doc_id) or Facts(doc_id, Kind.OTHER) for doc_id in tombstones}
