"""Ask the purge function of the settings which documents a role set should not hold any more (40 PRG-2, PRG-4)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from core.couch.client import Database
from core.documents import Doc
from core.scripting import as_expression, evaluate
from core.settings import Settings

CHUNK_BYTES = 2_000_000
PAGE_ROWS = 1000

SOURCE = """(function (purge) {
  function has(roles, settings, name) {
    var wanted = name.charAt(0) !== '!', plain = wanted ? name : name.slice(1);
    var allowed = roles.indexOf('_admin') >= 0 ||
      (settings[plain] || []).some(function (role) { return roles.indexOf(role) >= 0; });
    return allowed === wanted;
  }
  function all(names, roles, settings) {
    return [].concat(names).every(function (name) {
      return typeof name === 'string' && name && has(roles || [], settings || permissions, name);
    });
  }
  function any(groups, roles, settings) {
    return [].concat(groups).some(function (names) { return all(names, roles, settings); });
  }
  var cht = { v1: { hasPermissions: all, hasAnyPermission: any } };
  return role_sets.map(function (roles) {
    return groups.map(function (text) {
      var group = JSON.parse(text);
      try {
        var ids = purge({ roles: roles.slice() }, group.contact, group.reports, group.messages, cht, permissions);
        return Array.isArray(ids) ? ids : [];
      } catch (error) {
        return String(error);
      }
    });
  });
})(%s
)"""


@dataclass
class Group:
    """What the function judges together: the reports about a contact and its messages.

    The contact is `{}` when nobody is known, `{_deleted: true}` when it was deleted (REPL-58).
    """

    contact: Doc
    reports: list[Doc] = field(default_factory=list)
    messages: list[Doc] = field(default_factory=list)

    @property
    def ids(self) -> set[str]:
        docs = [*self.reports, *self.messages, *([self.contact] if "_id" in self.contact else [])]
        return {doc["_id"] for doc in docs}


@dataclass
class Verdict:
    """For each role set the ids to purge of those that were judged. Groups on which the function threw are left out:
    `failed` names them, by their contact or else their first document, and says why."""

    judged: list[set[str]]
    purged: list[set[str]]
    failed: list[tuple[str, str]] = field(default_factory=list)


async def judge(
    fn: str,
    groups: Sequence[Group],
    role_sets: Sequence[Sequence[str]],
    permissions: Mapping[str, Any],
    timeout_s: float,
) -> Verdict:
    """The verdict on every group for every role set. ScriptError when the function does not end, or is none."""
    verdict = Verdict([set() for _ in role_sets], [set() for _ in role_sets])
    for chunk in chunks(groups):
        names = {
            "groups": [text for _, text in chunk],
            "role_sets": [list(roles) for roles in role_sets],
            "permissions": dict(permissions),
        }
        answers = await evaluate(SOURCE % as_expression(fn), names, time_limit_s=timeout_s)
        for at, by_group in enumerate(answers):
            for (group, _), answer in zip(chunk, by_group, strict=True):
                if isinstance(answer, str):
                    verdict.failed.append((group.contact.get("_id") or min(group.ids, default=""), answer))
                    continue
                ids = group.ids
                verdict.judged[at] |= ids
                verdict.purged[at] |= ids & {each for each in answer if isinstance(each, str)}
    return verdict


def chunks(groups: Sequence[Group]) -> Iterator[list[tuple[Group, str]]]:
    """The groups with their JSON, so many at once as the engine's memory allows."""
    chunk: list[tuple[Group, str]] = []
    size_bytes = 0
    for group in groups:
        members = {"contact": group.contact, "reports": group.reports, "messages": group.messages}
        text = orjson.dumps(members).decode()
        if chunk and size_bytes + len(text) > CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append((group, text))
        size_bytes += len(text)
    if chunk:
        yield chunk


async def role_sets_of(users: Database, settings: Settings) -> dict[str, list[str]]:
    """The role sets of all offline users, each under its hash (PRG-2)."""
    found: dict[str, list[str]] = {}
    start = "org.couchdb.user:"
    while True:
        rows = await users.all_docs(
            startkey=start, endkey="org.couchdb.user:\ufff0", include_docs=True, limit=PAGE_ROWS
        )
        for row in rows:
            roles = row["doc"].get("roles")
            names = sorted({role for role in roles if isinstance(role, str)}) if isinstance(roles, list) else []
            if names and settings.is_offline(names):
                found[role_hash(names)] = names
        if len(rows) < PAGE_ROWS:
            return dict(sorted(found.items()))
        start = rows[-1]["id"] + "\0"


def role_hash(roles: Sequence[str]) -> str:
    """MD5 of the sorted roles as a JSON list (V-4)."""
    names = sorted(set(roles))
    return hashlib.md5(orjson.dumps(names), usedforsecurity=False).hexdigest()
