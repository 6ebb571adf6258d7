"""What a person enters is described as the settings take it."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from probes import registry
from probes.sign_in_words import SignIn, SignInWord

DESCRIBED = [(kind, each) for kind, sign_in in registry.sign_ins().items() for each in sign_in.words]


def settings_of(kind: str, sign_in: SignIn, **more: str) -> object:
    words = {
        each.word: each.usual or "https://h.example.com" if each.word == "url" else "x" for each in sign_in.words
    }
    return registry.record_settings(kind).model_validate({"kind": kind, **words, **more})


@pytest.mark.parametrize(("kind", "sign_in"), registry.sign_ins().items())
def test_the_words_are_enough_and_none_is_too_many(kind: str, sign_in: SignIn) -> None:
    assert settings_of(kind, sign_in)
    for each in sign_in.words:
        given = {one.word: one for one in sign_in.words if one is not each}
        less = {word: "https://h.example.com" if word == "url" else "x" for word in given}
        if not each.usual:
            with pytest.raises(ValidationError):
                registry.record_settings(kind).model_validate({"kind": kind, **less})


@pytest.mark.parametrize(("kind", "each"), DESCRIBED)
def test_what_the_settings_hold_as_a_secret_is_one(kind: str, each: SignInWord) -> None:
    value = getattr(settings_of(kind, registry.sign_ins()[kind]), each.word)
    assert isinstance(value, SecretStr) == each.secret
    assert each.secret or not each.hidden
    assert each.label
    assert each.help.endswith(".")


@pytest.mark.parametrize(("kind", "each"), DESCRIBED)
def test_what_is_usual_is_what_the_settings_take_without_it(kind: str, each: SignInWord) -> None:
    if each.usual:
        assert registry.record_settings(kind).model_fields[each.word].default == each.usual


def test_kinds_that_are_entered_by_an_address_or_in_the_map_have_none() -> None:
    assert {*registry.sign_ins()} == {"hubspot", "salesforce", "stripe"}
