"""The pages of the login: texts, branding and languages put into templates (AUTH-50..52, AUTH-81, AUTH-93)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from api.keys import CONFIG, DB, REQUEST_SETTINGS
from api.responses import weighted
from core.couch.client import Doc
from core.translations import Translations, load_translations

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
)
# Of a page that is made for one person.
PAGE_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
}
CONTENT_TYPES = {
    "script.js": "application/javascript",
    "startup.js": "application/javascript",
    "style.css": "text/css",
    "docs.js": "application/javascript",
    "docs.css": "text/css",
    "console.js": "application/javascript",
    "console.css": "text/css",
    "form-preview.css": "text/css",
}
LOGO_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"})

# English texts of the pages by translation key; a deployment's own translations come first.
TEXTS = {
    "login": "Log in",
    "User Name": "User name",
    "Password": "Password",
    "login.hide_password": "Hide password",
    "login.show_password": "Show password",
    "login.incorrect": "The user name or the password is wrong. Please try again.",
    "login.error": "Something went wrong. Please try again in a moment.",
    "login.offline": "There is no connection to the server. Please try again.",
    "login.wait": "Too many attempts. Please wait ten seconds and try again.",
    "login.language": "Language",
    "login.sso": "Log in with single sign-on",
    "login.sso.user": "There is no account here for this identity. Please ask your administrator.",
    "login.token.redirect": "You are being logged in.",
    "login.token.invalid": "This link is not valid, or it was used before. Please ask for a new one.",
    "login.token.expired": "This link is too old. Please ask for a new one.",
    "login.token.missing": "This link is not complete. Please tap the whole link.",
    "login.token.disabled": "Logging in by a link is not possible here.",
    "login.page": "Log in with a password",
    "password.new": "New password",
    "password.current": "Current password",
    "password.change": "Change password",
    "password.reason": "Please choose a password that only you know.",
    "password.length.minimum": "The new password must have at least 8 characters.",
    "password.weak": "The new password is too easy to guess. Please mix letters, digits and signs.",
    "password.incorrect": "The user name or the current password is wrong.",
    "password.same": "The new password must be another one than the current.",
}

# What a page says to an error of its POST.
LOGIN_ERRORS = {
    "Not logged in": "login.incorrect",
    "ssouserinvalid": "login.sso.user",
    "loginerror": "login.error",
    "Password Login Not Permitted For SSO Users": "login.sso",
}
TOKEN_ERRORS = {each: f"login.token.{each}" for each in ("invalid", "expired", "missing", "disabled")}
PASSWORD_ERRORS = {
    "password-short": "password.length.minimum",
    "password-weak": "password.weak",
    "current-password-incorrect": "password.incorrect",
    "password-same": "password.same",
}

templates = Environment(
    loader=PackageLoader("api"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


async def login_page(
    request: web.Request, *, error: str = "", user: str = "", redirect: str | None = None, status: int = 200
) -> web.Response:
    """The login page; with `error`, a member of LOGIN_ERRORS, after a refused form."""
    given = request.query.get("redirect", "") if redirect is None else redirect
    sso = "yes" if request[REQUEST_SETTINGS].get("oidc_provider") else ""
    told = error or request.query.get("sso_error", "")  # AUTH-51
    return await show(request, "login.html", LOGIN_ERRORS, told, status=status, redirect=given, user=user, sso=sso)


async def token_page(request: web.Request, *, error: str = "", status: int = 200) -> web.Response:
    """The page behind a login link: logs in at once, or by its button where scripts are off."""
    return await show(request, "token.html", TOKEN_ERRORS, error, status=status)


async def password_page(request: web.Request, *, error: str = "", user: str = "", status: int = 200) -> web.Response:
    """The page on which a user chooses a new password."""
    return await show(request, "password.html", PASSWORD_ERRORS, error, status=status, user=user)


async def show(
    request: web.Request, template: str, errors: Mapping[str, str], error: str, *, status: int, **values: str
) -> web.Response:
    """A page in the client's language. `error` is shown by its text among `errors`."""
    rows = await request.config_dict[DB].all_docs(startkey="messages-", endkey="messages-\ufff0", include_docs=True)
    docs = [row["doc"] for row in rows if row.get("doc")]
    translations = Translations.from_docs(docs)
    locales = enabled_locales(docs, request[REQUEST_SETTINGS].entries("languages"))
    locale = best_locale(request, [code for code, _ in locales], str(request[REQUEST_SETTINGS].get("locale") or "en"))
    texts = {code: {key: translations.text(key, code, own) for key, own in TEXTS.items()} for code, _ in locales}
    page = templates.get_template(template).render(
        at=f"/{quote(request.config_dict[CONFIG].database, safe='')}",
        branding=await branding(request),
        error=error and errors.get(error, "login.error"),
        errors=orjson.dumps(errors).decode(),
        locale=locale,
        locales=locales if len(locales) > 1 else [],
        text=texts.get(locale, TEXTS),
        translations=quote(orjson.dumps(texts), safe=""),
        **values,
    )
    return web.Response(
        text=page,
        status=status,
        content_type="text/html",
        headers={
            **PAGE_HEADERS,
            "Link": "</login/style.css>; rel=preload; as=style, </login/script.js>; rel=preload; as=script",
        },
    )


async def policy_page(request: web.Request, policy: str, locale: str, *, back: bool) -> web.Response:
    """The page around a privacy policy, whose HTML is safe already."""
    translations = await load_translations(request.config_dict[DB])
    page = templates.get_template("policy.html").render(
        back=translations.text("Back", locale, "Back") if back else "",
        branding=await branding(request),
        locale=locale,
        policy=policy,
    )
    return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})


async def branding(request: web.Request) -> dict[str, str]:
    """The deployment's `title` and, as a data URL, its `logo`; ours where the `branding` document has none (MOD-13)."""
    doc = await request.config_dict[DB].find("branding", attachments=True) or {}
    title = doc.get("title")
    return {"title": title if isinstance(title, str) and title else "Outpost", "logo": logo_of(doc)}


def logo_of(doc: Doc) -> str:
    resources, attachments = doc.get("resources"), doc.get("_attachments")
    name = resources.get("logo") if isinstance(resources, dict) else None
    attachment = attachments.get(name) if isinstance(attachments, dict) else None
    if not isinstance(attachment, dict) or attachment.get("content_type") not in LOGO_TYPES:
        return ""
    return f"data:{attachment['content_type']};base64,{attachment.get('data', '')}"


def enabled_locales(docs: list[Doc], languages: Any) -> list[tuple[str, str]]:
    """Code and name of each language that is enabled in the settings, or, where they list none, by its own document."""
    named = {str(doc.get("code") or doc["_id"].removeprefix("messages-")): doc for doc in docs}
    listed = {str(entry.get("locale")): entry.get("enabled") is not False for entry in languages}
    return [
        (code, str(doc.get("name") or code))
        for code, doc in named.items()
        if listed.get(code, False if listed else doc.get("enabled") is not False)
    ]


def best_locale(request: web.Request, enabled: list[str], default: str) -> str:
    """The `locale` cookie, else the best enabled one of Accept-Language, else the settings' own (AUTH-4)."""
    wished = sorted(weighted(request.headers.get("Accept-Language", "")), key=lambda each: -each[1])
    for code in (request.cookies.get("locale", ""), *(name for name, weight in wished if weight > 0)):
        for candidate in (code, code.partition("-")[0]):
            if candidate in enabled:
                return candidate
    return default


@cache
def asset_bytes(name: str) -> bytes:
    return files("api").joinpath("static", name).read_bytes()


def asset(name: str) -> web.Response:
    return web.Response(
        body=asset_bytes(name),
        headers={"Content-Type": f"{CONTENT_TYPES[name]}; charset=utf-8", "Cache-Control": "public, max-age=3600"},
    )
