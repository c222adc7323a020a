"""Forms that could not be converted after they were stored: `form-errors` in the worker's database (FORM-65)."""

from __future__ import annotations

from typing import Any

from core.couch.client import Database, Doc

DOC_ID = "form-errors"


class FormErrors:
    """`{errors: {form's id: {rev, error}}}`; one whose form has another revision by now is out of date."""

    def __init__(self, sentinel_db: Database) -> None:
        self.db = sentinel_db

    async def all(self) -> dict[str, Any]:
        doc = await self.db.find(DOC_ID) or {}
        errors = doc.get("errors")
        return errors if isinstance(errors, dict) else {}

    async def note(self, doc_id: str, rev: str, error: str | None) -> None:
        """Keep the error of a form, or forget it; written only where that is new."""

        def change(doc: Doc | None) -> Doc | None:
            errors = dict((doc or {}).get("errors") or {})
            before = dict(errors)
            errors.pop(doc_id, None)
            if error is not None:
                errors[doc_id] = {"rev": rev, "error": error}
            return None if errors == before else {**(doc or {}), "type": "form-errors", "errors": errors}

        await self.db.update(DOC_ID, change)
