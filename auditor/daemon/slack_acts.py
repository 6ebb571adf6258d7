"""What a button that somebody presses in Slack does: an act at the desk, or an answer that says why not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.desk.desk import Case, Desk
from auditor.ledger import LeaseLostError, Ledger, LedgerError
from auditor.map.integration_map import IntegrationMap
from auditor.senders.slack_bot import SlackBotSettings
from auditor.senders.slack_buttons import Button, Press, end_of
from auditor.senders.slack_people import Person, SlackPeople
from checks.escalation import RefusedError
from checks.handling import NAME_LIMIT, Verb
from checks.tables import complete

CLOCKS_AGREE = timedelta(minutes=10)
"""A snooze begins with its press if that was no longer ago, or ahead."""

WHERE = "Slack: "
"""Before the name of the person in the history of an incident."""

NOT_LISTED = "You may not act on incidents from Slack: alerts.slack_bot.may_act of the map does not list you."
ELSEWHERE = (
    "Nothing was recorded: you belong to another workspace than the auditor's bot. To allow it, list your member ID "
    "in alerts.slack_bot.may_act of the map."
)
UNKNOWN_TEAM = "Nothing was recorded: Slack did not say which workspace you belong to. Press again in a minute."
OTHER_LEDGER = (
    "Nothing was recorded: this message is about an incident of another installation, or of an earlier ledger. "
    "Installations that run at the same time need a Slack app each."
)
TAKEN_OVER = "Nothing was recorded: another auditor is taking over. Press again in a minute."
NO_LEDGER = "Nothing was recorded: the auditor's ledger cannot be written. Press again in a few minutes."

_VERBS = complete(
    {Button.ACKNOWLEDGE: Verb.ACKNOWLEDGE, Button.ASSIGN: Verb.ASSIGN, Button.SNOOZE: Verb.SNOOZE},
)
"""What the timeline calls a press."""

log = logging.getLogger(__name__)


class SlackActs:
    """Acts on the incidents of one ledger.

    Args:
        open_ledger: opens it at the first press, apart from that of the audits, so that neither waits for the other.
            Raises LedgerError.
    """

    def __init__(
        self,
        integration_map: IntegrationMap,
        settings: SlackBotSettings,
        people: SlackPeople,
        open_ledger: Callable[[], Ledger],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._map = integration_map
        self._settings = settings
        self._people = people
        self._open_ledger = open_ledger
        self._ledger: Ledger | None = None
        self._now = now

    def act(self, press: Press) -> str:
        """Do what a press asks for.

        Returns:
            Why it was not done, for the person; "" if it is recorded.
        """
        if refused := self._refused(press):
            return refused
        try:
            self._act(press)
        except RefusedError as error:
            return f"{str(error)[:1].upper()}{str(error)[1:]}."
        except LeaseLostError:
            return TAKEN_OVER
        except LedgerError as error:
            log.warning("an act from Slack is not recorded: %s", error)
            return NO_LEDGER
        return ""

    def _refused(self, press: Press) -> str:
        """Why a person may not act at all."""
        if self._settings.names(press.user):
            return ""
        if self._settings.may_act is not None:
            return NOT_LISTED
        own = self._people.own_teams()
        if not own or not press.team:
            return UNKNOWN_TEAM
        return "" if press.team in own else ELSEWHERE

    def _act(self, press: Press) -> None:
        if self._ledger is None:
            self._ledger = self._open_ledger()
        incident = self._ledger.incidents.find(press.incident)
        if incident is None or incident["opened_at"] != press.opened_at:
            raise _OtherLedgerError(OTHER_LEDGER.removesuffix("."))
        person = self._people.person(press.user)
        name = _name(press, person)
        known_by = f"Slack, member {press.user}"
        desk = Desk(self._map, self._ledger, who=f"{WHERE}{name}", known_by=known_by, now=self._now)
        case = Case("incident", press.incident)
        until_at = None if press.snooze is None else end_of(press.snooze, self._instant_of(press), person.zone)
        if self._is_recorded(press, incident, known_by, name, until_at):
            return
        match press.button:
            case Button.ACKNOWLEDGE:
                desk.acknowledge(case)
            case Button.ASSIGN:
                desk.assign(case, name)
            case Button.SNOOZE if until_at is not None:
                desk.snooze(case, until_at)

    def _instant_of(self, press: Press) -> datetime:
        """When it was pressed; now if Slack does not say so, or its clock is far from this machine's."""
        now = self._now()
        return press.pressed_at if press.pressed_at and abs(now - press.pressed_at) <= CLOCKS_AGREE else now

    def _is_recorded(
        self, press: Press, incident: Mapping[str, Any], known_by: str, name: str, until_at: datetime | None
    ) -> bool:
        """Whether this press is in the timeline, or would leave the incident as it is.

        Slack delivers a press again if it has not heard that it arrived, also to a daemon that has started since.
        """
        if press.button is Button.ASSIGN and incident["assignee"] == name:
            return True
        if press.button is Button.SNOOZE and incident["snoozed_until_at"] == until_at:
            return True
        assert self._ledger is not None
        return press.pressed_at is not None and any(
            (each.verb, each.known_by, each.until_at) == (_VERBS[press.button], known_by, until_at)
            and each.acted_at >= press.pressed_at
            for each in self._ledger.incident_events.of(press.incident)
        )

    def close(self) -> None:
        """Close the ledger."""
        if self._ledger is not None:
            self._ledger.close()


class _OtherLedgerError(RefusedError):
    """The message is about an incident that this ledger does not have."""


def _name(press: Press, person: Person) -> str:
    """How the history calls a person."""
    names = (person.name, press.name, press.user)
    return next(filter(str.strip, names))[: NAME_LIMIT - len(WHERE)]
