"""Secrets learned at run time: tokens from a server are removed from texts like any other secret."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from probes.contract import ProbeError
from probes.secrets import Scrubber

KEPT_TOKENS = 24
"""Most recent tokens to remember: older ones are no longer valid."""


class LearningScrubber:
    """Removes secrets from texts, including those learned later.

    It uses three scrubbers, so that learning a token does not prepare a long key again.

    Args:
        scrub: a scrubber for the secrets of the settings.
    """

    def __init__(self, scrub: Scrubber) -> None:
        self._given = scrub
        self._learnt = Scrubber(())
        self._tokens: deque[str] = deque(maxlen=KEPT_TOKENS)
        self._passing = Scrubber(())
        self._learning = threading.Lock()

    def learn(self, secrets: Iterable[str]) -> None:
        """Learn further secrets."""
        with self._learning:
            known = {*self._given.secrets, *self._learnt.secrets}
            new = [each for each in dict.fromkeys(secrets) if each and each not in known]
            if new:
                self._learnt = self._learnt.knowing(new)

    def learn_tokens(self, tokens: Iterable[str]) -> None:
        """Learn secrets that others will replace."""
        with self._learning:
            new = [each for each in dict.fromkeys(tokens) if each and each not in self._tokens]
            if new:
                self._tokens.extend(new)
                self._passing = Scrubber(self._tokens)

    def __call__(self, text: str) -> str:
        """The text without any secret."""
        return self._passing(self._learnt(self._given(text)))

    def error(self, failure: ProbeError) -> ProbeError:
        """A failure without any secret."""
        return self._passing.error(self._learnt.error(self._given.error(failure)))

    def line(self, text: str, length: int) -> str:
        """The beginning of a text on one line, without any secret."""
        return " ".join(self(text).split())[:length]
