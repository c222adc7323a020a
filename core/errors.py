"""Every failure a caller may see, with its HTTP status and CouchDB's slug; rendered in one place by each surface."""

from __future__ import annotations

from typing import Any, ClassVar


class DomainError(Exception):
    """A failure with a sentence for the caller. Raised bare it means our own fault: 500.

    `details` travels with the answer (10 ERR-2); it never holds secrets or stack traces.
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal_server_error"

    def __init__(self, message: str = "Server error", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidInput(DomainError):
    """The request cannot be understood; the message names the field and what was expected."""

    status = 400
    slug = "bad_request"


class Unauthorized(DomainError):
    """Nobody is logged in, or the credentials are wrong."""

    status = 401
    slug = "unauthorized"


class Forbidden(DomainError):
    """The caller is known and may not do this."""

    status = 403
    slug = "forbidden"


class NotFound(DomainError):
    status = 404
    slug = "not_found"


class MethodNotAllowed(DomainError):
    status = 405
    slug = "method_not_allowed"


class Conflict(DomainError):
    """Another write came first: read again and repeat."""

    status = 409
    slug = "conflict"


class PreconditionFailed(DomainError):
    """The thing exists already (CouchDB's `file_exists`) or a condition in the headers does not hold."""

    status = 412
    slug = "file_exists"


class TooLarge(DomainError):
    status = 413
    slug = "too_large"


class UnsupportedMediaType(DomainError):
    status = 415
    slug = "bad_content_type"


class Unavailable(DomainError):
    """CouchDB, or another service we need, does not answer now."""

    status = 503
    slug = "service_unavailable"


class DiskFull(DomainError):
    """There is no room for it on the disk, as CouchDB says it too."""

    status = 507
    slug = "insufficient_storage"


class Unanswered(Unavailable):
    """The connection broke after the request was sent: nobody knows whether a write was stored."""


BY_STATUS: dict[int, type[DomainError]] = {
    kind.status: kind
    for kind in (
        InvalidInput,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        Conflict,
        PreconditionFailed,
        TooLarge,
        UnsupportedMediaType,
        Unavailable,
        DiskFull,
    )
}
