"""Send a payload to another service, with the login its settings name (40 OUT-2, OUT-3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import orjson

from core.errors import DomainError, InvalidInput, Unavailable
from sentinel.schedule.calls import Answer, ask

# The secret stored under a key, None when there is none.
Secret = Callable[[str], Awaitable[str | None]]


class Refused(DomainError):
    """The service answered, and not with success."""


async def send(client: httpx.AsyncClient, push: Mapping[str, Any], payload: Any, secret: Secret) -> None:
    """POST the payload as JSON. Raises InvalidInput for wrong settings, Refused, or Unavailable for no answer."""
    destination = push.get("destination")
    if not isinstance(destination, dict) or not destination.get("base_url"):
        raise InvalidInput("destination.base_url: expected the address of the service")
    base_url = str(destination["base_url"])
    headers, params = await login(client, base_url, destination.get("auth"), secret)
    url = join(base_url, destination.get("path"))
    body = orjson.dumps(payload)
    answer = await post(
        client, url, content=body, headers={"content-type": "application/json", **headers}, params=params
    )
    if not answer.is_success:
        raise Refused(f"the service answered {answer.status}")


async def login(
    client: httpx.AsyncClient, base_url: str, auth: Any, secret: Secret
) -> tuple[dict[str, str], dict[str, str]]:
    """The headers and query parameters that say who we are (OUT-3)."""
    if not auth:
        return {}, {}
    kind = str(auth.get("type") or "").lower() if isinstance(auth, dict) else ""
    if kind == "basic":
        login = httpx.BasicAuth(str(auth.get("username") or ""), await needed(secret, auth.get("password_key")))
        request = next(login.auth_flow(httpx.Request("POST", base_url)))
        return {"authorization": request.headers["authorization"]}, {}
    if kind == "header":
        if auth.get("name") != "Authorization":
            raise InvalidInput("destination.auth.name: must be `Authorization`")
        return {"authorization": await needed(secret, auth.get("value_key"))}, {}
    if kind == "muso-sih":
        password = await needed(secret, auth.get("password_key"))
        return {}, {"token": await muso_token(client, join(base_url, auth.get("path")), auth.get("username"), password)}
    raise InvalidInput("destination.auth.type: must be basic, header or muso-sih")


async def needed(secret: Secret, key: Any) -> str:
    found = await secret(str(key)) if key else None
    if found is None:
        raise InvalidInput(f"destination.auth: there is no credential {key!r}")
    return found


async def muso_token(client: httpx.AsyncClient, url: str, username: Any, password: str) -> str:
    answer = await post(client, url, data={"login": str(username or ""), "password": password})
    try:
        if answer.is_success and answer.json.get("statut") == 200:
            return str(answer.json["data"]["username_token"])
    except (AttributeError, KeyError, TypeError):
        pass
    raise Refused("the login of the service was refused")


async def post(client: httpx.AsyncClient, url: str, **options: Any) -> Answer:
    try:
        return await ask(client, "POST", url, **options)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise InvalidInput(f"destination: {url!r} is not an address: {error}") from error
    except UnicodeEncodeError as error:
        raise InvalidInput("destination.auth: the credential has characters that no header can hold") from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise Unavailable("the service did not answer in time") from error
    except httpx.HTTPError as error:
        raise Unavailable(f"the service cannot be reached: {type(error).__name__}") from error


def join(base_url: str, path: Any) -> str:
    """The two parts with one slash between them."""
    return f"{base_url.rstrip('/')}/{str(path).lstrip('/')}" if path else base_url
