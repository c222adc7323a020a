"""A month's targets as a DHIS2 data value set: 30 §2.7."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from core.couch.client import Database
from core.couch.rows import view_rows
from core.dates import local_zone
from core.documents import Doc
from core.errors import InvalidInput
from core.exports.asked import Asked, Export, json_export
from core.exports.filters import member, read_ms, read_text
from core.exports.paging import PAGE
from core.lineage import chain_ids
from core.settings import Settings


@dataclass(frozen=True)
class Element:
    """A data element of a set: the target whose totals it takes, and the attributes that its values have."""

    target: str
    attributes: Mapping[str, Any]

    @property
    def sign(self) -> bytes:
        """The same for elements that DHIS2 cannot tell apart."""
        return orjson.dumps(self.attributes, option=orjson.OPT_SORT_KEYS)


@dataclass
class Units:
    """The organisation units, which contacts each is made of, and the name of the first of these."""

    names: dict[str, Any] = field(default_factory=dict)
    by_contact: dict[str, list[str]] = field(default_factory=dict)

    def add(self, contact: Doc, data_set: str, wanted: str | None) -> None:
        entries = contact.get("dhis")
        for entry in entries if isinstance(entries, list) else [entries]:
            if not isinstance(entry, dict) or not isinstance(unit := entry.get("orgUnit"), str):
                continue
            own = self.by_contact.setdefault(contact["_id"], [])
            if wanted in (None, unit) and entry.get("dataSet") in (None, "", data_set) and unit not in own:
                own.append(unit)
                self.names.setdefault(unit, contact.get("name"))

    def of(self, owner: Doc) -> list[str]:
        """Those of a contact and of all above it, each once (EP-EXP-62)."""
        ids = [owner["_id"], *chain_ids(owner)]
        return list(dict.fromkeys(unit for each in ids for unit in self.by_contact.get(each, ())))


async def export_dhis(asked: Asked) -> Export:
    """One JSON object. InvalidInput as EP-EXP-61 has it."""
    data_set = read_text(asked.filters.get("dataSet"), "filters.dataSet")
    if data_set is None:
        raise InvalidInput('filter "dataSet" is required')
    from_ms = read_ms(member(asked.filters, "date", "").get("from"), "filters.date.from")
    if from_ms is None:
        raise InvalidInput('filter "from" is required')
    month = month_of(from_ms)
    definition = next((each for each in asked.settings.entries("dhis_data_sets") if each.get("id") == data_set), None)
    if definition is None:
        raise InvalidInput(f'dataSet "{data_set}" is not defined')
    elements = elements_of(asked.settings, data_set)
    if not elements:
        raise InvalidInput(f'dataSet "{data_set}" has no dataElements')

    units = await read_units(asked.db, data_set, read_text(asked.filters.get("orgUnit"), "filters.orgUnit"))
    totals = await add_up(asked.db, units, elements, month)
    shown = data_set
    if asked.options.readable and definition.get("translation_key"):
        locale = str(asked.settings.get("locale") or "en")
        shown = (await asked.translations()).text(str(definition["translation_key"]), locale)
    answer = {
        "dataSet": shown,
        "completeDate": f"{asked.now.astimezone(local_zone()):%Y-%m-%d}",
        "period": month.replace("-", ""),
        "dataValues": list(values(units, elements, totals, readable=asked.options.readable)),
    }
    return json_export(whole(orjson.dumps(answer)))


async def whole(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


def month_of(ms: int) -> str:
    """`YYYY-MM` on the server's own calendar."""
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC).astimezone(local_zone()):%Y-%m}"
    except (ValueError, OverflowError, OSError):
        raise InvalidInput("`filters.date.from` must be a time in milliseconds since 1970") from None


def elements_of(settings: Settings, data_set: str) -> list[Element]:
    """The data elements of the set, from the targets of the settings; those DHIS2 cannot tell apart share one."""
    targets = settings.section("tasks").get("targets")
    items = targets.get("items") if isinstance(targets, dict) else None
    found = []
    for item in items if isinstance(items, list) else ():
        entries = item.get("dhis") if isinstance(item, dict) else None
        for entry in entries if isinstance(entries, list) else [entries]:
            if (
                isinstance(entry, dict)
                and entry.get("dataElement")
                and entry.get("dataSet") in (None, "", data_set)
                and isinstance(item.get("id"), str)
            ):
                found.append(Element(item["id"], {key: each for key, each in entry.items() if key != "dataSet"}))
    return found


async def read_units(db: Database, data_set: str, wanted: str | None) -> Units:
    units = Units()
    only = {} if wanted is None else {"key": wanted}
    async for rows in view_rows(db, "medic-admin", "contacts_by_dhis_orgunit", include_docs=True, **only):
        for row in rows:
            if row.get("doc"):
                units.add(row["doc"], data_set, wanted)
    return units


Totals = dict[tuple[str, bytes], int | float]


async def add_up(db: Database, units: Units, elements: Sequence[Element], month: str) -> Totals:
    """The total of each unit and data element, over the owners of that month's target documents (EP-EXP-63)."""
    signs: dict[str, list[bytes]] = {}
    for element in elements:
        signs.setdefault(element.target, []).append(element.sign)
    totals: Totals = {(unit, element.sign): 0 for unit in units.names for element in elements}
    async for docs in target_docs(db, f"target~{month}~"):
        owners = await db.get_many(owner for doc in docs if isinstance(owner := doc.get("owner"), str))
        for doc in docs:
            owner = owners.get(doc["owner"]) if isinstance(doc.get("owner"), str) else None
            of_owner = units.of(owner) if owner else ()
            for target, value in target_totals(doc) if of_owner else ():
                for sign in signs.get(target, ()):
                    for unit in of_owner:
                        totals[unit, sign] += value
    return totals


def target_totals(doc: Doc) -> Iterable[tuple[str, int | float]]:
    targets = doc.get("targets")
    for target in targets if isinstance(targets, list) else ():
        value = target.get("value") if isinstance(target, dict) else None
        total = value.get("total") if isinstance(value, dict) else None
        if isinstance(total, int | float) and not isinstance(total, bool) and isinstance(target.get("id"), str):
            yield target["id"], total


async def target_docs(db: Database, prefix: str) -> AsyncGenerator[list[Doc], None]:
    """Page by page, by their ids, which do not move."""
    last, size = prefix, PAGE + 1
    while True:
        rows = await db.all_docs(startkey=last, endkey=f"{prefix}\ufff0", include_docs=True, limit=size)
        yield [row["doc"] for row in rows if row["id"] != last and row.get("doc")]
        if len(rows) < size:
            return
        last = rows[-1]["id"]


def values(units: Units, elements: Sequence[Element], totals: Totals, *, readable: bool) -> Iterable[Mapping[str, Any]]:
    """The data values, `{dataElement, ..., orgUnit, value}`; with names in place of ids where they are to be read."""
    by_sign = {element.sign: element for element in reversed(elements)}
    for unit, name in units.names.items():
        for sign in dict.fromkeys(element.sign for element in elements):
            value = {**by_sign[sign].attributes, "orgUnit": unit, "value": totals[unit, sign]}
            if readable:
                value |= {"orgUnit": name, "dataElement": by_sign[sign].target}
            yield value
