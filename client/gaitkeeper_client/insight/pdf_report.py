"""The report as PDF: the same view, texts and charts as ``report.html``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.findings import Findings
from gaitkeeper_client.insight.parameter_view import Headline, SideValue
from gaitkeeper_client.insight.pdf import Sheet
from gaitkeeper_client.insight.report import UNNAMED
from gaitkeeper_client.insight.standing import DRAFT, Standing
from gaitkeeper_client.insight.view import PatientContext, ReportView, report_view
from gaitkeeper_client.language.texts import Texts, texts, worded


def render_report_pdf(
    analysis: Analysis,
    findings: Findings | None = None,
    *,
    patient: PatientContext = UNNAMED,
    now: datetime | None = None,
    standing: Standing = DRAFT,
) -> bytes:
    """The report as PDF. ``standing``: what clinicians decided, verified; a draft says so across each page."""
    words = texts()
    view = report_view(analysis, findings, patient, now, standing, words)
    title = words("pdf.title", patient=view.patient.pseudonym, created=view.created)
    sheet = Sheet(title, view.standing.footer, words("pdf.mark") if view.standing.draft else "")
    _head(sheet, view, words)
    if view.analysed:
        _parameters(sheet, view, words)
        _angles(sheet, view, words)
        _walk(sheet, view, words)
    _model(sheet, view, words)
    _decisions(sheet, view, words)
    _provenance(sheet, view, words)
    return sheet.render()


def _head(sheet: Sheet, view: ReportView, words: Texts) -> None:
    sheet.paragraph(view.standing.banner, "draft" if view.standing.draft else "signed")
    sheet.heading(words("pdf.report"), 1)
    patient = view.patient
    about = [words("pdf.patient", patient=patient.pseudonym)]
    about += [words("pdf.age", age=f"{patient.age:.0f}")] if patient.age is not None else []
    about += [words("pdf.sex", sex=worded(patient.sex))] if patient.sex else []
    about += [words("pdf.height", height=f"{patient.height_m:.2f}")] if patient.height_m else []
    about += [words("pdf.aid", aid=worded(view.aid))] if view.aid else []
    about += [words("pdf.walked", walked=view.walked)] if view.walked else []
    sheet.paragraph(" · ".join([*about, words("pdf.made", created=view.created, version=view.version)]))
    if view.analysed:
        sheet.paragraph(view.recording)
    sheet.facts([(one.title, _with_norm(one)) for one in view.headline])
    if view.short:
        sheet.heading(words("short.title"), 3)
        sheet.bullets(view.short)
    sheet.heading(words("pdf.quality"))
    for code, message in view.reasons:
        sheet.paragraph(words("pdf.refused", code=code, message=message), "care")
    sheet.bullets(view.cautions, "care")
    sheet.facts([(fact.title, fact.text) for fact in view.quality])


def _with_norm(one: Headline) -> str:
    told = ", ".join(filter(None, (one.norm, one.mark)))
    return f"{one.text} ({told})" if told else one.text


def _parameters(sheet: Sheet, view: ReportView, words: Texts) -> None:
    sheet.heading(words("pdf.parameters"))
    header = (words("pdf.parameter"), words("pdf.value"), words("pdf.interval"), words("pdf.norm"))
    for group in view.parameters.groups:
        sheet.heading(group.title, 3)
        rows = []
        for row in group.rows:
            notes = [words("pdf.care", note=note) for note in row.notes]
            if row.refused:
                rows.append([[row.title], words("pdf.withheld", why=row.refused), "", row.norm])
                continue
            wide = f" {words('pdf.wide')}" if row.wide else ""
            interval = f"{row.interval} (n = {row.n}){wide}"
            norm = f"{row.norm} ({row.mark})" if row.mark else row.norm
            title = f"{row.title} †" if row.far else row.title
            rows.append([[title, *notes], [f"{row.value} {row.unit}".strip()], interval, norm])
        sheet.table(header, rows, (34, 30, 22, 14))
    if view.parameters.pairs:
        sheet.heading(words("pdf.sides"), 3)
        header = (words("pdf.parameter"), words("pdf.left"), words("pdf.right"), words("pdf.left_right"))
        rows = [
            [
                [f"{pair.title}{f' ({pair.unit})' if pair.unit else ''}{' †' if pair.far else ''}", *pair.notes],
                *(_side(side, words) for side in (pair.left, pair.right)),
                pair.difference,
            ]
            for pair in view.parameters.pairs
        ]
        sheet.table(header, rows, (34, 26, 26, 14))
    if view.parameters.far:
        sheet.paragraph(f"† {view.parameters.far}", "note")
    for item in view.parameters.withheld:
        sheet.paragraph(words("pdf.also_withheld", names=item.titles, why=item.reason), "note")
    sheet.paragraph(words("report.parameters_note"), "note")
    sheet.paragraph(view.parameters.norm_choice, "note")
    if view.parameters.norm_sources:
        sheet.paragraph(words("pdf.norms", sources="; ".join(view.parameters.norm_sources)), "note")


def _side(side: SideValue, words: Texts) -> str:
    if not side.value:
        return "–"
    wide = f" {words('pdf.wide')}" if side.wide else ""
    return f"{side.value} ({side.interval}; n = {side.n}){wide}"


def _angles(sheet: Sheet, view: ReportView, words: Texts) -> None:
    if not view.angles:
        return
    sheet.heading(words("pdf.angles"))
    sheet.paragraph(words("pdf.angles_legend", **view.legend), "note")
    sheet.charts([(angle.title, str(angle.chart)) for angle in view.angles], columns=3)
    sheet.heading(words("report.departures"), 3)
    sheet.bullets(view.deviations)
    for text in view.undeparted:
        sheet.paragraph(text)
    if view.profile is not None:
        sheet.charts([(words("pdf.profile"), str(view.profile))], columns=1 if view.figures is None else 2)
        sheet.paragraph(words("report.profile_note"), "note")
    sheet.paragraph(words("pdf.curve_norm", norm=view.curve_norm), "note")
    if view.planes:
        sheet.heading(words("report.planes"), 3)
        sheet.charts([(angle.title, str(angle.chart)) for angle in view.planes], columns=3)
        sheet.paragraph(words("report.planes_note"), "note")


def _walk(sheet: Sheet, view: ReportView, words: Texts) -> None:
    charts = [(words("pdf.contact"), view.timeline), (words("pdf.figures"), view.figures)]
    shown = [(caption, str(chart)) for caption, chart in charts if chart is not None]
    if shown:
        sheet.heading(words("pdf.walk"))
        sheet.charts(shown, columns=1)
        sheet.paragraph(words("report.figures_note"), "note")


def _model(sheet: Sheet, view: ReportView, words: Texts) -> None:
    found = view.findings
    sheet.heading(words("pdf.model"))
    sheet.paragraph(found.verdict, "strong")
    sheet.bullets(found.reasons, "care")
    if found.bars is not None:
        sheet.charts([("", str(found.bars))])
        sheet.paragraph(f"{found.range_note} {words('report.score_note')}", "note")
    if found.certificate is not None and found.certificate.warning:
        sheet.paragraph(found.certificate.verdict, "care")
    for one in found.explanations:
        sheet.heading(words("pdf.explanation", label=one.label), 3)
        sheet.bullets(one.sentences)
        sheet.charts([("", str(chart)) for chart in one.charts])
        sheet.paragraph(words("pdf.heatmap", label=one.label, curves=one.curves), "note")
        _checks(sheet, one.checks, words)
        if not all(good for _, good in one.checks):
            sheet.paragraph(words("report.check_failed_heatmap"), "care")
    for other in found.measured:
        sheet.heading(words("pdf.measured", label=other.label), 3)
        rows = [
            [[row.title, *row.notes], f"{row.value} {row.unit}".strip(), row.interval, row.reference, row.contribution]
            for row in other.rows
        ]
        names = ("pdf.parameter", "pdf.value", "pdf.interval", "pdf.compared", "pdf.adds")
        sheet.table([words(name) for name in names], rows, (34, 18, 22, 14, 12))
        _checks(sheet, other.checks, words)
        if not all(good for _, good in other.checks):
            sheet.paragraph(words("report.check_failed"), "care")
        sheet.paragraph(other.method, "note")
    if found.certificate is not None:
        sheet.heading(words("pdf.certificate"), 3)
        sheet.paragraph(found.certificate.verdict, "care" if found.certificate.warning else "body")
        _checks(sheet, found.certificate.checks, words)
    if found.unexplained:
        sheet.paragraph(found.unexplained, "care")
    sheet.bullets(found.limits, "note")
    sheet.facts(found.model)
    if found.explanations:
        sheet.paragraph(words("report.method"), "note")


def _checks(sheet: Sheet, checks: Sequence[tuple[str, bool]], words: Texts) -> None:
    sheet.bullets([words("pdf.passed" if good else "pdf.failed", text=text) for text, good in checks], "note")


def _decisions(sheet: Sheet, view: ReportView, words: Texts) -> None:
    sheet.heading(words("standing.assessment"))
    sheet.paragraph(view.standing.lead, "body" if view.standing.draft else "strong")
    rows = [[row.finding, [row.verdict, *row.notes, row.by]] for row in view.standing.rows]
    sheet.table((words("standing.finding"), words("standing.decision")), rows, (55, 45))
    if view.standing.proof:
        sheet.paragraph(view.standing.proof, "note")


def _provenance(sheet: Sheet, view: ReportView, words: Texts) -> None:
    sheet.heading(words("pdf.provenance"), 3)
    sheet.facts([(fact.title, fact.text) for fact in view.provenance])
    sheet.paragraph(words("followup.footer", version=view.version), "note")
