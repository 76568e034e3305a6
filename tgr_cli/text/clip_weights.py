"""Locating a CLIP model's weights: a local file or folder, the local cache, or a download that fails fast."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tgr_cli.errors import TgrError, did_you_mean, first_line
from tgr_cli.paths import on_this_machine, place

FOLDER, HUB = "local-dir:", "hf-hub:"  # open_clip's prefixes: folder or repository of configuration and weights
PRECISIONS = ("fp32", "fp16", "bf16")
QUICK, GELU = "-quickgelu", {True: "QuickGELU", False: "GELU"}
SETTINGS = "open_clip_config.json"
PROBE_SECONDS = 2.0
ALTERNATIVES = (
    "use --encoder tfidf, --from-file MATRIX with stored embeddings, or --clip-pretrained FILE with a local checkpoint"
)


def demand_a_source(model: str, pretrained: str) -> None:
    """Raise TgrError within seconds if no weights can be obtained: not cached, and the server unreachable.

    Runs before open_clip is imported, which takes seconds. `find` checks the names.
    """
    from huggingface_hub import constants

    local = model.startswith(FOLDER) or place(pretrained).is_file()
    cached = next(Path(constants.HF_HUB_CACHE).glob("models--*"), None) or next(_own_cache().glob("*"), None)
    if not local and cached is None:
        _demand_server(_named(model, pretrained))


def find(model: str, pretrained: str) -> Path:
    """Return the weights file of `model`: an open_clip model, hf-hub:REPOSITORY or local-dir:FOLDER.

    For an open_clip model `pretrained` is a local file or a tag of the model; the other forms include their weights.
    Raises TgrError where there are none, where tag and model differ in QuickGELU (open_clip only warns, and the
    embeddings would be wrong), and within seconds where the weights are neither cached nor downloadable.
    """
    if model.startswith(FOLDER):
        return _in_folder(on_this_machine(place(model.removeprefix(FOLDER)), "open_clip reads its folders itself"))
    if model.startswith(HUB):
        return _in_repository(model.removeprefix(HUB))
    return _of_open_clip(model, pretrained)


@contextmanager
def hub(*, needed: bool) -> Iterator[None]:
    """Context manager: use only the Hugging Face cache, unless files are `needed` and the hub is reachable.

    Without it the client retries for 40 s before it reports a file that is not cached.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not needed or not _reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _named(model: str, pretrained: str) -> str:
    return f"the weights of {model}" if model.startswith(HUB) else f"the weights {pretrained} of {model}"


def _in_folder(folder: Path) -> Path:
    from open_clip.factory import _find_checkpoint_in_dir  # private, but it selects the same file as create_model

    if not (folder / SETTINGS).is_file():
        raise TgrError(f"{FOLDER}{folder} has no {SETTINGS}; name a folder that open_clip's push_to_hf_hub saved")
    found = _find_checkpoint_in_dir(folder)
    if found is None:
        raise TgrError(f"{folder} holds no weights beside its {SETTINGS}; put open_clip_model.safetensors there")
    return Path(found)


def _in_repository(repository: str) -> Path:
    from open_clip.pretrained import download_pretrained_from_hf

    weights = _cached_in_hub(repository)
    if weights is not None and _hub_file(repository, SETTINGS) is not None:
        return weights
    what = _named(HUB + repository, "")
    _demand_server(what)
    try:
        download_pretrained_from_hf(repository, SETTINGS)
        return Path(download_pretrained_from_hf(repository))
    except Exception as error:  # the hub's client raises many unrelated exception types
        raise _not_downloaded(what, error) from error


def _of_open_clip(model: str, pretrained: str) -> Path:
    import open_clip

    if model not in open_clip.list_models():
        if Path(model).is_dir():
            raise TgrError(f'open_clip has no model "{model}"; to read the folder of that name, write {FOLDER}{model}')
        hint = did_you_mean(model, open_clip.list_models())
        raise TgrError(
            f'open_clip has no model "{model}"; name one of its models, {HUB}REPOSITORY or {FOLDER}FOLDER with '
            f"--clip-model.{hint}"
        )
    if place(pretrained).is_file():
        return place(pretrained)
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
    what = _named(model, pretrained)
    _demand_server(what, _address(settings))
    try:
        return Path(open_clip.download_pretrained(settings))
    except (OSError, RuntimeError, ValueError) as error:
        raise _not_downloaded(what, error) from error


def unknown_activation(model: str, pretrained: str) -> str | None:
    """Return a warning for a local checkpoint, None otherwise: the file does not say which GELU it was trained with."""
    import open_clip

    twin = model.removesuffix(QUICK) if model.endswith(QUICK) else model + QUICK
    if not place(pretrained).is_file() or twin not in open_clip.list_models():
        return None
    quick = model.endswith(QUICK)
    known = " (OpenAI's are)" if not quick else ""
    return (
        f"{model} computes {GELU[quick]}, and a checkpoint file does not say what it was trained with: weights trained "
        f"with {GELU[not quick]}{known} need --clip-model {twin}"
    )


def _check_activation(model: str, tag: str, settings: dict[str, Any]) -> None:
    import open_clip

    built = bool((open_clip.get_model_config(model) or {}).get("quick_gelu", False))
    trained = bool(settings.get("quick_gelu", False))
    if built != trained:
        other = model.removesuffix(QUICK) if built else model + QUICK
        hint = f"use --clip-model {other}" if other in open_clip.list_models() else "use another model or tag"
        raise TgrError(
            f"{model} computes {GELU[built]}, but its weights {tag} were trained with {GELU[trained]}; {hint}"
        )


def _cached(settings: dict[str, Any]) -> Path | None:
    """Return the path of cached weights: in the Hugging Face cache, or open_clip's own for plain URLs."""
    if settings.get("hf_hub"):
        repository, name = os.path.split(settings["hf_hub"])
        if not name:
            return _cached_in_hub(repository)
        return _hub_file(repository, str(Path(name).with_suffix(".safetensors"))) or _hub_file(repository, name)
    path = _own_cache() / Path(settings["url"]).name
    return path if path.is_file() else None


def _cached_in_hub(repository: str) -> Path | None:
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    return _hub_file(repository, HF_SAFE_WEIGHTS_NAME) or _hub_file(repository, HF_WEIGHTS_NAME)


def _hub_file(repository: str, name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(repository, name)
    except ValueError as error:
        raise TgrError(f'"{repository}" cannot name a repository; write {HUB}OWNER/NAME') from error
    return Path(found) if isinstance(found, str) else None


def _own_cache() -> Path:
    return Path("~/.cache/clip").expanduser()


def _address(settings: dict[str, Any]) -> str | None:
    return None if settings.get("hf_hub") else str(settings["url"])


def _demand_server(what: str, address: str | None = None) -> None:
    """Raise TgrError if the server at `address` (None: the hub) does not answer."""
    from huggingface_hub import constants

    if not _reachable(address or constants.ENDPOINT):
        raise TgrError(f"{what} are not in the cache, and their server cannot be reached; {ALTERNATIVES}")


def _not_downloaded(what: str, error: Exception) -> TgrError:
    return TgrError(f"{what} could not be downloaded ({first_line(error)}); {ALTERNATIVES}")


def _reachable(address: str) -> bool:
    """Return whether the server at `address` gives any response within PROBE_SECONDS.

    Instead of the hub's client, which retries for 40 s. In a thread, as a DNS lookup can exceed any timeout.
    """
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask() -> None:
        try:
            httpx.head(address, timeout=PROBE_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ImportError, ValueError):  # or bad proxy settings
            return
        answered.set()

    probe = threading.Thread(target=ask, daemon=True)
    probe.start()
    probe.join(PROBE_SECONDS)
    return answered.is_set()
