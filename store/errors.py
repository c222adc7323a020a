"""Failures as CouchDB names them: a status, a slug and a reason, raised anywhere and rendered once by the server."""

from __future__ import annotations

import errno
import sqlite3


class StoreError(Exception):
    """An answer other than success: `{"error": slug, "reason": reason}` with `status`."""

    status = 500
    slug = "internal_server_error"

    def __init__(self, reason: str, *, slug: str | None = None, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        if slug is not None:
            self.slug = slug
        if status is not None:
            self.status = status


class BadRequest(StoreError):
    """400 `bad_request`: the request cannot be understood."""

    status = 400
    slug = "bad_request"


class QueryParseError(StoreError):
    """400 `query_parse_error`: a query parameter has a wrong value."""

    status = 400
    slug = "query_parse_error"


class DocValidation(StoreError):
    """400 `doc_validation`: a document has a member that CouchDB reserves."""

    status = 400
    slug = "doc_validation"


class Unauthorized(StoreError):
    """401 `unauthorized`: the caller has to log in, or a validate function said so."""

    status = 401
    slug = "unauthorized"


class Forbidden(StoreError):
    """403 `forbidden`: the caller may not, or a validate function refused the document."""

    status = 403
    slug = "forbidden"


class NotFound(StoreError):
    """404 `not_found`: reasons are CouchDB's `missing`, `deleted`, `no_db_file`, `missing_named_view`."""

    status = 404
    slug = "not_found"

    def __init__(self, reason: str = "missing") -> None:
        super().__init__(reason)


class MethodNotAllowed(StoreError):
    """405 `method_not_allowed`."""

    status = 405
    slug = "method_not_allowed"


class RequestTimeout(StoreError):
    """408 `request_timeout`: the body comes too slowly."""

    status = 408
    slug = "request_timeout"


class Conflict(StoreError):
    """409 `conflict`: the revision given is not a current one."""

    status = 409
    slug = "conflict"

    def __init__(self, reason: str = "Document update conflict.") -> None:
        super().__init__(reason)


class PreconditionFailed(StoreError):
    """412: a database that exists already, or a missing attachment stub."""

    status = 412
    slug = "precondition_failed"


class TooLarge(StoreError):
    """413 `too_large`: the body, a document or an attachment is over its limit."""

    status = 413
    slug = "too_large"


class UnsupportedMediaType(StoreError):
    """415 `bad_content_type`."""

    status = 415
    slug = "bad_content_type"


class CompilationError(StoreError):
    """400 `compilation_error`: JavaScript of a design document does not compile."""

    status = 400
    slug = "compilation_error"


class NotImplementedByStore(StoreError):
    """501 `not_implemented`: CouchDB has it and this store does not."""

    status = 501
    slug = "not_implemented"


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SQLITE_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})


def insufficient_storage(error: Exception) -> StoreError | None:
    """507 `insufficient_storage`, as CouchDB has it, when an error says that the disk takes no more; None otherwise."""
    if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) in _SQLITE_NO_ROOM:
        return StoreError(f"The disk takes no more: {error}", slug="insufficient_storage", status=507)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return StoreError(f"The disk takes no more: {error.strerror}", slug="insufficient_storage", status=507)
    return None
