"""A page of this house as PDF: headings, paragraphs, tables and the same charts as on the HTML page.

Charts are the SVGs of :mod:`.charts`; their style sheet is the print palette of ``report.css``, written into each
element, as the PDF's drawings know no style sheets. The same content gives the same bytes. Nothing is loaded from
elsewhere; the font (Bitstream Vera) comes with ReportLab.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any
from xml.etree import ElementTree

_FONT, _BOLD = "Vera", "VeraBd"
_MISSING = str.maketrans({"↑": "+", "↓": "−", "▼": "strike:", "▲": "off:", "→": "to"})
"""Signs that the font lacks."""
MARGIN_MM, FOOT_MM = 14.0, 17.0
WIDTH_MM = 210.0 - 2.0 * MARGIN_MM
_SVG = "{http://www.w3.org/2000/svg}"


class Sheet:
    """Content in order, then :meth:`render`. Texts are plain: they are escaped here."""

    def __init__(self, title: str, footer: str, mark: str = "") -> None:
        """``footer``: at the bottom of each page; ``mark``: across each page, such as a draft's."""
        _register_fonts()
        self._title, self._footer, self._mark = title, footer, mark
        self._story: list[Any] = []
        self._styles = _styles()

    def heading(self, text: str, level: int = 2) -> None:
        """A heading that stays with what follows."""
        self._story.append(self._text(text, f"h{level}"))

    def paragraph(self, text: str, style: str = "body") -> None:
        """``style``: body, note, strong, draft, signed or care."""
        self._story.append(self._text(text, style))

    def bullets(self, texts: Sequence[str], style: str = "body") -> None:
        """A list."""
        for text in texts:
            self._story.append(self._text(f"•  {text}", style))

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[str | Sequence[str]]], shares: Sequence[float]
    ) -> None:
        """``shares``: of the width, by column. A cell of several texts has the first one bold."""
        from reportlab.lib import colors
        from reportlab.lib.units import mm
        from reportlab.platypus import Spacer, Table

        if not rows:
            return
        cells = [[self._text(text, "head") for text in header]] if any(header) else []
        cells += [[self._cell(cell) for cell in row] for row in rows]
        whole = sum(shares)
        widths = [WIDTH_MM * mm * share / whole for share in shares]
        style = [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, colors.HexColor(palette()["--line"])),
            ("LEFTPADDING", (0, 0), (-1, -1), 2),
            ("RIGHTPADDING", (0, 0), (-1, -1), 4),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ]
        self._story += [Table(cells, widths, style=style, repeatRows=1 if any(header) else 0), Spacer(1, 2 * mm)]

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names and values, in two columns."""
        rows = [
            [*pairs[index], *(pairs[index + 1] if index + 1 < len(pairs) else ("", ""))]
            for index in range(0, len(pairs), 2)
        ]
        self.table((), rows, (24, 22, 24, 22))

    def charts(self, charts: Sequence[tuple[str, str]], columns: int = 2) -> None:
        """SVGs with their captions, side by side."""
        from reportlab.lib.units import mm
        from reportlab.platypus import Table

        width = WIDTH_MM * mm / columns
        for start in range(0, len(charts), columns):
            row = [
                [*([self._text(caption, "caption")] if caption else []), drawing(svg, width - 3 * mm)]
                for caption, svg in charts[start : start + columns]
            ]
            row += [[] for _ in range(columns - len(row))]
            style = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]
            self._story.append(Table([row], [width] * columns, style=style, splitByRow=0))

    def render(self) -> bytes:
        """The finished PDF."""
        from reportlab.lib.pagesizes import A4
        from reportlab.lib.units import mm
        from reportlab.platypus import SimpleDocTemplate

        out = io.BytesIO()
        document = SimpleDocTemplate(
            out,
            pagesize=A4,
            leftMargin=MARGIN_MM * mm,
            rightMargin=MARGIN_MM * mm,
            topMargin=MARGIN_MM * mm,
            bottomMargin=FOOT_MM * mm,
            title=self._title,
            author="Gaitkeeper",
            subject=self._footer,
            invariant=1,
        )
        document.build(self._story, onFirstPage=self._decorate, onLaterPages=self._decorate)
        return out.getvalue()

    def _decorate(self, canvas: Any, document: Any) -> None:
        from reportlab.lib import colors
        from reportlab.lib.units import mm

        canvas.saveState()
        if self._mark:
            canvas.setFillColor(colors.Color(0.85, 0.63, 0.25, alpha=0.13))
            canvas.setFont(_BOLD, 110)
            canvas.translate(105 * mm, 148 * mm)
            canvas.rotate(52)
            canvas.drawCentredString(0, -30, self._mark)
            canvas.rotate(-52)
            canvas.translate(-105 * mm, -148 * mm)
        canvas.setFont(_FONT, 7)
        canvas.setFillColor(colors.HexColor(palette()["--soft"]))
        canvas.drawString(MARGIN_MM * mm, 9 * mm, _shown(self._title))
        canvas.drawRightString((210 - MARGIN_MM) * mm, 9 * mm, str(document.page))
        canvas.setFont(_BOLD, 7)
        canvas.drawCentredString(105 * mm, 5.5 * mm, _shown(self._footer))
        canvas.restoreState()

    def _text(self, text: str, style: str) -> Any:
        from reportlab.platypus import Paragraph

        return Paragraph(html.escape(_shown(text), quote=False), self._styles[style])

    def _cell(self, cell: str | Sequence[str]) -> Any:
        from reportlab.platypus import Paragraph

        if isinstance(cell, str):
            return self._text(cell, "cell")
        first, *others = (html.escape(_shown(text), quote=False) for text in cell if text)
        return Paragraph("<br/>".join([f"<b>{first}</b>", *others]), self._styles["cell"])


def drawing(svg: str, width: float) -> Any:
    """An SVG of this house as a drawing of this width in points."""
    from svglib.svglib import svg2rlg

    root = ElementTree.fromstring(str(svg))  # noqa: S314 - our own canvas wrote it
    for element in root.iter():
        _inline(element)
    made = svg2rlg(io.BytesIO(ElementTree.tostring(root)))
    _map_fonts()  # svglib maps the fonts that it meets anew, bold ones as plain
    scale = width / made.width
    made.scale(scale, scale)
    made.width, made.height = made.width * scale, made.height * scale
    return made


@cache
def palette() -> Mapping[str, str]:
    """The light colours of the style sheet, by name."""
    css = _css()
    return dict(re.findall(r"(--[\w-]+):\s*(#[0-9a-fA-F]+)", css[: css.index("@media")]))


@cache
def _rules() -> tuple[tuple[str, frozenset[str], tuple[tuple[str, str], ...]], ...]:
    """(tag, classes, declarations) of every rule for charts, in the order in which they override each other."""
    found = []
    for selectors, body in re.findall(r"((?:svg [^{,}]+)(?:,\s*svg [^{,}]+)*)\s*\{([^}]*)\}", _css()):
        plain = re.sub(r"var\((--[\w-]+)\)", lambda match: palette()[match.group(1)], body)
        rows = [tuple(part.strip() for part in row.split(":", 1)) for row in plain.split(";") if ":" in row]
        declarations = tuple((name, value) for name, value in rows if name != "font")
        for selector in selectors.split(","):
            tag, *classes = selector.strip().removeprefix("svg ").strip().split(".")
            found.append((tag, frozenset(classes), declarations))
    return tuple(sorted(found, key=lambda rule: len(rule[1])))


def _inline(element: ElementTree.Element) -> None:
    tag, classes = element.tag.removeprefix(_SVG), frozenset((element.get("class") or "").split())
    if tag in ("svg", "title", "desc"):
        return
    if tag == "text":
        element.set("font-family", _FONT)
        element.set("font-size", "12")
        element.text = _shown(element.text or "")
    for wanted, needed, declarations in _rules():
        if wanted in ("", tag) and needed <= classes:
            for name, value in declarations:
                element.set(name, value)
    if element.get("font-weight") == "700":
        element.set("font-family", _BOLD)
    for child in [child for child in element if child.tag.removeprefix(_SVG) == "title"]:
        element.remove(child)  # what a pointer shows


def _shown(text: str) -> str:
    return text.translate(_MISSING)


@cache
def _css() -> str:
    return (resources.files("gaitkeeper_client.insight") / "templates" / "report.css").read_text("utf-8")


@cache
def _register_fonts() -> None:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    for name in (_FONT, _BOLD):
        pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    _map_fonts()


def _map_fonts() -> None:
    from reportlab.lib.fonts import addMapping

    for family, bold, name in ((_FONT, 0, _FONT), (_FONT, 1, _BOLD), (_BOLD, 0, _BOLD), (_BOLD, 1, _BOLD)):
        addMapping(family, bold, 0, name)


@cache
def _styles() -> Mapping[str, Any]:
    from reportlab.lib import colors
    from reportlab.lib.styles import ParagraphStyle

    colour = {name: colors.HexColor(value) for name, value in palette().items()}
    body = ParagraphStyle("body", fontName=_FONT, fontSize=8.5, leading=11.5, textColor=colour["--ink"], spaceAfter=3)
    bold = {"parent": body, "fontName": _BOLD, "keepWithNext": 1}
    boxed = {"parent": body, "fontName": _BOLD, "borderPadding": 4, "spaceBefore": 4, "spaceAfter": 8}
    styles = [
        body,
        ParagraphStyle("h1", fontSize=15, leading=19, **bold),
        ParagraphStyle("h2", fontSize=11, leading=14, spaceBefore=9, textColor=colour["--accent"], **{**bold}),
        ParagraphStyle("h3", fontSize=9, leading=12, spaceBefore=5, **bold),
        ParagraphStyle("strong", fontSize=10, leading=13, **bold),
        ParagraphStyle("caption", fontSize=8, leading=10, **bold),
        ParagraphStyle("note", parent=body, fontSize=7, leading=9.2, textColor=colour["--soft"]),
        ParagraphStyle("care", parent=body, textColor=colour["--warn"]),
        ParagraphStyle("cell", parent=body, fontSize=7.5, leading=9.6, spaceAfter=0),
        ParagraphStyle("head", parent=body, fontName=_BOLD, fontSize=7, leading=9, textColor=colour["--soft"]),
        ParagraphStyle("draft", textColor=colour["--draft-ink"], backColor=colour["--draft"], **boxed),
        ParagraphStyle("signed", textColor=colour["--good"], backColor=colour["--faint"], **boxed),
    ]
    return {style.name: style for style in styles}
