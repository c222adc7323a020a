"""A district for replication tests, and the naive computation of who may have which of its documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Doc = dict[str, Any]

CLINICS = 10
REPORTS = 1000


def district(clinics: int = CLINICS, reports: int = REPORTS) -> list[Doc]:
    """One district, two health centers, clinics with a person each, and reports about those persons in turn."""
    docs: list[Doc] = [{"_id": "d", "type": "district_hospital", "name": "District"}]
    for center in (0, 1):
        docs.append({"_id": f"hc{center}", "type": "health_center", "name": f"Center {center}", "parent": {"_id": "d"}})
        docs.append(worker(center))
    for number in range(clinics):
        parent = {"_id": f"hc{number % 2}", "parent": {"_id": "d"}}
        docs.append({"_id": f"c{number}", "type": "clinic", "name": f"Clinic {number}", "parent": parent})
        docs.append(
            {
                "_id": f"p{number}",
                "type": "person",
                "name": f"Person {number}",
                "patient_id": f"5{number:04}",
                "parent": {"_id": f"c{number}", "parent": parent},
            }
        )
    docs += [report(f"r{number}", number % clinics) for number in range(reports)]
    return docs


def worker(center: int) -> Doc:
    parent = {"_id": f"hc{center}", "parent": {"_id": "d"}}
    return {"_id": f"chw{center}", "type": "person", "name": f"Worker {center}", "parent": parent}


def report(doc_id: str, clinic: int) -> Doc:
    """A report about the person of that clinic, named by shortcode or by id in turn, by the center's worker."""
    center = clinic % 2
    subject = {"patient_id": f"5{clinic:04}"} if sum(doc_id.encode()) % 2 else {"patient_uuid": f"p{clinic}"}
    return {
        "_id": doc_id,
        "type": "data_record",
        "form": "V",
        "fields": subject,
        "reported_date": 1_700_000_000_000,
        "contact": {"_id": f"chw{center}", "parent": {"_id": f"hc{center}", "parent": {"_id": "d"}}},
    }


def belongs_to(center: str, docs: Iterable[Doc]) -> set[str]:
    """The ids of the contacts at or below a place and of the reports about them: one plain pass over everything."""
    docs = list(docs)
    contacts = [doc for doc in docs if doc.get("type") in ("district_hospital", "health_center", "clinic", "person")]
    own = [doc for doc in contacts if center in chain(doc)]
    subjects = {value for doc in own for value in (doc["_id"], doc.get("patient_id")) if value}
    reports = [doc for doc in docs if doc.get("type") == "data_record" and subject_of(doc) in subjects]
    return {doc["_id"] for doc in [*own, *reports]}


def chain(doc: Doc) -> list[str]:
    ids, node = [], doc
    while node:
        ids.append(node["_id"])
        node = node.get("parent")  # type: ignore[assignment]
    return ids


def subject_of(doc: Doc) -> str | None:
    fields = doc["fields"]
    return fields.get("patient_id") or fields.get("patient_uuid")
