"""JSON of documents, which may be nested deeper than orjson writes (254 levels) where they did not come through us."""

from __future__ import annotations

import json
from typing import Any

import orjson


def dumps(value: Any) -> bytes:
    """As `orjson.dumps`, for up to some 900 levels; what makes documents part of others makes them deeper, too."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
