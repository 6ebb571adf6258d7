"""Who may reach the dashboard, under which host names, who may view it, and who may act there. Pure.

A page on any site may send requests to a server on this machine, and a host name that the site points to 127.0.0.1
makes the browser treat the response as the page's own (DNS rebinding). So the host names that the dashboard accepts
are a list, and a WebSocket must come from one of the dashboard's own pages.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from auditor.dashboard.oidc import CALLBACK, Claims, Oidc, OidcError, oidc_of, sign_in_of
from auditor.dashboard.roles import Named, named
from auditor.escaping import visible
from auditor.host_names import LOOPBACK_NAMES, Authority, authority, authority_of_origin

NAME_LIMIT = 256
"""Most characters of a person's name in a proxy's header; the longest e-mail address has 254."""

LOCAL = "local operator, not signed in"

HEALTH = "/_stcore/health"
"""Says only that the dashboard runs; open to everyone who may ask it by its name."""

LOGIN, LOGOUT = "/auth/login", "/auth/logout"
"""Where people are sent to sign in and out; Streamlit's own."""

_TO_SIGN_IN = frozenset(
    {LOGIN, LOGOUT, CALLBACK, "/_stcore/stream", "/_stcore/host-config", "/favicon.png", "/manifest.json"}
)
"""What the browser needs to show how to sign in, and to do it."""

ENDED = "Your sign-in has ended. Sign in again."

_READ_ONLY = "This dashboard was started with --read-only."

Headers = Sequence[tuple[bytes, bytes]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOSTS = "--host (AUDITOR_HOSTS)"
_USER_HEADER = "--user-header (AUDITOR_USER_HEADER)"
_PROXIES = "--proxy (AUDITOR_PROXIES)"
_GROUP_HEADER = "--group-header (AUDITOR_GROUP_HEADER)"
_OPERATORS = "--operator (AUDITOR_OPERATORS)"
_VIEWERS = "--viewer (AUDITOR_VIEWERS)"

_WAYS = "--oidc-metadata and --oidc-client, or --user-header and --proxy for a proxy that signs people in"

_TOKEN = re.compile(r"[A-Za-z0-9-]+")
_PROXIED = frozenset({b"forwarded", b"via", b"x-real-ip", b"cf-connecting-ip", b"true-client-ip"})


_SENT_BY_BROWSERS = re.compile(
    "(accept|content|if|sec|access-control)-.*|accept|authorization|cache-control|connection|cookie|dnt|expect|host|"
    "origin|pragma|priority|referer|te|transfer-encoding|upgrade.*|user-agent|via|forwarded"
)
"""Headers that a browser or a connection sets by itself, or that do not identify a person."""

_WIDEST = {4: 8, 6: 32}
"""By IP version, the shortest prefix of a network of proxies: a wider one would cover half the world."""


class AccessError(ValueError):
    """An impossible setting; the text names it and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request is refused."""

    status: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone who may act.

    Attributes:
        name: from the sign-in; None for a local operator, who enters one.
        known_by: how the name was established, as recorded with every act.
        since, until: when the sign-in began and when it ends, in seconds since 1970; None if it ends elsewhere, or
            there is none.
        session: names the sign-in, so that it can be ended before.
    """

    name: str | None
    known_by: str
    since: float | None = None
    until: float | None = None
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Onlooker:
    """Someone who may view but not act, and why.

    Attributes:
        name: from the sign-in; None for a local viewer.
        since, until: as of a person.
        session: as of a person.
    """

    why: str
    name: str | None = None
    since: float | None = None
    until: float | None = None
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Someone who may not view anything, and why.

    Attributes:
        name: from the sign-in, of someone who has signed in but is not among the viewers.
        can_sign_in: the dashboard itself signs people in.
    """

    why: str
    name: str | None = None
    can_sign_in: bool = False


Asks = Person | Onlooker | Stranger


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The settings of one dashboard.

    Attributes:
        hosts: host names and addresses that it accepts besides the loopback names, without a port.
        user_header: the header in which a proxy puts the signed-in user's name; empty for none.
        group_header: the header in which it puts their groups, separated by commas; empty for none.
        proxies: the only addresses from which those headers are believed.
        operators: who may act, of those who sign in; None if nobody is named.
        viewers: who may view besides the operators, of those who sign in; None for everyone.
        oidc: how people sign in with an issuer; None if they do not.
        read_only: no one may act.
    """

    hosts: frozenset[str] = frozenset()
    user_header: str = ""
    group_header: str = ""
    proxies: tuple[Network, ...] = ()
    operators: Named | None = None
    viewers: Named | None = None
    oidc: Oidc | None = None
    read_only: bool = False

    @property
    def signs_in(self) -> bool:
        """Whether people sign in before they see anything."""
        return bool(self.user_header) or self.oidc is not None

    @property
    def everyone_acts(self) -> bool:
        """Whether everyone whom a proxy signs in may act, because nobody is named in either list."""
        return self.oidc is None and self.operators is None and self.viewers is None

    def told(self) -> list[str]:
        """Who may view and who may act, for the person who starts the dashboard."""
        if not self.signs_in:
            if self.read_only:
                return ["anyone on this machine can view the pages; nobody can act on them (--read-only)"]
            return ["anyone on this machine can view the pages and act, under whatever name they enter"]
        views = "everyone who signs in can view" if self.viewers is None else "viewers and operators can view"
        if self.read_only:
            acts = "nobody can act (--read-only)"
        elif self.everyone_acts:
            acts = "everyone who signs in can act"
        elif self.operators is None:
            acts = "nobody can act: name operators with --operator"
        else:
            acts = "operators can act"
        source = f"the header {self.user_header}" if self.oidc is None else self.oidc.issuer
        lines = [f"names come from {source}; {views}, {acts}"]
        if self.oidc is not None:
            lines.append(f"the issuer must know the redirect address {self.oidc.redirect_uri}")
        return lines


def access_of(environment: Mapping[str, str], *, port: int = 0) -> Access:
    """The access settings from the environment.

    Args:
        port: where the dashboard listens.

    Raises:
        AccessError: one of them is impossible, or others could reach the dashboard without signing in.
    """
    hosts = [_host_setting(each) for each in _listed(environment.get("AUDITOR_HOSTS", ""))]
    header, group_header, proxies = _proxy_settings(environment)
    try:
        oidc = oidc_of(environment, hosts, port)
    except OidcError as error:
        raise AccessError(str(error)) from None
    access = Access(
        hosts=frozenset(hosts),
        user_header=header,
        group_header=group_header,
        proxies=proxies,
        operators=_people(_OPERATORS, environment.get("AUDITOR_OPERATORS", "")),
        viewers=_people(_VIEWERS, environment.get("AUDITOR_VIEWERS", "")),
        oidc=oidc,
        read_only=environment.get("AUDITOR_READ_ONLY", "").strip().lower() in {"1", "true", "yes", "on"},
    )
    _check(access)
    return access


def _check(access: Access) -> None:
    """Refuse settings that do not go together, or that let strangers in."""
    if access.oidc is not None and access.user_header:
        raise AccessError(
            f"{_USER_HEADER}: people sign in by --oidc-metadata or by a proxy, not by both; leave one out"
        )
    if access.hosts and not access.signs_in:
        raise AccessError(f"{_HOSTS}: people who reach the dashboard by another name must sign in; set {_WAYS}")
    if access.oidc is not None and access.oidc.open_to_all and access.viewers is None:
        raise AccessError(
            f"{_VIEWERS}: anyone can have an account with {access.oidc.issuer}; name who may view the dashboard, "
            "such as @example.com"
        )
    for option, people in ((_OPERATORS, access.operators), (_VIEWERS, access.viewers)):
        if people is not None and not access.signs_in:
            raise AccessError(f"{option}: nobody signs in to this dashboard; set {_WAYS}")
        if people is not None and people.groups and access.user_header and not access.group_header:
            raise AccessError(f"{option}: name the header in which the proxy sends groups with --group-header")


def _proxy_settings(environment: Mapping[str, str]) -> tuple[str, str, tuple[Network, ...]]:
    """The headers with the name and the groups, and the addresses from which they are believed."""
    header = _header_setting(_USER_HEADER, environment.get("AUDITOR_USER_HEADER", ""))
    groups = _header_setting(_GROUP_HEADER, environment.get("AUDITOR_GROUP_HEADER", ""))
    proxies = _listed(environment.get("AUDITOR_PROXIES", ""))
    if header and not proxies:
        raise AccessError(
            f"{_USER_HEADER}: name the proxy that sets this header with --proxy; from any other "
            "address it would be anyone's word"
        )
    if proxies and not header:
        raise AccessError(f"{_PROXIES}: name the header with the signed-in user's name with --user-header")
    if groups and not header:
        raise AccessError(f"{_GROUP_HEADER}: name the header with the signed-in user's name with --user-header")
    if header and environment.get("FORWARDED_ALLOW_IPS") != "":
        raise AccessError(
            f"{_USER_HEADER}: start the dashboard with `auditor dashboard`, or set FORWARDED_ALLOW_IPS to an empty "
            "text; otherwise a request can choose the address that it seems to come from"
        )
    return header, groups, tuple(_network(each) for each in proxies)


def _header_setting(option: str, text: str) -> str:
    header = text.strip().lower()
    if header and not _TOKEN.fullmatch(header):
        raise AccessError(f"{option}: not the name of a header; use one such as X-Forwarded-User")
    if _SENT_BY_BROWSERS.fullmatch(header):
        raise AccessError(
            f"{option}: {text.strip()} is sent by browsers themselves and carries no user name; use the "
            "header in which the proxy puts the signed-in user, such as X-Forwarded-User"
        )
    return header


def _people(option: str, text: str) -> Named | None:
    try:
        return named(text)
    except ValueError as error:
        raise AccessError(f"{option}: {error}") from None


def _listed(text: str) -> list[str]:
    return [each for each in re.split(r"[,\s]+", text) if each]


def _host_setting(text: str) -> str:
    bare = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    named = authority(bare)
    if named is None or named[1] is not None:
        raise AccessError(
            f"{_HOSTS}: {visible(text)} is not a host name; write it without scheme, port and wildcard, "
            "such as plumbline.example.com"
        )
    return named[0]


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise AccessError(f"{_PROXIES}: {visible(text)} is not an address or a network such as 10.0.0.0/24") from None
    if network.prefixlen < _WIDEST[network.version]:
        raise AccessError(
            f"{_PROXIES}: {visible(text)} holds so many addresses that anyone could send any name; "
            "give the proxy's own address"
        )
    return network


def refusal(access: Access, *, websocket: bool, headers: Headers, target: bytes) -> Refusal | None:
    """Why a request is refused; None if it is allowed.

    Args:
        target: the request's target as sent, without the query.
    """
    if not target.startswith(b"/") and target != b"*":
        return Refusal(status=400, text="The request's target must be a path.")
    hosts, origins = _values(headers, b"host"), _values(headers, b"origin")
    host = authority(hosts[0]) if len(hosts) == 1 else None
    if host is None or host[0] not in LOOPBACK_NAMES | access.hosts:
        return Refusal(
            status=421,
            text="The dashboard is not set up for this host name. If it should be reached by it, start it with "
            "`auditor dashboard --host NAME`.",
        )
    if websocket and not origins:
        return Refusal(status=403, text="A WebSocket is only opened by one of Plumbline's own pages.")
    if origins and not (len(origins) == 1 and _own(access, origins[0], host)):
        return Refusal(
            status=403,
            text="The request came from a page of another site. If the dashboard should be reached by that site's "
            "name, start it with `auditor dashboard --host NAME`.",
        )
    return None


def _own(access: Access, origin: str, requested: Authority) -> bool:
    """Whether a page is the dashboard's own: from the requested host and port, or from a configured host."""
    named = authority_of_origin(origin)
    return named is not None and (named == requested or named[0] in access.hosts)


def who(
    access: Access, *, headers: Headers, peer: str | None, claims: Claims | None = None, now: float = 0.0
) -> Asks:
    """Who has sent a request, and what they may do: the one decision that every page and every act goes by.

    Args:
        peer: the address at the other end of the connection.
        claims: of the sign-in that the request proves; None if it proves none.
        now: in seconds since 1970.
    """
    if access.oidc is not None:
        return _by_oidc(access, access.oidc, claims, now)
    if access.user_header:
        return _by_header(access, headers, peer)
    if not _loopback(peer) or _proxied(headers):
        return Stranger(
            why="This request came from another machine or through a proxy, and the dashboard does not know who "
            f"signed in. Start it with --host, and {_WAYS}."
        )
    if access.read_only:
        return Onlooker(why=_READ_ONLY)
    return Person(name=None, known_by=LOCAL)


def _by_oidc(access: Access, oidc: Oidc, claims: Claims | None, now: float) -> Asks:
    if claims is None:
        return Stranger(why="Sign in to see the dashboard.", can_sign_in=True)
    found = sign_in_of(oidc, claims)
    if isinstance(found, str):
        return Stranger(why=found, can_sign_in=True)
    if now >= found.until:
        return Stranger(why=ENDED, can_sign_in=True)
    if len(found.name) > NAME_LIMIT or visible(found.name) != found.name:
        return Stranger(why=f"Your name is longer than {NAME_LIMIT} characters or not readable.", can_sign_in=True)
    asks = _in_role(access, found.name, found.groups, f"signed in, by OIDC issuer {visible(found.issuer)}")
    if isinstance(asks, Stranger):
        return replace(asks, can_sign_in=True)
    return replace(asks, since=found.since, until=found.until, session=found.session)


def _by_header(access: Access, headers: Headers, peer: str | None) -> Asks:
    if not _listed_proxy(access, peer):
        return Stranger(
            why="This dashboard is only open to people who sign in, and this request did not come by the sign-in."
        )
    names = _values(headers, access.user_header.encode())
    if len(names) != 1 or not names[0].strip():
        return Stranger(why=f"The sign-in sent no name, or more than one, in {access.user_header}.")
    name = names[0].strip()
    if len(name) > NAME_LIMIT or visible(name) != name:
        return Stranger(
            why=f"The sign-in's name in {access.user_header} is longer than {NAME_LIMIT} characters or not readable."
        )
    lists = _values(headers, access.group_header.encode()) if access.group_header else []
    groups = {each.strip() for each in (lists[0] if len(lists) == 1 else "").split(",")}
    return _in_role(access, name, groups, f"signed in, by {access.user_header}")


def _in_role(access: Access, name: str, groups: Collection[str], known_by: str) -> Asks:
    """What someone may do who has signed in."""
    listed = access.operators is not None and access.operators.holds(name, groups)
    if access.viewers is not None and not listed and not access.viewers.holds(name, groups):
        return Stranger(why=f"{name} may not view this dashboard (--viewer names who may).", name=name)
    if access.read_only:
        return Onlooker(why=_READ_ONLY, name=name)
    if not listed and not access.everyone_acts:
        return Onlooker(why=f"{name} is not one of the operators (--operator names them).", name=name)
    return Person(name=name, known_by=known_by)


def elsewhere(access: Access, *, headers: Headers, target: str) -> str | None:
    """Where a sign-in that begins here must begin, so that its cookies are there when the issuer sends people back.

    None if it may begin here. Only names of this machine are told apart: what a proxy calls its target says nothing.

    Args:
        target: the path and the query of the request.
    """
    host = authority(next(iter(_values(headers, b"host")), ""))
    home = authority_of_origin(access.oidc.origin) if access.oidc is not None else None
    if access.oidc is None or host is None or home is None or host == home:
        return None
    return f"{access.oidc.origin}{target}" if {host[0], home[0]} <= LOOPBACK_NAMES else None


def barred(asks: Asks, *, path: str, page: bool) -> Refusal | None:
    """Why someone who may not view the dashboard does not get what is at this path; None if they do.

    Args:
        path: of the request, below the dashboard's own base.
        page: it is the path of a page, which shows a stranger nothing but how to sign in.
    """
    if not isinstance(asks, Stranger) or path == HEALTH:
        return None
    if asks.can_sign_in and (page or path in _TO_SIGN_IN or path.startswith("/static/")):
        return None
    return Refusal(status=401 if asks.name is None else 403, text=asks.why)


def _address(peer: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address


def _loopback(peer: str | None) -> bool:
    address = _address(peer)
    return address is not None and address.is_loopback


def _listed_proxy(access: Access, peer: str | None) -> bool:
    address = _address(peer)
    return address is not None and any(address in each for each in access.proxies)


def _proxied(headers: Headers) -> bool:
    return any(name in _PROXIED or name.startswith(b"x-forwarded-") for name, _ in headers)


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [_text(value) for each, value in headers if each.lower() == name]


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
