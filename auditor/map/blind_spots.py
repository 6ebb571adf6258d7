"""What a flow's audits cannot see because a system does not list its records. Pure."""

from __future__ import annotations

from auditor.map.flow import Flow


def finds_nothing(flow: Flow) -> bool:
    """Whether no record of a flow would ever be found: no system lists them, and the owner does not report its
    changes."""
    binding = flow.source_binding
    tells = binding.tells_changes and (binding.changed_at is not None or binding.version is not None)
    return not (binding.lists or flow.target_binding.lists or tells)


def blind_spots(flow: Flow) -> dict[str, str]:
    """For each system that does not list its records: which records of the flow are therefore not seen."""
    owner, target = flow.source_name, flow.target_name
    unseen = {}
    if not flow.source_binding.lists:
        where = f"records that are missing in {target} and" if flow.target_binding.lists else "records"
        until = " until they change" if flow.source_binding.tells_changes else ""
        unseen[owner] = f"{where} on which both systems have never agreed{until}"
    if not flow.target_binding.lists:
        unseen[target] = (
            f"records that {owner} does not have, unless both systems agreed on them once; second copies under "
            "another key"
        )
    return {
        system: f"flow {flow.name}: {system} does not list its {flow.settings.data_type} records (list:). "
        f"Not seen there: {what}"
        for system, what in unseen.items()
    }
