"""Change events: which records of an object changed, from the header of each event.

Only the header is decoded. Its values would be those of the moment of the change, and only of changed fields; records
are always read by key before they are judged.
Source: Change Data Capture Developer Guide (v68.0): "Subscription Channels", "ChangeEventHeader Fields", "Gap
Events", "Overflow Events"; Pub/Sub API Developer Guide, "Event Deserialization Considerations".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from probes.contract import ProbeError, Reason
from probes.records.salesforce.event_bus import BusEvent
from probes.records.salesforce.payloads import Payloads, UndecodableError

HEADER = "ChangeEventHeader"

_ID = re.compile(r"[0-9A-Za-z]{15}([0-9A-Za-z]{3})?")


def topic_of(collection: str) -> str:
    """The topic of an object's changes."""
    if collection.lower().endswith("__c"):
        return f"/data/{collection[:-3]}__ChangeEvent"
    return f"/data/{collection}ChangeEvent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change.

    Attributes:
        ids: the records that changed.
        names_all: false if others changed, too, which the event does not name (`GAP_OVERFLOW`, a wildcard).
    """

    ids: tuple[str, ...]
    names_all: bool


class ChangeHeaders:
    """Decodes the headers of change events.

    Args:
        schema: returns the Avro schema of an id, as JSON.
    """

    def __init__(self, schema: Callable[[str], Any]) -> None:
        self._payloads = Payloads(schema, _of_header)

    def read(self, event: BusEvent) -> Change:
        """The change that an event is about.

        Raises:
            ProbeError: `decode` if it is not a change event as documented.
        """
        try:
            header = self._payloads.read(event)[HEADER]
            ids, kind = [str(each) for each in header["recordIds"]], str(header["changeType"])
        except UndecodableError as error:
            raise _no_change(str(error)) from None
        except (LookupError, TypeError):
            raise _no_change("its header has no recordIds or no changeType") from None
        named = tuple(each for each in ids if _ID.fullmatch(each))
        return Change(ids=named, names_all=bool(named) and len(named) == len(ids) and kind != "GAP_OVERFLOW")


def _of_header(schema: Any) -> Any:
    """A schema of the header alone: Avro has no lengths, so that it can be read only as the first field."""
    try:
        first = schema["fields"][0]
        begins = first["name"] == HEADER
    except (LookupError, TypeError):
        begins = False
    if not begins:
        raise UndecodableError("its schema does not begin with the header")
    space = {name: schema[name] for name in ("namespace",) if name in schema}
    return {"type": "record", "name": "Event", "fields": [first], **space}


def _no_change(why: str) -> ProbeError:
    return ProbeError(Reason.DECODE, f"the event bus delivered something other than a change event: {why}")
