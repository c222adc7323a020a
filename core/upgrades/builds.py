"""A build: one document with the design documents of every database, as it lies in a builds database or in a file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from core.couch.client import Doc
from core.couch.ddocs import FOLDER, load_bundle
from core.errors import InvalidInput

NAMESPACE = APPLICATION = "medic"
ROLES = ("medic", "sentinel", "logs", "users-meta", "users")  # each user's own database is not upgraded from outside
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
# Three numbers, what they are a preview of, what else tells builds of them apart.
SEMVER = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?")
BETA = re.compile(r"(?:alpha|beta|rc)\.?(\d+)?")


@dataclass(frozen=True)
class BuildName:
    """What tells a build from all others."""

    namespace: str
    application: str
    version: str

    @classmethod
    def of(cls, value: Any) -> BuildName:
        """Of a request's or a document's build info. InvalidInput when it lacks one of the three (UPG-13)."""
        names = [value.get(name) if isinstance(value, Mapping) else None for name in ("namespace", "application")]
        version = value.get("version") if isinstance(value, Mapping) else None
        if not all(isinstance(each, str) and each for each in (*names, version)):
            raise InvalidInput("Invalid build info: `namespace`, `application` and `version` must be texts")
        if not VERSION.fullmatch(str(version)):
            raise InvalidInput("Invalid build info: `version` must be letters, digits, dots, dashes, underscores, plus")
        return cls(str(names[0]), str(names[1]), str(version))

    @property
    def doc_id(self) -> str:
        return f"{self.namespace}:{self.application}:{self.version}"


@dataclass(frozen=True)
class Build:
    """A build that was read and found whole."""

    name: BuildName
    info: Doc
    plain: Mapping[str, list[Doc]]
    legacy: Mapping[str, list[Doc]]

    def bundle(self, *, legacy: bool) -> dict[str, list[Doc]]:
        """Design documents by the role of their database, for clients before CHT 5 too when `legacy` (DDOC-88)."""
        return {**self.plain, **(self.legacy if legacy else {})}


def make_build(folder: Path = FOLDER, *, version: str | None = None, time: str | None = None) -> Doc:
    """The build document of a folder of design documents, its attachments in it. `version`: its own by default.

    Raises FileNotFoundError naming what is missing, InvalidInput for a version that cannot be one.
    """
    plain = load_bundle(folder, version=version)
    legacy = load_bundle(folder, version=version, legacy=True)
    info = {**plain["medic"][0]["build_info"], **({"time": time} if time else {})}
    name = BuildName.of(info)
    files = {f"ddocs/{role}.json": stamped(plain[role], info) for role in ROLES if role in plain}
    files |= {
        f"legacy/{role}.json": stamped(legacy[role], info)
        for role in ROLES
        if role in plain and legacy[role] != plain[role]
    }
    return {
        "_id": name.doc_id,
        "type": "build",
        "build_info": info,
        "tags": [],
        "digest": digest_of(files),
        "_attachments": {
            path: {"content_type": "application/json", "data": base64.b64encode(content).decode()}
            for path, content in files.items()
        },
    }


def stamped(ddocs: list[Doc], info: Doc) -> bytes:
    return orjson.dumps({"docs": [{**ddoc, "build_info": info} for ddoc in ddocs]}, option=orjson.OPT_SORT_KEYS)


def digest_of(files: Mapping[str, bytes]) -> str:
    """Of all files of a build, so that one that was damaged on its way is found out."""
    each = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    return "sha256-" + hashlib.sha256(orjson.dumps(each, option=orjson.OPT_SORT_KEYS)).hexdigest()


def read_build(doc: Doc) -> Build:
    """The build of a document with its attachments in it. InvalidInput when it is none, or damaged."""
    doc_id = str(doc.get("_id"))
    attachments = doc.get("_attachments", {})
    if not isinstance(attachments, dict):
        raise InvalidInput(f"The build {doc_id} has no attachments")
    info = doc.get("build_info") or named_by(doc_id)
    name = BuildName.of(info)
    if name.doc_id != doc_id:
        raise InvalidInput(f"The build {doc_id} says of itself that it is {name.doc_id}")
    try:
        files = {
            path: base64.b64decode(each["data"], validate=True)
            for path, each in attachments.items()
            if path.startswith(("ddocs/", "legacy/"))
        }
        bundles = {path: bundle_of(content) for path, content in files.items()}
    except (KeyError, TypeError, binascii.Error, orjson.JSONDecodeError) as error:
        raise InvalidInput(f"The build {doc_id} cannot be read: {error}") from error
    if "digest" in doc and doc["digest"] != digest_of(files):
        raise InvalidInput(f"The build {doc_id} is damaged: its digest is not that of its files")
    if not bundles.get("ddocs/medic.json"):
        raise InvalidInput(f"The build {doc_id} has no design documents: ddocs/medic.json is missing")
    plain, legacy = (
        {Path(path).stem: ddocs for path, ddocs in bundles.items() if path.startswith(f"{folder}/")}
        for folder in ("ddocs", "legacy")
    )
    return Build(name, dict(info), plain, legacy)


def bundle_of(content: bytes) -> list[Doc]:
    docs: list[Doc] = orjson.loads(content)["docs"]
    if not isinstance(docs, list) or not all(map(is_ddoc, docs)):
        raise TypeError("a bundle holds something that is no design document")
    return [{name: value for name, value in doc.items() if name != "_rev"} for doc in docs]


def is_ddoc(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and str(value.get("_id")).startswith("_design/")
        and isinstance(value.get("views", {}), dict)
    )


def named_by(doc_id: str) -> Doc:
    """The build info of a document that has only its id."""
    namespace, _, rest = doc_id.partition(":")
    application, _, version = rest.partition(":")
    return {"namespace": namespace, "application": application, "version": version}


def release_key(info: Mapping[str, Any]) -> list[Any]:
    """The key in the view `builds/releases`: kind, namespace, application, what orders builds of a kind (UPG-10)."""
    namespace, application = str(info.get("namespace")), str(info.get("application"))
    match = SEMVER.fullmatch(str(info.get("version")))
    if match is None:
        return ["branch", namespace, application, str(info.get("time") or "")]
    numbers = [int(match[number]) for number in (1, 2, 3)]
    beta = BETA.fullmatch(match[4]) if match[4] else None
    if match[4] and beta is None:
        return [match[4], namespace, application, *numbers]
    return ["beta" if beta else "release", namespace, application, *numbers, *([int(beta[1] or 0)] if beta else [])]


# The same key, computed by CouchDB; kept in step with `release_key` by a test.
RELEASES_MAP = r"""/* key: [kind, namespace, application, major, minor, patch, beta], value: build info. All builds. */
function (doc) {
  var info = doc.build_info;
  if (!info || doc._id !== info.namespace + ':' + info.application + ':' + info.version) { return; }
  var match = /^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?$/.exec(info.version);
  if (!match) {
    emit(['branch', info.namespace, info.application, String(info.time || '')], info);
    return;
  }
  var key = [info.namespace, info.application, Number(match[1]), Number(match[2]), Number(match[3])];
  var beta = match[4] && /^(?:alpha|beta|rc)\.?(\d+)?$/.exec(match[4]);
  if (beta) {
    emit(['beta'].concat(key, [Number(beta[1] || 0)]), info);
  } else {
    emit([match[4] || 'release'].concat(key), info);
  }
}
"""
BUILDS_DDOC: Doc = {
    "_id": "_design/builds",
    "language": "javascript",
    "views": {"releases": {"map": RELEASES_MAP}},
}


def is_older(info: Mapping[str, Any], than: Mapping[str, Any]) -> bool:
    """Whether the build comes before the other: by its version, and by its time where versions do not tell."""
    mine, others = version_order(info), version_order(than)
    if mine is not None and others is not None and mine != others:
        return mine < others
    times = [str(each.get("time") or "") for each in (info, than)]
    return info.get("version") != than.get("version") and all(times) and times[0] < times[1]


def version_order(info: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What orders versions: three numbers, previews before releases, then the numbers of the build's own version."""
    match = SEMVER.fullmatch(str(info.get("version")))
    if match is None:
        return None
    preview = tuple((part.isdigit(), int(part) if part.isdigit() else 0, part) for part in (match[4] or "").split("."))
    own = re.match(r"(\d+)\.(\d+)\.(\d+)", match[5] or "")
    numbers = tuple(int(match[number]) for number in (1, 2, 3))
    return numbers, match[4] is None, preview, tuple(int(each) for each in own.groups()) if own else ()
