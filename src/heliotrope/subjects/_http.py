"""Asking a host that heliotrope.yaml names: paced, counted, tried again where that helps, and never led elsewhere."""

import datetime as dt
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from heliotrope.config.schema import EndpointConfig
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import printable, shorten

__all__ = ["MAX_RESPONSE_BYTES", "MAX_WAIT_SECONDS", "HttpClient", "require_authorised"]

MAX_RESPONSE_BYTES = 64 * 2**20
"""100,000 rows (the largest batch) of 30 classes as JSON numbers."""

MAX_WAIT_SECONDS = 60.0
"""Longest pause before a further attempt, whatever Retry-After asks for."""

_FIRST_PAUSE = 0.2
_AGAIN = frozenset({429, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK = 2**16
_SHOWN_BODY = 200


def require_authorised(endpoint: EndpointConfig, today: dt.date | None = None) -> None:
    """Raise InputError unless the host is this machine, or somebody allowed tests of it up to a day that is not past.

    The host is judged by every address that its name leads to; the connection is checked again when it is made.
    """
    host = urlsplit(endpoint.url).hostname or ""
    if all(_is_loopback(address) for address in _addresses(host, _port(endpoint.url))):
        return
    _require_permission(endpoint, host, today or dt.datetime.now(dt.UTC).date())


def _require_permission(endpoint: EndpointConfig, host: str, today: dt.date) -> None:
    shown = printable(shorten(host, 100))
    absent = [key for key in ("authorised_by", "authorised_until") if not getattr(endpoint, key)]
    if absent:
        raise InputError(
            f"{shown} is another machine, and nobody is named who allowed tests of it",
            hint=f"fill endpoint.{' and endpoint.'.join(absent)} once its owner has agreed",
        )
    try:
        until = dt.date.fromisoformat(endpoint.authorised_until or "")
    except ValueError:
        raise InputError(
            f"endpoint.authorised_until is no day: {endpoint.authorised_until}", hint="write it as in 2027-01-31"
        ) from None
    if until < today:
        raise InputError(
            f"the permission to test {shown} ended on {until.isoformat()}",
            hint="ask its owner again, then renew endpoint.authorised_until",
        )


def _port(url: str) -> int:
    parts = urlsplit(url)
    try:
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise InputError(f"endpoint.url has no valid port: {printable(url)}", hint="ports are 1 to 65535") from None


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"the host {printable(shorten(host, 100))} of endpoint.url is not found: {error}",
            hint="correct endpoint.url",
        ) from None
    return [str(entry[4][0]) for entry in found]


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


@dataclass(slots=True)
class _Pace:
    """At most so many requests a second, and so many in all. Shared by threads."""

    rate: float
    budget: int
    sent: int = 0
    next_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, sleep: Callable[[float], None]) -> None:
        with self.lock:
            if self.sent >= self.budget:
                raise InputError(
                    f"the model would have to be asked more than {self.budget} times",
                    hint="raise endpoint.budget or endpoint.batch, or take a smaller sample",
                )
            self.sent += 1
            now = time.monotonic()
            start = max(now, self.next_at)
            self.next_at = start + 1.0 / self.rate
        if start > now:
            sleep(start - now)


class HttpClient:
    """Requests to one endpoint. Certificates are verified, redirects refused, proxies of the environment not used."""

    def __init__(self, endpoint: EndpointConfig, *, sleep: Callable[[float], None] = time.sleep) -> None:
        try:
            import urllib3
        except ImportError:
            raise MissingExtraError("endpoint", module="urllib3") from None
        require_authorised(endpoint)
        self._endpoint = endpoint
        self._sleep = sleep
        self._pace = _Pace(endpoint.rate, endpoint.budget)
        self._shown = printable(shorten(endpoint.url.partition("?")[0], 200))
        self._local = all(
            _is_loopback(address) for address in _addresses(urlsplit(endpoint.url).hostname or "", _port(endpoint.url))
        )
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", **self._token()}
        self._pool = urllib3.PoolManager(
            num_pools=2,
            retries=False,
            timeout=urllib3.Timeout(total=endpoint.timeout),
            cert_reqs="CERT_REQUIRED",
        )

    def _token(self) -> dict[str, str]:
        name = self._endpoint.token_env
        if name is None:
            return {}
        token = os.environ.get(name, "").strip()
        if not token or not token.isascii() or not token.isprintable():
            raise InputError(
                f"the environment variable {name} that endpoint.token_env names holds no token",
                hint=f"set {name} before the command; the token never stands in heliotrope.yaml",
            )
        return {"Authorization": f"Bearer {token}"}

    def post(self, body: bytes) -> bytes:
        """The answer to a request for predictions. Raises InputError when there is none after all attempts."""
        return self._request("POST", self._endpoint.url, body)

    def get(self, url: str) -> bytes | None:
        """What lies at an address of the same host; None when it says no."""
        try:
            return self._request("GET", url, None)
        except InputError:
            return None

    def close(self) -> None:
        self._pool.clear()

    def _request(self, method: str, url: str, body: bytes | None) -> bytes:
        failure, pause = "", _FIRST_PAUSE
        for attempt in range(self._endpoint.retries + 1):
            if attempt:
                self._sleep(min(pause, MAX_WAIT_SECONDS))
            self._pace.take(self._sleep)
            status, answer, wait = self._once(method, url, body)
            if status == 200:
                return answer
            said = printable(shorten(" ".join(answer.decode("utf-8", "replace").split()), _SHOWN_BODY))
            failure = f"status {status}: {said}" if status else said
            if status and status not in _AGAIN:
                raise InputError(f"{self._shown} answers with {failure}", hint=_advice(status))
            pause = wait if wait is not None else pause * 2
        raise InputError(
            f"{self._shown} gives no answer after {self._endpoint.retries + 1} attempts; the last one: {failure}",
            hint="see that the server is up; endpoint.timeout, endpoint.retries and endpoint.rate say how it is asked",
        )

    def _once(self, method: str, url: str, body: bytes | None) -> tuple[int, bytes, float | None]:
        """Status, body and what Retry-After says; status 0 with the reason where no answer came."""
        import urllib3

        started = time.monotonic()
        response: Any = None
        try:
            response = self._pool.request(
                method, url, body=body, headers=self._headers, redirect=False, preload_content=False
            )
            self._require_address(response)
            answer = self._read(response, started)
        except urllib3.exceptions.SSLError as error:
            raise InputError(
                f"{self._shown}: its certificate is not accepted: {printable(shorten(str(error), 200))}",
                hint="have the server use a certificate that this machine trusts",
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return 0, _reason(error, self._endpoint.timeout).encode(), None
        finally:
            if response is not None:
                response.release_conn() if response.isclosed() else response.close()
        if response.status in _REDIRECTS:
            raise InputError(
                f"{self._shown} sends requests elsewhere (status {response.status}), which is not followed",
                hint="set endpoint.url to the address that answers itself",
            )
        return int(response.status), answer, _retry_after(response.headers.get("Retry-After"))

    def _require_address(self, response: Any) -> None:
        """A name that led to this machine when it was judged must not lead to another one now."""
        connection = getattr(response, "connection", None) or getattr(response, "_connection", None)
        peer = getattr(connection, "sock", None)
        if self._local and peer is not None and not _is_loopback(str(peer.getpeername()[0])):
            _require_permission(
                self._endpoint, urlsplit(self._endpoint.url).hostname or "", dt.datetime.now(dt.UTC).date()
            )

    def _read(self, response: Any, started: float) -> bytes:
        parts, size = [], 0
        while chunk := response.read(_CHUNK):
            size += len(chunk)
            parts.append(chunk)
            if size > MAX_RESPONSE_BYTES:
                raise InputError(
                    f"{self._shown} answers with more than {MAX_RESPONSE_BYTES} bytes", hint="lower endpoint.batch"
                )
            if time.monotonic() - started > self._endpoint.timeout:
                raise TimeoutError
        return b"".join(parts)


def _reason(error: Exception, timeout: float) -> str:
    name = type(error).__name__
    if "Timeout" in name and "Connect" not in name:
        return f"no answer within {timeout:g} s"
    return f"{name}: {error}"


def _retry_after(value: str | None) -> float | None:
    """Seconds; a date is not read, the usual pause holds then."""
    return float(value) if value is not None and value.isdecimal() and len(value) < 9 else None


def _advice(status: int) -> str:
    if status in (401, 403):
        return "name the environment variable that holds the token: endpoint.token_env"
    if status == 404:
        return "correct endpoint.url"
    return "compare endpoint.protocol and the columns with what the server expects"
