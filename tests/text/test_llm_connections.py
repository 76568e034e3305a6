"""Keys, redirects, proxies and certificates: where a request goes, and what it never tells."""

import io
import re
import traceback

import pytest
from llm_server import Said, serving
from toys_llm import KEPT, KEY, described, good, model

from tgr_cli.errors import TgrError


def test_the_key_is_sent_and_never_told(monkeypatch: pytest.MonkeyPatch, logged: io.StringIO) -> None:
    monkeypatch.setenv("TGR_LLM_API_KEY", KEY)
    with serving("key") as server:
        found = described(server.url)
        assert {headers["authorization"] for headers, _ in server.requests} == {f"Bearer {KEY}"}
        assert all(d.text.endswith("Bearer [key]") for d in found)
        server.behaviour = lambda prompt, times: "401"
        with pytest.raises(TgrError, match="refuses the key") as caught:
            described(server.url, temperature=0.0)
    told = logged.getvalue() + KEPT.read_text() + "".join(traceback.format_exception(caught.value)) + repr(found)
    assert "HTTP" in logged.getvalue()
    assert KEY not in told
    assert KEY not in repr(vars(model(server.url)))


@pytest.mark.usefixtures("_impatient")
def test_the_key_goes_to_no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as other, serving("redirect") as server:
        server.port, port = other.port, server.port  # the redirect points to the other server
        with pytest.raises(TgrError, match=r"HTTP 307, a redirect to http://127.*, which is not followed"):
            described(f"http://127.0.0.1:{port}/v1", concurrency=1)
    assert (server.asked.total(), other.elsewhere, other.asked.total()) == (9, 0, 0)  # 3 questions, 3 attempts each
    assert server.requests[0][0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("address", ["javascript:x", "http://[", "http://127.0.0.1:x/", "\x01"])
def test_a_redirect_to_no_address_is_one_failure_more(address: str) -> None:
    moved = Said(307, "", {"Location": address})
    with serving(lambda prompt, times: moved if "bar" in prompt else "well") as server:
        found = described(server.url)
    assert {d.class_name: d.status for d in found} == {"dot": "ok", "bar": "failed", "ring": "ok"}


def test_a_proxy_has_no_business_with_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, proxy in (("HTTP_PROXY", "http://127.0.0.1:9"), ("ALL_PROXY", "socks5://127.0.0.1:9")):
        monkeypatch.setenv(name, proxy)
    with serving() as server:
        assert all(map(good, described(server.url)))


def test_a_proxy_reads_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGR_LLM_API_KEY", KEY)
    with serving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(TgrError, match=r"nothing answers at http://0\.0\.0\.0:1/v1"):  # not a loopback address
            described("http://0.0.0.0:1/v1")
    assert (proxy.asked.total(), proxy.elsewhere) == (0, 0)


@pytest.mark.parametrize(
    ("name", "value", "url", "words"),
    [
        ("ALL_PROXY", "socks5://me:secret@x", "https://x.invalid/v1", "the proxy in HTTPS_PROXY or ALL_PROXY"),
        (
            "HTTPS_PROXY",
            "soap://me:secret@x",
            "https://x.invalid/v1",
            "set NO_PROXY=x.invalid to connect without a proxy",
        ),
        ("HTTPS_PROXY", "http://me:secret@:x/", "https://x.invalid/v1", "has an address that cannot be used"),
        ("SSL_CERT_FILE", "missing.pem", "https://x.invalid/v1", "SSL_CERT_DIR names cannot be read"),
        ("HOME", "/", "http://xn--/v1", "--base-url http://xn--/v1 is no address of a server"),
    ],
)
def test_what_no_client_can_be_made_of_is_told(
    name: str, value: str, url: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(TgrError, match=re.escape(words)) as caught:
        described(url)
    assert "secret" not in str(caught.value)
