"""The XML of OpenRosa 1.0: form list, manifest and the answer to a submission (OR-4, OR-8, OR-23). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree

LIST = "http://openrosa.org/xforms/xformsList"
MANIFEST = "http://openrosa.org/xforms/xformsManifest"
RESPONSE = "http://openrosa.org/http/response"


@dataclass(frozen=True)
class Listed:
    """A form as it is offered; `md5` is of the bytes behind `download_url`, `description` None where nobody asked."""

    name: str
    form_id: str
    version: str | None
    md5: str
    download_url: str
    manifest_url: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class MediaFile:
    filename: str
    md5: str
    download_url: str


def form_list(forms: Iterable[Listed]) -> bytes:
    root = root_of(LIST, "xforms")
    for form in forms:
        members = (
            ("name", form.name),
            ("formID", form.form_id),
            ("version", form.version),
            ("hash", f"md5:{form.md5}"),
            ("descriptionText", form.description),
            ("downloadUrl", form.download_url),
            ("manifestUrl", form.manifest_url),
        )
        add(etree.SubElement(root, f"{{{LIST}}}xform"), LIST, members)
    return serialized(root)


def manifest(files: Iterable[MediaFile]) -> bytes:
    root = root_of(MANIFEST, "manifest")
    for file in files:
        members = (("filename", file.filename), ("hash", f"md5:{file.md5}"), ("downloadUrl", file.download_url))
        add(etree.SubElement(root, f"{{{MANIFEST}}}mediaFile"), MANIFEST, members)
    return serialized(root)


def response(message: str, nature: str) -> bytes:
    """`nature` is `submit_success`, `submit_error` and the like; clients show the message."""
    root = root_of(RESPONSE, "OpenRosaResponse")
    etree.SubElement(root, f"{{{RESPONSE}}}message", nature=nature).text = storable(message)
    return serialized(root)


def root_of(namespace: str, name: str) -> etree._Element:
    return etree.Element(f"{{{namespace}}}{name}", nsmap={None: namespace})  # type: ignore[dict-item]


def add(element: etree._Element, namespace: str, members: Iterable[tuple[str, str | None]]) -> None:
    for name, text in members:
        if text is not None:
            etree.SubElement(element, f"{{{namespace}}}{name}").text = storable(text)


def storable(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return "".join(each for each in text if each in "\t\n" or (each >= " " and not "\ud800" <= each <= "\udfff"))


def serialized(root: etree._Element) -> bytes:
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)
