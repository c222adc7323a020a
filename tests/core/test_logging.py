"""What becomes of log records on their way."""

from __future__ import annotations

import logging
import sys

from aiohttp.http import HttpProcessingError

from core.logging import NoRequests


def failed(error: Exception) -> logging.LogRecord:
    """As aiohttp tells of a request that it could not read or answer."""
    try:
        raise error
    except Exception:
        text = "Error handling request from %s"
        return logging.LogRecord("aiohttp.server", logging.ERROR, "", 0, text, ("10.0.0.1",), sys.exc_info())


def test_what_is_no_http_is_told_without_what_was_sent() -> None:
    record = failed(HttpProcessingError(code=400, message="Authorization: Basic c2VjcmV0"))
    logging.getLogger("aiohttp.server").setLevel(logging.INFO)
    told = NoRequests().filter(record)
    logging.getLogger("aiohttp.server").setLevel(logging.WARNING)
    kept_back = NoRequests().filter(failed(HttpProcessingError(code=400)))
    logging.getLogger("aiohttp.server").setLevel(logging.NOTSET)

    assert told
    assert (record.levelname, record.exc_info) == ("INFO", None)
    assert record.getMessage() == "Error handling request from 10.0.0.1: HttpProcessingError"
    assert not kept_back


def test_a_failure_of_ours_keeps_its_traceback() -> None:
    record = failed(ZeroDivisionError())

    assert NoRequests().filter(record)
    assert (record.levelname, record.exc_info is None) == ("ERROR", False)
