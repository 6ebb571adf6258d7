"""Secrets that become known on the way are taken out like any other, and old ones are forgotten."""

from __future__ import annotations

import base64

from probes.http.learning_scrubber import KEPT_TOKENS, LearningScrubber
from probes.secrets import Scrubber


def test_what_is_learnt_is_taken_out_in_every_form() -> None:
    scrub = LearningScrubber(Scrubber(["first-secret"]))
    text = "first-secret tok/en+1 tok%2Fen%2B1 " + base64.b64encode(b"tok/en+1").decode()
    assert scrub(text).startswith("*** tok/en+1")
    scrub.learn_tokens(["tok/en+1"])
    assert scrub(text).rstrip("=") == "*** *** *** ***"


def test_tokens_come_and_go_and_secrets_stay() -> None:
    scrub = LearningScrubber(Scrubber(()))
    scrub.learn(["permanent-secret", ""])
    for number in range(KEPT_TOKENS + 1):
        scrub.learn_tokens([f"{number:03}-token", ""])
    assert scrub("permanent-secret") == "***"
    assert scrub(f"{KEPT_TOKENS:03}-token") == "***"
    assert scrub("x 001-token y") == "x *** y"
    assert scrub("x 000-token y") == "x 000-token y"


def test_a_line_is_clean_before_it_is_cut() -> None:
    scrub = LearningScrubber(Scrubber(["long-secret-of-mine"]))
    assert scrub.line("a\nb long-secret-of-mine", 12) == "a b ***"
