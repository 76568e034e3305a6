"""Finding the weights of a CLIP model: a local file, the local cache, or a download that fails fast when offline."""

import os
import threading
from pathlib import Path
from typing import Any

from tgr_cli.errors import TgrError, did_you_mean

PROBE_SECONDS = 2.0
ALTERNATIVES = (
    "use --encoder tfidf, --from-file MATRIX with stored embeddings, or --clip-pretrained FILE with a local checkpoint"
)


def find(model: str, pretrained: str) -> Path:
    """Return the weights file for an open_clip model: `pretrained` is a local file, or one of the model's tags.

    Raises TgrError where it is neither, where tag and model differ in QuickGELU (open_clip only warns, and its
    embeddings are then wrong), and within seconds where weights neither lie in the cache nor can be downloaded.
    """
    import open_clip

    if Path(pretrained).is_file():
        return Path(pretrained)
    tags = open_clip.list_pretrained_tags_by_model(model)
    settings = open_clip.get_pretrained_cfg(model, pretrained)
    if not settings:
        known = ", ".join(tags) or "none"
        raise TgrError(
            f'"{pretrained}" is neither a file nor a pretrained tag of {model}; its tags are {known}.'
            f"{did_you_mean(pretrained, tags)}"
        )
    _check_activation(model, pretrained, settings)
    cached = _cached(settings)
    if cached is not None:
        return cached
    what = f"the weights {pretrained} of {model}"
    if not _reachable(_address(settings)):
        raise TgrError(f"{what} are not in the cache, and their server cannot be reached; {ALTERNATIVES}")
    try:
        return Path(open_clip.download_pretrained(settings))
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TgrError(f"{what} could not be downloaded ({reason[:200]}); {ALTERNATIVES}") from error


def _check_activation(model: str, tag: str, settings: dict[str, Any]) -> None:
    import open_clip

    built = bool((open_clip.get_model_config(model) or {}).get("quick_gelu", False))
    trained = bool(settings.get("quick_gelu", False))
    if built != trained:
        other = model.removesuffix("-quickgelu") if built else f"{model}-quickgelu"
        hint = f"use --clip-model {other}" if other in open_clip.list_models() else "use another model or tag"
        names = {True: "QuickGELU", False: "GELU"}
        raise TgrError(
            f"{model} computes {names[built]}, but its weights {tag} were trained with {names[trained]}; {hint}"
        )


def _cached(settings: dict[str, Any]) -> Path | None:
    """Return where a download left the weights: the Hugging Face cache, or open_clip's own for plain addresses."""
    from huggingface_hub import try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    if settings.get("hf_hub"):
        repository, name = os.path.split(settings["hf_hub"])
        names = (str(Path(name).with_suffix(".safetensors")), name) if name else (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
        found = (try_to_load_from_cache(repository, name) for name in names)
        return next((Path(path) for path in found if isinstance(path, str)), None)
    path = Path("~/.cache/clip").expanduser() / Path(settings["url"]).name
    return path if path.is_file() else None


def _address(settings: dict[str, Any]) -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT if settings.get("hf_hub") else settings["url"])


def _reachable(address: str) -> bool:
    """Return whether the server at `address` answers anything at all within PROBE_SECONDS.

    The hub's own client repeats for 40 s. A thread, because looking up a name can hang for longer than any timeout.
    """
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask() -> None:
        try:
            httpx.head(address, timeout=PROBE_SECONDS)
        except (httpx.HTTPError, OSError):
            return
        answered.set()

    probe = threading.Thread(target=ask, daemon=True)
    probe.start()
    probe.join(PROBE_SECONDS)
    return answered.is_set()
