"""Classifying server errors: retry, or end the run with a message that quotes the server and names the next step."""

import re
from collections.abc import Sequence

import httpx

from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.text.endpoint import LIMIT_NAMES, OWN_KEY, Endpoint
from tgr_cli.text.server_words import Told, no_more

BUSY_TRIES = 8  # attempts per question if the server is busy, down or unreachable
UNUSABLE_TRIES = 3  # attempts per question if the answer is endless, too large, malformed, or a redirect
LONGEST_RETRY_AFTER = 300.0  # seconds: a question with a longer retry delay is left to the next run
BUSY = {408, 409, 425, 429}  # and 5xx
TOO_MUCH_TO_DO = {429, 503, 529}
MODELS_NAMED = 8
UNKNOWN_NAME = re.compile(r"name or service|nodename|name resolution|getaddrinfo|no address associated", re.IGNORECASE)
UNKNOWN_MODEL = re.compile(
    r"model.{0,80}(?:not found|does not exist|doesn't exist|not exist|unknown|no such|is not available|not loaded)"
    r"|(?:no such|unknown|invalid) model",
    re.IGNORECASE | re.DOTALL,
)


class NoAnswerError(Exception):
    """An attempt without an answer: the reason, the attempts allowed for it, and the server's retry delay."""

    def __init__(self, reason: str, tries: int, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.tries = tries
        self.wait = wait


class RefusedError(Exception):
    """A rejected request: the server's error, and the exception to raise unless an adapted request helps."""

    def __init__(self, told: Told, error: Exception) -> None:
        super().__init__(told.words)
        self.told = told
        self.error = error


def failure(
    endpoint: Endpoint, status: int, told: Told, said: str, *, wait: float | None, to: str, has_key: bool
) -> NoAnswerError | TgrError:
    """Return the exception for a status other than 200: NoAnswerError if a retry may help, else TgrError.

    `said` is the status and message for display, `wait` the retry delay in seconds, `to` the target of a redirect.
    """
    if no_more(told, status, wait):
        return TgrError(
            f"the account or quota of this key at {endpoint.host} is used up ({said}); check the account, or run the "
            "same command again later, it continues from the stored answers: retrying within minutes does not help"
        )
    if status in BUSY or status >= 500:
        if wait is not None and wait > LONGEST_RETRY_AFTER:
            return NoAnswerError(f"{said}; the server asks to wait {wait:,.0f} s", tries=1)
        return NoAnswerError(f"busy: {said}" if status in TOO_MUCH_TO_DO else said, BUSY_TRIES, wait)
    if status < 300:
        return NoAnswerError(f"{said}, where 200 is expected", UNUSABLE_TRIES)
    if status < 400:
        leads = f" to {to}" if to else ""
        return NoAnswerError(
            f"HTTP {status}, a redirect{leads}, which is not followed; name the place itself", UNUSABLE_TRIES
        )
    return _refused(endpoint, status, said, told, has_key)


def is_unknown_address(status: int, told: Told) -> bool:
    """Return whether the server does not know the model or the address."""
    return status in (404, 405) or (status in (400, 422) and bool(UNKNOWN_MODEL.search(f"{told.words} {told.code}")))


def unknown_address(endpoint: Endpoint, said: str, models: Sequence[str], better_url: str) -> TgrError:
    """Return the error for an unknown model or address.

    `models` are the models listed by the server, `better_url` is the base URL that lists them, "" if none does.
    """
    asked, model = endpoint.url, endpoint.model
    if better_url and better_url != asked:
        return TgrError(f"{asked} is no address of an API ({said}), but {better_url} is: give --base-url {better_url}")
    if models and model not in models:
        more = f" and {len(models) - MODELS_NAMED} more" if len(models) > MODELS_NAMED else ""
        named = ", ".join(models[:MODELS_NAMED]) + more
        return TgrError(
            f'{asked} has no model "{model}" ({said}); name one that it has with --llm: {named}.'
            f"{did_you_mean(model, models)}"
        )
    return TgrError(
        f'{asked} has no model "{model}" or no such address ({said}); check --llm and --base-url, which ends in /v1 on '
        "most servers"
    )


def _refused(endpoint: Endpoint, status: int, said: str, told: Told, has_key: bool) -> TgrError:
    """Return the error for a rejected request that no retry can fix."""
    asked = endpoint.url
    if status == 401:
        what = "refuses the key" if has_key else "wants a key"
        return TgrError(f"{asked} {what} ({said}); set {OWN_KEY} to one that it takes")
    if status == 403:
        return TgrError(
            f'{asked} does not allow this ({said}); ask for access to "{endpoint.model}", or take another --llm'
        )
    return TgrError(f"{asked} does not take the request ({said}); {_advice(endpoint, told)}")


def _advice(endpoint: Endpoint, told: Told) -> str:
    """Return the next step, according to the parameter in the server's message."""
    said = f"{told.words} {told.parameter}".lower()
    if "temperature" in said:
        return f"it was asked with --temperature {endpoint.temperature:g}: take another one, or none"
    if re.search(r"context (?:length|window|size)|too large|too long|exceed|at most", said):
        return f"lower --max-tokens (now {endpoint.max_tokens:,})"
    if any(name in said for name in LIMIT_NAMES):
        return f"take another --max-tokens-name ({' or '.join(LIMIT_NAMES)}), or another --max-tokens"
    return "check --llm, --temperature and --max-tokens"


def unreached(endpoint: Endpoint, error: httpx.TransportError, told: str) -> TgrError:
    """Return the error where no server has answered yet; `told` is the HTTP client's error text."""
    host, words = httpx.URL(endpoint.url).host, str(error)
    if isinstance(error, httpx.ProxyError):
        return TgrError(
            f"the proxy for {endpoint.url} refuses the connection ({told}); check HTTPS_PROXY, or set "
            f"NO_PROXY={host} to connect without a proxy"
        )
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return TgrError(
            f"the certificate of {host} is not trusted on this machine ({told}); name the file with its authority's "
            "certificate as SSL_CERT_FILE"
        )
    if "SSL" in words or "TLS" in words:
        return TgrError(f"{endpoint.host} does not speak https ({told}); try http:// in --base-url")
    if UNKNOWN_NAME.search(words):
        return TgrError(f'no machine is known by the name "{host}" ({told}); check --base-url, and the network')
    return TgrError(
        f"nothing answers at {endpoint.url} ({told or 'no connection in time'}); start the server, or name another "
        "with --base-url"
    )
