"""Sources of CLIP's weights, and fast errors where there are none."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from tgr_cli.errors import TgrError
from tgr_cli.text import clip_weights

MODEL, TAG = "ViT-B-32-quickgelu", "openai"


@pytest.fixture(autouse=True)
def _empty_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never answers, like a firewall that drops packets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_local_file_wins_and_needs_no_tag(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").touch()
    assert clip_weights.find(MODEL, str(tmp_path / "mine.pt")) == tmp_path / "mine.pt"


def test_weights_in_the_cache_are_used_without_a_network(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--timm--vit_base_patch32_clip_224.openai"
    weights = repository / "snapshots" / "abc" / "open_clip_model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.touch()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc", encoding="utf-8")
    assert clip_weights.find(MODEL, TAG) == weights


def test_offline_by_choice_is_told_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(TgrError, match="are not in the cache, and their server cannot be reached") as caught:
        clip_weights.find(MODEL, TAG)
    assert time.monotonic() - started < 1
    for way in ("--encoder tfidf", "--from-file", "--clip-pretrained FILE"):
        assert way in str(caught.value)


def test_nothing_cached_and_no_server_is_told_before_open_clip_is_imported(tmp_path: Path) -> None:
    """Run in a separate process, like the command line: importing open_clip and torch takes seconds."""
    code = (
        "import sys; sys.argv = 'tgr embed --dataset imagenet --init template'.split()\n"
        "from tgr_cli.app import main\n"
        "try: main()\n"
        "except SystemExit as ended: print(ended.code)\n"
        "print(sorted({'torch', 'open_clip', 'sklearn', 'torchvision'} & sys.modules.keys()))"
    )
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    told = "tgr: the weights openai of ViT-B-32-quickgelu are not in the cache, and their server cannot be"
    assert " ".join(done.stderr.split()).startswith(told)
    assert done.stdout.splitlines() == ["1", "[]"]
    assert not Path("runs").exists()


def test_what_is_local_or_cached_needs_no_server(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").touch()
    clip_weights.demand_a_source(MODEL, str(tmp_path / "mine.pt"))
    clip_weights.demand_a_source("local-dir:anywhere", TAG)
    with pytest.raises(TgrError, match="the weights of hf-hub:me/mine are not in the cache"):
        clip_weights.demand_a_source("hf-hub:me/mine", TAG)
    (tmp_path / "hub" / "models--me--mine").mkdir(parents=True)
    clip_weights.demand_a_source("hf-hub:me/mine", TAG)


def test_a_server_that_never_answers_or_refuses_is_told_within_seconds(
    monkeypatch: pytest.MonkeyPatch, silent_server: str
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for address in (silent_server, "http://127.0.0.1:1", "http://no-such-host.invalid"):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        started = time.monotonic()
        with pytest.raises(TgrError, match="cannot be reached"):
            clip_weights.find(MODEL, TAG)
        assert time.monotonic() - started < clip_weights.PROBE_SECONDS + 1


def test_a_failed_download_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: dict[str, object]) -> str:
        raise FileNotFoundError("Failed to download file\nwith details")

    monkeypatch.setattr(clip_weights, "_reachable", lambda address: True)
    monkeypatch.setattr("open_clip.download_pretrained", fail)
    with pytest.raises(TgrError, match=r"could not be downloaded \(Failed to download file\); use --encoder tfidf"):
        clip_weights.find(MODEL, TAG)


def test_quickgelu_mismatch_is_an_error() -> None:
    with pytest.raises(TgrError, match="trained with QuickGELU; use --clip-model ViT-B-32-quickgelu"):
        clip_weights.find("ViT-B-32", "openai")
    with pytest.raises(TgrError, match="are not in the cache"):
        clip_weights.find("ViT-B-32", "laion2b_s34b_b79k")


def test_a_proxy_of_an_unknown_kind_is_no_way_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    assert not clip_weights._reachable("https://hub.invalid")  # and without a traceback of the probing thread
