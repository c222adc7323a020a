"""Dates as moment.js formats them, the notation in which deployments configure their date formats (TPL-2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from importlib.resources import files

import orjson

TOKENS = re.compile(
    r"\[([^\]]*)\]|(YYYY|YY|Q|MMMM|MMM|MM|Mo|M|DDDD|DDD|DD|Do|D|dddd|ddd|dd|d|E|WW|W|GGGG"
    r"|HH|H|hh|h|A|a|mm|m|ss|s|SSS|ZZ|Z|X|x|LTS|LT|LLLL|LLL|LL|L|ll)"
)
LONG_FORMATS = {
    "LTS": "h:mm:ss A",
    "LT": "h:mm A",
    "LLLL": "dddd, MMMM D, YYYY h:mm A",
    "LLL": "MMMM D, YYYY h:mm A",
    "LL": "MMMM D, YYYY",
    "L": "MM/DD/YYYY",
    "ll": "MMM D, YYYY",
}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# By locale, `months` and `short`.
MONTH_NAMES: dict[str, dict[str, list[str]]] = orjson.loads(
    files("core").joinpath("data/month-names.json").read_bytes()
)


def format_moment(moment: datetime, tokens: str, locale: str = "en") -> str:
    """A date in moment.js's format tokens; month names in the locale where we have them, else in English."""

    def expand(found: re.Match[str]) -> str:
        if found[1] is not None:
            return found[1]
        if found[2] in LONG_FORMATS:
            return format_moment(moment, LONG_FORMATS[found[2]], locale)
        return token_text(moment, found[2], locale)

    return TOKENS.sub(expand, tokens)


def token_text(moment: datetime, token: str, locale: str) -> str:
    iso_year, iso_week, iso_day = moment.isocalendar()
    language = locale.replace("_", "-").split("-")[0].lower()
    month_names = MONTH_NAMES.get(language, MONTH_NAMES["en"])
    names: dict[str, Callable[[], str]] = {
        "MMMM": lambda: month_names["months"][moment.month - 1],
        "MMM": lambda: month_names["short"][moment.month - 1],
        "dddd": lambda: DAYS[moment.weekday()],
        "ddd": lambda: DAYS[moment.weekday()][:3],
        "dd": lambda: DAYS[moment.weekday()][:2],
        "Do": lambda: ordinal(moment.day),
        "Mo": lambda: ordinal(moment.month),
        "A": lambda: "AM" if moment.hour < 12 else "PM",
        "a": lambda: "am" if moment.hour < 12 else "pm",
        "Z": lambda: f"{moment:%z}"[:3] + ":" + f"{moment:%z}"[3:5],
        "ZZ": lambda: f"{moment:%z}",
    }
    if token in names:
        return names[token]()
    numbers = {
        "YYYY": (moment.year, 4),
        "YY": (moment.year % 100, 2),
        "Q": ((moment.month + 2) // 3, 1),
        "MM": (moment.month, 2),
        "M": (moment.month, 1),
        "DDDD": (moment.timetuple().tm_yday, 3),
        "DDD": (moment.timetuple().tm_yday, 1),
        "DD": (moment.day, 2),
        "D": (moment.day, 1),
        "d": (moment.isoweekday() % 7, 1),
        "E": (iso_day, 1),
        "WW": (iso_week, 2),
        "W": (iso_week, 1),
        "GGGG": (iso_year, 4),
        "HH": (moment.hour, 2),
        "H": (moment.hour, 1),
        "hh": (moment.hour % 12 or 12, 2),
        "h": (moment.hour % 12 or 12, 1),
        "mm": (moment.minute, 2),
        "m": (moment.minute, 1),
        "ss": (moment.second, 2),
        "s": (moment.second, 1),
        "SSS": (moment.microsecond // 1000, 3),
        "X": (int(moment.timestamp()), 1),
        "x": (int(moment.timestamp() * 1000), 1),
    }
    value, width = numbers[token]
    return f"{value:0{width}d}"


def ordinal(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
