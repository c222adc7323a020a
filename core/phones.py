"""Phone numbers by the settings' country and strictness, on libphonenumber's metadata (35 §14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import phonenumbers
from phonenumbers import MatchType, NumberParseException, PhoneNumber, PhoneNumberFormat, shortnumberinfo

from core.settings import Settings

LETTER = re.compile("[A-Za-z]")
UNKNOWN_REGION = "ZZ"


@dataclass(frozen=True)
class PhoneRules:
    """How this deployment reads phone numbers.

    `region` is the main one of `default_country_code`, None when that is not set: then only numbers with a country
    code can be read. `validation` is `full` (length and prefix), `partial` (length) or `none` (whatever parses).
    """

    region: str | None = None
    validation: str = "full"

    @classmethod
    def from_settings(cls, settings: Settings) -> PhoneRules:
        code = str(settings.get("default_country_code") or "").strip().lstrip("+0")
        region = phonenumbers.region_code_for_country_code(int(code)) if code.isascii() and code.isdigit() else None
        validation = settings.get("phone_validation")
        return cls(
            region=None if region == UNKNOWN_REGION else region,
            validation=validation if validation in ("partial", "none") else "full",
        )

    def normalize(self, raw: str) -> str | None:
        """E.164 (`+254711000111`); national format for a short number of the region; None when invalid."""
        number = self._parse(raw)
        if number is None:
            return None
        if self._is_accepted(number):
            return phonenumbers.format_number(number, PhoneNumberFormat.E164)
        if self._is_short(number):
            return phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        return None

    def is_valid(self, raw: str) -> bool:
        return self.normalize(raw) is not None

    def same_number(self, one: str, other: str) -> bool:
        """Whether both mean one line: equal as a whole or in their national part (MOD-114)."""
        if one == other:
            return bool(one)
        first, second = self._parse(one), self._parse(other)
        if first is None or second is None:
            return False
        return phonenumbers.is_number_match(first, second) in (MatchType.EXACT_MATCH, MatchType.NSN_MATCH)

    def national(self, raw: str) -> str:
        """The number without the leading country code of this deployment, unchanged when it has another (TPL-4)."""
        if self.region is None:
            return raw
        return raw.removeprefix(f"+{phonenumbers.country_code_for_region(self.region)}")

    def _parse(self, raw: str) -> PhoneNumber | None:
        if LETTER.search(raw):
            return None
        try:
            return phonenumbers.parse(raw, self.region)
        except NumberParseException:
            return None

    def _is_accepted(self, number: PhoneNumber) -> bool:
        if self.validation == "none":
            return not self._is_short(number)
        if self.validation == "partial":
            return phonenumbers.is_possible_number(number)
        return phonenumbers.is_valid_number(number)

    def _is_short(self, number: PhoneNumber) -> bool:
        return self.region is not None and shortnumberinfo.is_valid_short_number_for_region(number, self.region)


def has_country_code(raw: str) -> bool:
    """Whether the text is a valid number with its country code: `+254711000111`."""
    text = raw.strip()
    return text.startswith("+") and PhoneRules().is_valid(text)
