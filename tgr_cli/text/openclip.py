"""open_clip text encoders, their weights and tokenizers."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np

from tgr_cli import defaults
from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.errors import TgrError
from tgr_cli.paths import real
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text import clip_weights
from tgr_cli.text.encoders import Encoder
from tgr_cli.text.initialise import unit_rows

BATCH = 64


@final
class OpenClip(Encoder):
    """A CLIP text encoder: an open_clip model with a pretrained tag or local checkpoint, hf-hub:… or local-dir:….

    `precision` is one of PRECISIONS in `clip_weights`, with open_clip's meaning: layer norms stay in fp32. Raises
    TgrError if model, tag, file or tokenizer is unknown, unsuitable or unavailable.
    """

    def __init__(
        self,
        model: str = defaults.CLIP_MODEL,
        pretrained: str = defaults.CLIP_PRETRAINED,
        *,
        device: str = defaults.DEVICE,
        precision: str = defaults.PRECISION,
    ) -> None:
        weights = clip_weights.find(model, pretrained)
        self.name = f"open_clip {_name(model, pretrained)}"
        self.inputs = {"weights": sha256_file(weights)}
        self.device, self.precision = device, precision
        self.tokenizer = _tokenizer(model)
        self.model = _load(model, weights, device, precision)
        # The last but one: CLIPS tokenizers put their class token last.
        self.padding = int(self.tokenizer([""])[0, -2])

    def encode(self, texts: Sequence[str], reporter: Reporter = SILENT) -> np.ndarray:
        import torch

        rows, self.truncated = [], 0
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                batch = list(texts[start : start + BATCH])
                tokens_BL = self.tokenizer(batch)
                self.truncated += self._cut(batch, tokens_BL)
                rows.append(self._features(tokens_BL.to(self.device)).float().cpu().numpy())
                reporter.progress("texts embedded", start + len(batch), len(texts))
        if self.truncated:
            reporter.note(
                f"{self.truncated} of {len(texts)} texts are longer than the {self.tokenizer.context_length} tokens "
                f"that {self.name} reads, and were cut there"
            )
        rows_NE = np.concatenate(rows)
        if not (np.isfinite(rows_NE).all() and rows_NE.any(axis=1).all()):
            raise TgrError(
                f"{self.name} gives numbers that are not finite, or zero rows; use another checkpoint or --precision"
            )
        return unit_rows(rows_NE)

    def _features(self, tokens_BL: Any) -> Any:
        try:
            return self.model.encode_text(tokens_BL)
        except RuntimeError as error:
            if self.precision == "fp32" or "dtype" not in str(error):
                raise
            # Some models, such as CoCa, keep a part of the text tower in fp32.
            raise TgrError(
                f"{self.name} cannot compute in {self.precision} ({_reason(error)}); use --precision fp32"
            ) from error

    def _cut(self, texts: list[str], tokens_BL: Any) -> int:
        """Return how many texts were truncated, by tokenizing them again with one token more.

        The padding alone is ambiguous: SigLIP's tokenizers pad with the end-of-text token. Rows without padding at the
        end may be truncated, and only those are tokenized again.
        """
        full_B = (tokens_BL[:, -3:] != self.padding).any(dim=1)
        if not full_B.any():
            return 0
        full = [text for text, is_full in zip(texts, full_B.tolist(), strict=True) if is_full]
        # the class token of CLIPS moves with the end: exclude it
        kept = tokens_BL.shape[1] - (getattr(self.tokenizer, "tokenizer_mode", "") == "clips")
        roomier_BL = self.tokenizer(full, context_length=tokens_BL.shape[1] + 1)
        return int((roomier_BL[:, :kept] != tokens_BL[full_B][:, :kept]).any(dim=1).sum())


def _name(model: str, pretrained: str) -> str:
    """Return the model's name without the path of a local file or folder."""
    if model.startswith(clip_weights.HUB):
        return model
    if model.startswith(clip_weights.FOLDER):
        return clip_weights.FOLDER + real(Path(model.removeprefix(clip_weights.FOLDER))).name
    return f"{model}/{Path(pretrained).name}"


def _tokenizer(model: str) -> Any:
    import open_clip

    settings = _text_settings(model)
    source = settings.get("hf_tokenizer_name")
    try:
        with _undisturbed(), clip_weights.hub(needed=bool(source) and not model.startswith(clip_weights.FOLDER)):
            return open_clip.get_tokenizer(model)
    except ImportError as error:
        raise TgrError(
            f"the tokenizer of {model} needs the transformers package; run: pip install 'tgr[transformers]'"
        ) from error
    except Exception as error:  # the hub's client and transformers raise many unrelated exception types
        reason = _reason(error).split(". ")[0]
        raise TgrError(
            f"the tokenizer of {model} ({source or 'open_clip'}) could not be had ({reason}); run once with a "
            "network, use --clip-model local-dir:FOLDER with the tokenizer in the folder, or --encoder tfidf"
        ) from error


def _text_settings(model: str) -> dict[str, Any]:
    import open_clip

    try:
        with clip_weights.hub(needed=False):
            return dict(open_clip.get_model_config(model)["text_cfg"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TgrError(f"{model} has no readable {clip_weights.SETTINGS} ({_reason(error)}); save it anew") from error


def _load(model: str, weights: Path, device: str, precision: str) -> Any:
    import open_clip

    bundled = model.startswith((clip_weights.HUB, clip_weights.FOLDER))
    pretrained = None if bundled else str(weights)
    try:
        with _undisturbed(), clip_weights.hub(needed="hf_model_name" in _text_settings(model)):
            loaded = open_clip.create_model(
                model, pretrained=pretrained, device=device, precision=precision, require_pretrained=True
            )
    except MemoryError:
        raise
    except Exception as error:  # a damaged file may raise anything in open_clip's loaders and layers
        if "TorchScript" in str(error):
            raise TgrError(
                f"{weights} is a TorchScript archive, which holds code (OpenAI's own files are such); use the tag "
                "openai, or save the weights alone, as a state dict"
            ) from error
        advice = "check its configuration" if bundled else "name the model it was saved from with --clip-model"
        raise TgrError(
            f"{weights} could not be loaded into open_clip's {model} on {device} ({_reason(error)}); {advice}"
        ) from error
    return loaded.eval()


def _reason(error: Exception) -> str:
    return " ".join(str(error).strip().splitlines()[:2])[:200] or type(error).__name__


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Context manager that silences open_clip's logging: errors are reported as one TgrError."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'torch.load' received a zip file")  # an error follows it
            yield
    finally:
        root.handlers[:] = handlers  # logging without a handler adds one permanently
        logging.disable(level)
