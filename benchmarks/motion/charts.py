"""Line charts as SVG, so that documents can show a run without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from benchmarks.motion.senders import Floats

WIDTH, HEIGHT = 760, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 34, 46
TICKS = 5


@dataclass(frozen=True)
class Line:
    """One curve: `y` (n,) over `x` (n,), its name and its style."""

    name: str
    color: str
    x: Floats
    y: Floats
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis: its label, and the values at its ends; a logarithmic one has a tick at each power of ten."""

    label: str
    low: float
    high: float
    logarithmic: bool = False

    def share(self, values: Floats) -> Floats:
        """The places of values between the ends of the axis, 0 to 1; values beyond an end are put at it."""
        if self.logarithmic:
            values = np.log10(np.maximum(values, self.low))
            return np.asarray(np.clip((values - math.log10(self.low)) / math.log10(self.high / self.low), 0.0, 1.0))
        return np.asarray(np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0))

    def ticks(self) -> list[float]:
        """About TICKS round values that are written beside the axis."""
        if self.logarithmic:
            exponents = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            return [10.0**exponent for exponent in exponents]
        rough = (self.high - self.low) / TICKS
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [step * i for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def write_chart(path: Path, title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> None:
    """Write an SVG of the lines with two axes and the names of the lines beside them."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 20, title, "start", size=13),
        _text((LEFT + right) / 2, HEIGHT - 8, x.label, "middle"),
        f'<g transform="translate(14 {(TOP + bottom) / 2}) rotate(-90)">{_text(0, 0, y.label, "middle")}</g>',
    ]
    for tick in x.ticks():
        at = LEFT + float(x.share(np.array(tick))) * (right - LEFT)
        parts += [_rule(at, TOP, at, bottom), _text(at, bottom + 16, f"{tick:g}", "middle")]
    for tick in y.ticks():
        at = bottom - float(y.share(np.array(tick))) * (bottom - TOP)
        parts += [_rule(LEFT, at, right, at), _text(LEFT - 6, at + 4, f"{tick:g}", "end")]
    for row, line in enumerate(lines):
        inside = (line.x >= x.low) & (line.x <= x.high)
        across = LEFT + x.share(line.x[inside]) * (right - LEFT)
        up = bottom - y.share(line.y[inside]) * (bottom - TOP)
        style = f'stroke="{line.color}"' + (' stroke-dasharray="5 4"' if line.dashed else "")
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across.tolist(), up.tolist(), strict=True))
        name_y = TOP + 14 + 20 * row
        parts += [
            f'<polyline points="{points}" fill="none" stroke-width="1.6" {style}/>',
            f'<path d="M{right + 12} {name_y - 4}h22" fill="none" stroke-width="2" {style}/>',
            _text(right + 40, name_y, line.name, "start"),
        ]
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _text(x: float, y: float, words: str, anchor: str, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'


def _rule(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="#ddd"/>'
