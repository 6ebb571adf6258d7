"""Accounts to set up, each with the same twelve customers, and a database with copies of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from auditor.setup.addresses import Entered
from tests.auditor.setup.pair import RECORDS
from tests.standins.hubspot import PRIVATE_APP_TOKEN, HubSpot
from tests.standins.salesforce import APP, Salesforce
from tests.standins.stripe import SECRET_KEY, Stripe

LONG_AGO_S = -7 * 24 * 3600


class Accounts:
    """An account of each kind, started when it is asked for.

    Attributes:
        words: by kind, what a person enters.
    """

    def __init__(self, stack: ExitStack) -> None:
        self.hubspot = stack.enter_context(HubSpot())
        self.salesforce = stack.enter_context(Salesforce())
        self.stripe = stack.enter_context(Stripe())
        self.words: Mapping[str, dict[str, str]] = {
            "hubspot": {"token": PRIVATE_APP_TOKEN, "url": self.hubspot.url},
            "salesforce": {
                "url": self.salesforce.url,
                "client_id": APP.client_id,
                "client_secret": APP.client_secret,
            },
            "stripe": {"key": SECRET_KEY, "url": self.stripe.url},
        }

    def entered(self, kind: str) -> Entered:
        """The account of a kind, as a person enters it."""
        return Entered(kind=kind, words=self.words[kind])

    def fill(self, place: Path) -> None:
        """Put the customers into every account and into `copies.sqlite`."""
        rows = []
        for each in (self.hubspot, self.salesforce, self.stripe):
            each.clock.advance(LONG_AGO_S)
        for n in range(1, RECORDS + 1):
            mail, name, phone = f"c{n}@x.example", f"Customer {n}", f"+49301234{n:02}"
            self.hubspot.create("contacts", email=mail, lastname=name, phone=phone)
            self.salesforce.put("Contact", Email=mail, LastName=name)
            self.stripe.create("customer", email=mail, name=name, phone=phone)
            rows.append((mail, name, phone, "2026-01-01 10:00:00"))
        for each in (self.hubspot, self.salesforce, self.stripe):
            each.clock.stand_at(None)
        with closing(sqlite3.connect(place / "copies.sqlite")) as copies, copies:
            copies.execute(
                "CREATE TABLE contacts (email text PRIMARY KEY, name text, phone text, updated_at timestamp)"
            )
            copies.executemany("INSERT INTO contacts VALUES (?, ?, ?, ?)", rows)
