"""The choice of server and key, and keys that must not be sent."""

import re

import pytest

from tgr_cli.errors import TgrError
from tgr_cli.text.endpoint import Endpoint

KEY = "sk-123"
OPENAI, LOCAL, OTHER = None, "http://127.0.0.1:8000/v1/", "https://models.example.org/v1"


def endpoint(url: str | None) -> Endpoint:
    return Endpoint(base_url=url, llm="toy")


@pytest.mark.parametrize(
    ("url", "environment", "key"),
    [
        (OPENAI, {"OPENAI_API_KEY": f" {KEY}\n"}, KEY),
        (OPENAI, {"OPENAI_API_KEY": "sk-9", "TGR_LLM_API_KEY": KEY}, KEY),
        (OTHER, {"TGR_LLM_API_KEY": KEY}, KEY),
        (OTHER, {"OPENAI_API_KEY": KEY}, ""),
        ("http://api.openai.com.example.org/v1", {"OPENAI_API_KEY": KEY}, ""),
        ("http://api.openai.com/v1", {"OPENAI_API_KEY": KEY}, ""),
        (LOCAL, {"OPENAI_API_KEY": KEY}, KEY),
        ("http://localhost:1/v1", {}, ""),
        (OTHER, {}, ""),
    ],
)
def test_which_key_goes_where(url: str | None, environment: dict[str, str], key: str) -> None:
    assert endpoint(url).key(environment) == key


@pytest.mark.parametrize("key", ["sk 123", "sk-1\r\nX: y", "sk-ключ"])
def test_what_is_no_key_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(TgrError, match="OPENAI_API_KEY holds a space, a line break or a letter") as caught:
        endpoint(OPENAI).key({"OPENAI_API_KEY": key})
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base_url": "localhost:8000"}, "is no address of a server"),
        ({"base_url": "ftp://x/v1"}, "is no address of a server"),
        ({"base_url": "http://x:port/v1"}, "is no address of a server"),
        ({"base_url": "http://x/v 1"}, "is no address of a server"),
        ({"base_url": "http://me:secret@x/v1"}, "--base-url for x holds more than an address"),
        ({"base_url": "http://x/v1?api_key=secret"}, "--base-url for x holds more than an address"),
        ({"base_url": OTHER, "llm": None}, f"--base-url {OTHER} needs --llm"),
        ({"llm": " "}, "--llm is empty"),
        ({"llm": "toy\x1b[31m"}, "--llm holds characters that cannot be printed"),
        ({"llm": "toy\udcff"}, "--llm holds characters that cannot be printed"),
        ({"concurrency": 0}, "--concurrency is 0"),
        ({"max_tokens": 0}, "--max-tokens is 0"),
        ({"samples_per_question": 0}, "--samples-per-question is 0"),
        ({"requests_per_minute": 0}, "--requests-per-minute is 0"),
        ({"temperature": float("nan")}, "--temperature is nan, where 0 to 2"),
        ({"timeout": 0.0}, "--timeout is 0"),
        ({"price_in": 1.0}, "only one of --price-in and --price-out is given"),
        ({"price_in": -1.0, "price_out": 0.0}, "--price-in is -1.0"),
    ],
)
def test_refused_in_a_sentence(options: dict, words: str) -> None:
    with pytest.raises(TgrError, match=re.escape(words)) as caught:
        Endpoint(**{"llm": "toy"} | options)
    assert "secret" not in str(caught.value)


def test_addresses_and_cost() -> None:
    assert Endpoint().url == "https://api.openai.com/v1"
    assert Endpoint().is_openai
    assert endpoint(LOCAL).url == "http://127.0.0.1:8000/v1"
    assert [endpoint(url).is_local for url in (LOCAL, "http://[::1]:1/v1", "http://localhost/v1", OTHER)] == [
        *(True, True, True, False)
    ]
    assert Endpoint(price_in=0.5, price_out=2.0).cost(2_000_000, 1_000_000) == 3.0
    assert Endpoint().cost(1, 1) is None
