"""What the map says of a SQL database, and of a data type in it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import SecretStr, field_validator

from probes.records.sql.database_url import canonical, read_url, sqlite_file
from probes.settings import Binding, SystemSettings


class SqlSettings(SystemSettings):
    """A SQL database, named by its URL: `postgresql://`, `mariadb://`, `mysql://` or `sqlite:///FILE`."""

    kind: Literal["sql"]
    url: SecretStr

    @field_validator("url")
    @classmethod
    def _known_dialect(cls, url: SecretStr) -> SecretStr:
        text = canonical(url.get_secret_value())
        read_url(text)
        return SecretStr(text)

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database, links followed; None for any other."""
        parsed = read_url(self.url.get_secret_value())
        return sqlite_file(parsed.database or "").resolve() if parsed.dialect == "sqlite" else None


class SqlBinding(Binding):
    """A table or view; `collection` may name the schema: `sales.orders`.

    There is no filter on purpose: a view in the database defines the part that is meant, for every reader.
    """

    composite_keys: ClassVar[bool] = True
