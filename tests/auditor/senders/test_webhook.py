"""Notices to another program: all of one, as it is."""

from __future__ import annotations

import json

from tests.auditor.senders.receivers import NOTICE, opened, receiver


def test_a_program_gets_the_notice_as_it_is() -> None:
    notice = {**NOTICE, "summary": "half: \ud800"}
    with receiver(lambda _: "ok") as api:
        opened("webhook", api.url).send(notice, possible_repeat=True)
    assert json.loads(api.asked[0].body) == {**notice, "possible_repeat": True}
