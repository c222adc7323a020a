"""The process that converts forms: reads an XForm or XLSForm, answers with its HTML and model, until its input ends.

Stylesheets evaluate what the form's author wrote and workbooks are unpacked, so both happen where time and memory are
limited and a failure hurts nobody. Each message is four bytes of length and that many bytes. In come a JSON object and
the form; out goes JSON: `{form, model, warnings}` and for an XLSForm `{xform, itemsets}`, or `{error, problems?}`.
"""

from __future__ import annotations

import resource
import select
import sys
import traceback
from typing import Any, BinaryIO

import orjson

from core.errors import DomainError
from core.xforms.archive import check_archive
from core.xforms.conversion import convert
from core.xforms.warnings import warnings_of

MEMORY_BYTES = 1 << 30
IDLE_S = 60.0


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while select.select([source], [], [], IDLE_S)[0]:
        head, data = read_message(source), read_message(source)
        if head is None or data is None:
            return
        message = orjson.dumps(answer(orjson.loads(head), data))
        target.write(len(message).to_bytes(4, "big") + message)
        target.flush()


def read_message(source: BinaryIO) -> bytes | None:
    head = source.read(4)
    return source.read(int.from_bytes(head, "big")) if len(head) == 4 else None


def answer(wanted: dict[str, Any], data: bytes) -> dict[str, Any]:
    try:
        return made_of_workbook(wanted, data) if wanted.get("xlsform") else made_of(data)
    except DomainError as error:
        return {"error": error.message, **error.details}
    except (MemoryError, RecursionError):
        return {"error": "The form is too large to be converted"}
    except Exception as error:  # whatever the libraries stumble over is the form's doing
        traceback.print_exc()
        return {"error": f"The form cannot be converted: {type(error).__name__}"}


def made_of(xform: bytes) -> dict[str, Any]:
    converted = convert(xform)
    return {"form": converted.form, "model": converted.model, "warnings": warnings_of(xform)}


def made_of_workbook(wanted: dict[str, Any], data: bytes) -> dict[str, Any]:
    check_archive(data)
    # What reads tables takes a second to import, and most forms come as XForms.
    from core.xforms.cleanup import cleaned
    from core.xforms.xlsform import xform_of

    made = xform_of(data, wanted["name"])
    xform = cleaned(made.xform, wanted["hidden_fields"], collect=wanted["collect"])
    found = made_of(xform)
    warnings = [*map(str, made.warnings), *found["warnings"]]
    return {**found, "warnings": warnings, "xform": xform.decode(), "itemsets": made.itemsets}


if __name__ == "__main__":
    main()
