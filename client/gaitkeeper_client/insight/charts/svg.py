"""A small canvas that writes SVG: everything is escaped, every chart is described for screen readers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from markupsafe import Markup, escape


class Canvas:
    """An SVG of ``width`` x ``height`` user units. Attribute names use ``_`` for ``-``; ``cls`` is the class."""

    def __init__(self, width: float, height: float, title: str, description: str) -> None:
        self.width, self.height = width, height
        self._title, self._description = title, description
        self._parts: list[Markup] = []

    def add(self, tag: str, text: str | None = None, /, *, title: str | None = None, **attributes: object) -> None:
        """One element; ``text`` is its content, ``title`` what a pointer resting on it shows."""
        listed = Markup("").join(
            Markup(' {}="{}"').format(_name(name), _value(value)) for name, value in attributes.items()
        )
        inner = escape(text or "") + (Markup("<title>{}</title>").format(title) if title else Markup(""))
        self._parts.append(Markup("<{0}{1}>{2}</{0}>").format(tag, listed, inner))

    def text(self, x: float, y: float, text: str, cls: str = "label", anchor: str = "start") -> None:
        """Text with its baseline at (x, y); ``anchor``: ``start``, ``middle`` or ``end``."""
        self.add("text", text, x=x, y=y, cls=cls, text_anchor=anchor)

    def line(self, x1: float, y1: float, x2: float, y2: float, cls: str) -> None:
        """A straight line."""
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, cls=cls)

    def path(self, points: Sequence[tuple[float, float]], cls: str, *, closed: bool = False) -> None:
        """A polyline, or a filled polygon."""
        steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self.add("path", d=f"M{steps}{'Z' if closed else ''}", cls=cls)

    def render(self) -> Markup:
        """The finished ``<svg>`` element."""
        content = Markup("").join(self._parts)
        # Named by what it shows: the same analysis gives the same page, and two charts of a page differ.
        name = hashlib.sha256(f"{self._title}|{self._description}|{content}".encode()).hexdigest()[:10]
        head = Markup(
            '<svg viewBox="0 0 {w} {h}" role="img" aria-labelledby="t{n} d{n}" xmlns="http://www.w3.org/2000/svg">'
            '<title id="t{n}">{title}</title><desc id="d{n}">{description}</desc>'
        ).format(w=_value(self.width), h=_value(self.height), n=name, title=self._title, description=self._description)
        return head + content + Markup("</svg>")


def _name(name: str) -> str:
    return "class" if name == "cls" else name.replace("_", "-")


def _value(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


class Axis:
    """A linear map from data to user units."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)
