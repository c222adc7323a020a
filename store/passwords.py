"""Password hashes as CouchDB stores them in user documents."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Any

# CouchDB 3.4 takes 600,000, which is a quarter of a second of CPU per login; a district's morning of logins on a
# small machine is better served by 100,000. Each document says its own number, so it can be raised at any time.
DEFAULT_ITERATIONS = 100_000
_MOST_ITERATIONS = 10_000_000  # a document may not make one login cost minutes
_PRFS = {"sha": "sha1", "sha224": "sha224", "sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}


def hash_password(password: str, iterations: int) -> dict[str, Any]:
    """The members that replace `password` in a user document. Slow on purpose: call it in a thread."""
    salt = secrets.token_hex(16)
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), iterations, 32)
    return {
        "password_scheme": "pbkdf2",
        "pbkdf2_prf": "sha256",
        "salt": salt,
        "iterations": iterations,
        "derived_key": derived.hex(),
    }


def verify_password(password: str, user_doc: dict[str, Any]) -> bool:
    """Whether the password is the one a user document was made with. Slow on purpose: call it in a thread.

    Knows `pbkdf2` with any SHA (CouchDB before 3.4 used SHA-1) and the `simple` scheme of CouchDB 1.2 and older.
    """
    salt = user_doc.get("salt")
    if not isinstance(salt, str):
        return False
    if user_doc.get("password_scheme") == "pbkdf2":
        derived, iterations = user_doc.get("derived_key"), user_doc.get("iterations")
        prf = _PRFS.get(str(user_doc.get("pbkdf2_prf", "sha")))
        if not isinstance(derived, str) or not isinstance(iterations, int) or prf is None:
            return False
        if not 0 < iterations <= _MOST_ITERATIONS:
            return False
        size = len(derived) // 2
        if not size:
            return False
        found = hashlib.pbkdf2_hmac(prf, password.encode(), salt.encode(), iterations, size).hex()
        return hmac.compare_digest(found.encode(), derived.lower().encode())
    expected = user_doc.get("password_sha")
    if not isinstance(expected, str):
        return False
    found = hashlib.sha1(password.encode() + salt.encode(), usedforsecurity=True).hexdigest()
    return hmac.compare_digest(found.encode(), expected.encode())


_ADMIN = re.compile(r"-pbkdf2(?::(sha|sha224|sha256|sha384|sha512))?-([0-9a-fA-F]+),([^,]+),([0-9]{1,8})\Z")


def admin_text(hashed: dict[str, Any]) -> str:
    """A hashed password as CouchDB writes it in its `admins` section."""
    return f"-pbkdf2:{hashed['pbkdf2_prf']}-{hashed['derived_key']},{hashed['salt']},{hashed['iterations']}"


def admin_value(text: str) -> dict[str, Any] | None:
    """The members of a user document that such a text stands for; None when it is none."""
    match = _ADMIN.match(text)
    if match is None or not 0 < int(match[4]) <= _MOST_ITERATIONS:
        return None
    return {
        "password_scheme": "pbkdf2",
        "pbkdf2_prf": match[1] or "sha",
        "derived_key": match[2].lower(),
        "salt": match[3],
        "iterations": int(match[4]),
    }
