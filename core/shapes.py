"""The members of request bodies and their types: checks read their names here, the API's description its schemas."""

from functools import cache
from typing import Annotated, Any, NotRequired, Required, TypedDict, get_args, get_origin, get_type_hints

from msgspec import Meta

Name = Annotated[str, Meta(min_length=1)]
Reference = Annotated[Name | dict[str, Any], Meta(description="the id of a contact, or an object with its `_id`")]
Moment = Annotated[
    int | str, Meta(description="ms since the epoch, or `YYYY-MM-DDTHH:mm:ss[.SSS]` with `Z` or an offset")
]
DateText = Annotated[str, Meta(description="`YYYY-MM-DD`, with a time or without")]


class NewPersonDoc(TypedDict):
    """A new person; `type` is that of a person, `parent` an existing place (EP-CON-12, 13)."""

    type: Name
    name: Name
    parent: Reference
    contact_type: NotRequired[str]
    phone: NotRequired[str | None]
    patient_id: NotRequired[str | None]
    sex: NotRequired[str | None]
    date_of_birth: NotRequired[DateText | None]
    reported_date: NotRequired[Moment | None]


class NewPlaceDoc(TypedDict):
    """A new place; `type` is that of a place, `parent` and `contact` exist already (EP-CON-12, 13)."""

    type: Name
    name: Name
    contact_type: NotRequired[str]
    parent: NotRequired[Reference | None]
    contact: NotRequired[Reference | None]
    place_id: NotRequired[str | None]
    reported_date: NotRequired[Moment | None]


class NewReportDoc(TypedDict):
    """A new report of an installed form by an existing contact (EP-CON-14)."""

    form: Name
    contact: Reference
    type: NotRequired[str]
    fields: NotRequired[dict[str, Any] | None]
    reported_date: NotRequired[Moment | None]


class ChangedContactDoc(TypedDict):
    """A person or place as the whole document, hydrated or not (EP-CON-15)."""

    _id: Name
    _rev: Name
    type: Name
    name: Name
    parent: NotRequired[Any]
    contact: NotRequired[Any]
    reported_date: NotRequired[Any]


class ChangedReportDoc(TypedDict):
    """A report as the whole document, hydrated or not (EP-CON-15)."""

    _id: Name
    _rev: Name
    form: Name
    type: Name
    fields: NotRequired[dict[str, Any] | None]
    contact: NotRequired[Any]


class PlaceTree(TypedDict):
    """A new place, with the new places above it and the person in charge of it (EP-PLC-2)."""

    name: Name
    type: Name
    contact_type: NotRequired[str]
    parent: NotRequired["str | PlaceTree | None"]
    contact: NotRequired["str | PersonOfPlace | None"]
    reported_date: NotRequired[Moment | None]
    _id: NotRequired[Name | None]


class PersonOfPlace(TypedDict):
    """A new person where the place is known (EP-PPL-2)."""

    name: Name
    type: NotRequired[str | None]
    reported_date: NotRequired[Moment | None]
    _id: NotRequired[Name | None]


class NewPerson(PersonOfPlace):
    """A new person, in an existing place or with a new one (EP-PPL-2)."""

    place: NotRequired[str | PlaceTree | None]
    parent: NotRequired[Reference | None]


class PlaceChanges(TypedDict, total=False):
    """What changes of a place; at least one of these (EP-PLC-10)."""

    name: Name
    parent: str | PlaceTree | None
    contact: str | PersonOfPlace
    place_id: Name


class UserProfile(TypedDict, total=False):
    """What users may set on their own accounts (30 §9.1)."""

    fullname: str | None
    email: str | None
    phone: str | None
    language: Annotated[str | dict[str, Any] | None, Meta(description="a code, or an object with `code`")]
    external_id: str | None
    known: bool | None


class NewUser(UserProfile):
    """A new account; `password` may be missing with `token_login`, `roles` with the older `type`."""

    username: Required[Annotated[str, Meta(pattern="^[a-z0-9-][a-z0-9_-]*$", max_length=200)]]
    password: str | None
    roles: list[Name] | None
    type: str | None
    place: str | list[str] | PlaceTree | None
    contact: str | PersonOfPlace | None
    token_login: Any
    oidc_username: str | None
    password_change_required: Any


class UserChanges(UserProfile):
    """What changes of an account; at least one of these."""

    password: str | None
    roles: list[Name] | None
    type: str | None
    place: str | list[str] | None
    contact: str | None
    token_login: Any
    oidc_username: str | None


@cache
def required_texts(shape: Any) -> tuple[str, ...]:
    """The members that must be texts which are not empty, in the order of their declaration."""
    return tuple(name for name, kind in get_type_hints(shape, include_extras=True).items() if kind == Name)


@cache
def optional_texts(shape: Any) -> tuple[str, ...]:
    """The members that must be texts where they are given."""
    hints = get_type_hints(shape, include_extras=True)
    return tuple(
        name for name, kind in hints.items() if get_origin(kind) is NotRequired and get_args(kind)[0] == str | None
    )
