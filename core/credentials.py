"""Secrets of other services, sealed in the vault database under CouchDB's own secret (35 MOD-99, 45 AGG-8)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import quote

from core.couch.client import Database, Doc
from core.errors import InvalidInput, NotFound

SECRET_PATH = "/_node/_local/_config/chttpd_auth/secret"
NONCE_BYTES = 16
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
    return hmac.digest(str(secret).encode(), PURPOSE, "sha256")


def seal(secret: str, key: bytes) -> str:
    """`nonce:cipher:tag` in hexadecimal: a key stream of SHAKE-256, then a tag of HMAC-SHA-256 over both."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    cipher = mixed(secret.encode(), key, nonce)
    return f"{nonce.hex()}:{cipher.hex()}:{tag_of(key, nonce, cipher).hex()}"


def unseal(sealed: str, key: bytes) -> str:
    try:
        nonce, cipher, tag = (bytes.fromhex(part) for part in sealed.split(":"))
    except ValueError as error:
        raise InvalidInput("the credential in the vault cannot be read: store it again") from error
    if not hmac.compare_digest(tag, tag_of(key, nonce, cipher)):
        raise InvalidInput("the credential was sealed under another secret of CouchDB: store it again")
    return mixed(cipher, key, nonce).decode()


def mixed(text: bytes, key: bytes, nonce: bytes) -> bytes:
    stream = hashlib.shake_256(hmac.digest(key, b"stream" + nonce, "sha256")).digest(len(text))
    return bytes(one ^ other for one, other in zip(text, stream, strict=True))


def tag_of(key: bytes, nonce: bytes, cipher: bytes) -> bytes:
    return hmac.digest(key, b"tag" + nonce + cipher, "sha256")
