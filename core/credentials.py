"""Secrets of other services, sealed in the vault database under CouchDB's own secret (35 MOD-99, 45 AGG-8)."""

from __future__ import annotations

import base64
import hmac
import secrets
from urllib.parse import quote

from cryptography.fernet import Fernet, InvalidToken

from core.couch.client import Database, Doc
from core.errors import InvalidInput, NotFound

SECRET_PATH = "/_node/_local/_config/chttpd_auth/secret"
PURPOSE = b"outpost credentials"


async def store_credential(vault: Database, key: str, secret: str) -> None:
    """Keep the secret under that key, in place of the one before."""
    sealed = seal(secret, await sealing_key(vault))
    await vault.update(credential_id(key), lambda doc: {**(doc or {}), "password": sealed})


async def find_credential(vault: Database, key: str) -> str | None:
    """The secret stored under a key, None when there is none. InvalidInput when it was sealed under another secret."""
    doc: Doc | None = await vault.find(credential_id(key))
    return None if doc is None else unseal(str(doc.get("password") or ""), await sealing_key(vault))


def credential_id(key: str) -> str:
    return f"credential:{quote(key, safe='')}"


async def sealing_key(vault: Database) -> bytes:
    """Derived from `chttpd_auth/secret`, which only administrators read; made when there is none, as CouchDB does."""
    try:
        secret = await vault.couch.request("GET", SECRET_PATH)
    except NotFound:
        await vault.couch.request("PUT", SECRET_PATH, body=secrets.token_hex(32))
        secret = await vault.couch.request("GET", SECRET_PATH)
    return base64.urlsafe_b64encode(hmac.digest(str(secret).encode(), PURPOSE, "sha256"))


def seal(secret: str, key: bytes) -> str:
    """The secret as a Fernet token: AES-128-CBC under HMAC-SHA-256."""
    return Fernet(key).encrypt(secret.encode()).decode()


def unseal(sealed: str, key: bytes) -> str:
    try:
        return Fernet(key).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise InvalidInput("the credential cannot be opened with CouchDB's present secret: store it again") from error
