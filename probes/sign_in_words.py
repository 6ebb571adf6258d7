"""What a person enters to sign in to a kind of system, for whoever asks: the terminal, a page.

A kind describes it once, beside its settings. Loads no driver.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInWord:
    """One thing to enter.

    Attributes:
        word: of the settings.
        label: what it is called on a screen.
        help: what it is, where to get it, and what it must be allowed to do.
        placeholder: how it looks.
        secret: it belongs into the environment, and in no text.
        hidden: it is not shown while it is typed.
        usual: what holds if nothing is entered; "" if something must be.
    """

    word: str
    label: str
    help: str
    placeholder: str = ""
    secret: bool = False
    hidden: bool = False
    usual: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """All that a kind of system asks for.

    Attributes:
        words: in the order in which they are asked for.
        calls_per_s: how often the auditor should call an account whose plan is not known; None for any number.
    """

    words: tuple[SignInWord, ...]
    calls_per_s: int | None = None
