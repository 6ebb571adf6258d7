"""What Stripe's collections hold, how their lists can be narrowed, and which events report their changes.

Source: Stripe's OpenAPI document of version 2026-08-26.dahlia (members and their types, parameters of lists, names of
events); API reference, "List all events".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

VERSION = "2026-08-26.dahlia"
"""The version of the API to request unless the map sets another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One collection.

    Attributes:
        name: in paths.
        kind: the value of `object` in its records, and the member of other records that refers to one.
        by: members by which its list can be narrowed, with the parameter for each.
        everything: parameters without which a list is incomplete.
        events: the types of events that may change a record; 20 at most.
        fields: members by the canonical type that fits them; `metadata` is not among them.
        included: members that are returned only on request.
        secret: members that are never compared: knowing one is enough to act with it.
    """

    name: str
    kind: str
    by: Mapping[str, str]
    events: tuple[str, ...]
    fields: Mapping[str, str]
    everything: Mapping[str, str] = field(default_factory=dict)
    included: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()


def _fields(**by_type: str) -> dict[str, str]:
    return {name: type_ for type_, names in by_type.items() for name in names.split()}


def _events(*groups: str) -> tuple[str, ...]:
    """Names of events out of `prefix: endings`."""
    named = (group.partition(": ") for group in groups)
    return tuple(f"{prefix}.{ending}" for prefix, _, endings in named for ending in endings.split())


COLLECTIONS: Mapping[str, Collection] = {
    each.name: each
    for each in (
        Collection(
            name="customers",
            kind="customer",
            by={"email": "email"},
            events=_events("customer: created updated deleted", "customer.discount: created updated deleted"),
            included=frozenset(
                {"cash_balance", "invoice_credit_balance", "sources", "subscriptions", "tax", "tax_ids"}
            ),
            fields=_fields(
                string="id business_name currency customer_account default_source description email individual_name "
                "invoice_prefix name object phone tax_exempt test_clock",
                integer="balance next_invoice_sequence",
                timestamp="created",
                boolean="delinquent livemode",
                array="preferred_locales",
                json="address cash_balance discount invoice_credit_balance invoice_settings shipping sources "
                "subscriptions tax tax_ids",
            ),
        ),
        Collection(
            name="subscriptions",
            kind="subscription",
            by={"customer": "customer", "customer_account": "customer_account"},
            everything={"status": "all"},
            events=_events(
                "customer.subscription: created updated deleted paused resumed pending_update_applied "
                "pending_update_expired trial_will_end",
                "customer.discount: created updated deleted",
            ),
            fields=_fields(
                string="id application collection_method currency customer customer_account default_payment_method "
                "default_source description latest_invoice object on_behalf_of pending_setup_intent schedule status "
                "test_clock",
                decimal="application_fee_percent",
                timestamp="billing_cycle_anchor cancel_at canceled_at created ended_at "
                "next_pending_invoice_item_invoice start_date trial_end trial_start",
                boolean="cancel_at_period_end livemode",
                integer="days_until_due",
                array="billing_schedules default_tax_rates discounts",
                json="automatic_tax billing_cycle_anchor_config billing_mode billing_thresholds cancellation_details "
                "invoice_settings items managed_payments pause_collection payment_settings "
                "pending_invoice_item_interval pending_update presentment_details transfer_data trial_settings",
            ),
        ),
        Collection(
            name="invoices",
            kind="invoice",
            by={"customer": "customer", "customer_account": "customer_account"},
            events=_events(
                "invoice: created updated deleted finalized finalization_failed marked_uncollectible overdue "
                "overpaid paid payment_action_required payment_attempt_required payment_failed payment_succeeded "
                "sent voided",
                "invoice_payment: paid",
            ),
            included=frozenset({"confirmation_secret", "payments"}),
            secret=frozenset({"confirmation_secret", "hosted_invoice_url", "invoice_pdf"}),
            fields=_fields(
                string="id account_country account_name application billing_reason collection_method currency "
                "customer customer_account customer_email customer_name customer_phone customer_tax_exempt "
                "default_payment_method default_source description footer hosted_invoice_url invoice_pdf "
                "latest_revision number object on_behalf_of receipt_number statement_descriptor status test_clock",
                integer="amount_due amount_overpaid amount_paid amount_paid_off_stripe amount_remaining "
                "amount_shipping attempt_count ending_balance post_payment_credit_notes_amount "
                "pre_payment_credit_notes_amount starting_balance subtotal subtotal_excluding_tax total "
                "total_excluding_tax",
                timestamp="automatically_finalizes_at created due_date effective_at next_payment_attempt period_end "
                "period_start webhooks_delivered_at",
                boolean="attempted auto_advance livemode",
                array="account_tax_ids custom_fields customer_tax_ids default_tax_rates discounts "
                "total_discount_amounts total_pretax_credit_amounts total_taxes",
                json="automatic_tax confirmation_secret customer_address customer_shipping from_invoice issuer "
                "last_finalization_error lines parent payment_settings payments rendering shipping_cost "
                "shipping_details status_transitions threshold_reason",
            ),
        ),
        Collection(
            name="prices",
            kind="price",
            by={"lookup_key": "lookup_keys[]", "product": "product"},
            events=_events("price: created updated deleted"),
            included=frozenset({"currency_options", "tiers"}),
            fields=_fields(
                string="id billing_scheme currency lookup_key nickname object product tax_behavior tiers_mode type",
                integer="unit_amount",
                decimal="unit_amount_decimal",
                timestamp="created",
                boolean="active livemode",
                array="tiers",
                json="currency_options custom_unit_amount recurring transform_quantity",
            ),
        ),
        Collection(
            name="products",
            kind="product",
            by={"url": "url"},
            events=_events("product: created updated deleted"),
            fields=_fields(
                string="id default_price description name object statement_descriptor tax_code unit_label url",
                timestamp="created updated",
                boolean="active livemode shippable",
                array="images marketing_features",
                json="package_dimensions",
            ),
        ),
        Collection(
            name="payment_intents",
            kind="payment_intent",
            by={"customer": "customer", "customer_account": "customer_account"},
            events=_events(
                "payment_intent: created amount_capturable_updated canceled partially_funded payment_failed "
                "processing requires_action succeeded"
            ),
            secret=frozenset({"client_secret"}),
            fields=_fields(
                string="id application cancellation_reason capture_method client_secret confirmation_method currency "
                "customer customer_account description latest_charge object on_behalf_of payment_method "
                "receipt_email review setup_future_usage statement_descriptor statement_descriptor_suffix status "
                "transfer_group",
                integer="amount amount_capturable amount_received application_fee_amount",
                timestamp="canceled_at created",
                boolean="livemode",
                array="allowed_payment_method_types excluded_payment_method_types payment_method_types",
                json="amount_details automatic_payment_methods hooks last_payment_error managed_payments next_action "
                "payment_details payment_method_configuration_details payment_method_options presentment_details "
                "processing shipping transfer_data",
            ),
        ),
        Collection(
            name="charges",
            kind="charge",
            by={"customer": "customer", "payment_intent": "payment_intent", "transfer_group": "transfer_group"},
            events=_events(
                "charge: captured expired failed pending refunded succeeded updated",
                "charge.dispute: closed created funds_reinstated funds_withdrawn updated",
                "charge.refund: updated",
                "refund: created failed updated",
            ),
            included=frozenset({"refunds"}),
            secret=frozenset({"receipt_url"}),
            fields=_fields(
                string="id application application_fee balance_transaction calculated_statement_descriptor currency "
                "customer description failure_balance_transaction failure_code failure_message object on_behalf_of "
                "payment_intent payment_method receipt_email receipt_number receipt_url review source_transfer "
                "statement_descriptor statement_descriptor_suffix status transfer transfer_group",
                integer="amount amount_captured amount_refunded application_fee_amount",
                timestamp="created",
                boolean="captured disputed livemode paid refunded",
                json="billing_details fraud_details outcome payment_method_details presentment_details radar_options "
                "refunds shipping transfer_data",
            ),
        ),
        Collection(
            name="refunds",
            kind="refund",
            by={"charge": "charge", "payment_intent": "payment_intent"},
            events=_events("refund: created failed updated", "charge.refund: updated"),
            fields=_fields(
                string="id balance_transaction charge currency customer customer_account description "
                "failure_balance_transaction failure_reason instructions_email object payment_intent payment_method "
                "pending_reason reason receipt_number source_transfer_reversal status transfer_reversal",
                integer="amount",
                timestamp="created",
                json="destination_details next_action presentment_details",
            ),
        ),
    )
}

_INSTANTS = (
    "accepted_at arrival_date automatically_finalizes_at available_on billed_until billing_cycle_anchor cancel_at "
    "canceled_at capture_before charge_attempt_at completed_at completes_at computed_timestamp confirmed_at created "
    "created_at current_period_end current_period_start delivered_at due_by due_date effective_at email_sent_at end "
    "end_date ended_at expires_after expires_at failed_at finalized_at frozen_time interval_end interval_start "
    "last_attempted_at marked_uncollectible_at next_payment_attempt next_pending_invoice_item_invoice paid_at "
    "period_end period_start received_at redeem_by resumes_at start start_date started_at stored_at "
    "subscription_proration_date succeeded_at timestamp trial_end trial_start updated updated_at voided_at "
    "webhooks_delivered_at"
)
INSTANTS = frozenset(_INSTANTS.split())
"""Members that hold seconds since 1970 where they hold a number, in these collections and what they refer to."""

_AMOUNTS = (
    "amount amount_capturable amount_captured amount_discount amount_due amount_excluding_tax amount_off "
    "amount_overpaid amount_paid amount_paid_off_stripe amount_received amount_refunded amount_remaining "
    "amount_requested amount_reversed amount_shipping amount_subtotal amount_tax amount_total application_fee_amount "
    "balance discount_amount ending_balance fee flat_amount flat_amount_decimal maximum minimum net "
    "post_payment_credit_notes_amount pre_payment_credit_notes_amount preset starting_balance subtotal "
    "subtotal_excluding_tax taxable_amount total total_excluding_tax unit_amount unit_amount_decimal "
    "unit_amount_excluding_tax"
)
AMOUNTS = frozenset(_AMOUNTS.split())
"""Members that hold an amount of money in the minor unit of the currency beside them."""
