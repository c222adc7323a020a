"""Plots of numbers over time, as SVG without styles or scripts; leather is loaded when the first one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

COLORS = ("#2f7fc1", "#c8641f", "#2f9560", "#9a5cc0")  # apart from each other and from light and dark paper
WIDTH, HEIGHT = 460, 230
HOURS_APART = 6
TICKS = 4

Series = Sequence[tuple[int, float | None]]  # milliseconds since the epoch, and the number


def line_plot(series: Sequence[tuple[str, Series]], begin_ms: int, end_ms: int) -> str:
    """Lines with their names above; where a number is unknown the line has a gap. Times are UTC."""
    leather = drawing()
    highest = max((value for _, points in series for _, value in points if value is not None), default=0)
    top = round_above(highest)
    chart: Any = leather.Chart()
    chart.set_x_scale(between(leather.Temporal, utc(begin_ms), utc(end_ms)))
    chart.add_y_scale(0, top)
    step_ms = HOURS_APART * 3_600_000
    moments = range(begin_ms - begin_ms % step_ms + step_ms, end_ms, step_ms)
    chart.add_x_axis(ticks=[utc(each) for each in moments], tick_formatter=lambda each, *_: f"{each:%H:%M}")
    ticks = [top * number / TICKS for number in range(TICKS + 1)] if top >= TICKS else list(range(int(top) + 1))
    chart.add_y_axis(ticks=ticks, tick_formatter=lambda each, *_: readable(each))
    known = {name: points for name, points in series if any(value is not None for _, value in points)}
    for (name, points), color in zip(series, COLORS, strict=False):
        if name in known:
            chart.add_line([(utc(at_ms), value) for at_ms, value in points], name=name, stroke_color=color, width=2)
    if not known:
        chart.add_line([(utc(begin_ms), 0)], name="", stroke_color="none")
    drawn = str(chart.to_svg(width=WIDTH, height=HEIGHT))
    return drawn.replace("<svg ", f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" ', 1)


def drawing() -> Any:
    """leather, in the manner of the console; its theme is the module's own."""
    import leather

    theme = leather.theme
    theme.background_color = "none"
    theme.margin = 0.05
    for part in ("tick", "legend", "axis_title", "title"):
        setattr(theme, f"{part}_font_family", "system-ui, sans-serif")
    theme.tick_color = "#8883"
    theme.zero_color = "#888"
    return leather


def between(temporal: Any, begin: datetime, end: datetime) -> Any:
    """A scale from one edge of the plot to the other: leather's own goes on to a round time."""

    class Window(temporal):  # type: ignore[misc]
        def project(self, value: datetime, range_min: float, range_max: float) -> float:
            return range_min + (range_max - range_min) * ((value - begin) / (end - begin))

    return Window(begin, end)


def round_above(highest: float) -> float:
    """A round number at or above it: 1, 2, 4 or 8 times a power of ten."""
    size = 1.0
    while size * 10 <= highest:
        size *= 10
    return next(each * size for each in (1, 2, 4, 8, 10) if each * size >= max(highest, 1))


def utc(moment_ms: int) -> datetime:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).replace(tzinfo=None)


def readable(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
