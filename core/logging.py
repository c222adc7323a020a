"""Log lines of every process in one shape, as text for people or JSON for collectors, each with its request id."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

import orjson
from aiohttp.http import HttpProcessingError

from core.config import Config

# The id of the request being answered; "-" outside any (10 AUTH-1).
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="-")


class TextFormatter(logging.Formatter):
    """`2026-11-21T08:00:00.123Z INFO    api 3f2a91c0bd7e api.app: sentence`."""

    def __init__(self, process_name: str) -> None:
        super().__init__()
        self.process_name = process_name

    def format(self, record: logging.LogRecord) -> str:
        line = (
            f"{iso_time(record)} {record.levelname:<7} {self.process_name} {REQUEST_ID.get()} "
            f"{record.name}: {record.getMessage()}"
        )
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(TextFormatter):
    """One JSON object a line: time, level, process, request_id, logger, message, exception."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": iso_time(record),
            "level": record.levelname.lower(),
            "process": self.process_name,
            "request_id": REQUEST_ID.get(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


class NoRequests(logging.Filter):
    """What is no HTTP is no failure of ours: one line, and none of what was sent, which may hold credentials."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}", ()
            record.exc_info = None
        return logging.getLogger(record.name).isEnabledFor(record.levelno)


def setup_logging(config: Config, process_name: str) -> None:
    """Send every log line of this process to standard error, in the configured format and from the configured level."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter if config.log_format == "json" else TextFormatter
    handler.setFormatter(formatter(process_name))
    logging.basicConfig(handlers=[handler], level=config.log_level.upper(), force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(NoRequests())
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def iso_time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
