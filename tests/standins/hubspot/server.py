"""HubSpot over HTTP: tokens and limits, objects, associations, properties."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from tests.standins.allowance import Allowance
from tests.standins.clock import Clock, milliseconds
from tests.standins.faults import Answer
from tests.standins.hubspot import search
from tests.standins.hubspot.errors import invalid, not_there, over, refusal
from tests.standins.hubspot.store import ObjectType, Property, Record, Store, custom_type
from tests.standins.service import RefusalError, Request, Service, json_body

PRIVATE_APP_TOKEN = "pat-eu1-00000000-0000-4000-8000-00000000beef"
MOST_IN_A_BATCH = 100
MOST_ASSOCIATIONS_IN_A_BATCH = 1_000
ACCOUNT = 4711


class HubSpot(Service):
    """One account.

    Attributes:
        index_lag_s: how long a change takes until the search knows of it.
        burst, daily, searches: what is allowed; a private app of a Professional account by default (190 in 10
            seconds, 650,000 a day), five searches a second for the whole account.
        oauth: client id, client secret and refresh token; access tokens hold for 30 minutes.
        scopes: what the tokens may read.
    """

    routes: ClassVar[Sequence[tuple[str, str, str]]] = [
        ("POST", "/oauth/v1/token", "token"),
        ("GET", "/account-info/v3/api-usage/daily/private-apps", "usage"),
        ("GET", "/account-info/v3/details", "details"),
        ("GET", "/crm/v3/schemas", "schemas"),
        ("GET", "/crm/v3/properties/{of}", "properties"),
        *(
            (method, f"{prefix}/{{of}}{path}", name)
            for prefix in ("/crm/v3/objects", "/crm/objects/2026-03")
            for method, path, name in (
                ("POST", "/batch/read", "batch_read"),
                ("POST", "/search", "search"),
                ("GET", "", "list"),
                ("GET", "/{record_id}", "read"),
            )
        ),
        ("GET", "/crm/v4/objects/{of}/{record_id}/associations/{to}", "associations"),
        ("POST", "/crm/v4/associations/{of}/{to}/batch/read", "associations_batch_read"),
    ]

    def __init__(self, *, clock: Clock | None = None, index_lag_s: float = 0) -> None:
        super().__init__(clock=clock)
        self.store = Store(self.clock)
        self.index_lag_s = index_lag_s
        self.burst = Allowance("TEN_SECONDLY_ROLLING", 190, timedelta(seconds=10), self.clock)
        self.daily = Allowance("DAILY", 650_000, timedelta(days=1), self.clock)
        self.searches = Allowance("SECONDLY", 5, timedelta(seconds=1), self.clock)
        self.oauth = ("client-1", "secret-of-client-1", "refresh-1")
        self.scopes = {"crm.objects.custom.read", "crm.schemas.custom.read"} | {
            each.scope for each in self.store.types
        }
        self._tokens: dict[str, Any] = {PRIVATE_APP_TOKEN: None}

    # -- what a test keeps in it

    def records(self, of: str) -> dict[str, Record]:
        """The records of a type, by id."""
        return self._type(of).records

    def create(self, of: str, /, **values: str | None) -> str:
        """A new record; answers its id."""
        with self.changing():
            return self.store.create(self._type(of), values).id

    def update(self, of: str, record_id: str, /, **values: str | None) -> None:
        """Change properties of a record; None clears one."""
        with self.changing():
            self.store.update(self._type(of), record_id, values)

    def archive(self, of: str, record_id: str) -> None:
        """Delete a record."""
        with self.changing():
            self.store.archive(self._type(of), record_id)

    def associate(self, of: str, record_id: str, to: str, to_id: str, **kind: Any) -> None:
        """Associate a record with another, in this direction."""
        with self.changing():
            self.store.associate(self._type(of), record_id, self._type(to), to_id, **kind)

    def add_property(self, of: str, name: str, kind: str = "string", *, unique: bool = False) -> None:
        """Let a type have one more property."""
        self._type(of).properties[name] = Property(name=name, type=kind, unique=unique)

    def add_type(self, name: str, properties: Iterable[Property], number: int = 100) -> str:
        """Make a custom type; answers the name that paths may use."""
        self.store.types.append(custom_type(name, number, ACCOUNT, properties))
        return f"2-{number}"

    def revoke(self) -> None:
        """Make every token worthless, the refresh token, too."""
        self._tokens.clear()
        self.oauth = (*self.oauth[:2], secrets.token_hex(8))

    # -- letting in

    def refusal(self, status: int, retry_after: str | None) -> Answer:
        """An error in HubSpot's words."""
        headers = {"Retry-After": retry_after} if retry_after else {}
        if status == 429:
            return over("TEN_SECONDLY_ROLLING", "You have reached your ten_secondly_rolling limit.", headers)
        return refusal(status, headers=headers)

    def admit(self, operation: str, request: Request) -> Mapping[str, str]:
        """Look at the token, then at the limits; answers of the search have no headers of limits."""
        if operation == "token":
            return {}
        word, _, token = request.headers.get("authorization", "").partition(" ")
        if word.lower() != "bearer" or token not in self._tokens:
            raise RefusalError(refusal(401))
        until = self._tokens[token]
        if until is not None and until <= self.clock.now():
            raise RefusalError(
                refusal(401, "The OAuth token used to make this call expired", "EXPIRED_AUTHENTICATION")
            )
        for each in (self.daily, self.burst):
            if not each.left:
                said = f"You have reached your {each.name.lower()} limit."
                raise RefusalError(over(each.name, said, self._limits(until is None)))
        if operation == "search" and not self.searches.take():
            raise RefusalError(over("SECONDLY", "You have reached your secondly limit.", {}))
        self.daily.take()
        self.burst.take()
        return {} if operation == "search" else self._limits(until is None)

    def _limits(self, private: bool) -> dict[str, str]:
        headers = {
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            "X-HubSpot-RateLimit-Max": str(self.burst.most),
            "X-HubSpot-RateLimit-Remaining": str(self.burst.left),
        }
        if private:  # calls with OAuth have no daily limit of their own
            headers |= {
                "X-HubSpot-RateLimit-Daily": str(self.daily.most),
                "X-HubSpot-RateLimit-Daily-Remaining": str(self.daily.left),
            }
        return headers

    def token(self, request: Request) -> Any:
        """Exchange the refresh token for an access token."""
        client, secret, refresh = self.oauth
        form = request.form
        if form.get("grant_type") != "refresh_token":
            raise RefusalError(
                refusal(400, "missing or invalid grant_type", "BAD_GRANT_TYPE", error="invalid_request")
            )
        if (form.get("client_id"), form.get("client_secret")) != (client, secret):
            raise RefusalError(refusal(401, "missing or invalid client id", "BAD_CLIENT_ID", error="invalid_client"))
        if form.get("refresh_token") != refresh:
            said = "missing or invalid refresh token"
            raise RefusalError(refusal(400, said, "BAD_REFRESH_TOKEN", error="invalid_grant"))
        made = f"access-{secrets.token_hex(12)}"
        self._tokens[made] = self.clock.now() + timedelta(seconds=1800)
        return {"token_type": "bearer", "refresh_token": refresh, "access_token": made, "expires_in": 1800}

    def usage(self, request: Request) -> Any:
        """What the private apps used today."""
        one = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": self.daily.most,
            "currentUsage": self.daily.most - self.daily.left,
            "collectedAt": milliseconds(self.clock.now()),
            "fetchStatus": "SUCCESS",
            "resetsAt": milliseconds(self.clock.now() + timedelta(days=1)),
        }
        return {"results": [one]}

    def details(self, request: Request) -> Any:
        """What the account is."""
        return {"portalId": ACCOUNT, "accountType": "STANDARD", "timeZone": "UTC", "utcOffset": "+00:00"}

    # -- objects

    def batch_read(self, request: Request, of: str) -> Answer:
        """Read up to 100 records by id or by a unique property."""
        type_ = self._readable(of)
        asked = _object(request)
        inputs = asked.get("inputs")
        if not isinstance(inputs, list) or not all(isinstance(each, dict) and "id" in each for each in inputs):
            raise invalid("Invalid input JSON: some required fields were not set: [inputs]")
        if len(inputs) > MOST_IN_A_BATCH:
            raise invalid(f"The maximum number of inputs is {MOST_IN_A_BATCH}, got {len(inputs)}")
        wanted = list(dict.fromkeys(str(each["id"]) for each in inputs))
        archived = request.value("archived") == "true"
        id_property = asked.get("idProperty")
        by = {key: self._looked_up(type_, key, id_property, archived) for key in wanted}
        named = asked.get("properties") or []
        results = sorted((each for each in by.values() if each), key=lambda each: int(each.id))
        missing = [key for key, record in by.items() if record is None]
        now = milliseconds(self.clock.now())
        document: dict[str, Any] = {
            "status": "COMPLETE",
            "results": [self._shown(type_, each, each.values, named) for each in results],
            "startedAt": now,
            "completedAt": now,
        }
        if missing:
            document |= {"numErrors": 1, "errors": [not_there(type_.singular, missing)]}
        return Answer(status=207 if missing else 200, document=document)

    def read(self, request: Request, of: str, record_id: str) -> Any:
        """Read one record."""
        type_ = self._readable(of)
        archived = request.value("archived") == "true"
        record = self._looked_up(type_, record_id, request.value("idProperty"), archived)
        if record is None:
            raise RefusalError(refusal(404))
        return self._with_associations(type_, record, request)

    def list(self, request: Request, of: str) -> Any:
        """List records in the order of their ids."""
        type_ = self._readable(of)
        archived = request.value("archived") == "true"
        size = _number(request.value("limit"), 10, most=100)
        records = sorted(type_.records.values(), key=lambda each: int(each.id))
        records = [each for each in records if (each.archived_at is not None) == archived]
        after = request.value("after")
        if after is not None and not after.isdigit():
            raise invalid("Invalid paging token")
        start = next((at for at, each in enumerate(records) if int(each.id) >= int(after or 0)), len(records))
        start = max(0, start + request.page * size)
        page = records[start : start + size]
        document: dict[str, Any] = {"results": [self._with_associations(type_, each, request) for each in page]}
        if start + size < len(records):
            document["paging"] = self._paging(request, records[start + size].id)
        return document

    def search(self, request: Request, of: str) -> Any:
        """Search records in the index, which is behind."""
        type_ = self._readable(of)
        if len(request.body.decode(errors="replace")) > search.MOST_CHARACTERS:
            raise invalid(f"The request body is over {search.MOST_CHARACTERS} characters.")
        asked = _object(request)
        size = _number(asked.get("limit"), 10, most=search.MOST_IN_A_PAGE)
        start = _number(asked.get("after") or 0, 0)
        if start + size > search.MOST_RESULTS:
            raise invalid(f"Paging past {search.MOST_RESULTS} results is not possible.")
        as_of = self.clock.now() - timedelta(seconds=self.index_lag_s)
        found = search.found(self.store, type_, asked, as_of)
        start = max(0, start + request.page * size)
        named = asked.get("properties") or []
        page = found[start : start + size]
        document: dict[str, Any] = {
            "total": len(found),
            "results": [self._shown(type_, record, values, named) for record, values in page],
        }
        if start + size < len(found):
            document["paging"] = {"next": {"after": str(start + size)}}
        return document

    def _type(self, of: str) -> ObjectType:
        found = self.store.type_named(of)
        if found is None:
            raise invalid(f"Unable to infer object type from: {of}")
        return found

    def _readable(self, of: str) -> ObjectType:
        found = self._type(of)
        if found.scope not in self.scopes:
            needed = {"requiredGranularScopes": [found.scope]}
            raise RefusalError(refusal(403, errors=[{"message": "missing scopes", "context": needed}]))
        return found

    def _looked_up(self, of: ObjectType, key: str, id_property: str | None, archived: bool) -> Record | None:
        if id_property in {None, "hs_object_id"}:
            record = of.records.get(key)
        else:
            known = of.properties.get(str(id_property))
            if known is None or not known.unique:
                raise invalid(f"Property {id_property} does not exist or is not a unique identifier")
            folded = key.casefold()
            ids = dict.fromkeys(of.holders.get((known.name, folded), ()))
            held = [of.records[each] for each in ids if each in of.records]
            same = (each for each in held if (each.values.get(known.name) or "").casefold() == folded)
            record = next((each for each in same if (each.archived_at is not None) == archived), None)
        return record if record and (record.archived_at is not None) == archived else None

    def _shown(
        self, of: ObjectType, record: Record, values: Mapping[str, str | None], named: Sequence[str]
    ) -> dict[str, Any]:
        """A record with the properties that were asked for; those that do not exist are left out."""
        names = ["createdate", "hs_object_id", of.stamp, *(named or of.shown)]
        shown: dict[str, Any] = {
            "id": record.id,
            "properties": {name: values.get(name) for name in dict.fromkeys(names) if name in of.properties},
            "createdAt": milliseconds(record.created_at),
            "updatedAt": str(values[of.stamp]),
            "archived": record.archived_at is not None,
        }
        if record.archived_at is not None:
            shown["archivedAt"] = milliseconds(record.archived_at)
        return shown

    def _with_associations(self, of: ObjectType, record: Record, request: Request) -> dict[str, Any]:
        shown = self._shown(of, record, record.values, _words(request.values("properties")))
        found: dict[str, Any] = {}
        for name in _words(request.values("associations")):
            to = self._type(name)
            ids = self.store.associated(of, record.id, to)
            results = [{"id": each, "type": f"{of.singular}_to_{to.singular}"} for each in ids]
            if results:
                found[name] = {"results": results}
        return {**shown, "associations": found} if found else shown

    def _paging(self, request: Request, after: str) -> dict[str, Any]:
        others = "".join(f"&{name}={value}" for name, value in request.query if name != "after")
        return {"next": {"after": after, "link": f"{self.url}{request.path}?after={after}{others}"}}

    # -- associations and properties

    def associations(self, request: Request, of: str, record_id: str, to: str) -> Any:
        """What one record is associated with."""
        type_, other = self._readable(of), self._readable(to)
        if record_id not in type_.records:
            raise RefusalError(refusal(404))
        size = _number(request.value("limit"), 500, most=500)
        start = _number(request.value("after") or 0, 0)
        results = self._ends(type_, record_id, other)
        document: dict[str, Any] = {"results": results[start : start + size]}
        if start + size < len(results):
            document["paging"] = self._paging(request, str(start + size))
        return document

    def associations_batch_read(self, request: Request, of: str, to: str) -> Answer:
        """What up to 1,000 records are associated with; records without any are errors in the answer."""
        type_, other = self._readable(of), self._readable(to)
        inputs = _object(request).get("inputs") or []
        if len(inputs) > MOST_ASSOCIATIONS_IN_A_BATCH:
            raise invalid(f"The maximum number of inputs is {MOST_ASSOCIATIONS_IN_A_BATCH}")
        ids = [str(each["id"]) for each in inputs]
        ends = {each: self._ends(type_, each, other) for each in ids}
        missing = [each for each, found in ends.items() if not found]
        now = milliseconds(self.clock.now())
        results = [{"from": {"id": each}, "to": found} for each, found in ends.items() if found]
        document: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        if missing:
            said = f"No {other.singular} is associated with {type_.singular} {', '.join(missing)}."
            error = {**not_there(type_.singular, missing), "message": said, "subCategory": "NO_ASSOCIATIONS_FOUND"}
            document |= {"numErrors": len(missing), "errors": [error]}
        return Answer(status=207 if missing else 200, document=document)

    def _ends(self, of: ObjectType, record_id: str, to: ObjectType) -> Sequence[dict[str, Any]]:
        found = self.store.associated(of, record_id, to)
        return [{"toObjectId": to_id, "associationTypes": kinds} for to_id, kinds in found.items()]

    def schemas(self, request: Request) -> Any:
        """The custom types."""
        if "crm.schemas.custom.read" not in self.scopes:
            needed = {"requiredGranularScopes": ["crm.schemas.custom.read"]}
            raise RefusalError(refusal(403, errors=[{"message": "missing scopes", "context": needed}]))
        return {
            "results": [
                {
                    "id": each.names[0].partition("-")[2],
                    "objectTypeId": each.names[0],
                    "name": each.singular,
                    "fullyQualifiedName": each.names[2],
                    "labels": {"singular": each.singular, "plural": f"{each.singular}s"},
                    "properties": self._described(each),
                    "requiredProperties": [],
                    "associations": [],
                    "archived": False,
                }
                for each in self.store.types
                if each.scope == "crm.objects.custom.read"
            ]
        }

    def properties(self, request: Request, of: str) -> Any:
        """The properties of a type."""
        return {"results": self._described(self._readable(of))}

    def _described(self, of: ObjectType) -> Sequence[dict[str, Any]]:
        fields = {"string": "text", "number": "number", "datetime": "date", "date": "date"}
        fields |= {"enumeration": "select", "bool": "booleancheckbox"}
        return [
            {
                "name": each.name,
                "label": each.name.replace("_", " ").capitalize(),
                "type": each.type,
                "fieldType": each.field_type or fields[each.type],
                "description": "",
                "groupName": f"{of.singular}information",
                "options": [
                    {"label": option, "value": option, "displayOrder": at, "hidden": False}
                    for at, option in enumerate(each.options)
                ],
                "hasUniqueValue": each.unique,
                "hidden": False,
                "archived": False,
            }
            for each in of.properties.values()
        ]


def _object(request: Request) -> dict[str, Any]:
    found = json_body(request)
    if not isinstance(found, dict):
        raise invalid("Invalid input JSON on line 1, column 1")
    return found


def _words(told: Iterable[str]) -> Sequence[str]:
    return [word for each in told for word in each.split(",") if word]


def _number(told: object, usual: int, most: int | None = None) -> int:
    if told is None:
        return usual
    text = str(told)
    if not text.isdigit() or (most is not None and not 1 <= int(text) <= most):
        raise invalid(f"{text} is not a valid number: at most {most}")
    return int(text)
