"""Every typed key under which the application and a request carry what handlers share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from aiohttp import web

from core.config import Config
from core.couch.client import Couch, Database
from core.settings import Settings, SettingsWatch

if TYPE_CHECKING:
    from api.access.index import AccessIndex
    from api.access.lag import Lag
    from api.search.index import SearchIndex
    from api.sessions import Sessions, User

CONFIG = web.AppKey("config", Config)
NOW: web.AppKey[Callable[[], datetime]] = web.AppKey("now")  # what is stored says that it is this moment
COUCH = web.AppKey("couch", Couch)
DB = web.AppKey("db", Database)
SETTINGS = web.AppKey("settings", SettingsWatch)
SESSIONS: web.AppKey[Sessions] = web.AppKey("sessions")
ACCESS: web.AppKey[AccessIndex] = web.AppKey("access")
LAG: web.AppKey[Lag] = web.AppKey("lag")
SEARCH: web.AppKey[SearchIndex] = web.AppKey("search")

# Set when the server stops: whoever holds a request open for news answers with what there is.
STOPPING = web.AppKey("stopping", asyncio.Event)

REQUEST_ID = web.RequestKey("request_id", str)
USER: web.RequestKey[User | None] = web.RequestKey("user")
REQUEST_SETTINGS = web.RequestKey("settings", Settings)
