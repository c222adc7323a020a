"""Identifiers that sort by the moment they were made (RFC 9562, version 7)."""

from __future__ import annotations

import secrets
import time
import uuid


def uuid7(now_ms: int | None = None) -> str:
    """A new UUID, version 7: 48 bits of milliseconds, then chance."""
    ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    value = (ms & 0xFFFFFFFFFFFF) << 80 | secrets.randbits(76)
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))
