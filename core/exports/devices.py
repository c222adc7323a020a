"""What each device of each user told last: 30 §2.8."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from core.couch.client import Database, Row
from core.deep_json import dumps
from core.exports.asked import Asked, Export, json_export
from core.exports.paging import PAGE

# Browsers by their product in a user agent, those that also name others' products first.
BROWSERS = (
    ("Edge", "Edge|Edg|EdgA|EdgiOS"),
    ("Opera", "OPR|OPiOS|Opera"),
    ("Samsung Internet", "SamsungBrowser"),
    ("Firefox", "Firefox|FxiOS"),
    ("Chrome", "Chrome|CriOS|Chromium"),
    ("Safari", "Version(?=.*Safari)"),
)
LONGEST_USER_AGENT = 1000  # of it is looked at: a phone may say what it likes
PATTERNS = [(name, re.compile(rf"\b(?:{product})[^/]*/([\d.]+)")) for name, product in BROWSERS]


async def export_devices(asked: Asked) -> Export:
    """A JSON array, by user and device (EP-EXP-70)."""
    return json_export(write_devices(asked))


async def write_devices(asked: Asked) -> AsyncGenerator[bytes, None]:
    opening = b"["
    async with aclosing(newest(asked.users_meta)) as pages:
        async for rows in pages:
            for start in range(0, len(rows), asked.options.rows):
                devices = [device_of(row) for row in rows[start : start + asked.options.rows]]
                yield opening + dumps(devices)[1:-1]
                opening = b","
    yield b"[]" if opening == b"[" else b"]"


async def newest(users_meta: Database) -> AsyncGenerator[list[Row], None]:
    """The newest row of each user and device, page by page."""
    last: Any = None
    size = PAGE + 1
    while True:
        rows = await users_meta.view("users-meta", "device_by_user", group=True, startkey=last, limit=size)
        yield [row for row in rows if row["key"] != last]
        if len(rows) < size:
            return
        last = rows[-1]["key"]


def device_of(row: Row) -> dict[str, Any]:
    user, device_id = row["key"]
    device = row["value"].get("device") or {}
    versions, storage = device.get("versions") or {}, device.get("storage") or {}
    return {
        "user": user,
        "deviceId": device_id,
        "date": row["value"].get("date"),
        "browser": browser_of(device.get("userAgent")),
        "apk": versions.get("apk"),
        "android": versions.get("android"),
        "cht": versions.get("cht"),
        "settings": versions.get("settings"),
        "storageFree": storage.get("free"),
        "storageTotal": storage.get("total"),
    }


def browser_of(user_agent: Any) -> dict[str, str | None]:
    for name, pattern in PATTERNS if isinstance(user_agent, str) else ():
        if found := pattern.search(user_agent[:LONGEST_USER_AGENT]):
            return {"name": name, "version": found[1]}
    return {"name": None, "version": None}
