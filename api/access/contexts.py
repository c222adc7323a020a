"""What scopes reach, remembered until the contact tree moves: a phone asks about the same few contacts all the time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from cachetools import LRUCache

from api.access.rules import Context, Scope
from api.access.schema import State

MOST_BYTES = 2**26  # of all scopes together, about
BYTES_A_NAME = 150  # beside its text
BYTES_A_SCOPE = 2_000


@dataclass
class Reached:
    """The answers for one scope, as of one state of the contact tree."""

    stamp: tuple[str, int]
    depths: dict[str, int | None] = field(default_factory=dict)  # None: out of reach
    sensitive: Collection[str] = frozenset()
    primary_contacts: set[str] = field(default_factory=set)
    size_bytes: int = BYTES_A_SCOPE

    def missing(self, names: Collection[str]) -> list[str]:
        """Those that must be resolved before there is a context for them."""
        return [name for name in names if name not in self.depths]

    def context(self, scope: Scope, names: Collection[str]) -> Context:
        subjects = {name: depth for name in names if (depth := self.depths[name]) is not None}
        primary = self.primary_contacts.intersection(names) if self.primary_contacts else frozenset[str]()
        return Context(scope, subjects | dict.fromkeys(scope.own_keys, 0), self.sensitive, primary)


class Contexts:
    """Remembers, per scope, which names have been resolved and to what (REPL-142, REPL-143).

    Ask `at` for what is known, have what is `missing` resolved, `add` it.
    """

    def __init__(self) -> None:
        self._reached: LRUCache[Scope, Reached] = LRUCache(MOST_BYTES, getsizeof=lambda reached: reached.size_bytes)

    def at(self, scope: Scope, state: State) -> Reached:
        """What is known of the scope now. Where deleted contacts are no subjects, every change may alter it."""
        stamp = (state.epoch, state.moved if scope.deleted_contacts else state.change)
        known = self._reached.get(scope)
        return known if known is not None and known.stamp == stamp else Reached(stamp)

    def add(self, reached: Reached, names: Collection[str], found: Context) -> None:
        """Remember the answer for those names. It may be newer than the stamp, which then nobody asks for any more."""
        reached.depths.update((name, found.subjects.get(name)) for name in names)
        reached.sensitive = found.sensitive
        reached.primary_contacts.update(found.primary_contacts)
        reached.size_bytes += sum(BYTES_A_NAME + len(name) for name in names)
        if reached.size_bytes <= MOST_BYTES:
            self._reached[found.scope] = reached
        else:  # names are what documents say, and may be anything
            self._reached.pop(found.scope, None)
