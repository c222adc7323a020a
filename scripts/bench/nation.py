"""A made-up country of any size: places, people and reports, the same for every run, one document at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

PERSONS = 5  # in a clinic
REPORTS = 20  # of a clinic, about its people
CLINIC_DOCS = 1 + PERSONS + REPORTS
CLINICS = 75  # of an ordinary health center: about 2,000 documents
CENTERS = 10  # of a district
STRIDE = 7_368_787  # a prime: reports come in no order of places, as they do in time

Doc = dict[str, Any]


@dataclass(frozen=True)
class Nation:
    """About `size` documents. Health center 0 has 200 of them, center 1 has 2,000 and center 2 has 10,000."""

    size: int

    @property
    def centers(self) -> list[int]:
        """The number of clinics of each health center."""
        special = [(users_docs - 2) // CLINIC_DOCS for users_docs in (200, 2000, 10_000)]
        left = self.size - sum(clinics * CLINIC_DOCS for clinics in special)
        return [*special, *[CLINICS] * max(0, left // (CLINICS * CLINIC_DOCS + 2))]

    def docs(self) -> Iterator[Doc]:
        """Contacts from the top down, then all reports, each with a body of about half a kilobyte."""
        centers = self.centers
        for district in range(-(-len(centers) // CENTERS)):
            yield contact(f"d{district}", "district_hospital", {})
        for center in range(len(centers)):
            yield contact(f"h{center}", "health_center", center_parent(center), place_id=f"7{center:05}")
            yield contact(f"h{center}p", "person", stub(center))
        clinics = [(center, clinic) for center, count in enumerate(centers) for clinic in range(count)]
        for center, clinic in clinics:
            place = f"h{center}c{clinic}"
            yield contact(place, "clinic", stub(center), place_id=f"5{center:05}{clinic:03}")
            parent = {"_id": name(place), "parent": stub(center)}
            for person in range(PERSONS):
                yield contact(f"{place}p{person}", "person", parent, patient_id=shortcode(center, clinic, person))
        total = len(clinics) * REPORTS
        for at in range(total):
            clinic_at, number = divmod(at * STRIDE % total, REPORTS)
            yield report(*clinics[clinic_at], number)


def name(key: str) -> str:
    """A document id that looks random and is not."""
    text = blake2b(key.encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def shortcode(center: int, clinic: int, person: int) -> str:
    return f"6{center:05}{clinic:03}{person}"


def center_parent(center: int) -> Doc:
    return {"_id": name(f"d{center // CENTERS}")}


def stub(center: int) -> Doc:
    """A health center as its descendants embed it."""
    return {"_id": name(f"h{center}"), "parent": center_parent(center)}


def contact(key: str, kind: str, parent: Doc, **members: str) -> Doc:
    doc: Doc = {"_id": name(key), "type": kind, "name": f"Contact {key}", "notes": "x" * 200, **members}
    return {**doc, "parent": parent} if parent else doc


def report(center: int, clinic: int, number: int) -> Doc:
    """About a person of the clinic, by shortcode or by id."""
    person = number % PERSONS
    by_code = number % 2
    about = {"patient_id": shortcode(center, clinic, person)} if by_code else {}
    uuid = {} if by_code else {"patient_uuid": name(f"h{center}c{clinic}p{person}")}
    return {
        "_id": name(f"h{center}c{clinic}r{number}"),
        "type": "data_record",
        "form": "VISIT",
        "reported_date": 1_700_000_000_000 + number,
        "contact": {"_id": name(f"h{center}p"), "parent": stub(center)},
        "fields": {**about, **uuid, "note": "x" * 150},
    }
