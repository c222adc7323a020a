"""Feedback of all users as rows, for a spreadsheet too: 30 §2.5."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from datetime import timedelta, timezone, tzinfo
from typing import Any
from xml.sax.saxutils import escape

from core.couch.client import Database
from core.dates import moment_of
from core.deep_json import dumps
from core.documents import Doc
from core.errors import InvalidInput
from core.exports.asked import Asked, Export, csv_export, header, in_parts
from core.exports.cells import Csv
from core.exports.paging import PAGE

COLUMNS = ("id", "reported_date", "user", "app_version", "url", "info")
PREFIX = "feedback-"
XML_TYPE = "application/vnd.ms-excel"
SHEET = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<?mso-application progid="Excel.Sheet"?>\n'
    '<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet" '
    'xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">\n<Worksheet ss:Name="feedback"><Table>\n'
)
SHEET_END = "</Table></Worksheet></Workbook>\n"
NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MOST_MINUTES = 24 * 60 - 1


async def export_feedback(asked: Asked) -> Export:
    """CSV or a spreadsheet in XML, the last id first (EP-EXP-40, EP-EXP-41)."""
    kind = asked.options.format or "csv"
    if kind not in ("csv", "xml"):
        raise InvalidInput("`format` must be csv or xml")
    zone = read_zone(asked.query.get("tz"))
    titles = await column_titles(asked)
    if kind == "xml":
        return Export(XML_TYPE, "xml", write_sheet(asked, titles, zone))
    return csv_export(write_csv(asked, titles, zone))


async def column_titles(asked: Asked) -> Sequence[str]:
    """Ids, or their translations `export.feedback.<id>` where the deployment has them; none where not wanted."""
    skipped = asked.query.get("skip_header_row", "false")
    if skipped not in ("true", "false"):
        raise InvalidInput("`skip_header_row` must be true or false")
    if skipped == "true":
        return ()
    translations, locale = await asked.translations(), asked.query.get("locale") or "en"
    return [translations.text(f"export.feedback.{column}", locale, column) for column in COLUMNS]


def read_zone(text: str | None) -> tzinfo | None:
    """The zone of an offset in minutes from GMT: `-120` is two hours west of it."""
    if not text:
        return None
    if not re.fullmatch(r"[+-]?\d{1,4}", text, re.ASCII) or abs(int(text)) > MOST_MINUTES:
        raise InvalidInput("`tz` must be an offset from GMT in minutes, such as -120")
    return timezone(timedelta(minutes=int(text)))


async def write_csv(asked: Asked, titles: Sequence[str], zone: tzinfo | None) -> AsyncGenerator[bytes, None]:
    csv = asked.options.csv
    if titles:
        yield header(titles)
    async with aclosing(feedback(asked.users_meta)) as pages:
        async for docs in pages:
            lines = [f"{csv_row(csv, row_of(doc, zone))}\n" for doc in docs]
            for part in in_parts(lines, asked.options.rows):
                yield part


def csv_row(csv: Csv, row: Sequence[Any]) -> str:
    """`info` has a backslash before its commas as before its quotes; whoever reads these reads JSON."""
    *others, info = map(csv.cell, row)
    return ",".join([*others, info if csv.doubled else info.replace(",", "\\,")])


async def write_sheet(asked: Asked, titles: Sequence[str], zone: tzinfo | None) -> AsyncGenerator[bytes, None]:
    yield SHEET.encode()
    if titles:
        yield sheet_row(titles).encode()
    async with aclosing(feedback(asked.users_meta)) as pages:
        async for docs in pages:
            for part in in_parts([sheet_row(row_of(doc, zone)) for doc in docs], asked.options.rows):
                yield part
    yield SHEET_END.encode()


def sheet_row(row: Iterable[Any]) -> str:
    return f"<Row>{''.join(map(sheet_cell, row))}</Row>\n"


def sheet_cell(value: Any) -> str:
    """Spreadsheets take a cell that is typed as text for a text, whatever it begins with."""
    if value is None:
        return "<Cell/>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<Cell><Data ss:Type="Number">{value}</Data></Cell>'
    text = value if isinstance(value, str) else dumps(value).decode()
    return f'<Cell><Data ss:Type="String">{escape(NOT_XML.sub("", text))}</Data></Cell>'


def row_of(doc: Doc, zone: tzinfo | None) -> list[Any]:
    meta = doc.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    user = meta.get("user")
    name = user.get("name") if isinstance(user, dict) else user
    info = dumps(doc["info"]).decode() if "info" in doc else None
    return [doc["_id"], time_of(meta.get("time"), zone), name, meta.get("version"), meta.get("url"), info]


def time_of(value: Any, zone: tzinfo | None) -> Any:
    """As stored, or with that offset."""
    moment = moment_of(value, zone) if zone else None
    return value if moment is None else moment.isoformat(timespec="milliseconds")


async def feedback(users_meta: Database) -> AsyncGenerator[list[Doc], None]:
    """Page by page, the last id first. An id never moves: none comes twice and none is left out."""
    last, size = f"{PREFIX}\ufff0", PAGE + 1
    while True:
        rows = await users_meta.all_docs(startkey=last, endkey=PREFIX, descending=True, include_docs=True, limit=size)
        yield [row["doc"] for row in rows if row["id"] != last and row.get("doc")]
        if len(rows) < size:
            return
        last = rows[-1]["id"]
