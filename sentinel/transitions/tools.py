"""What every transition works with, made from one state of the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from core.messages import Messenger
from core.phones import PhoneRules


@dataclass(frozen=True)
class Tools:
    """`now` gives the moment with the server's own timezone."""

    messenger: Messenger
    phones: PhoneRules
    now: Callable[[], datetime]

    @property
    def zone(self) -> tzinfo:
        return self.now().tzinfo or UTC
