"""Reports as rows: their own members, the names of who submitted them, their fields (EP-EXP-21, EP-EXP-23)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson

from core.couch.client import Database
from core.deep_json import dumps
from core.documents import Doc, id_of
from core.exports.asked import Options
from core.exports.cells import Csv, date_value
from core.lineage import chain_ids

OWN = ("_id", "form", "patient_id", "reported_date", "from")
SENDER = OWN.index("from")
SUBMITTER = tuple(f"contact.{'parent.' * level}name" for level in range(4))
MOST_NAMES = 50_000  # contacts remembered during an export
MOST_SHAPES = 5_000

Cells = orjson.Fragment  # of a line, with the commas between them

AS_JSON = frozenset({str, int, bool})  # cells as they are in JSON, but for what `Lines` says
SIGNS = bytes.maketrans(b"@+-", b"===")  # with "=" what formulas begin with

NOTHING = orjson.Fragment(b"")
NOBODY = orjson.Fragment(b"," * (len(SUBMITTER) - 1))


@dataclass(frozen=True)
class Named:
    """A contact's name and the ids above it."""

    name: Any
    above: Sequence[str]


class Submitters:
    """The names of contacts and of the places above them as cells, each read once (EP-EXP-23)."""

    def __init__(self, db: Database, csv: Csv) -> None:
        self._db = db
        self._csv = csv
        self._known: dict[str, Named | None] = {}
        self._cells: dict[str, Cells] = {}

    async def of(self, docs: Sequence[Doc]) -> list[Cells]:
        """For each report the name of its submitter and of the three places above, joined by commas.

        At most two reads, whatever their number. Nothing where there is none.
        """
        found = [self._found(doc.get("contact")) for doc in docs]
        if None in found:
            await self._learn([doc["contact"] for doc, cells in zip(docs, found, strict=True) if cells is None])
        return [cells or self._made(doc["contact"]) for doc, cells in zip(docs, found, strict=True)]

    def _found(self, contact: Any) -> Cells | None:
        if not contact:
            return NOBODY
        return self._cells.get(id_of(contact) or "")

    async def _learn(self, contacts: Iterable[Any]) -> None:
        if len(self._known) > MOST_NAMES:
            self._known.clear()
            self._cells.clear()
        wanted = {each for contact in contacts for each in (id_of(contact), *chain_ids(contact)) if each}
        await self._read(wanted)
        await self._read({above for each in wanted if (named := self._known.get(each)) for above in named.above})

    async def _read(self, ids: Iterable[str]) -> None:
        missing = [each for each in ids if each not in self._known]
        if missing:
            docs = await self._db.get_many(missing)
            for each in missing:
                self._known[each] = Named(docs[each].get("name"), chain_ids(docs[each])) if each in docs else None

    def _made(self, contact: Any) -> Cells:
        """Of who is deleted there is what the report says."""
        contact_id = id_of(contact) or ""
        known = self._known.get(contact_id)
        submitter = known or Named(contact.get("name") if isinstance(contact, dict) else None, chain_ids(contact))
        places = [self._known.get(each) for each in submitter.above[: len(SUBMITTER) - 1]]
        names = [submitter.name, *(place.name if place else None for place in places)]
        written = map(self._csv.cell, names + [None] * (len(SUBMITTER) - len(names)))
        cells = orjson.Fragment(",".join(written).encode())
        if known:
            self._cells[contact_id] = cells
        return cells


class Lines:
    """Makes lines of CSV out of reports.

    Nearly every line is a JSON array but for its brackets: texts in quotes, a backslash before the quotes in them,
    numbers bare. So the JSON library writes it, and what is not right as it stands is seen in what it wrote: a text
    that begins as formulas do, a backslash before anything else than a quote. Such a line is made anew from cells.
    """

    def __init__(self, columns: Sequence[str], options: Options) -> None:
        self._csv = options.csv
        self._readable = options.readable
        self._columns = {column: place for place, column in enumerate(columns)}
        self._shapes: dict[tuple[Any, ...], Shape] = {}

    def text(self, docs: Sequence[Doc], submitters: Sequence[Cells]) -> bytes:
        """A line for each report, with its end."""
        rows = [self._row(doc, submitter) for doc, submitter in zip(docs, submitters, strict=True)]
        lines = [orjson.dumps(row)[1:-1] for row in rows]
        lines.append(b"")
        text = b"\n".join(lines)
        if self._is_right(text, rows):
            return text
        for place, row in enumerate(rows):
            if not self._is_right(lines[place], [row]):
                cells = [self._cell(each) if isinstance(each, str) else each for each in row]
                lines[place] = orjson.dumps(cells)[1:-1]
        return b"\n".join(lines)

    def _is_right(self, text: bytes, rows: Iterable[Sequence[Any]]) -> bool:
        """Whether this is the CSV of these rows. The phones of senders are no formulas, though they begin as some."""
        escapes = text.count(b"\\")
        if escapes and (self._csv.doubled or escapes != text.count(b'\\"')):
            return False
        if not self._csv.defused:
            return True
        senders = [row[SENDER] for row in rows]
        phones = [each for each in senders if each.__class__ is str and each[:1] == "+" and each[1:].isdigit()]
        return text.translate(SIGNS).count(b'"=') == len(phones)

    def _row(self, doc: Doc, submitter: Cells) -> Sequence[Any]:
        """Cells with what is between them, as JSON."""
        date, fields = doc.get("reported_date"), doc.get("fields")
        if self._readable or not isinstance(date, int):
            date = date_value(date, readable=self._readable)
        own = (doc["_id"], doc.get("form"), doc.get("patient_id"), date, doc.get("from"))
        values = [each if each.__class__ in AS_JSON else self._odd(each) for each in own]
        values.append(submitter)
        path: list[Any] = []
        if isinstance(fields, dict):
            self._gather(fields, path, values)
        shape = self._shape(path)
        for place in shape.objects:
            values[place] = self._odd(values[place])
        values += shape.gaps
        return shape.pick(values)

    def _shape(self, path: Sequence[Any]) -> Shape:
        key = tuple(path)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= MOST_SHAPES:
                self._shapes.clear()
            shape = self._shapes[key] = shape_of(path, self._columns)
        return shape

    def _gather(self, fields: Mapping[str, Any], path: list[Any], values: list[Any]) -> None:
        """The values in their order, each object before those in it, and in `path` where they come from."""
        for name, value in fields.items():
            path.append(name)
            kind = value.__class__
            if kind in AS_JSON:
                values.append(value)
            elif kind is dict:
                values.append(value)
                path.append(dict)
                self._gather(value, path, values)
                path.append(None)
            else:
                values.append(self._odd(value))

    def _odd(self, value: Any) -> Any:
        """What is a cell in JSON."""
        if value is None:
            return NOTHING
        if isinstance(value, float) and not value.is_integer() and 1e-4 <= abs(value) < 1e16:
            return value
        return dumps(value).decode() if isinstance(value, list) else self._cell(value)

    def _cell(self, value: Any) -> orjson.Fragment:
        return orjson.Fragment(self._csv.cell(value).encode())


@dataclass(frozen=True)
class Shape:
    """Where the values of reports with the same fields go.

    `pick` makes the row of a list of values and `gaps`, which stand for cells with nothing in them; `objects` are the
    places of values that are objects where other reports have what is no object.
    """

    pick: Callable[[Sequence[Any]], tuple[Any, ...]]
    gaps: Sequence[Cells]
    objects: Sequence[int]


def shape_of(path: Iterable[Any], columns: Mapping[str, int]) -> Shape:
    """`path`: the names of fields, after that of an object `dict`, its own names and None."""
    before = len(OWN) + 1
    places: dict[int, int] = {}  # of values, by their column
    objects: dict[int, int] = {}
    prefixes, name, count = [""], "", before
    for step in path:
        if step is dict:
            objects[count - 1] = columns.get(name, -1)
            prefixes.append(f"{name}.")
        elif step is None:
            prefixes.pop()
        else:
            name = prefixes[-1] + step
            if name in columns:
                places[columns[name]] = count
            count += 1
    picked = list(range(before))
    gaps: list[Cells] = []
    last = -1
    for column in (*sorted(places), len(columns)):
        if column - last > 1:
            picked.append(count + len(gaps))
            gaps.append(orjson.Fragment(b"," * (column - last - 2)))
        if column in places:
            picked.append(places[column])
        last = column
    return Shape(itemgetter(*picked), gaps, [place for place, column in objects.items() if column >= 0])
