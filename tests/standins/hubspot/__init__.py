"""A stand-in for HubSpot's CRM API: one account over HTTP on 127.0.0.1. It is not HubSpot.

Written from HubSpot's developer documentation as of 2026-11 (developers.hubspot.com/docs: "CRM objects", "Search the
CRM", "Associations v4", "Properties", "Working with OAuth", "API usage guidelines and limits", "Handling errors") and
from the models of @hubspot/api-client 14.0.1, which HubSpot generates from its specifications; every answer is
checked against those in `tests/standins/test_hubspot.py`.

Where the documents are silent: a batch answers in the order of ids, and an id asked for twice once; 429 has no
Retry-After unless a test orders one; a type of association without a label has no `label` (the models make it
optional text, examples in the guides show null); a property that was cleared is an empty string, one that never had
a value is null (seen in integrations, not stated in the reference).
"""

from tests.standins.hubspot.server import PRIVATE_APP_TOKEN, HubSpot
from tests.standins.hubspot.store import Property

__all__ = ["PRIVATE_APP_TOKEN", "HubSpot", "Property"]
