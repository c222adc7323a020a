"""CouchDB's JavaScript functions on QuickJS, within limits of memory and time.

Every program (the maps of a view group, a validate function, ...) has a realm of its own, so functions of different
databases never see each other's globals. A realm is used from one thread only: two at once would crash the process.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar

import msgspec
import orjson
import quickjs

from store.errors import CompilationError, Forbidden, StoreError, Unauthorized

log = logging.getLogger(__name__)

_HARNESS = (files(__package__) / "data" / "harness.js").read_text("utf-8")
_REALMS = 48  # programs kept ready by one engine
_STACK_BYTES = 512 * 1024

Result = TypeVar("Result")


class Row(NamedTuple):
    """One emission, both parts as the JSON text that JavaScript made."""

    key: bytes
    value: bytes


class _Thrown(msgspec.Struct):
    thrown: Any


@dataclass(frozen=True)
class MapProgram:
    """The map functions of one view group, with the library (`views.lib`) they may require."""

    maps: tuple[tuple[str, str], ...]  # (view name, source)
    lib: bytes = b"{}"


class JavaScriptError(StoreError):
    """500: a function threw, or ran out of time or memory; the slug is what CouchDB would call the error."""

    @classmethod
    def from_thrown(cls, thrown: Any) -> JavaScriptError:
        if isinstance(thrown, dict) and "error" in thrown:
            status = 406 if thrown["error"] == "not_acceptable" else None
            return cls(str(thrown.get("reason", "")), slug=str(thrown["error"]), status=status)
        return cls(thrown if isinstance(thrown, str) else _json_text(thrown), slug="unknown_error")


class _OutOfLimits(Exception):
    """The engine stopped a function; `memory` tells which limit it met."""

    def __init__(self, reason: str, memory: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.memory = memory


class _Thrower(Exception):
    def __init__(self, thrown: Any) -> None:
        super().__init__(thrown)
        self.thrown = thrown


_BadRows = (_OutOfLimits, _Thrower, msgspec.DecodeError, RecursionError)
_decode_maps = msgspec.json.Decoder(tuple[list[list[tuple[msgspec.Raw, msgspec.Raw]]], list[str]])
_decode_answer = msgspec.json.Decoder(tuple[msgspec.Raw, list[str]])


class _Realm:
    """One QuickJS context with one compiled program."""

    def __init__(self, compile_call: Sequence[Any], memory_limit_bytes: int, time_limit_s: float) -> None:
        context = quickjs.Context()
        context.set_memory_limit(memory_limit_bytes)
        context.set_max_stack_size(_STACK_BYTES)
        self._context = context
        self._call = context.eval(_HARNESS)
        context.set_time_limit(time_limit_s)
        try:
            self.call(*compile_call)
        except _Thrower as error:
            if isinstance(error.thrown, dict) and "compilation_error" in error.thrown:
                raise CompilationError(str(error.thrown["compilation_error"])) from None
            raise JavaScriptError.from_thrown(error.thrown) from None
        except _OutOfLimits as error:
            raise CompilationError(error.reason) from None

    def call(self, name: str, *arguments: Any) -> bytes:
        """The JSON text `[result, log lines]` of one call of the harness."""
        try:
            text = self._call(name, *arguments)
        except quickjs.StackOverflow as error:
            raise _OutOfLimits(_first_line(error), memory=False) from None
        except quickjs.JSException as error:
            reason = _first_line(error)
            # A realm at its memory limit may not even be able to make the error, and throws null.
            raise _OutOfLimits(reason, memory="out of memory" in reason or reason == "null") from None
        if not isinstance(text, str):
            raise _OutOfLimits("the function damaged its own environment", memory=True)
        answer = text.encode("utf-8", "replace")
        if answer.startswith(b'{"thrown"'):
            raise _Thrower(msgspec.json.decode(_well_formed(answer), type=_Thrown).thrown)
        return answer


class JavaScript:
    """One engine: a thread with its realms. The limits hold for one call, that is for one document."""

    def __init__(self, *, memory_limit_bytes: int = 64 * 1024 * 1024, time_limit_s: float = 5.0) -> None:
        self._memory_limit_bytes = memory_limit_bytes
        self._time_limit_s = time_limit_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="javascript")
        self.reduce_limit = "true"  # query_server_config/reduce_limit: whether reductions must shrink, or `log`
        self._realms: OrderedDict[Sequence[Any], _Realm] = OrderedDict()

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
            except _Thrower as error:
                return _refusal(error.thrown)
            except _OutOfLimits as error:
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
            except _Thrower as error:
                raise JavaScriptError.from_thrown(error.thrown) from None
            except _OutOfLimits as error:
                raise JavaScriptError(error.reason, slug="timeout") from None

        return await self._in_thread(lambda: [passes(doc) for doc in docs])

    async def run_page(self, kind: str, source: str, ddoc: bytes, *arguments: bytes) -> Any:
        """What a `show`, `list` or `update` function answers, as the harness tells it; raises JavaScriptError."""
        program = ("compile", source, ddoc)

        def run() -> Any:
            try:
                answer = self._run(program, kind, *(argument.decode() for argument in arguments))
            except _Thrower as error:
                raise JavaScriptError.from_thrown(error.thrown) from None
            except _OutOfLimits as error:
                raise JavaScriptError(error.reason, slug="timeout") from None
            result, lines = _decode_answer.decode(_well_formed(answer))
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
            _Realm(("compile", source, "{}"), self._memory_limit_bytes, self._time_limit_s)

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
            except _OutOfLimits as error:
                log.warning("a reduce function was stopped: %s", error.reason)
                return b"null"
            except _Thrower as error:
                raise JavaScriptError.from_thrown(error.thrown) from None
            result, lines = _decode_answer.decode(_well_formed(answer))
            _write_log(lines)
            return bytes(result)

        return self._thread.submit(run)

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._realms.clear()

    # --- inside the engine's thread -------------------------------------------------------------------------------

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.wrap_future(self._thread.submit(work))

    def _realm(self, compile_call: Sequence[Any]) -> _Realm:
        realm = self._realms.get(compile_call)
        if realm is None:
            arguments = [part.decode() if isinstance(part, bytes) else part for part in compile_call]
            realm = self._realms[compile_call] = _Realm(arguments, self._memory_limit_bytes, self._time_limit_s)
            if len(self._realms) > _REALMS:
                self._realms.popitem(last=False)
        else:
            self._realms.move_to_end(compile_call)
        return realm

    def _run(self, compile_call: Sequence[Any], name: str, *arguments: Any) -> bytes:
        """One call; a realm out of memory is replaced, and tried once more if it had served other calls before."""
        fresh = compile_call not in self._realms
        try:
            return self._realm(compile_call).call(name, *arguments)
        except _OutOfLimits as error:
            if not error.memory:
                raise
            self._realms.pop(compile_call, None)
            if fresh:
                raise
        try:
            return self._realm(compile_call).call(name, *arguments)
        except _OutOfLimits as error:
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
    views, lines = _decode_maps.decode(_well_formed(answer))
    if lines:
        _write_log(lines)
    return [[Row(bytes(key), bytes(value)) for key, value in rows] for rows in views]


def _refusal(thrown: Any) -> StoreError:
    if isinstance(thrown, dict):
        for name, kind in (("forbidden", Forbidden), ("unauthorized", Unauthorized)):
            if name in thrown:
                return kind(thrown[name] if isinstance(thrown[name], str) else _json_text(thrown[name]))
        if "error" in thrown:
            return Forbidden(f"{thrown['error']}: {thrown.get('reason', '')}")
    return Forbidden(thrown if isinstance(thrown, str) else _json_text(thrown))


def _well_formed(answer: bytes) -> bytes:
    """JSON text without escaped lone surrogates, which have no UTF-8 form: each becomes U+FFFD."""
    if b"\\ud" not in answer:
        return answer
    text = json.dumps(json.loads(answer), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _json_text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


def _write_log(lines: Sequence[str]) -> None:
    for line in lines:
        log.info("design document: %s", line)


def _warn(view: str, doc: bytes, error: Exception) -> None:
    reason = _json_text(error.thrown) if isinstance(error, _Thrower) else str(error)
    doc_id = msgspec.json.decode(doc, type=_HasId)._id
    log.warning("view %s: no rows for document %s: %s", view, doc_id, reason)


class _HasId(msgspec.Struct):
    _id: str = ""
