"""The `outpost` command: reads the environment and the command line, then starts what was asked for."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NoReturn

from core import __version__
from core.config import Config
from core.errors import DomainError
from core.logging import setup_logging
from outpost import machine
from outpost.processes import SUPERVISED, run_index, run_sentinel, run_store, run_worker
from outpost.readiness import ready_alone
from outpost.supervisor import serve_api, serve_everything

DESCRIPTION = "An offline-first sync server for community health, on CouchDB or on its own embedded store."

# Command line flag -> environment variable of the same meaning.
FLAGS: dict[str, tuple[str, str]] = {
    "--couch-url": (
        "COUCH_URL",
        "CouchDB and its main database, http://user:password@host:5984/medic (default: the embedded store)",
    ),
    "--admin": (
        "OUTPOST_ADMIN",
        "user:password of the embedded store's administrator (default: made once, kept in the data folder)",
    ),
    "--host": ("OUTPOST_HOST", "address to listen on (default: 127.0.0.1)"),
    "--port": ("OUTPOST_PORT", "port of the API (default: 5988)"),
    "--store-port": ("OUTPOST_STORE_PORT", "port of the embedded store (default: 5984)"),
    "--data": ("OUTPOST_DATA", "data folder (default: ./data)"),
    "--database": ("OUTPOST_DATABASE", "main database on the embedded store (default: medic)"),
    "--workers": ("OUTPOST_WORKERS", "number of API processes (default: one a core, at most 4)"),
    "--builds-url": (
        "BUILDS_URL",
        "where builds for upgrades are: a folder or a database (default: <data>/builds)",
    ),
    "--redis-url": ("REDIS_URL", "shared caches and rate limits of several API machines"),
    "--trusted-proxies": (
        "OUTPOST_TRUSTED_PROXIES",
        "addresses and networks whose X-Forwarded-* headers are believed, or none (default: 127.0.0.0/8,::1/128)",
    ),
    "--login-failures": (
        "OUTPOST_LOGIN_FAILURES",
        "failed logins within ten seconds before an address, user or password waits; 0: never (default: 10)",
    ),
    "--log-format": ("OUTPOST_LOG_FORMAT", "text or json (default: text)"),
    "--log-level": ("OUTPOST_LOG_LEVEL", "debug, info, warning or error (default: info)"),
}

# Switches of the command line -> environment variable, which is then `true`.
SWITCHES: dict[str, tuple[str, str]] = {
    "--allow-cors": ("OUTPOST_ALLOW_CORS", "let the pages of other origins call the API (default: off)"),
    "--force-password-change": (
        "OUTPOST_FORCE_PASSWORD_CHANGE",
        "users whose password somebody else chose choose their own at the first login (default: off)",
    ),
    "--audit": ("OUTPOST_AUDIT", "keep who wrote which document, and when, in the audit database (default: off)"),
}

SENTINEL_ACTIONS = ("run", "status", "replay", "pause", "resume", "jobs")


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 after an orderly stop, 2 with one sentence when it cannot be done as asked."""
    arguments = parser().parse_args(argv)
    env = dict(os.environ)
    for flag, (variable, _) in FLAGS.items():
        value = getattr(arguments, attribute(flag), None)
        if value is not None:
            env[variable] = value
    env |= {env_name: "true" for flag, (env_name, _) in SWITCHES.items() if getattr(arguments, attribute(flag), False)}
    try:
        config = Config.from_env(env)
    except ValueError as error:
        sys.exit(fail(error))
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            sys.exit(runner.run(arguments.run(config, arguments)) or 0)
    except (DomainError, machine.CannotStart) as error:
        sys.exit(fail(error))
    except KeyboardInterrupt:
        sys.exit(0)


def attribute(flag: str) -> str:
    return flag[2:].replace("-", "_")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The quickest event loop that is installed; None means the standard one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def fail(error: Exception) -> int:
    """Say what is wrong in one sentence on standard error; the exit code 2."""
    print(f"outpost: {getattr(error, 'message', error)}", file=sys.stderr)
    return 2


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="outpost", description=DESCRIPTION)
    top.add_argument("--version", action="version", version=f"outpost {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add(commands, "serve", "run everything on this machine, with the embedded store unless COUCH_URL is set", serve)
    alone = add(commands, "store", "run the embedded store alone: a CouchDB-compatible server", store)
    care = alone.add_mutually_exclusive_group()
    care.add_argument(
        "--check",
        action="store_true",
        help="instead check every file of the store, one line each; the exit code is 1 when one is bad",
    )
    care.add_argument(
        "--backup",
        type=Path,
        metavar="DIR",
        help="instead copy every database into a new folder, also while the store runs; see docs/store.md",
    )
    add(commands, "api", "run the API processes and the access indexer against COUCH_URL", api)
    night = add(commands, "sentinel", "run the background worker against COUCH_URL, look at it, or direct it", sentinel)
    night.add_argument("action", nargs="?", choices=SENTINEL_ACTIONS, default="run", help="what to do (default: run)")
    night.add_argument("docs", nargs="*", metavar="DOC", help="ids of the documents that `replay` processes again")
    night.add_argument("--forget", action="store_true", help="replay as if no transition had run on them before")
    indexer = add(commands, "index", "run the access indexer alone against COUCH_URL", index)
    indexer.add_argument(
        "--rebuild", action="store_true", help="build the access index anew beside the one in use, and exit"
    )
    add(commands, "worker", "run one API process alone against COUCH_URL (`outpost api` starts these)", worker)
    add(commands, "prepare", "bring CouchDB to the state that this version relies on, as every start does", prepare)
    sample = add(commands, "demo", "load a sample district into a running server and say what to try", demo)
    sample.add_argument("--url", help="address of the running server (default: http://127.0.0.1:<port>)")
    made = add(commands, "build", "make a build that deployments can be upgraded to; see docs/upgrades.md", build)
    made.add_argument("--to", action="append", default=[], help="a folder, or a builds database (default: BUILDS_URL)")
    made.add_argument("--ddocs", type=Path, help="the design documents (default: those of this program)")
    made.add_argument("--version", help="a version of your own, such as 5.1.0 or 5.1.0-beta.1")
    return top


def add(
    commands: Any,
    name: str,
    sentence: str,
    run: Callable[[Config, argparse.Namespace], Coroutine[Any, Any, int | None]],
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=sentence, description=sentence)
    for flag, (variable, meaning) in FLAGS.items():
        command.add_argument(flag, metavar=variable, help=f"{meaning} [{variable}]")
    for flag, (variable, meaning) in SWITCHES.items():
        command.add_argument(flag, action="store_true", help=f"{meaning} [{variable}]")
    command.set_defaults(run=run)
    return command


async def serve(config: Config, arguments: argparse.Namespace) -> int:
    setup_logging(config, "serve")
    return await serve_everything(config)


async def api(config: Config, arguments: argparse.Namespace) -> int:
    setup_logging(config, "api")
    return await serve_api(need_couch_url(config))


async def store(config: Config, arguments: argparse.Namespace) -> int | None:
    if arguments.check or arguments.backup:
        from store import maintenance

        data = config.data / "store"
        return tell(maintenance.check(data) if arguments.check else maintenance.backup(data, arguments.backup))
    setup_logging(config, "store")
    await run_store(machine.with_password(config.replace(couch_url=None)))  # which names another server
    return None


def tell(findings: Iterator[tuple[str, str | None]]) -> int:
    """Print a line for each file; the exit code, 1 when any is in trouble."""
    code = 0
    try:
        for name, trouble in findings:
            print(f"bad  {name}: {trouble}" if trouble else f"ok   {name}", flush=True)
            code = code or int(trouble is not None)
    except OSError as error:
        raise machine.CannotStart(str(error)) from None
    return code


async def sentinel(config: Config, arguments: argparse.Namespace) -> int | None:
    if arguments.action == "replay" and not arguments.docs:
        raise machine.CannotStart("replay needs the ids of documents: outpost sentinel replay DOC...")
    if arguments.action != "replay" and arguments.docs:
        raise machine.CannotStart(f"{arguments.action} takes no documents")
    if arguments.action != "run":
        from outpost.console import control  # only here, as it loads the whole worker

        return await control(need_couch_url(config), arguments.action, arguments.docs, forget=arguments.forget)
    setup_logging(config, "sentinel")
    await run_sentinel(await ready(config))
    return None


async def index(config: Config, arguments: argparse.Namespace) -> int | None:
    setup_logging(config, "index")
    config = await ready(config)
    if arguments.rebuild:
        from outpost.rebuild import rebuild_index  # the one command that draws a progress bar

        return await rebuild_index(config)
    await run_index(config)
    return None


async def worker(config: Config, arguments: argparse.Namespace) -> None:
    setup_logging(config, "api")
    await run_worker(await ready(config))


async def prepare(config: Config, arguments: argparse.Namespace) -> None:
    setup_logging(config, "prepare")
    await ready_alone(need_couch_url(config))


async def demo(config: Config, arguments: argparse.Namespace) -> int:
    from outpost.demo import load_demo  # the one command that needs an HTTP client of its own

    config = config if config.couch_url else machine.with_password(config, create=False)
    return await load_demo(arguments.url or f"http://{config.host}:{config.port}", config)


async def build(config: Config, arguments: argparse.Namespace) -> int:
    from outpost.build import build as make  # no other command needs builds

    return await make(config, arguments.to, folder=arguments.ddocs, version=arguments.version)


async def ready(config: Config) -> Config:
    """The configuration against a CouchDB that has all a process needs; the supervisor sees to that for its own."""
    config = need_couch_url(config)
    if SUPERVISED not in os.environ:
        await ready_alone(config)
    return config


def need_couch_url(config: Config) -> Config:
    """The configuration, which must name a CouchDB or have an embedded store's password in its data folder."""
    return config if config.couch_url else machine.with_password(config, create=False)
