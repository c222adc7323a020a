"""The server's configuration in CouchDB's sections: what it was started with, and over it what was set over HTTP."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path

import orjson

from store.config import StoreConfig
from store.documents import MAX_DOCUMENT_BYTES
from store.errors import BadRequest, Forbidden, NotFound
from store.passwords import admin_value
from store.private_file import replace_private

Sections = dict[str, dict[str, str]]

_NOT_OVER_HTTP = frozenset(
    {"daemons", "external", "httpd_db_handlers", "httpd_design_handlers", "httpd_global_handlers",
     "native_query_servers", "os_daemons", "query_servers"}
)  # fmt: skip
_NAME = re.compile(r"[^\x00-\x1f\x7f=\[\]]{1,200}\Z")
_FROM_THE_START = frozenset({("couchdb", "uuid"), ("couchdb", "database_dir"), ("couchdb", "view_index_dir"),
                             ("chttpd", "bind_address"), ("chttpd", "port"), ("chttpd_auth", "secret")})  # fmt: skip


def start_sections(config: StoreConfig, uuid: str) -> Sections:
    """The sections that clients read, as the store was started."""
    return {
        "admins": dict.fromkeys(config.admins, ""),  # what is shown for them: `NodeConfig.given_admins`
        "chttpd": {
            "bind_address": config.host,
            "enable_cors": "false",
            "max_http_request_size": str(config.max_body_bytes),
            "port": str(config.port),
            "require_valid_user": "true",
        },
        "chttpd_auth": {
            "allow_persistent_cookies": "true",
            "authentication_db": "_users",
            "hash_algorithms": "sha256, sha",
            "iterations": str(config.pbkdf2_iterations),
            "timeout": str(config.cookie_timeout_s),
        },
        "cluster": {"n": "1", "q": "1"},
        "cors": {},
        "couchdb": {
            "database_dir": str(config.data),
            "default_security": "admin_only",
            "max_attachment_size": str(config.max_attachment_bytes),
            "max_document_size": str(MAX_DOCUMENT_BYTES),
            "single_node": "true",
            "uuid": uuid,
            "view_index_dir": str(config.data),
        },
        "httpd": {"enable_cors": "false"},
        "log": {"level": "info", "writer": "stderr"},
        "query_server_config": {"reduce_limit": "true"},
        "query_servers": {"javascript": "quickjs"},
        "vendor": {"name": "Outpost embedded store"},
    }


class NodeConfig:
    """Sections of keys with string values. Changes are on disk when they return; a deleted value stays away."""

    def __init__(self, path: Path, start: Sections) -> None:
        self._path = path
        self._start = start
        self._changes: dict[str, dict[str, str | None]] = orjson.loads(path.read_bytes()) if path.exists() else {}
        self._sections: Sections = {}
        self._changing = threading.Lock()
        self._merge()

    def sections(self) -> Mapping[str, Mapping[str, str]]:
        """Every section that has a value."""
        return {name: values for name, values in self._sections.items() if values}

    def section(self, name: str) -> Mapping[str, str]:
        return self._sections.get(name, {})

    def get(self, section: str, key: str) -> str | None:
        return self._sections.get(section, {}).get(key)

    def seconds(self, section: str, key: str, default: int) -> int:
        """A value that is a number; `set` lets no other in."""
        value = self.get(section, key)
        return default if value is None else int(value)

    def admin(self, name: str) -> str | None:
        """The hashed password of an administrator that was made over HTTP."""
        return None if name in self._start["admins"] else self.get("admins", name)

    def set(self, section: str, key: str, value: str) -> str:
        """Store a value; returns the former one, empty when there was none. Blocks: call it in a thread.

        Raises BadRequest or Forbidden naming the value that may not be.
        """
        self._check(section, key)
        if not value.isprintable():
            raise BadRequest("Invalid configuration value")
        check_value(section, key, value)
        with self._changing:
            old = self.get(section, key) or ""
            self._change(section, key, value)
        return old

    def delete(self, section: str, key: str) -> str:
        """Remove a value and return it; raises NotFound. Blocks: call it in a thread."""
        with self._changing:
            old = self.get(section, key)
            if old is None:
                raise NotFound("unknown_config_value")
            self._check(section, key)
            self._change(section, key, None)
        return old

    def _check(self, section: str, key: str) -> None:
        if not _NAME.match(section) or not _NAME.match(key):
            raise BadRequest("Invalid configuration section or key")
        if section in _NOT_OVER_HTTP:
            raise Forbidden("Config section blacklisted for modification over HTTP API.")
        if (section, key) in _FROM_THE_START or (section == "admins" and key in self._start["admins"]):
            raise Forbidden(f"{section}/{key} is given at the start of the store and changed there.")

    def _change(self, section: str, key: str, value: str | None) -> None:
        changed = {**self._changes, section: {**self._changes.get(section, {}), key: value}}
        if value is None and key not in self._start.get(section, {}):
            del changed[section][key]
        replace_private(self._path, orjson.dumps(changed, option=orjson.OPT_INDENT_2))
        self._changes = changed
        self._merge()

    def _merge(self) -> None:
        merged = {name: dict(values) for name, values in self._start.items()}
        for name, values in self._changes.items():
            section = merged.setdefault(name, {})
            for key, value in values.items():
                if value is None:
                    section.pop(key, None)
                elif name != "admins" or key not in self._start["admins"]:
                    section[key] = value
        self._sections = merged


def check_value(section: str, key: str, value: str) -> None:
    """Raises BadRequest when a value that the store acts on is not of its kind."""
    if (section, key) in (("chttpd_auth", "timeout"), ("chttpd_auth", "iterations"), ("cors", "max_age")):
        if not (value.isascii() and value.isdigit() and int(value[:12]) > 0 and len(value) < 11):
            raise BadRequest(f"{section}/{key} must be a number above zero")
    elif key in ("enable_cors", "credentials") and section in ("chttpd", "httpd", "cors"):
        if value not in ("true", "false"):
            raise BadRequest(f"{section}/{key} must be true or false")
    elif (section, key) == ("query_server_config", "reduce_limit") and value not in ("true", "false", "log"):
        raise BadRequest("query_server_config/reduce_limit must be true, false or log")
    elif section == "admins" and admin_value(value) is None:
        raise BadRequest("the value is not a hashed password")
