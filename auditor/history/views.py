"""The views for people and pages, as DuckDB SQL over the ledger's tables and the archive; loads no driver.

docs/views.md describes every column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import cast

from auditor.storage.archivable import ColumnType
from checks.breaches import BREACH_OF
from checks.cause import FAMILY


def _columns(text: str) -> dict[str, ColumnType]:
    pairs = (each.split(":") for each in text.split())
    return {name: cast(ColumnType, type_) for name, type_ in pairs}


COLUMNS: Mapping[str, Mapping[str, ColumnType]] = {
    "probe_runs": _columns(
        """
        id:integer rev:integer flow:text started_at:instant finished_at:instant read:integer
        agreed:integer in_flight:integer suspected:integer divergent:integer inconclusive:integer
        cannot_verify:integer shed:integer deadlines:integer shared:integer in_turn:boolean changes:integer
        source_ms:float target_ms:float verified_through_at:instant system:text reason:text message:text
        """
    ),
    "changes": _columns(
        """
        id:integer rev:integer flow:text key:text operation:text mark:integer stamped_at:instant
        committed_from_at:instant committed_to_at:instant enrolled_at:instant window_s:float
        probes:integer missed_at:instant differed_at:instant shown_at:instant superseded:boolean
        unseen_before:boolean lost_sight:boolean verdict:text lag_lower_s:float lag_upper_s:float
        clamped:boolean settled_at:instant next_probe_at:instant
        """
    ),
    "divergences": _columns(
        """
        id:integer rev:integer flow:text data_type:text key:text kind:text cause:text state:text
        first_seen_at:instant last_seen_at:instant suspected_at:instant opened_at:instant
        closed_at:instant readings:integer steady_at:instant permitted:boolean winner:text resolution:text
        owner_from_at:instant owner_to_at:instant target_from_at:instant target_to_at:instant
        witnesses:text versions_behind:integer first_missed_at:instant operation:text stamped_at:instant
        fields:text differences:text detail:text next_check_at:instant
        """
    ),
    "unverified": _columns(
        """
        id:integer rev:integer flow:text subject:text name:text records:integer reason:text
        first_seen_at:instant last_seen_at:instant readings:integer verified_to_at:instant
        cleared_at:instant next_check_at:instant
        """
    ),
    "backlogs": _columns(
        """
        id:integer rev:integer flow:text queue:text role:text read_at:instant depth:integer
        oldest_at:instant oldest_age_s:float age_of:text arrived:integer taken:integer retention_s:float
        drops_at:instant looked_at:integer notes:text reason:text message:text
        """
    ),
    "dead_letters": _columns(
        """
        id:integer rev:integer flow:text queue:text letter_id:text key:text reason:text signature:text
        attempts:integer first_failed_at:instant last_failed_at:instant headers:text payload:text
        unreadable:text note:text first_seen_at:instant last_seen_at:instant gone_at:instant
        """
    ),
    "incidents": _columns(
        """
        id:integer rev:integer fingerprint:text flow:text system:text breach:text state:text
        opened_at:instant resolved_at:instant count:integer peak:integer told:integer growth:integer
        clear_since_at:instant reopened:integer summary:text cause:text severity:text evidence:text
        tell_at:instant told_messages:integer explained:boolean apart:boolean merged_into:integer
        acknowledged_at:instant acknowledged_by:text snoozed_until_at:instant assignee:text
        expected_until_at:instant reopened_at:instant
        """
    ),
    "incident_events": _columns(
        """
        id:integer rev:integer incident_id:integer verb:text who:text known_by:text acted_at:instant
        assignee:text until_at:instant text:text
        """
    ),
    "silences": _columns(
        """
        id:integer rev:integer matchers:text from_at:instant until_at:instant reason:text who:text
        known_by:text made_at:instant maintenance:text ended_at:instant ended_by:text
        """
    ),
    "expected_records": _columns(
        """
        id:integer rev:integer incident_id:integer flow:text key:text breach:text since_at:instant
        until_at:instant
        """
    ),
    "breaches": _columns(
        """
        id:integer rev:integer incident_id:integer fingerprint:text flow:text system:text queue:text breach:text
        opened_at:instant ended_at:instant count:integer peak:integer clear_since_at:instant reason:text
        detail:text detail_at:instant
        """
    ),
    "alerts": _columns(
        """
        id:integer rev:integer incident_id:integer transition:text sender:text
        channel:text severity:text digest_id:integer state:text created_at:instant
        next_try_at:instant tries:integer sent_at:instant possible_repeat:boolean error:text
        notice:text silence_id:integer
        """
    ),
    "window_counts": _columns(
        "id:integer rev:integer flow:text slot_at:instant met:integer missed:integer undecided:integer"
    ),
    "bursts": _columns(
        """
        id:integer rev:integer flow:text begun_at:instant after_at:instant size:integer false_ratio:float
        draws:boolean changes_met:integer changes_missed:integer changes_undecided:integer
        records_met:integer records_missed:integer records_undecided:integer waiting:integer
        left_out:integer ended_at:instant ending:text
        """
    ),
    "lag_cells": _columns(
        """
        id:integer rev:integer flow:text hour_at:instant verdict:text lower_cell:integer
        upper_cell:integer changes:integer
        """
    ),
    "samples": _columns(
        """
        id:integer rev:integer flow:text hour_at:instant policy:text read:integer divergent:integer
        undecided:integer weight:float weight_divergent:float weight_undecided:float square:float
        square_divergent:float square_undecided:float
        """
    ),
    "clock_steps": _columns(
        """
        id:integer rev:integer system:text stepped_at:instant before_lower_s:float before_upper_s:float
        after_lower_s:float after_upper_s:float
        """
    ),
    "conflicts": _columns(
        """
        id:integer rev:integer flow:text data_type:text key:text divergence_id:integer cause:text why:text
        opened_at:instant state:text assignee:text until_at:instant choice:text due_at:instant
        closed_at:instant came_back_of:integer acknowledged_at:instant acknowledged_by:text
        """
    ),
    "decisions": _columns(
        """
        id:integer rev:integer conflict_id:integer act:text who:text known_by:text acted_at:instant
        choice:text assignee:text until_at:instant text:text
        """
    ),
    "saved_queries": _columns(
        """
        id:integer rev:integer name:text description:text sql:text who:text known_by:text made_at:instant
        changed_at:instant changed_by:text changed_known_by:text deleted_at:instant
        """
    ),
    "noise": _columns(
        """
        id:integer rev:integer flow:text system:text field:text hour_at:instant reread:integer
        differed:integer
        """
    ),
}
"""For each table that views read, its columns with their types, without digests.

`Ledger.columns` says the same about the tables themselves but takes a third of a second to load; a test compares the
two.
"""

SOURCES = tuple(COLUMNS)

_WHEN = " ".join(f"WHEN '{cause}' THEN '{family}'" for cause, family in FAMILY.items())
_FAMILY = f"CASE cause {_WHEN} END"

_BREACHES = " ".join(f"WHEN '{cause}' THEN '{breach}'" for cause, breach in BREACH_OF.items())


def _incident(breach: str, begun_at: str, ended_at: str) -> str:
    """The incident of the row's flow that was open at some time between these two instants, or NULL.

    All breaches are searched as one list, which costs nothing if the column is not selected; a join would be made in
    any case.
    """
    return f"""
        list_filter(
            (SELECT list(struct_pack(id := incident_id, flow := flow, breach := breach, opened_at := opened_at,
                                     ended_at := ended_at) ORDER BY id)
             FROM {{breaches}} WHERE flow IS NOT NULL),
            lambda each: each.flow = subject.flow AND each.breach = {breach}
                AND each.opened_at <= coalesce({ended_at}, TIMESTAMPTZ 'infinity')
                AND coalesce(each.ended_at, TIMESTAMPTZ 'infinity') >= {begun_at}
        )[1].id"""  # noqa: S608


_EXPECTED_UNTIL = f"""
        list_max(list_transform(list_filter(
            (SELECT list(struct_pack(flow := flow, key := key, breach := breach, since_at := since_at,
                                     until_at := until_at)) FROM {{expected_records}}),
            lambda each: each.flow = subject.flow AND each.key = subject.key
                AND each.breach = CASE subject.cause {_BREACHES} END
                AND each.since_at <= coalesce(subject.closed_at, TIMESTAMPTZ 'infinity')
                AND each.until_at >= subject.first_seen_at
        ), lambda each: each.until_at))"""  # noqa: S608

_OF_CHANGE = _incident("'not_arriving'", "subject.committed_to_at", "subject.settled_at")
_OF_DIVERGENCE = _incident(f"CASE subject.cause {_BREACHES} END", "subject.opened_at", "subject.closed_at")

VIEWS = {
    "probe_runs": "SELECT * EXCLUDE (rev) FROM {probe_runs}",
    "changes": f"""
        SELECT subject.* EXCLUDE (rev, next_probe_at, mark, unseen_before, lost_sight),
               CASE WHEN verdict IN ('breach', 'breach_then_converged') THEN {_OF_CHANGE}
               END AS incident_id
        FROM {{changes}} subject""",  # noqa: S608
    "divergences": f"""
        SELECT subject.* EXCLUDE (rev, next_check_at, steady_at),
               {{family}} AS family,
               CASE WHEN opened_at IS NOT NULL THEN {_OF_DIVERGENCE}
               END AS incident_id,
               {_EXPECTED_UNTIL} AS expected_until_at
        FROM {{divergences}} subject""",  # noqa: S608
    "unverified": "SELECT * EXCLUDE (rev, next_check_at) FROM {unverified}",
    "dead_letters": """
        SELECT letter.* EXCLUDE (rev),
               (SELECT min(divergence.id) FROM {divergences} divergence
                WHERE divergence.flow = letter.flow AND divergence.key = letter.key
                  AND divergence.closed_at IS NULL) AS divergence_id
        FROM {dead_letters} letter""",
    "backlogs": "SELECT * EXCLUDE (rev) FROM {backlogs}",
    "incidents": """
        SELECT * EXCLUDE (rev, told, told_messages, growth, tell_at, explained, apart) FROM {incidents}""",
    "incident_events": "SELECT * EXCLUDE (rev) FROM {incident_events}",
    "incident_times": f"""
        SELECT incident.id, incident.flow, incident.system, incident.cause, incident.severity, incident.state,
               begun.begun_at, incident.opened_at, attended.attended_at, incident.resolved_at,
               epoch(incident.opened_at - begun.begun_at) AS detect_s,
               epoch(attended.attended_at - incident.opened_at) AS acknowledge_s,
               epoch(incident.resolved_at - incident.opened_at) AS resolve_s
        FROM {{incidents}} incident
        LEFT JOIN (
            SELECT breach.incident_id, min(least(subject.first_seen_at, subject.first_missed_at)) AS begun_at
            FROM {{breaches}} breach JOIN {{divergences}} subject
                ON subject.flow = breach.flow AND breach.breach = CASE subject.cause {_BREACHES} END
                AND subject.opened_at <= coalesce(breach.ended_at, TIMESTAMPTZ 'infinity')
                AND coalesce(subject.closed_at, TIMESTAMPTZ 'infinity') >= breach.opened_at
            GROUP BY ALL
        ) begun ON begun.incident_id = incident.id
        LEFT JOIN (
            SELECT incident_id, min(acted_at) AS attended_at FROM {{incident_events}}
            WHERE verb IN ('acknowledge', 'snooze') GROUP BY ALL
        ) attended ON attended.incident_id = incident.id""",  # noqa: S608
    "silences": "SELECT * EXCLUDE (rev) FROM {silences}",
    "expected_records": "SELECT * EXCLUDE (rev) FROM {expected_records}",
    "breaches": "SELECT * EXCLUDE (rev) FROM {breaches}",
    "alerts": "SELECT * EXCLUDE (rev, notice) FROM {alerts} WHERE incident_id IS NOT NULL",
    "lag_cells": "SELECT * EXCLUDE (id, rev) FROM {lag_cells}",
    "window_counts": "SELECT * EXCLUDE (id, rev) FROM {window_counts}",
    "bursts": "SELECT * EXCLUDE (id, rev) FROM {bursts}",
    "samples": "SELECT * EXCLUDE (id, rev) FROM {samples}",
    "clock_steps": "SELECT * EXCLUDE (rev) FROM {clock_steps}",
    "conflicts": "SELECT * EXCLUDE (rev) FROM {conflicts}",
    "decisions": "SELECT * EXCLUDE (rev) FROM {decisions}",
    "noise": "SELECT * EXCLUDE (id, rev) FROM {noise}",
    "saved_queries": "SELECT * EXCLUDE (rev) FROM {saved_queries}",
    "coverage": """
        SELECT flow, time_bucket(INTERVAL 1 HOUR, started_at) AS hour,
               count(*) AS audits,
               count(*) FILTER (reason IS NOT NULL) AS failed_audits,
               sum(read)::BIGINT AS due,
               sum(agreed + in_flight + suspected + divergent)::BIGINT AS verdicts,
               sum(agreed + in_flight + suspected + divergent) / nullif(sum(read), 0) AS verdict_ratio,
               sum(inconclusive)::BIGINT AS inconclusive,
               sum(cannot_verify)::BIGINT AS cannot_verify,
               sum(shed)::BIGINT AS shed,
               max(verified_through_at) AS verified_through_at
        FROM {probe_runs} GROUP BY ALL""",
}


def sources_of(view: str) -> set[str]:
    """The tables that a view reads."""
    return {name for _, name, _, _ in Formatter().parse(VIEWS[view]) if name and name in COLUMNS}


def definition(view: str, relations: Mapping[str, str]) -> str:
    """A view's query, with these relations in place of its tables."""
    return VIEWS[view].format(**relations, family=_FAMILY)


def with_archive(live: str, paths: Sequence[str]) -> str:
    """The relation of a table: its live rows, and those of its archive files."""
    if not paths:
        return live
    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    archived = f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
    return f"(FROM {live} UNION ALL BY NAME FROM {archived})"
