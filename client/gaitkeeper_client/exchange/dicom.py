"""A report's PDF as a DICOM object (Encapsulated PDF Storage), for the clinic's picture archive.

DICOM PS3.3 A.45.1. The unique identifiers follow from the report's, so that an archive that gets it twice has it once;
another PDF of the report (after the signature, after an amendment) is an object of its own in one series. A draft is
``UNVERIFIED``.
"""

from __future__ import annotations

import hashlib
from datetime import UTC
from io import BytesIO
from uuid import NAMESPACE_URL, uuid5

from gaitkeeper_client.exchange.codes import BASE, REPORT
from gaitkeeper_client.exchange.facts import ReportFacts
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared import __version__
from gaitkeeper_shared.errors import GaitkeeperError

_INSTANCES = {"draft": 1, "signed": 2, "amended": 3}
_SEX = {"f": "F", "m": "M"}


def dicom_pdf(pdf: bytes, facts: ReportFacts, title: str = "") -> bytes:
    """The DICOM file around a PDF. Raises ``dicom-bad-pdf`` where it is none."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

    if not pdf.startswith(b"%PDF-"):
        raise GaitkeeperError("dicom-bad-pdf")
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID = EncapsulatedPDFStorage
    data.SOPInstanceUID = _uid(facts, f"instance/{hashlib.sha256(pdf).hexdigest()}")
    data.StudyInstanceUID = _uid(facts, "study")
    data.SeriesInstanceUID = _uid(facts, "series")
    _patient(data, facts)
    _times(data, facts)
    data.Modality = "DOC"
    data.ConversionType = "WSD"
    data.Manufacturer = "Gaitkeeper"
    data.SoftwareVersions = __version__
    data.SeriesNumber = 1
    data.InstanceNumber = _INSTANCES[facts.state]
    data.BurnedInAnnotation = "YES"  # the PDF names the patient's pseudonym
    data.VerificationFlag = "UNVERIFIED" if facts.signed is None else "VERIFIED"
    title = title or say("exchange.report")
    data.DocumentTitle = title if facts.signed else say("exchange.draft_title", title=title)
    data.ConceptNameCodeSequence = [_concept()]
    data.MIMETypeOfEncapsulatedDocument = "application/pdf"
    data.EncapsulatedDocumentLength = len(pdf)
    data.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _patient(data: object, facts: ReportFacts) -> None:
    who = facts.subject
    values = {
        "PatientName": "",
        "PatientID": who.identifier if who else "",
        "IssuerOfPatientID": who.system[:64] if who else "",
        "PatientBirthDate": "",
        "PatientSex": _SEX.get(who.sex[:1].lower(), "") if who else "",
        "ReferringPhysicianName": "",
        "StudyID": "",
        "AccessionNumber": "",
    }
    for name, value in values.items():
        setattr(data, name, value)
    if who is not None and who.age is not None:
        data.PatientAge = f"{min(round(who.age), 999):03d}Y"  # type: ignore[attr-defined]


def _times(data: object, facts: ReportFacts) -> None:
    made = (facts.signed.at if facts.signed else facts.created_at).astimezone(UTC)
    walked = (facts.recorded_at or facts.created_at).astimezone(UTC)
    recorded = facts.recorded_at.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000") if facts.recorded_at else ""
    values = {
        "TimezoneOffsetFromUTC": "+0000",
        "StudyDate": walked.strftime("%Y%m%d"),
        "StudyTime": walked.strftime("%H%M%S"),
        "ContentDate": made.strftime("%Y%m%d"),
        "ContentTime": made.strftime("%H%M%S"),
        "AcquisitionDateTime": recorded,
    }
    for name, value in values.items():
        setattr(data, name, value)


def _concept() -> object:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = REPORT[1], "LN", REPORT[2]
    return item


def _uid(facts: ReportFacts, part: str) -> str:
    """A UID under the root 2.25 (a UUID as a number, DICOM PS3.5 B.2): nobody has to hand it out."""
    return f"2.25.{uuid5(NAMESPACE_URL, f'{BASE}/{facts.id}/{part}').int}"
