"""Small pieces of SVG. Colours are classes of style.css, so that plots follow the page into the dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from markupsafe import Markup

SERIES = 8
"""Colours of style.css, series-0 to series-7 (Okabe and Ito's palette, safe for colour-blind readers)."""


def figure(width: float, height: float, title: str, parts: Iterable[str]) -> Markup:
    """An SVG that scales with its box and names itself to a screen reader."""
    body = "".join(parts)
    return Markup(  # every text inside went through text() or escape()
        f'<svg class="plot" viewBox="0 0 {n(width)} {n(height)}" width="{n(width)}" height="{n(height)}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{body}</svg>'
    )


def n(value: float) -> str:
    """A coordinate: two decimals at most, the same on every machine."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{n(x1)}" y1="{n(y1)}" x2="{n(x2)}" y2="{n(y2)}" class="{kind}"/>'


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{n(x)}" y="{n(y)}" text-anchor="{anchor}" class="{kind}">{escape(content)}</text>'


def dot(x: float, y: float, kind: str, title: str = "") -> str:
    inner = f"<title>{escape(title)}</title>" if title else ""
    return f'<circle cx="{n(x)}" cy="{n(y)}" r="4" class="{kind}">{inner}</circle>'


def path(points: Sequence[tuple[float, float]], kind: str, title: str = "") -> str:
    inner = f"<title>{escape(title)}</title>" if title else ""
    return f'<path d="M{"L".join(f"{n(x)} {n(y)}" for x, y in points)}" class="{kind}">{inner}</path>'


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between the two."""
    if high <= low:
        return [low]
    step = 10.0 ** len(str(int((high - low) / count))) / 10 if high - low >= count else 0.001
    while (high - low) / step > count:
        step *= 2.5 if str(f"{step:e}")[0] == "2" else 2
    first = -(-low // step)
    return [round((first + k) * step, 6) for k in range(int((high - first * step) / step + 1e-9) + 1)]
