"""A POST of JSON to a secret address, and what is certain after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from auditor.senders.contract import TIMEOUT_S, Receipt
from probes.secrets import Scrubber, secret_parts

if TYPE_CHECKING:
    from probes.bounded_http import BoundedClient


JUDGED_BYTES = 256 * 1024
"""Most bytes of a response whose body says whether the request succeeded."""


class JsonPost:
    """Posts JSON to one address.

    The HTTP client is loaded here and not with the module: every map that is read loads the settings of all senders.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        headers: Mapping[str, str] = MappingProxyType({}),
        sign: Callable[[bytes], Mapping[str, str]] | None = None,
        secrets: Sequence[str] = (),
        judge: Callable[[bytes], Receipt] | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            headers: sent with every request.
            sign: gives further headers for a body.
            secrets: besides the address, what no receipt may show.
            judge: what the body of a successful response means; without it, success is enough.
        """
        from probes.bounded_http import BoundedClient

        self._url = url
        self._headers = headers
        self._sign = sign
        self._secrets = [each for each in secrets if each]
        self._judge = judge
        self._client = BoundedClient(timeout_s=timeout_s)

    def send(self, payload: Mapping[str, Any], *, path: str = "") -> Receipt:
        """Try once; never raises, and the receipt shows no secret.

        Args:
            path: added to the address.
        """
        return self._post(json.dumps(payload).encode(), path, "application/json")  # in ASCII: any text can be sent

    def send_form(self, values: Mapping[str, str], *, path: str, most_bytes: int) -> Receipt:
        """Try once with a form instead of JSON.

        Args:
            most_bytes: of the response.
        """
        return self._post(urlencode(values).encode(), path, "application/x-www-form-urlencoded", most_bytes)

    def _post(self, body: bytes, path: str, content_type: str, most_bytes: int = JUDGED_BYTES) -> Receipt:
        headers = {"Content-Type": content_type, **self._headers, **(self._sign(body) if self._sign else {})}
        scrub = scrubber_of(self._url).knowing(self._secrets)
        return post(self._client, self._url + path, body, headers, scrub, self._judge, most_bytes)

    def cut_off(self) -> None:
        """End a try under way, from another thread."""
        self._client.cut_off()


def post(
    client: BoundedClient,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    scrub: Scrubber,
    judge: Callable[[bytes], Receipt] | None = None,
    most_bytes: int = JUDGED_BYTES,
) -> Receipt:
    """Send a request and say what is certain afterwards."""
    import httpx

    from probes.bounded_http import beginning, unpacked
    from probes.contract import ProbeError
    from probes.http.header_times import retry_after_s

    try:
        with client.stream("POST", url, content=body, headers=dict(headers)) as response:
            if not response.is_success:
                raw = beginning(response)
            else:
                raw = b"" if judge is None else b"".join(unpacked(response, most_bytes))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        return Receipt(outcome="refused", error=f"no connection ({type(error).__name__})")
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
        return Receipt(outcome="rejected", error="the address is not a URL")
    except ProbeError:
        return Receipt(outcome="ambiguous", error="the response cannot be read")
    except httpx.HTTPError as error:
        return Receipt(outcome="ambiguous", error=f"no answer ({type(error).__name__})")
    error_text = f"HTTP {response.status_code}: {scrub(' '.join(raw.decode(errors='replace').split()))[:100]}"
    if response.is_success:
        receipt = Receipt(outcome="sent") if judge is None else judge(raw)
        return replace(receipt, error=scrub(receipt.error))
    if response.status_code == 429:
        wait_s = retry_after_s(response.headers.get("retry-after"), response.headers.get("date"))
        return Receipt(outcome="refused", error=error_text, retry_after_s=wait_s)
    if response.status_code >= 500:
        return Receipt(outcome="ambiguous", error=error_text)
    return Receipt(outcome="rejected", error=error_text)


def scrubber_of(url: str) -> Scrubber:
    """What takes a sender's address out of a text: the whole of it, its login, and its path, which is the secret of a
    webhook."""
    return Scrubber.of_address(url, url, *secret_parts(url))
