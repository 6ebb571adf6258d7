"""Maps words of earlier versions, in rows and on command lines, to their present names. Pure.

The cause `conflict` is now `write_conflict`, to distinguish it from conflicts that wait for a person; an incident
about those is `conflicts_waiting`, no longer `undecided`.
"""

from __future__ import annotations

import json

CAUSES = {"conflict": "write_conflict"}
BREACHES = {**CAUSES, "undecided": "conflicts_waiting"}


def renamed_differences(differences: str) -> str:
    """The `differences` of a divergence, with the present names of its fields' causes."""
    try:
        fields = json.loads(differences)
    except ValueError:
        return differences
    if not isinstance(fields, list):
        return differences
    changed = False
    for field in fields:
        if isinstance(field, dict) and field.get("cause") in CAUSES:
            field["cause"] = CAUSES[field["cause"]]
            changed = True
    return json.dumps(fields) if changed else differences
