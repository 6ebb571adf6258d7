"""Keys of an HTTP API that may be written in several ways, as the map says how the API compares them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from auditor.map.loader import load_map
from checks.judgement import Outcome
from tests.auditor.audit.test_flow_audit import open_causes
from tests.http_api import Api, Request, Response
from tests.stand import Stand, swept


class Shop:
    """An API with people by their addresses.

    Attributes:
        any_case: it finds an address in any case; otherwise only as it is written.
    """

    def __init__(self, *mails: str, any_case: bool) -> None:
        self.mails = mails
        self.any_case = any_case

    def __call__(self, request: Request) -> Any:
        people = [{"mail": each, "name": "Ada"} for each in self.mails]
        if "offset" in request.values:
            start, count = int(request.values["offset"]), int(request.values["limit"])
            return people[start : start + count]
        wanted = request.values["mail"]
        found = [
            each
            for each in people
            if each["mail"] == wanted or (self.any_case and each["mail"].lower() == wanted.lower())
        ]
        return found or Response(status=404)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with closing(Stand(tmp_path)) as made:
        yield made


@pytest.mark.parametrize(
    ("written", "mails"), [("any", ("ANN@x.de", "bob@X.de")), ("lower", ("ann@x.de", "bob@x.de"))]
)
def test_a_record_is_found_by_the_form_that_the_api_takes(stand: Stand, written: str, mails: tuple[str, ...]) -> None:
    with stand.open("crm") as database:
        database.execute("CREATE TABLE people (mail text, name text)")
        rows = [("Ann@X.de", "Ada"), ("Bob@x.de", "Eve"), ("Cy@x.de", "Ada")]
        database.executemany("INSERT INTO people VALUES (?, ?)", rows)
    with closing(Api(Shop(*mails, any_case=written == "any"))) as api:
        text = stand.map_file.read_text()
        system = text[text.index("  billing: {kind") : text.index("data_types:")]
        text = text.replace(system, f"  billing: {{kind: rest, url: '{api.url}'}}\n")
        text = text.replace("key_type: integer", "key_type: caseless")
        text = text.replace(
            "crm: {collection: customers, key: id, changed_at: updated_at}",
            "crm: {collection: people, key: mail, absent: [amount]}",
        )
        text = text.replace(
            "billing: {collection: customers, key: id}",
            f"billing: {{collection: people, key: mail, key_written: {written}, absent: [amount], "
            "one: '/people?mail={key}', record: '$[*]', list: '/people?offset={offset}&limit={limit}'}",
        )
        stand.map_file.write_text(text[: text.index("    queues:")])
        result = swept(load_map(stand.map_file, {}), "to_billing", stand.ledger)
    assert (result.read, result.counts[Outcome.AGREED]) == (3, 1)
    assert open_causes(stand) == {}  # suspected, and confirmed by the next audit
