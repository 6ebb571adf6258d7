"""A stand-in for Stripe: one account over HTTP on 127.0.0.1, with state. It is not Stripe.

Written from Stripe's API reference and guides as of 2026-11 (docs.stripe.com/api: "Authentication", "Errors",
"Expanding responses", "Pagination", "Versioning", "Events"; docs.stripe.com/search, /rate-limits, /currencies); every
answer is checked in `tests/standins/test_stripe.py` against Stripe's OpenAPI document, version 2026-08-26.dahlia.
It stands beside stripe-mock (Stripe's own, without state) and localstripe (state, but it answers 500 to an instant
in ISO 8601, has no search, and its events lack `pending_webhooks`).

A charge is born with `charge.succeeded` or what else its status is, and a payment intent has events of what it
becomes alone, since there is no `charge.created` and no `payment_intent.updated`.

Where the documents are silent: objects created within the same second are listed the last first; a cursor that names
a deleted object goes on behind where it stood; 429 has no Retry-After unless a test orders one.
"""

from tests.standins.stripe.server import SECRET_KEY, VERSION, Stripe

__all__ = ["SECRET_KEY", "VERSION", "Stripe"]
