"""CouchDB's JavaScript functions on QuickJS, within limits of memory and time.

Every program (the maps of a view group, a validate function, ...) has a realm of its own, so functions of different
databases never see each other's globals.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import msgspec
import orjson

from store.errors import Forbidden, StoreError, Unauthorized
from store.realm import JavaScriptError, OutOfLimits, Realm, Thrower, json_text, well_formed

log = logging.getLogger(__name__)

_REALMS = 48  # programs kept ready by one engine

Result = TypeVar("Result")


class Row(NamedTuple):
    """One emission, both parts as the JSON text that JavaScript made."""

    key: bytes
    value: bytes


@dataclass(frozen=True)
class MapProgram:
    """The map functions of one view group, with the library (`views.lib`) they may require."""

    maps: tuple[tuple[str, str], ...]  # (view name, source)
    lib: bytes = b"{}"


_BadRows = (OutOfLimits, Thrower, msgspec.DecodeError, RecursionError)
_decode_maps = msgspec.json.Decoder(tuple[list[list[tuple[msgspec.Raw, msgspec.Raw]]], list[str]])
_decode_answer = msgspec.json.Decoder(tuple[msgspec.Raw, list[str]])


class JavaScript:
    """One engine: a thread with its realms. The limits hold for one call, that is for one document."""

    def __init__(self, *, memory_limit_bytes: int = 64 * 1024 * 1024, time_limit_s: float = 5.0) -> None:
        self._memory_limit_bytes = memory_limit_bytes
        self._time_limit_s = time_limit_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="javascript")
        self.reduce_limit = "true"  # query_server_config/reduce_limit: whether reductions must shrink, or `log`
        self._realms: OrderedDict[Sequence[Any], Realm] = OrderedDict()
        self._closing = False

    # --- for coroutines -------------------------------------------------------------------------------------------

    async def validate(
        self,
        source: str,
        new_doc: bytes,
        old_doc: bytes | None,
        user_ctx: Mapping[str, Any],
        sec_obj: Mapping[str, Any],
        ddoc: bytes,
    ) -> None:
        """Run a `validate_doc_update`; Forbidden or Unauthorized with its reason when it refuses."""
        [refusal] = await self.validate_docs(source, [(new_doc, old_doc)], user_ctx, sec_obj, ddoc)
        if refusal is not None:
            raise refusal

    async def validate_docs(
        self,
        source: str,
        docs: Sequence[tuple[bytes, bytes | None]],
        user_ctx: Mapping[str, Any],
        sec_obj: Mapping[str, Any],
        ddoc: bytes,
    ) -> list[StoreError | None]:
        """The refusal of each (new document, stored document) pair, None where the write is allowed."""
        context, security = orjson.dumps(user_ctx).decode(), orjson.dumps(sec_obj).decode()
        program = ("compile", source, ddoc)

        def refusal(new_doc: bytes, old_doc: bytes | None) -> StoreError | None:
            old = "null" if old_doc is None else old_doc.decode()
            try:
                self._run(program, "validate", new_doc.decode(), old, context, security)
            except Thrower as error:
                return _refusal(error.thrown)
            except OutOfLimits as error:
                return Forbidden(error.reason)
            except StoreError as error:
                return Forbidden(error.reason)
            return None

        return await self._in_thread(lambda: [refusal(*pair) for pair in docs])

    async def filter_docs(self, source: str, docs: Sequence[bytes], req: Mapping[str, Any], ddoc: bytes) -> list[bool]:
        """Whether the filter function passes each document; JavaScriptError when it throws."""
        request = orjson.dumps(req).decode()
        program = ("compile", source, ddoc)

        def passes(doc: bytes) -> bool:
            try:
                return self._run(program, "filter", doc.decode(), request).startswith(b"[true")
            except Thrower as error:
                raise JavaScriptError.from_thrown(error.thrown) from None
            except OutOfLimits as error:
                raise JavaScriptError(error.reason, slug="timeout") from None

        return await self._in_thread(lambda: [passes(doc) for doc in docs])

    async def run_page(self, kind: str, source: str, ddoc: bytes, *arguments: bytes) -> Any:
        """What a `show`, `list` or `update` function answers, as the harness tells it; raises JavaScriptError."""
        program = ("compile", source, ddoc)

        def run() -> Any:
            try:
                answer = self._run(program, kind, *(argument.decode() for argument in arguments))
            except Thrower as error:
                raise JavaScriptError.from_thrown(error.thrown) from None
            except OutOfLimits as error:
                raise JavaScriptError(error.reason, slug="timeout") from None
            result, lines = _decode_answer.decode(well_formed(answer))
            _write_log(lines)
            return orjson.loads(bytes(result))

        return await self._in_thread(run)

    async def filter_by_view(self, source: str, docs: Sequence[bytes]) -> list[bool]:
        """Whether the map function emits anything for each document (the `_view` filter of `_changes`)."""
        program = MapProgram((("filter", source),))
        results = await asyncio.wrap_future(self.map_docs(program, docs))
        return [bool(views[0]) for views in results]

    async def check(self, source: str) -> None:
        """CompilationError when the source is not a function."""

        def compile_only() -> None:
            Realm(("compile", source, "{}"), self._memory_limit_bytes, self._time_limit_s)

        await self._in_thread(compile_only)

    # --- for the threads that build and read indexes --------------------------------------------------------------

    def map_docs(self, program: MapProgram, docs: Sequence[bytes]) -> Future[list[list[list[Row]]]]:
        """For each document and each view its rows, in emission order; none where the function failed."""
        compile_call = _map_compile_call(program)
        return self._thread.submit(lambda: [self._map(program, compile_call, doc) for doc in docs])

    def reduce(self, source: str, lib: bytes, keys: bytes, values: bytes, *, rereduce: bool) -> Future[bytes]:
        """The JSON text of one reduction; `keys` is the JSON text `[[key, id], ...]`, or `null` for a rereduce."""
        program = ("compile", source, b'{"views":{"lib":' + lib + b"}}")

        def run() -> bytes:
            try:
                answer = self._run(program, "reduce", keys.decode(), values.decode(), rereduce)
            except OutOfLimits as error:
                log.warning("a reduce function was stopped: %s", error.reason)
                return b"null"
            except Thrower as error:
                raise JavaScriptError.from_thrown(error.thrown) from None
            result, lines = _decode_answer.decode(well_formed(answer))
            _write_log(lines)
            return bytes(result)

        return self._thread.submit(run)

    def close(self) -> None:
        """Wait for the call that runs; what comes after it in a batch fails."""
        self._closing = True
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._realms.clear()

    # --- inside the engine's thread -------------------------------------------------------------------------------

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.wrap_future(self._thread.submit(work))

    def _realm(self, compile_call: Sequence[Any]) -> Realm:
        realm = self._realms.get(compile_call)
        if realm is None:
            arguments = [part.decode() if isinstance(part, bytes) else part for part in compile_call]
            realm = self._realms[compile_call] = Realm(arguments, self._memory_limit_bytes, self._time_limit_s)
            if len(self._realms) > _REALMS:
                self._realms.popitem(last=False)
        else:
            self._realms.move_to_end(compile_call)
        return realm

    def _run(self, compile_call: Sequence[Any], name: str, *arguments: Any) -> bytes:
        """One call; a realm out of memory is replaced, and tried once more if it had served other calls before."""
        if self._closing:
            raise StoreError("The store is closing.", slug="service_unavailable", status=503)
        fresh = compile_call not in self._realms
        try:
            return self._realm(compile_call).call(name, *arguments)
        except OutOfLimits as error:
            if not error.memory:
                raise
            self._realms.pop(compile_call, None)
            if fresh:
                raise
        try:
            return self._realm(compile_call).call(name, *arguments)
        except OutOfLimits as error:
            if error.memory:
                self._realms.pop(compile_call, None)
            raise

    def _map(self, program: MapProgram, compile_call: Sequence[Any], doc: bytes) -> list[list[Row]]:
        text = doc.decode()
        try:
            return _rows(self._run(compile_call, "map", text))
        except _BadRows as error:
            if len(program.maps) == 1:
                _warn(program.maps[0][0], doc, error)
                return [[]]
        views: list[list[Row]] = []
        for index, (name, _) in enumerate(program.maps):
            try:
                views += _rows(self._run(compile_call, "mapOne", text, index))
            except _BadRows as error:
                _warn(name, doc, error)
                views.append([])
        return views


class JavaScriptPool:
    """Engines for requests and as many for index builds, so that a build never holds up a write that is validated."""

    def __init__(self, size: int = 2, *, memory_limit_bytes: int = 64 * 1024 * 1024, time_limit_s: float = 5.0) -> None:
        self._engines, self._index_engines = (
            [JavaScript(memory_limit_bytes=memory_limit_bytes, time_limit_s=time_limit_s) for _ in range(size)]
            for _ in range(2)
        )

    def set_reduce_limit(self, reduce_limit: str) -> None:
        """`true`, `false` or `log`, for every engine."""
        for engine in self._engines + self._index_engines:
            engine.reduce_limit = reduce_limit

    def engine(self, program: object) -> JavaScript:
        """The engine that keeps this program's realm for requests."""
        return self._engines[hash(program) % len(self._engines)]

    def index_engine(self, program: object) -> JavaScript:
        """The engine that keeps this program's realm for index builds."""
        return self._index_engines[hash(program) % len(self._index_engines)]

    def close(self) -> None:
        for engine in self._engines + self._index_engines:
            engine.close()


def _map_compile_call(program: MapProgram) -> tuple[str, str, bytes]:
    return "compileMaps", orjson.dumps([source for _, source in program.maps]).decode(), program.lib


def _rows(answer: bytes) -> list[list[Row]]:
    views, lines = _decode_maps.decode(well_formed(answer))
    if lines:
        _write_log(lines)
    return [[Row(bytes(key), bytes(value)) for key, value in rows] for rows in views]


def _refusal(thrown: Any) -> StoreError:
    if isinstance(thrown, dict):
        for name, kind in (("forbidden", Forbidden), ("unauthorized", Unauthorized)):
            if name in thrown:
                return kind(thrown[name] if isinstance(thrown[name], str) else json_text(thrown[name]))
        if "error" in thrown:
            return Forbidden(f"{thrown['error']}: {thrown.get('reason', '')}")
    return Forbidden(thrown if isinstance(thrown, str) else json_text(thrown))


def _write_log(lines: Sequence[str]) -> None:
    for line in lines:
        log.info("design document: %s", line)


def _warn(view: str, doc: bytes, error: Exception) -> None:
    reason = json_text(error.thrown) if isinstance(error, Thrower) else str(error)
    doc_id = msgspec.json.decode(doc, type=_HasId)._id
    log.warning("view %s: no rows for document %s: %s", view, doc_id, reason)


class _HasId(msgspec.Struct):
    _id: str = ""
