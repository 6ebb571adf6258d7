"""The command that serves the dashboard, with its access options."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from auditor.cli.options import (
    DEFAULT_DATA,
    DEFAULT_MAP,
    DataOption,
    MapOption,
    app,
    fail,
    is_there,
    say,
)


@app.command()
def dashboard(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any free one.")] = 8501,
    address: Annotated[str, typer.Option(help="The address of this machine to listen on.")] = "127.0.0.1",
    host: Annotated[
        list[str] | None,
        typer.Option(help="A further host name that it answers to, such as plumbline.example.com; may be repeated."),
    ] = None,
    oidc_metadata: Annotated[
        str | None,
        typer.Option(help="Let people sign in with this issuer: its .../.well-known/openid-configuration."),
    ] = None,
    oidc_client: Annotated[
        str | None,
        typer.Option(help="The issuer's id for this dashboard; its secret comes from AUDITOR_OIDC_CLIENT_SECRET."),
    ] = None,
    oidc_redirect: Annotated[
        str | None,
        typer.Option(help="Where the issuer sends people back, if not https://HOST/oauth2callback."),
    ] = None,
    user_header: Annotated[
        str | None,
        typer.Option(help="The header with the signed-in user's name, set by your proxy, such as X-Forwarded-User."),
    ] = None,
    group_header: Annotated[
        str | None,
        typer.Option(help="The header with the signed-in user's groups, set by your proxy, separated by commas."),
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(help="Believe --user-header and --group-header from this address only; may be repeated."),
    ] = None,
    operator: Annotated[
        list[str] | None,
        typer.Option(help="Who may act: a name, @example.com or group:NAME; may be repeated. Others may only view."),
    ] = None,
    viewer: Annotated[
        list[str] | None,
        typer.Option(help="Who else may view; may be repeated. Without it, everyone who signs in."),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Do not allow anyone to act on the pages.")] = False,
) -> None:
    """Serve the dashboard. Press Ctrl-C to stop."""
    from auditor.dashboard.access import AccessError, access_of
    from auditor.dashboard.serving import (
        LOOPBACK,
        cannot_listen,
        cannot_sign_in,
        command,
        environment,
        free_port,
    )

    is_there(map_, "a map")
    is_there(data, "the data")
    settings = {
        "AUDITOR_HOSTS": ",".join(host or ()),
        "AUDITOR_OIDC_METADATA_URL": oidc_metadata or "",
        "AUDITOR_OIDC_CLIENT_ID": oidc_client or "",
        "AUDITOR_OIDC_REDIRECT_URI": oidc_redirect or "",
        "AUDITOR_USER_HEADER": user_header or "",
        "AUDITOR_GROUP_HEADER": group_header or "",
        "AUDITOR_PROXIES": ",".join(proxy or ()),
        "AUDITOR_OPERATORS": ",".join(operator or ()),
        "AUDITOR_VIEWERS": ",".join(viewer or ()),
        "AUDITOR_READ_ONLY": "yes" if read_only else "",
    }
    served = environment({**os.environ, **{name: value for name, value in settings.items() if value}})
    port = port or free_port(0)
    try:
        access = access_of(served, port=port)
    except AccessError as error:
        fail(str(error))
    if address not in {LOOPBACK, "::1", "localhost"} and not access.hosts:
        fail("--address: name the hosts under which people reach the dashboard there, with --host")
    if problem := cannot_listen(address, port):
        fail(problem)
    if access.oidc is not None and (problem := cannot_sign_in()):
        fail(problem)
    for line in access.told():
        say(line)
    places = {"AUDITOR_MAP": str(map_.resolve()), "AUDITOR_DATA": str(data.resolve())}
    words = command(port, address)
    os.execve(words[0], words, {**served, **places})  # noqa: S606  our own command
