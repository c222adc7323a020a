"""A small deployment: three places below each other, four people, two reports."""

from __future__ import annotations

from typing import Any

BUSIA = {"_id": "d-busia", "type": "district_hospital", "name": "Busia"}
KANGA = {
    "_id": "hc-kanga",
    "type": "health_center",
    "name": "Kanga Health Centre",
    "parent": {"_id": "d-busia"},
    "contact": {"_id": "p-asha", "parent": {"_id": "hc-kanga", "parent": {"_id": "d-busia"}}},
}
IN_KANGA = {"_id": "hc-kanga", "parent": {"_id": "d-busia"}}
ODERA = {"_id": "c-odera", "type": "clinic", "name": "Odera", "contact": {"_id": "p-mary"}, "parent": IN_KANGA}
IN_ODERA = {"_id": "c-odera", "parent": IN_KANGA}
ASHA = {"_id": "p-asha", "type": "person", "name": "Asha", "phone": "+254711000111", "parent": IN_KANGA}
MARY = {"_id": "p-mary", "type": "person", "name": "Mary", "phone": "0711 000-222", "parent": IN_ODERA}
NEEMA = {
    "_id": "p-neema",
    "type": "person",
    "name": "Neema W.",
    "phone": "+254711000222",
    "patient_id": "60001",
    "parent": IN_ODERA,
}
OMAR = {"_id": "p-omar", "type": "person", "name": "Omar", "phone": "+254722000222", "parent": IN_ODERA}
VISIT: dict[str, Any] = {
    "_id": "r-visit",
    "type": "data_record",
    "form": "visit",
    "reported_date": 1_709_280_000_000,
    "contact": {"_id": "p-asha", "parent": IN_KANGA},
    "fields": {"patient_id": "60001", "note": "well"},
}
FAMILY: list[dict[str, Any]] = [BUSIA, KANGA, ODERA, ASHA, MARY, NEEMA, OMAR, VISIT]
