"""The extra documents within an instance and the references to them (XR-6, XR-7)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import takewhile

from lxml import etree

from core.xforms.safe_xml import qualified_name


@dataclass(frozen=True)
class Node:
    """An element of an instance: `path` is `/data/child`, `place` the same with `[n]` where siblings share a name."""

    element: etree._Element
    path: str
    place: str
    above: tuple[int, ...]  # the elements from the root down to this one, by their position in the document


def nodes_of(root: etree._Element) -> list[Node]:
    """Every element in document order."""
    found: list[Node] = []

    def collect(element: etree._Element, path: str, place: str, above: tuple[int, ...]) -> None:
        node = Node(element, path, place, (*above, len(found)))
        found.append(node)
        names = [qualified_name(child) for child in element]
        count, seen = Counter(names), Counter[str]()
        for name, child in zip(names, element, strict=True):
            seen[name] += 1
            index = f"[{seen[name]}]" if count[name] > 1 else ""
            collect(child, f"{path}/{name}", f"{place}/{name}{index}", node.above)

    name = f"/{qualified_name(root)}"
    collect(root, name, name, ())
    return found


def is_db_doc(element: etree._Element) -> bool:
    return (element.get("db-doc") or "").lower() == "true"


def ends_with(path: str, reference: str) -> bool:
    """Whether a `db-doc-ref` may mean the node of that path."""
    return path.endswith(f"/{reference.strip().removeprefix('.').lstrip('/')}")


def referenced(node: Node, reference: str, candidates: list[Node]) -> Node | None:
    """The candidate under the nearest common ancestor of the referring node; the first of equally near ones."""
    fitting = [each for each in candidates if ends_with(each.path, reference)]
    return max(fitting, key=lambda each: shared_depth(node, each), default=None)


def shared_depth(one: Node, other: Node) -> int:
    pairs = zip(one.above, other.above, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
