"""The objects of Stripe's API, with what an answer always has, and how their collections are asked for.

Source: the OpenAPI document of version 2026-08-26.dahlia (what is required) and the API reference (what a list can be
narrowed by). Members that an account without special products has as null are left to a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One kind of object.

    Attributes:
        name: what the member `object` says.
        path: the collection in paths.
        prefix: how ids begin.
        filters: parameters that narrow a list, with the member each is compared with.
        event: what the names of its events begin with.
        deletable: a deleted one is still answered by id, as `deleted: true`.
    """

    name: str
    path: str
    prefix: str
    filters: Mapping[str, str]
    event: str
    deletable: bool = False


SHAPES = (
    Shape(
        name="customer", path="customers", prefix="cus", filters={"email": "email"}, event="customer", deletable=True
    ),
    Shape(
        name="product",
        path="products",
        prefix="prod",
        filters={"active": "active", "ids": "id"},
        event="product",
        deletable=True,
    ),
    Shape(
        name="price",
        path="prices",
        prefix="price",
        filters={"active": "active", "product": "product", "currency": "currency", "type": "type"},
        event="price",
    ),
    Shape(
        name="subscription",
        path="subscriptions",
        prefix="sub",
        filters={"customer": "customer", "status": "status"},
        event="customer.subscription",
    ),
    Shape(
        name="invoice",
        path="invoices",
        prefix="in",
        filters={"customer": "customer", "status": "status"},
        event="invoice",
    ),
    Shape(
        name="payment_intent",
        path="payment_intents",
        prefix="pi",
        filters={"customer": "customer"},
        event="payment_intent",
    ),
    Shape(
        name="charge",
        path="charges",
        prefix="ch",
        filters={"customer": "customer", "payment_intent": "payment_intent"},
        event="charge",
    ),
    Shape(
        name="refund",
        path="refunds",
        prefix="re",
        filters={"charge": "charge", "payment_intent": "payment_intent"},
        event="refund",
    ),
)
BY_NAME = {each.name: each for each in SHAPES}
BY_PATH = {each.path: each for each in SHAPES}
BY_PREFIX = {each.prefix: each for each in SHAPES}
MONTH_S = 30 * 86_400
_SELF = {"type": "self"}


def members(shape: Shape, object_id: str, created: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """A new object: what every one has, then what was given."""
    made: dict[str, Any] = {"id": object_id, "object": shape.name, "created": created}
    if shape.name != "refund":
        made["livemode"] = True
    return {**made, "metadata": {}, **_OWN[shape.name](object_id, created, given), **given}


def created_event(shape: Shape, made: Mapping[str, Any]) -> str:
    """The type of the event of a new object: a charge is never called created, but by how it went."""
    return f"{shape.event}.{made['status'] if shape.name == 'charge' else 'created'}"


def updated_event(shape: Shape, now: Mapping[str, Any], changed: Mapping[str, Any]) -> str | None:
    """The type of the event of a change; a payment intent has events of what it becomes alone."""
    if shape.name != "payment_intent":
        return f"{shape.event}.updated"
    named = {"succeeded", "canceled", "processing", "requires_action"}
    return f"{shape.event}.{now['status']}" if "status" in changed and now["status"] in named else None


def _customer(object_id: str, created: int, given: Mapping[str, Any]) -> dict[str, Any]:
    empty = dict.fromkeys(
        ("address", "email", "name", "phone", "description", "currency", "default_source", "shipping")
    )
    return {**empty, "balance": 0, "delinquent": False, "tax_exempt": "none", "preferred_locales": []}


def _product(object_id: str, created: int, given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "active": True,
        "name": "",
        "description": None,
        "images": [],
        "marketing_features": [],
        "updated": created,
        "default_price": None,
    }


def _price(object_id: str, created: int, given: Mapping[str, Any]) -> dict[str, Any]:
    recurring = {"interval": "month", "interval_count": 1, "usage_type": "licensed", "meter": None}
    amount = given.get("unit_amount")
    return {
        "active": True,
        "billing_scheme": "per_unit",
        "currency": "usd",
        "type": "recurring",
        "recurring": {**recurring, "trial_period_days": None},
        "unit_amount": None,
        "unit_amount_decimal": None if amount is None else str(amount),
        "nickname": None,
        "lookup_key": None,
        "tax_behavior": "unspecified",
    }


def _subscription(object_id: str, created: int, given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "automatic_tax": {"enabled": False, "disabled_reason": None, "liability": None},
        "billing_cycle_anchor": created,
        "billing_mode": {"type": "classic", "flexible": None},
        "billing_schedules": [],
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "collection_method": "charge_automatically",
        "currency": "usd",
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": _SELF},
        "items": empty_list(f"/v1/subscription_items?subscription={object_id}"),
        "latest_invoice": None,
        "start_date": created,
        "status": "active",
        "trial_end": None,
    }


def _invoice(object_id: str, created: int, given: Mapping[str, Any]) -> dict[str, Any]:
    total = given.get("total", 0)
    amounts = ("amount_overpaid", "amount_paid", "amount_paid_off_stripe", "amount_shipping")
    notes = ("post_payment_credit_notes_amount", "pre_payment_credit_notes_amount", "starting_balance")
    moments = ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
    return {
        **dict.fromkeys((*amounts, *notes), 0),
        "amount_due": total,
        "amount_remaining": total,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "enabled": False,
            "disabled_reason": None,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "collection_method": "charge_automatically",
        "currency": "usd",
        "customer_email": None,
        "default_tax_rates": [],
        "discounts": [],
        "due_date": None,
        "issuer": _SELF,
        "lines": empty_list(f"/v1/invoices/{object_id}/lines"),
        "number": None,
        "parent": None,
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": created,
        "period_start": created,
        "status": "draft",
        "status_transitions": dict.fromkeys(moments),
        "subtotal": total,
        "total": total,
    }


def _payment_intent(object_id: str, created: int, given: Mapping[str, Any]) -> dict[str, Any]:
    empty = dict.fromkeys(("canceled_at", "customer", "description", "latest_charge", "last_payment_error"))
    return {
        **empty,
        "amount": 0,
        "amount_received": 0,
        "capture_method": "automatic_async",
        "client_secret": f"{object_id}_secret_standin",
        "confirmation_method": "automatic",
        "currency": "usd",
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
    }


def _charge(object_id: str, created: int, given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "amount": 0,
        "amount_captured": given.get("amount", 0),
        "amount_refunded": 0,
        "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
        "captured": True,
        "currency": "usd",
        "customer": None,
        "description": None,
        "disputed": False,
        "failure_code": None,
        "paid": True,
        "payment_intent": None,
        "refunded": False,
        "status": "succeeded",
    }


def _refund(object_id: str, created: int, given: Mapping[str, Any]) -> dict[str, Any]:
    empty = dict.fromkeys(("charge", "payment_intent", "reason", "balance_transaction", "receipt_number"))
    return {**empty, "amount": 0, "currency": "usd", "status": "succeeded"}


_OWN: Mapping[str, Callable[[str, int, Mapping[str, Any]], dict[str, Any]]] = {
    "customer": _customer,
    "product": _product,
    "price": _price,
    "subscription": _subscription,
    "invoice": _invoice,
    "payment_intent": _payment_intent,
    "charge": _charge,
    "refund": _refund,
}


def empty_list(url: str) -> dict[str, Any]:
    """A list inside an object."""
    return {"object": "list", "data": [], "has_more": False, "url": url}
