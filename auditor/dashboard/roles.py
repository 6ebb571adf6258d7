"""Which of the people who sign in may view the dashboard, and which may act there. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from auditor.escaping import visible

GROUP = "group:"
"""How an entry begins that names everyone of a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """People as a setting names them.

    Attributes:
        names: as the sign-in sends them; e-mail addresses in lower case.
        domains: everyone with an e-mail address there, in lower case, with the "@".
        groups: everyone whom the sign-in puts into one of these groups.
    """

    names: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    def holds(self, name: str, groups: Collection[str]) -> bool:
        """Whether a person of this name and these groups is among them."""
        known = _comparable(name)
        mailbox, at, domain = known.partition("@")
        of_domain = bool(mailbox) and at + domain in self.domains
        return known in self.names or of_domain or not self.groups.isdisjoint(groups)


def named(text: str) -> Named | None:
    """Read a list: names, `@example.com` and `group:NAME`, separated by commas; None if it is empty.

    Raises:
        ValueError: an entry names nobody; the text says which.
    """
    entries = [each.strip() for each in text.split(",") if each.strip()]
    if not entries:
        return None
    names, domains, groups = set(), set(), set()
    for each in entries:
        if each.startswith(GROUP):
            group = each.removeprefix(GROUP).strip()
            if not group:
                raise ValueError(f"{visible(each)} names no group; write {GROUP}NAME")
            groups.add(group)
        elif each.startswith("@"):
            if "." not in each or "@" in each[1:]:
                raise ValueError(f"{visible(each)} is not a domain; write @example.com")
            domains.add(_comparable(each))
        elif "*" in each:
            raise ValueError(
                f"{visible(each)}: wildcards are not supported; write a name, @example.com or group:NAME"
            )
        else:
            names.add(_comparable(each))
    return Named(names=frozenset(names), domains=frozenset(domains), groups=frozenset(groups))


def _comparable(name: str) -> str:
    """E-mail addresses in lower case, because they mean the same; other names as they are.

    Outside ASCII, `lower` turns some characters into a letter that they only look like.
    """
    return name.lower() if "@" in name and name.isascii() else name
