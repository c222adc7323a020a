"""Build the access index anew beside the one in use, and put it in its place when it is complete."""

from __future__ import annotations

from collections.abc import Callable

from api.access import schema
from api.access.indexer import CONNECTIONS, Indexer
from core.config import Config
from core.couch.client import connect


async def rebuild(config: Config, tell: Callable[[int, int], None]) -> int:
    """Read the whole database into a new index and exchange the files; the number of changes in it.

    A server that runs meanwhile answers from the old file until then, and goes on with the new one by itself. `tell`
    hears, page by page, how many changes are in and left. BlockingIOError while another rebuild runs. One that
    was broken off is gone on with.
    """
    path = config.access_index
    new = path.with_name(f"{path.stem}-new{path.suffix}")
    async with connect(config, connections=CONNECTIONS) as couch, Indexer(config, couch, new) as indexer:
        await indexer.catch_up(tell)
        changes = indexer.writer.state.change
    schema.remove(path)  # with its companions, which would spoil another file of the same name
    new.rename(path)
    return changes
