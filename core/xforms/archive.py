"""Refuse an .xlsx that would not stay small, by its zip directory first and then by its tags, unparsed (FORM-63)."""

from __future__ import annotations

import io
import re
import zipfile
import zlib

from core.errors import InvalidInput, TooLarge

WHAT = "The XLSForm"
LARGEST_BYTES = 10 * 2**20
LARGEST_UNPACKED_BYTES = 32 * 2**20
MOST_MEMBERS = 1_000
MOST_MARKS = 1_500_000  # of `<` and `=` in all its XML: a cell has seven, and parsing costs by them, not by bytes
LONGEST_TAG = re.compile(rb"<[^<>]{65536}")
END_OF_DIRECTORY = b"PK\x05\x06"
ZIP = b"PK"
OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"  # an .xls, or an .xlsx with a password


def is_workbook(data: bytes) -> bool:
    """Whether somebody means it as a workbook, whatever is wrong with it."""
    return data.startswith((ZIP, OLD_WORKBOOK))


def check_archive(data: bytes) -> None:
    """Refuse what is no zip archive, or would not stay small when it is unpacked."""
    if len(data) > LARGEST_BYTES:
        raise TooLarge(f"{WHAT} must not be larger than {LARGEST_BYTES} bytes")
    if data.startswith(OLD_WORKBOOK):
        raise InvalidInput(f"{WHAT} must be an .xlsx file without a password: save an .xls file as .xlsx")
    end = data.rfind(END_OF_DIRECTORY)
    if not data.startswith(ZIP) or end < 0 or len(data) < end + 22:
        raise InvalidInput(f"{WHAT} must be an .xlsx file")
    if int.from_bytes(data[end + 10 : end + 12], "little") > MOST_MEMBERS:  # before they are read one by one
        raise InvalidInput(f"{WHAT} must not hold more than {MOST_MEMBERS} files")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            check_members(archive.infolist())
            check_marks(archive)
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, OverflowError, EOFError, OSError) as error:
        raise unreadable(error) from error


def check_members(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MOST_MEMBERS:
        raise InvalidInput(f"{WHAT} must not hold more than {MOST_MEMBERS} files")
    if any(member.flag_bits & 1 for member in members):
        raise InvalidInput(f"{WHAT} must not be protected by a password")
    if sum(member.file_size for member in members) > LARGEST_UNPACKED_BYTES:
        raise InvalidInput(f"{WHAT} must not unpack to more than {LARGEST_UNPACKED_BYTES} bytes")


def check_marks(archive: zipfile.ZipFile) -> None:
    marks = 0
    for member in archive.infolist():
        if not member.filename.endswith((".xml", ".rels")):
            continue
        content = archive.read(member)
        marks += content.count(b"<") + content.count(b"=")
        if marks > MOST_MARKS or LONGEST_TAG.search(content):
            raise InvalidInput(f"{WHAT} must not hold more than {MOST_MARKS} elements and attributes")


def unreadable(error: Exception) -> InvalidInput:
    said = str(error).partition("\n")[0][:200]
    return InvalidInput(f"{WHAT} cannot be read as an .xlsx file: {said or type(error).__name__}")
