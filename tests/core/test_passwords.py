"""How passwords score, and what the policies refuse."""

from __future__ import annotations

import pytest

from core.errors import InvalidInput
from core.passwords import password_score
from core.settings import Settings
from core.user_fields import InvalidUser, check_password

CHT_POLICY = Settings({"password_policy": "cht"})


@pytest.mark.parametrize(("password", "score"), [("secret", 16), ("password", 22), ("Blue-kite-77", 75), ("", 0)])
def test_score_counts_length_variety_and_kinds(password: str, score: int) -> None:
    assert password_score(password) == score  # EP-USR-42


def test_without_a_policy_the_documented_password_is_fine() -> None:
    check_password("secret", Settings())  # EP-USR-40, DIV-15


def test_policy_refuses_a_short_password_first() -> None:
    with pytest.raises(InvalidUser, match="at least 8 characters long") as refused:
        check_password("a", CHT_POLICY)

    assert refused.value.details == {  # EP-USR-25, EP-USR-41
        "translationKey": "password.length.minimum",
        "translationParams": {"minimum": 8},
    }


def test_policy_refuses_a_password_that_is_easy_to_guess() -> None:
    with pytest.raises(InvalidUser, match="too easy to guess") as refused:
        check_password("password", CHT_POLICY)

    assert refused.value.details == {"translationKey": "password.weak"}


def test_policy_takes_a_varied_password() -> None:
    check_password("Blue-kite-77", CHT_POLICY)


@pytest.mark.parametrize("password", [5, "", None, ["secret"]])
def test_a_password_is_a_text(password: object) -> None:
    with pytest.raises(InvalidInput, match='"password" must be a string'):
        check_password(password, Settings())
