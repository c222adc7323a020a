"""Files of the data folder that nobody but the store may read: its secret, and a configuration with password hashes."""

from __future__ import annotations

import os
from pathlib import Path


def replace_private(path: Path, content: bytes) -> None:
    """Replace a file whole or not at all, and have it on disk before returning; readable by its owner only."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    # A buffered file, for a bare os.write may write a part and say nothing, as on a disk that fills up.
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
