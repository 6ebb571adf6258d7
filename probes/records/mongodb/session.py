"""Access to one MongoDB database: single failures are retried, and every failure becomes a named error.

Only `find` with a projection reads records: no script, no command that could write, and no aggregation but one that
opens a change stream (`probes.records.mongodb.driver` refuses it before it is sent).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, TypeVar

from probes.call_deadline import becomes, begins, left, passed
from probes.contract import INSPECT_CALLS, MISSING, ProbeError, ReadSpec, Reason, Row
from probes.records.mongodb.settings import MongoDbSettings, plain_url
from probes.refusal import WITHIN_S, all_refuse
from probes.secrets import Scrubber
from probes.wording import WHERE_IT_RUNS, did_you_mean

ROWS_AT_ONCE = 5_000
"""Documents per batch of a response, which ends at 16 MiB in any case."""

FETCHED_LIMIT_BYTES = 16 * 1024 * 1024
"""Most bytes of all documents of one call, as for every other system."""

READS_FROM = ("primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest")

ResultT = TypeVar("ResultT")


class Session:
    """A small pool of connections to one database.

    Attributes:
        bson: `probes.records.mongodb.documents`, which needs the driver.
        convert: converts a value to one that other systems have.
        timeout_s: the deadline of one call.
        collations: of the collections seen, None for those that compare texts by bytes.
    """

    def __init__(self, settings: MongoDbSettings) -> None:
        try:
            import pymongo
            import pymongo.errors
            from bson.codec_options import CodecOptions
            from pymongo.read_concern import ReadConcern
            from pymongo.read_preferences import make_read_preference

            from probes.records.mongodb import documents, driver, failures, order
        except ModuleNotFoundError as error:
            raise ProbeError(
                Reason.QUERY,
                "the driver pymongo is not installed",
                hint="pip install 'plumbline-auditor[mongodb]'",
            ) from error
        self.bson: ModuleType = documents
        self._of_common_types = order.of_common_types
        self._errors: Any = pymongo.errors
        self._within = pymongo.timeout
        self.timeout_s = settings.budget.timeout_s
        self._settings = settings
        self._explain = failures.Explainer(Scrubber.of(settings), self.timeout_s)
        try:
            self._client, self._wrapping = driver.open_client(
                plain_url(settings.url.get_secret_value()), self.timeout_s, settings.budget.connections
            )
        except (pymongo.errors.PyMongoError, ValueError, OSError) as error:
            raise ProbeError(Reason.QUERY, f"the URL cannot be used: {self._explain.said(error)}") from None
        age = -1 if settings.max_staleness_s is None else int(settings.max_staleness_s)
        mode = READS_FROM.index(settings.read)
        self.database: Any = self._client.get_database(
            settings.database_name,
            read_preference=make_read_preference(mode, None, age),
            read_concern=ReadConcern(settings.read_concern),
            codec_options=CodecOptions(
                tz_aware=True, datetime_conversion=4
            ),  # dates beyond the calendar stay numbers
        )
        self.convert = documents.converter(settings.uuid)
        self.collations: dict[str, Mapping[str, Any] | None] = {}
        self._common_types = False

    def described(self, collection: str) -> Mapping[str, Any] | None:
        """The server's description of a collection; None if the login may not read it.

        Raises:
            ProbeError: `query` if no collection has this name, or it is a view of a dropped one.
        """
        try:
            matches = self.listed_collections({"name": collection})
            if not matches:
                names = [each["name"] for each in self.listed_collections({})]
                there = [name for name in names if not name.startswith("system.")]
                raise ProbeError(
                    Reason.QUERY,
                    f"no collection named {collection!r} in {self._settings.database_name}"
                    f"{did_you_mean(collection, there)}",
                )
        except ProbeError as failure:
            if failure.reason is Reason.PERMISSION:
                return None
            raise
        description: Mapping[str, Any] = matches[0]
        collation = description.get("options", {}).get("collation")
        self.collations[collection] = collation if collation and collation.get("locale") != "simple" else None
        if viewed := description.get("options", {}).get("viewOn"):
            self.described(viewed)
        return description

    def listed_collections(self, condition: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The server's description of its collections."""
        return self.run(lambda: list(self.database.list_collections(filter=dict(condition))))

    def listed_indexes(self, collection: str) -> list[Mapping[str, Any]]:
        """The server's description of a collection's indexes."""
        return self.run(lambda: list(self.database[collection].list_indexes()))

    def projection(self, spec: ReadSpec) -> dict[str, int]:
        """The projection for reading a spec."""
        projection: dict[str, int] = self.bson.projection(
            path for path in (*spec.key_fields, spec.own_mark, *spec.fields) if path is not None
        )
        return projection

    def documents(
        self,
        collection: str,
        condition: Mapping[str, Any],
        order: Mapping[str, int] | None,
        fields: Mapping[str, int],
        limit: int | None,
        *,
        all_batches: bool = False,
    ) -> tuple[list[bytes], bool]:
        """Documents as bytes, and whether the response ended before all of them.

        Args:
            fields: the projection; {} for whole documents.
            limit: of documents.
            all_batches: continue until all are read, up to `FETCHED_LIMIT_BYTES`.
        """
        if self._common_types:
            condition = self._of_common_types(condition)
        try:
            return self._read(collection, condition, order, fields, limit, all_batches=all_batches)
        except ProbeError as failure:
            if self._common_types or failure.reason is not Reason.QUERY or "type code" not in failure.message.lower():
                raise
        self._common_types = True
        fewer = self._of_common_types(condition)
        return self._read(collection, fewer, order, fields, limit, all_batches=all_batches)

    def _read(
        self,
        collection: str,
        condition: Mapping[str, Any],
        order: Mapping[str, int] | None,
        fields: Mapping[str, int],
        limit: int | None,
        *,
        all_batches: bool,
    ) -> tuple[list[bytes], bool]:
        words: dict[str, Any] = {"batch_size": min(limit or ROWS_AT_ONCE, ROWS_AT_ONCE), "limit": limit or 0}
        if order:
            words["sort"] = list(order.items())
        if fields:
            words["projection"] = dict(fields)
        if self._has_collation(collection):
            words["collation"] = {"locale": "simple"}

        def read() -> tuple[list[bytes], bool]:
            documents: list[bytes] = []
            size = memory = 0
            cursor = self.database[collection].find_raw_batches(dict(condition), **words)
            try:
                while True:
                    batch = next(cursor, b"")
                    size += len(batch)
                    if size > FETCHED_LIMIT_BYTES and documents:
                        if all_batches:
                            raise too_large()
                        return documents, True
                    memory += self.bson.memory_of(batch)
                    becomes(memory)
                    documents += self.bson.documents(batch)
                    left()
                    if not cursor.cursor_id:  # an empty batch by itself is not the end
                        break
                    if documents and not all_batches:
                        return documents, limit is None or len(documents) < limit
            finally:
                with contextlib.suppress(self._errors.PyMongoError, ProbeError):
                    cursor.close()
            return documents, False

        return self.run(read)

    def _has_collation(self, collection: str) -> bool:
        """Whether a collection by default compares texts other than by bytes."""
        if collection not in self.collations:
            self.described(collection)
            self.collations.setdefault(collection, None)
        return self.collations[collection] is not None

    def row(self, spec: ReadSpec, document: bytes) -> Row:
        """The row of a document in its bytes."""
        return self.row_of(spec, self.bson.decoded(document))

    def row_of(self, spec: ReadSpec, document: Mapping[str, Any]) -> Row:
        """The row of a document."""
        left()
        find, convert = self.bson.find, self.convert
        mark = find(document, spec.own_mark) if spec.own_mark else None
        values = (find(document, path) for path in spec.fields)
        return (
            self.key_of(spec, document),
            None if mark is None or mark is MISSING else convert(mark),
            *(value if value is MISSING else convert(value) for value in values),
        )

    def key_of(self, spec: ReadSpec, document: Mapping[str, Any]) -> Any:
        """The key of a document, raw; a tuple if it has several fields."""
        keys = tuple(self.bson.key_of(self.bson.find(document, path), self.convert) for path in spec.key_fields)
        return keys if spec.key_parts else keys[0]

    def close(self) -> None:
        """End running calls."""
        self._wrapping.cut_off()
        with contextlib.suppress(Exception), self._within(0.5):
            self._client.close()

    # -- errors

    def run(self, operation: Callable[[], ResultT]) -> ResultT:
        """Call, and retry once if the connection broke or its member has stepped down."""
        begins()
        try:
            with self.running():
                return operation()
        except ProbeError as failure:
            if failure.reason is not Reason.UNREACHABLE or passed():
                raise
        begins()
        with self.running():
            return operation()

    def _knock(self) -> None:
        """End the call where no server is known and all refuse: PyMongo would try until the deadline."""
        known = self._client.topology_description
        servers = known.server_descriptions()
        if known.has_known_servers or any(port is None for _, port in servers):  # a Unix socket has no port
            return
        within_s = min(WITHIN_S, left(INSPECT_CALLS * self.timeout_s))
        if all_refuse(list(servers), within_s):
            named = ", ".join(f"{host}:{port}" for host, port in servers)
            raise ProbeError(Reason.UNREACHABLE, f"{named}: Connection refused", hint=WHERE_IT_RUNS)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Operations inside end with the call, and every failure of PyMongo becomes a `ProbeError`."""
        self._knock()
        try:
            with self._within(left(INSPECT_CALLS * self.timeout_s)):
                yield
        except ProbeError:
            raise
        except self._errors.PyMongoError as error:
            raise self._explain.explained(error) from None
        except OSError as error:
            raise ProbeError(Reason.UNREACHABLE, self._explain.said(error)) from None
        except Exception as error:  # PyMongo assumes that a response has all its parts
            message = f"a response that is not in MongoDB's form ({type(error).__name__})"
            raise ProbeError(Reason.DECODE, message, hint="is the server a MongoDB server?") from None


def too_large() -> ProbeError:
    """The records of one call come to too many bytes."""
    return ProbeError(
        Reason.TOO_LARGE,
        f"records of more than {FETCHED_LIMIT_BYTES >> 20} MiB together",
        hint="leave fields of that size out of the map",
        of_key=True,
    )
