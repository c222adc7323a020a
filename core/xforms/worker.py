"""The process that converts forms: reads an XForm, answers with its HTML and model, until its input ends.

Stylesheets evaluate what the form's author wrote, so they run where time and memory are limited and a failure hurts
nobody. Each message is four bytes of length and that many bytes: an XForm in, JSON `{form, model, warnings}` or
`{error}` out.
"""

from __future__ import annotations

import resource
import select
import sys
from typing import Any, BinaryIO

import orjson

from core.errors import DomainError
from core.xforms.conversion import convert
from core.xforms.warnings import warnings_of

MEMORY_BYTES = 1 << 30
IDLE_S = 60.0


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while select.select([source], [], [], IDLE_S)[0]:
        data = read_message(source)
        if data is None:
            return
        message = orjson.dumps(answer(data))
        target.write(len(message).to_bytes(4, "big") + message)
        target.flush()


def read_message(source: BinaryIO) -> bytes | None:
    head = source.read(4)
    return source.read(int.from_bytes(head, "big")) if len(head) == 4 else None


def answer(data: bytes) -> dict[str, Any]:
    try:
        converted = convert(data)
        return {"form": converted.form, "model": converted.model, "warnings": warnings_of(data)}
    except DomainError as error:
        return {"error": error.message}
    except (MemoryError, RecursionError):
        return {"error": "Form XML is too large to be converted"}


if __name__ == "__main__":
    main()
