"""Every route of the API, in the order in which they are tried; the last one takes what is left."""

from __future__ import annotations

from aiohttp import web

from api import replication, startup
from api.console import pages as console
from api.handlers import (
    app_files,
    apps,
    archive,
    bulk_delete,
    config_history,
    contact_tree,
    contacts,
    contacts_by_phone,
    credentials,
    device_keys,
    docs,
    exports,
    form_summaries,
    form_uploads,
    forms,
    hydrate,
    impact,
    login,
    messages,
    meta,
    monitoring,
    nouveau,
    openrosa,
    password_reset,
    people,
    places,
    public,
    records,
    replication_logs,
    reports,
    sentinel,
    session,
    settings,
    sms,
    sms_services,
    sso_login,
    storage,
    submissions,
    targets,
    token_login,
    upgrades,
    user_imports,
    user_reads,
    users,
    users_info,
)

# Handlers whose POSTs bring a password or a token to guess (10 AUTH-101).
LOGINS = (session.serve_session, login.log_in, token_login.log_in_by_token, password_reset.reset_password)


def public_routes(database: str) -> list[web.RouteDef]:
    """Answered without asking who is calling (AUTH-9); the path of some depends on the main database's name."""
    return [
        *public.ROUTES,
        *startup.ROUTES,
        *monitoring.ROUTES,
        *docs.ROUTES,
        *session.ROUTES,
        *app_files.public_routes(database),
        *apps.public_routes(database),
        *login.public_routes(database),
        *token_login.public_routes(database),
        *sso_login.public_routes(database),
        *password_reset.public_routes(database),
        *sms_services.ROUTES,
    ]


def routes(database: str) -> list[web.RouteDef]:
    """Everything else. `api.handlers.storage` must stay last: its route matches every path and method."""
    return [
        *settings.ROUTES,
        *settings.routes(database),
        *config_history.ROUTES,
        *people.ROUTES,
        *places.ROUTES,
        *users.ROUTES,
        *user_reads.ROUTES,
        *user_imports.ROUTES,
        *users_info.ROUTES,
        *hydrate.ROUTES,
        *contacts_by_phone.ROUTES,
        *bulk_delete.ROUTES,
        *exports.ROUTES,
        *contact_tree.ROUTES,
        *contacts.ROUTES,
        *reports.ROUTES,
        *targets.ROUTES,
        *nouveau.routes(database),
        *impact.ROUTES,
        *credentials.ROUTES,
        *archive.ROUTES,
        *records.ROUTES,
        *forms.ROUTES,
        *form_uploads.ROUTES,
        *form_summaries.ROUTES,
        *openrosa.ROUTES,
        *submissions.ROUTES,
        *device_keys.ROUTES,
        *sms.ROUTES,
        *messages.ROUTES,
        *sentinel.ROUTES,
        *monitoring.ROUTES_FOR_ONLINE_USERS,
        *login.routes(database),
        *token_login.routes(database),
        *replication.ROUTES,
        *replication_logs.ROUTES,
        *upgrades.ROUTES,
        *public.ROUTES_FOR_ANYONE_LOGGED_IN,
        *app_files.ROUTES,
        *console.ROUTES,
        *apps.ROUTES,
        *meta.ROUTES,
        *storage.ROUTES,
    ]
