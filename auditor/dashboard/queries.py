"""The pages' SQL queries over the views; `Data` fills in each `?`."""

from __future__ import annotations

WINDOWS = """
    SELECT flow,
           count(*) FILTER (verdict = 'met') AS met,
           count(*) FILTER (verdict LIKE 'breach%') AS breach,
           count(*) FILTER (verdict = 'undecided') AS undecided,
           count(*) FILTER (verdict = 'superseded') AS superseded,
           count(*) FILTER (verdict = 'pending') AS pending
    FROM (SELECT flow, verdict FROM changes WHERE settled_at >= ? AND settled_at <= ?
          UNION ALL
          SELECT flow, verdict FROM changes WHERE settled_at IS NULL AND enrolled_at >= ? AND enrolled_at <= ?)
    GROUP BY flow ORDER BY flow"""
"""Two plain conditions, so that the archive's files of other days are not read."""

OPEN_BY_CAUSE = """
    SELECT flow, cause, any_value(family) AS family, count(*) AS records, min(first_seen_at) AS oldest
    FROM divergences WHERE state = 'open' GROUP BY flow, cause ORDER BY records DESC"""

TIMELINE = """
    SELECT time_bucket(?, opened_at) AS bucket_at, family, cause, count(*) AS opened
    FROM divergences WHERE opened_at >= ? AND opened_at <= ? AND flow IN (SELECT unnest(?::VARCHAR[]))
    GROUP BY ALL ORDER BY bucket_at"""


def _slot(instant: str) -> str:
    """The slot in which an instant lies; asks for the begin of the first slot and the milliseconds of each."""
    return f"((epoch_ms({instant}) - epoch_ms(?::TIMESTAMPTZ)) // ?)::INTEGER"


SLOTS = f"""
    WITH runs AS (
        SELECT flow, {_slot("started_at")} AS slot,
               bool_or(reason IS NOT NULL OR cannot_verify > 0) AS unread
        FROM probe_runs WHERE started_at >= ? AND started_at <= ? AND coalesce(in_turn, true) GROUP BY ALL)
    SELECT flow, list(slot ORDER BY slot) AS slots, list(unread ORDER BY slot) AS unread FROM runs GROUP BY flow"""

EPISODES = f"""
    WITH spans AS (
        SELECT flow, family = 'timing' AS timing, greatest({_slot("opened_at")}, 0) AS first,
               {_slot("least(coalesce(closed_at, now()), ?)")} AS last
        FROM divergences WHERE opened_at <= ? AND (closed_at IS NULL OR closed_at >= ?))
    SELECT flow, timing, first, last FROM spans GROUP BY ALL"""

SHARES = f"""
    SELECT {_slot("settled_at")} AS slot,
           count(*) FILTER (verdict = 'met') / nullif(count(*) FILTER (verdict IN ('met', 'breach',
               'breach_then_converged')), 0) AS share
    FROM changes WHERE settled_at >= ? AND settled_at <= ? AND flow IN (SELECT unnest(?::VARCHAR[]))
    GROUP BY slot ORDER BY slot"""

LETTERS_WAITING = f"""
    SELECT {_slot("read_at")} AS slot, flow, queue,
           max(coalesce(depth, -1)) AS most, arg_max(coalesce(depth, -1), read_at) AS depth
    FROM backlogs WHERE role = 'dead' AND read_at >= ? AND read_at <= ? GROUP BY slot, flow, queue"""

DEPTHS = f"""
    SELECT {_slot("read_at")} AS slot, flow, queue, max(depth) AS depth
    FROM backlogs WHERE depth IS NOT NULL AND read_at >= ? AND read_at <= ? GROUP BY slot, flow, queue"""

CONFLICTS_OPEN = f"""
    WITH mine AS (SELECT opened_at, closed_at FROM conflicts WHERE flow IN (SELECT unnest(?::VARCHAR[]))),
    turns AS (
        SELECT opened_at AS turned_at, 1 AS more FROM mine
        UNION ALL SELECT closed_at, -1 FROM mine WHERE closed_at IS NOT NULL
        UNION ALL SELECT ?::TIMESTAMPTZ + to_milliseconds(? * slot), 0 FROM range(?) slots(slot)),
    standing AS (
        SELECT {_slot("turned_at")} AS slot,
               sum(more) OVER (ORDER BY turned_at, more ROWS UNBOUNDED PRECEDING) AS conflicts
        FROM turns)
    SELECT max(conflicts) AS conflicts FROM standing WHERE slot >= 0 AND slot < ? GROUP BY slot ORDER BY slot"""
"""Counts up and down through all turns; the begin of a slot is one, too, so that each slot has a number."""

SEEN = "(closed_at IS NULL OR (last_seen_at >= ? AND first_seen_at <= ?))"

MATCHING = f"""
    {SEEN} AND flow IN (SELECT unnest(?::VARCHAR[]))
    AND (len(?::VARCHAR[]) = 0 OR cause IN (SELECT unnest(?::VARCHAR[])))
    AND state IN (SELECT unnest(?::VARCHAR[])) AND contains(key, ?)"""

FACETS = f"SELECT flow, cause, state, count(*) AS records FROM divergences WHERE {SEEN} GROUP BY ALL"
"""Without the keys: to read them takes as long again as all the rest."""

FACETS_OF_KEYS = f"""
    SELECT flow, cause, state, count(*) AS records FROM divergences
    WHERE {SEEN} AND contains(key, ?) GROUP BY ALL"""

DIVERGENCES = f"""
    WITH found AS (
        SELECT id, data_type, key, flow, kind, cause, family, state, fields, differences, detail,
               coalesce(winner, '') AS winner, coalesce(resolution, '') AS resolution,
               first_seen_at, last_seen_at, opened_at, closed_at
        FROM divergences WHERE {MATCHING}
        ORDER BY closed_at IS NOT NULL, first_seen_at DESC, id DESC LIMIT ? OFFSET ?),
    letters AS (
        SELECT divergence_id, min(signature) AS letter FROM dead_letters
        WHERE gone_at IS NULL AND divergence_id IN (SELECT id FROM found) GROUP BY divergence_id)
    SELECT found.* EXCLUDE (id), letter FROM found LEFT JOIN letters ON divergence_id = found.id
    ORDER BY closed_at IS NOT NULL, first_seen_at DESC, id DESC"""

UNVERIFIED = """
    SELECT flow, subject, name, reason, records, first_seen_at, last_seen_at, readings
    FROM unverified WHERE cleared_at IS NULL AND flow IN (SELECT unnest(?::VARCHAR[]))
    ORDER BY first_seen_at, id"""

RECORD_DIVERGENCES = """
    SELECT data_type, flow, kind, cause, family, state, differences, detail, resolution, witnesses,
           versions_behind, first_missed_at, first_seen_at, opened_at, closed_at, incident_id
    FROM divergences WHERE data_type = ? AND flow IN (SELECT unnest(?::VARCHAR[])) AND key = ?
    ORDER BY first_seen_at DESC LIMIT 100"""

RECORD_CHANGES = """
    SELECT flow, verdict, committed_from_at, committed_to_at, shown_at, lag_lower_s, lag_upper_s, window_s, probes,
           incident_id
    FROM changes WHERE flow IN (SELECT unnest(?::VARCHAR[])) AND key = ?
    ORDER BY committed_to_at DESC LIMIT 100"""

EVIDENCE = "SELECT headers, payload FROM dead_letters WHERE id = ?"

RECORD_LETTERS = """
    SELECT flow, queue, reason, attempts, first_failed_at, first_seen_at, gone_at
    FROM dead_letters WHERE flow IN (SELECT unnest(?::VARCHAR[])) AND key = ?
    ORDER BY first_seen_at DESC LIMIT 100"""

RECORD_INCIDENTS = """
    SELECT id, severity, state, summary, opened_at, coalesce(reopened_at, opened_at) AS since_at, resolved_at
    FROM incidents WHERE id IN (SELECT unnest(?::BIGINT[])) ORDER BY since_at DESC"""

CLOCK_STEPS = """
    SELECT system, stepped_at,
           (after_lower_s + after_upper_s - before_lower_s - before_upper_s) / 2 AS by_s
    FROM clock_steps WHERE stepped_at >= ? AND stepped_at <= ? ORDER BY stepped_at DESC LIMIT 50"""

NOISE = """
    SELECT flow, system, field, sum(differed)::BIGINT AS differed, sum(reread)::BIGINT AS reread
    FROM noise WHERE hour_at >= date_trunc('hour', ?) AND hour_at <= ?
    GROUP BY ALL HAVING sum(differed) > 0 ORDER BY differed DESC"""

OPEN_INCIDENTS = """
    SELECT id, severity, breach, cause, flow, system, count, peak, summary, evidence,
           coalesce(reopened_at, opened_at) AS since_at
    FROM incidents WHERE resolved_at IS NULL
    ORDER BY array_position(['critical', 'high', 'low'], severity), count DESC, since_at"""

INCIDENTS_BY_FLOW = """
    SELECT breaches.flow, count(DISTINCT incidents.id) AS incidents
    FROM breaches JOIN incidents ON incidents.id = breaches.incident_id
    WHERE incidents.resolved_at IS NULL AND breaches.ended_at IS NULL AND breaches.flow IS NOT NULL
    GROUP BY breaches.flow"""

UNDELIVERED = """
    WITH tried AS (SELECT * FROM alerts WHERE created_at >= ? AND (state IN ('sent', 'failed') OR error IS NOT NULL)),
    latest AS (SELECT sender, max(id) FILTER (state = 'sent') AS reached FROM tried GROUP BY sender)
    SELECT sender, arg_max(tried.state, id) AS state,
           arg_max(next_try_at IS NULL AND tried.state = 'failed', id) AS given_up,
           arg_max(error, id) AS error, count(*) AS messages, min(created_at) AS since_at
    FROM tried JOIN latest USING (sender)
    WHERE id > coalesce(reached, 0) GROUP BY sender ORDER BY sender"""

ALERTS = """
    SELECT incident_id, transition, sender, state, created_at, sent_at, tries, possible_repeat, error
    FROM alerts WHERE created_at >= ? AND created_at <= ? ORDER BY id DESC LIMIT 200"""
