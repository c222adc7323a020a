"""Every XForm that a form ever had, by which its reports can be read later: `form-archive:` in the logs (FORM-62)."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from core.couch.client import Database, Doc
from core.errors import Conflict
from core.xforms.attachments import Attachment, inline
from core.xforms.catalogue import code_of, is_form
from core.xforms.generated import xform_of

XML = "xml"
DIGEST = re.compile(r"[0-9A-Za-z]{1,128}")


class FormVersions:
    """Documents `form-archive:<code>:<sha256>`, of which none is ever replaced; the digest is that of `form_version`.

    A form whose version has no digest that could be asked for is kept by its own.
    """

    def __init__(self, logs_db: Database) -> None:
        self.logs_db = logs_db

    async def keep(self, db: Database, doc: Doc) -> None:
        """Keep the XForm of a form document of `db`, unless it is kept already."""
        if not is_form(doc):
            return
        version = doc.get("xmlVersion")
        stated: Any = version.get("sha256") if isinstance(version, dict) else None
        known = stated if isinstance(stated, str) and DIGEST.fullmatch(stated) else None
        if known and await self.logs_db.find(archive_id(code_of(doc), known)):
            return
        xform = await xform_of(db, doc)
        if xform is None:
            return
        digest = known or hashlib.sha256(xform).hexdigest()
        kept = {
            "_id": archive_id(code_of(doc), digest),
            "type": "form-archive",
            "form": code_of(doc),
            **({} if version is None else {"xmlVersion": version}),
            "_attachments": {XML: inline(Attachment("application/xml", xform))},
        }
        try:
            await self.logs_db.put(kept)
        except Conflict:
            return  # kept already

    async def xml(self, code: str, digest: str) -> bytes | None:
        doc = await self.logs_db.find(archive_id(code, digest)) if DIGEST.fullmatch(digest) else None
        return None if doc is None else await self.logs_db.attachment(doc["_id"], XML, doc["_rev"])


def archive_id(code: str, digest: str) -> str:
    return f"form-archive:{code}:{digest}"
