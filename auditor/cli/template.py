"""The map that `auditor init` writes: small, complete and commented."""

TEMPLATE = """\
# yaml-language-server: $schema=./plumbline.schema.json
# Completion in editors: auditor schema > plumbline.schema.json
# The integration map: which systems hold what, who owns it, and what flows between them.
# `auditor check` validates it, `auditor doctor` connects to everything, `auditor run` audits it.
# Quote every value that contains ${...}; it is replaced from the environment or a .env file.
version: 1

systems:
  crm:
    kind: sql
    url: "${CRM_URL}"            # postgresql://USER:PASSWORD@HOST/DATABASE, a login with SELECT only
    budget: {records_per_s: 2000, connections: 2, timeout: 5s}
  warehouse:
    kind: sql
    url: "${WAREHOUSE_URL}"      # mariadb://..., mysql://... or sqlite:///FILE
    zone: UTC                    # of instants that carry no zone

data_types:
  customer:
    owner: crm                   # the source of truth
    window: 30s                  # how long a copy may differ after a change; `none` for not at all
    key_type: integer
    consumers:
      - {name: churn model, role: decision-system, reads: warehouse}
    fields:
      email: {type: string, casefold: true, evidence: masked}
      status: {type: enum}
      balance: {type: decimal, tolerance: "0.005"}
      since: {type: timestamp, precision: s}
    in:
      crm: {collection: customers, key: id, changed_at: updated_at}
      warehouse: {collection: dim_customer, key: customer_id, fields: {since: customer_since}}

flows:
  customer_to_warehouse:
    data_type: customer
    from: crm
    to: warehouse
    pattern: near-real-time
    trigger: change data capture
    conflict_policy: source-of-truth-wins
    sla: {within_window: 0.99}
    team: data platform

# alerts:
#   slack: {webhook: "${SLACK_WEBHOOK_URL}"}
#   dashboard: http://127.0.0.1:8501
"""
