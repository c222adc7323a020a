"""This one node of CouchDB's cluster interface: configuration, statistics, what would be there of a cluster."""

from __future__ import annotations

import asyncio
import platform
import resource
import threading
from typing import Any

from aiohttp import web

from store.documents import load_json
from store.errors import BadRequest, MethodNotAllowed, NotFound, NotImplementedByStore
from store.http.call import Call, answer
from store.http.replicate import REPLICATIONS
from store.passwords import admin_text, hash_password
from store.permissions import require_server_admin


async def node(call: Call) -> web.Response:
    """/_node/{node}/...: `_local` and the node's own name are this server. Server admins only."""
    require_server_admin(call.user)
    if not call.rest or not call.rest[0]:
        raise BadRequest("Incomplete path to _node request")
    name = call.store.node
    if call.rest[0] not in ("_local", name):
        raise NotFound(f"no such node: {call.rest[0]}")
    match [each for each in call.rest[1:] if each]:
        case []:
            _only(call, "GET")
            return answer({"name": name})
        case ["_config", *path]:
            return await _config(call, path)
        case ["_stats", *path]:
            _only(call, "GET")
            return _stats(call, path)
        case ["_system"]:
            _only(call, "GET")
            return answer(_system(call))
        case ["_versions"]:
            _only(call, "GET")
            return answer(_versions())
        case ["_prometheus"]:
            return await prometheus(call)
    raise NotFound("missing")


def _only(call: Call, *methods: str) -> None:
    if call.method not in methods and not (call.method == "HEAD" and "GET" in methods):
        raise MethodNotAllowed(f"Only {','.join(methods)} allowed")


async def _config(call: Call, path: list[str]) -> web.Response:
    config = call.store.node_config
    match path:
        case []:
            _only(call, "GET")
            return answer({name: _shown(call, name) for name in config.sections()})
        case ["_reload"]:
            _only(call, "POST")
            return answer({"ok": True})
        case [section]:
            _only(call, "GET")
            return answer(_shown(call, section))
        case [section, key]:
            _only(call, "GET", "PUT", "DELETE")
            if call.method == "PUT":
                return answer(await _set(call, section, key))
            if call.method == "DELETE":
                old = await call.in_thread(lambda: config.delete(section, key))
                call.store.apply_config()
                return answer(old)
            value = _shown(call, section).get(key)
            if value is None:
                raise NotFound("unknown_config_value")
            return answer(value)
    raise NotFound("missing")


def _shown(call: Call, section: str) -> dict[str, str]:
    values = dict(call.store.node_config.section(section))
    if section == "admins":
        for name in call.store.config.admins:
            values[name] = "-given at the start-"
    if section == "chttpd_auth":
        values["secret"] = call.store.accounts.secret.decode("latin-1")  # whoever has it can check cookies without us
    return values


async def _set(call: Call, section: str, key: str) -> str:
    value = load_json(await call.body(1 << 20))
    if not isinstance(value, str):
        raise BadRequest("a JSON string expected")
    if section == "admins" and not value.startswith(("-pbkdf2", "-hashed")):
        if not value or ":" in key:
            raise BadRequest("an administrator needs a password, and a name without a colon")
        iterations = call.store.accounts.iterations
        loop = asyncio.get_running_loop()
        hashed = await loop.run_in_executor(call.store.password_executor, hash_password, value, iterations)
        value = admin_text(hashed)
    old = await call.in_thread(lambda: call.store.node_config.set(section, key, value))
    call.store.apply_config()
    return old


def _stats(call: Call, path: list[str]) -> web.Response:
    found: Any = call.store.metrics.stats(call.store.databases.open_count())
    for name in path:
        if not isinstance(found, dict) or name not in found:
            raise NotFound("missing")
        found = found[name]
    return answer(found)


def _system(call: Call) -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "uptime": call.store.metrics.uptime_s(),
        "memory": {"other": used.ru_maxrss * 1024},
        "process_count": threading.active_count(),
        "context_switches": used.ru_nvcsw + used.ru_nivcsw,
        "io_input": used.ru_inblock * 512,
        "io_output": used.ru_oublock * 512,
        "os_proc_count": 0,
        "message_queues": {},
    }


def _versions() -> dict[str, Any]:
    return {
        "javascript_engine": {"name": "quickjs"},
        "python": {"version": platform.python_version()},
        "collation_driver": {"name": "table of ICU's root collation"},
    }


async def prometheus(call: Call) -> web.Response:
    """GET /_node/_local/_prometheus and /_prometheus: the counters in Prometheus' text format. Server admins only."""
    require_server_admin(call.user)
    _only(call, "GET")
    databases = call.store.databases
    builds = sum(len(views.tasks()) for _, views in databases.open_views())
    tasks = builds + len(call.request.app[REPLICATIONS].tasks())
    text = call.store.metrics.prometheus(databases.open_count(), len(databases.names()), tasks)
    return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def membership(call: Call) -> web.Response:
    """GET /_membership: this one node. Server admins only."""
    require_server_admin(call.user)
    return answer({"all_nodes": [call.store.node], "cluster_nodes": [call.store.node]})


async def get_cluster_setup(call: Call) -> web.Response:
    """GET /_cluster_setup: there is nothing left to set up. Server admins only."""
    require_server_admin(call.user)
    return answer({"state": "single_node_enabled"})


async def post_cluster_setup(call: Call) -> web.Response:
    """POST /_cluster_setup: one node it is already, and never more. Server admins only."""
    require_server_admin(call.user)
    action = (await call.json_body()).get("action")
    if action == "enable_single_node":
        return answer({"ok": True}, 201)
    if action == "finish_cluster":
        raise BadRequest("Cluster is already finished")
    if action == "enable_cluster":
        raise NotImplementedByStore("This store is one node for ever.")
    raise BadRequest("Invalid Action")


async def reshard(call: Call) -> web.Response:
    """/_reshard: a database here has one shard for ever."""
    require_server_admin(call.user)
    raise NotImplementedByStore("This store keeps each database in one shard; there is nothing to reshard.")
