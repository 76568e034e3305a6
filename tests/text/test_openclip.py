"""open_clip's text encoders compared with its zero-shot heads; truncated texts; cached, missing and broken weights."""

import json
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from tiny_clip import CONFIG, NAME, tiny_clip

from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.text.initialise import class_embeddings
from tgr_cli.text.openclip import OpenClip


class Heard(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[int, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
        self.steps.append((done, total))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Path]:
    with tiny_clip(tmp_path) as path:
        yield path


def test_open_clip_equals_its_own_zero_shot_head(checkpoint: Path) -> None:
    import open_clip

    names = ["dog", "cat", "ship"]
    texts = [[f"a photo of a {n}", f"a drawing of a {n}"] for n in names]
    encoder = OpenClip(NAME, str(checkpoint))
    heard = Heard()
    rows = encoder.encode([text for of_class in texts for text in of_class], heard)
    model = open_clip.create_model(NAME, pretrained=str(checkpoint)).eval()
    with torch.inference_mode():
        expected = open_clip.build_zero_shot_classifier(
            model, open_clip.get_tokenizer(NAME), names, ["a photo of a {}", "a drawing of a {}"]
        ).T.numpy()
    np.testing.assert_allclose(class_embeddings(np.split(rows, 3)), expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    assert heard.notes == []
    assert heard.steps == [(6, 6)]
    assert encoder.truncated == 0
    assert encoder.name == "open_clip tiny-clip/tiny.pt"
    assert len(encoder.inputs["weights"]) == 64


def test_open_clip_counts_the_texts_it_cuts(checkpoint: Path) -> None:
    """The tiny model reads 24 tokens: start, 22 words, end."""
    heard = Heard()
    encoder = OpenClip(NAME, str(checkpoint))
    rows = encoder.encode(["dog " * 22, "dog " * 23, "dog " * 40, "cat"] * 40, heard)
    assert encoder.truncated == 80
    assert rows.shape == (160, 16)
    assert heard.notes == [
        "80 of 160 texts are longer than the 24 tokens that open_clip tiny-clip/tiny.pt reads, and were cut there"
    ]
    assert heard.steps == [(64, 160), (128, 160), (160, 160)]


TEXT = CONFIG["text_cfg"]
SIGLIP = {"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}}
COCA = {"embed_cls": True, "output_tokens": True}
POOLED = CONFIG["vision_cfg"] | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
TOWERS = {
    "siglip": {"custom_text": True, "init_logit_bias": -10, "text_cfg": TEXT | SIGLIP},
    "coca": {
        "custom_text": True,
        "vision_cfg": POOLED,
        "text_cfg": TEXT | COCA,
        "multimodal_cfg": TEXT | {"attn_pooler_heads": 2},
    },
    "eva": {"custom_text": True},
}


def _folder(path: Path, **changes: object) -> Path:
    """Save a tiny random model in the format of open_clip's push_to_hf_hub, and return its folder."""
    import open_clip

    path.mkdir()
    config = {"model_cfg": CONFIG | changes}
    (path / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.create_model(f"local-dir:{path}")
    torch.save(model.state_dict(), path / "open_clip_pytorch_model.bin")
    return path


@pytest.mark.parametrize("kind", TOWERS)
def test_other_text_towers_from_a_folder_equal_their_zero_shot_heads(tmp_path: Path, kind: str) -> None:
    import open_clip

    name = f"local-dir:{_folder(tmp_path / kind, **TOWERS[kind])}"
    encoder = OpenClip(name)
    texts = ["a dog", "the other dog", "dog " * 40, "cat"]
    model = open_clip.create_model(name).eval()
    expected = open_clip.build_zero_shot_classifier(model, open_clip.get_tokenizer(name), texts, ["{}"]).T.numpy()
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-6)
    assert encoder.truncated == 1
    assert encoder.name == f"open_clip local-dir:{kind}"


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 0.01), ("bf16", 0.1)])
def test_half_precision_is_near_and_differs(checkpoint: Path, precision: str, tolerance: float) -> None:
    full = OpenClip(NAME, str(checkpoint)).encode(["a dog", "a cat"])
    half = OpenClip(NAME, str(checkpoint), precision=precision).encode(["a dog", "a cat"])
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < tolerance


def test_a_tower_that_cannot_compute_in_half_precision_is_one_sentence(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of CoCa in open_clip 3.3, with its words."""

    def fail(tokens: object) -> None:
        raise RuntimeError("expected m1 and m2 to have the same dtype, but got: float != c10::Half")

    for precision, kind in (("bf16", TgrError), ("fp32", RuntimeError)):
        encoder = OpenClip(NAME, str(checkpoint), precision=precision)
        monkeypatch.setattr(encoder.model, "encode_text", fail)
        with pytest.raises(kind, match="expected m1 and m2 to have the same dtype") as caught:
            encoder.encode(["a dog"])
        assert ("cannot compute in bf16" in str(caught.value)) == (precision == "bf16")


def test_a_cached_repository_is_used_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    cached = tmp_path / "hub" / "models--me--mine"
    (cached / "refs").mkdir(parents=True)
    (cached / "snapshots").mkdir()
    (cached / "refs" / "main").write_text("abc", encoding="utf-8")
    folder = _folder(cached / "snapshots" / "abc")
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    rows = OpenClip("hf-hub:me/mine").encode(["a dog"])
    np.testing.assert_array_equal(rows, OpenClip(f"local-dir:{folder}").encode(["a dog"]))
    assert constants.HF_HUB_OFFLINE is False
    with pytest.raises(TgrError, match="the weights of hf-hub:me/yours are not in the cache, and their server"):
        OpenClip("hf-hub:me/yours")
    with pytest.raises(TgrError, match='"me/my/mine" cannot name a repository; write hf-hub:OWNER/NAME'):
        OpenClip("hf-hub:me/my/mine")


class Words:
    """A stand-in for a transformers tokenizer: one token per word; like SigLIP's it pads with the end-of-text token."""

    pad_token_id, bos_token_id, eos_token_id, cls_token_id = 1, 2, 1, 3

    def __call__(self, texts: list[str], **options: object) -> SimpleNamespace | dict[str, list[list[int]]]:
        ids = [[10 + len(word) for word in text.split()] for text in texts]
        if options.get("add_special_tokens") is False:
            return {"input_ids": ids}
        length = int(options["max_length"])  # type: ignore[call-overload]
        rows = [(row[: length - 1] + [1] * length)[:length] for row in ids]
        return SimpleNamespace(input_ids=torch.tensor(rows))


@pytest.mark.parametrize(("mode", "special"), [(None, 1), ("clips", 3)])
def test_texts_cut_by_a_tokenizer_of_transformers_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str | None, special: int
) -> None:
    """24 tokens, minus the tokenizer's special tokens, limit the number of words."""
    stand_in = ModuleType("transformers")
    stand_in.AutoTokenizer = SimpleNamespace(from_pretrained=lambda *_, **__: Words())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", stand_in)
    text = TEXT | SIGLIP | {"hf_tokenizer_name": "me/words", "tokenizer_mode": mode}
    encoder = OpenClip(f"local-dir:{_folder(tmp_path / 'words', custom_text=True, text_cfg=text)}")
    for words, cut in ((1, 0), (24 - special - 1, 0), (24 - special, 0), (24 - special + 1, 1), (40, 1)):
        encoder.encode(["dog", "dog " * words])
        assert encoder.truncated == cut, words


def test_a_tokenizer_that_cannot_be_had_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    text = TEXT | {"hf_tokenizer_name": "me/words"}
    name = f"local-dir:{_folder(tmp_path / 'words', text_cfg=text)}"
    with pytest.raises(TgrError, match=r"needs the transformers package; run: pip install 'tgr\[transformers\]'"):
        OpenClip(name)
    stand_in = ModuleType("transformers")
    monkeypatch.setitem(sys.modules, "transformers", stand_in)

    def fail(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect\nto the hub")

    stand_in.AutoTokenizer = SimpleNamespace(from_pretrained=fail)  # type: ignore[attr-defined]
    with pytest.raises(TgrError, match=r"\(me/words\) could not be had \(We couldn't connect to the hub\); run once"):
        OpenClip(name)


def test_broken_folders_are_refused_in_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = _folder(tmp_path / "mine")
    capfd.readouterr()
    weights, settings = folder / "open_clip_pytorch_model.bin", folder / "open_clip_config.json"
    for damage, words in (
        (
            lambda: weights.write_bytes(b"PK"),
            "could not be loaded into open_clip's local-dir:.*check its configuration",
        ),
        (lambda: weights.unlink(), "holds no weights beside its open_clip_config.json"),
        (lambda: shutil.copy(settings, folder / "x.safetensors"), "could not be loaded"),
        (lambda: settings.write_text("{}"), "has no readable open_clip_config.json"),
        (lambda: settings.write_text("{"), "has no readable open_clip_config.json"),
        (lambda: settings.unlink(), "has no open_clip_config.json; name a folder"),
    ):
        damage()
        with pytest.raises(TgrError, match=words) as caught:
            OpenClip(f"local-dir:{folder}")
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(TgrError, match=f"to read the folder of that name, write local-dir:{folder}"):
        OpenClip(str(folder))


@pytest.mark.parametrize("damage", ["truncated", "other", "pickle", "safetensors", "script", "nan"])
def test_checkpoints_that_do_not_load_are_refused(checkpoint: Path, damage: str) -> None:
    if damage == "truncated":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    elif damage == "other":
        torch.save({"conv.weight": torch.ones(2, 2)}, checkpoint)
    elif damage == "safetensors":
        checkpoint = checkpoint.rename(checkpoint.with_suffix(".safetensors"))
    elif damage == "script":
        with zipfile.ZipFile(checkpoint, "w") as archive:  # a zip with the parts by which torch recognises TorchScript
            archive.writestr("archive/version", "3")
            archive.writestr("archive/constants.pkl", "")
            archive.writestr("archive/data.pkl", "")
    elif damage == "pickle":
        torch.save({"state_dict": {"x": Path}}, checkpoint)
    else:
        state = torch.load(checkpoint, weights_only=True)
        state["text_projection"].fill_(float("nan"))
        torch.save(state, checkpoint)
    known = {"nan": "not finite", "script": "is a TorchScript archive, which holds code"}
    words = known.get(damage, "could not be loaded into open_clip's tiny-clip")
    with pytest.raises(TgrError, match=re.escape(words)) as caught:
        OpenClip(NAME, str(checkpoint)).encode(["a dog"])
    assert "\n" not in str(caught.value)


def test_unknown_model_and_tag_name_the_nearest() -> None:
    with pytest.raises(TgrError, match=r'no model "ViT-B-23".*Did you mean "ViT-B-32"'):
        OpenClip("ViT-B-23")
    with pytest.raises(TgrError, match=r'"openay" is neither a file nor a pretrained tag.*Did you mean "openai"'):
        OpenClip(pretrained="openay")
