"""Print texts per second of `tgr embed` and of a bare open_clip loop, and the difference of their results.

python benchmarks/embed_speed.py [--texts 5000] [--model ViT-B-32] [--device cpu] [--threads 2]

The model has random weights, saved and loaded again. The texts are ImageNet's five questions about each class. Batches
of 64 are run by both in alternating order, so that background load affects both equally; CPU time, which it affects
less, is printed too. tgr's time covers everything but loading: reading the prompts, counting truncated texts, the
spread of each class, the closest pairs of classes, and writing the file. The bare loop tokenises, encodes, normalises
and stores.
"""

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import EMBEDDINGS
from tgr_cli.data.built_in import class_names
from tgr_cli.data.source import DataSource
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.steps import embed
from tgr_cli.text import prompts
from tgr_cli.text.encoders import Encoder
from tgr_cli.text.openclip import BATCH, OpenClip

CLOCKS = ("wall time", "processor time")
CHECKED = 20  # number of classes compared with open_clip's own zero-shot head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # open_clip warns about random weights
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Print both rates, their ratio, and the largest difference from open_clip's head."""
    torch.manual_seed(0)
    torch.save(open_clip.create_model(options.model).state_dict(), folder / "random.pt")
    questions = prompts.load("imagenet").questions
    (folder / "prompts.toml").write_text(f"templates = {json.dumps(questions)}\n", encoding="utf-8")
    both = Both(OpenClip(options.model, str(folder / "random.pt"), device=options.device), options.device)
    config = embed.Config(
        data=of_classes(folder, options.texts // len(questions)),
        init="template",
        prompts=folder / "prompts.toml",
        clip_model=options.model,
        clip_pretrained=str(folder / "random.pt"),
        workdir=folder,
    )
    with patch.object(embed, "_encoder", lambda *_: both):
        start = clocks()
        result = embed.run(config)
        ours = clocks() - start - both.bare
    texts = result.digest.texts
    print(
        f"open_clip {open_clip.__version__}, torch {torch.__version__}, {options.model} on {options.device}, ", end=""
    )
    print(f"{options.threads} threads, {texts} texts of {result.digest.classes} classes, batches of {BATCH}")
    for clock, bare, tgr, encoding in zip(CLOCKS, both.bare, ours, both.encoding, strict=True):
        print(f"{clock}: bare loop {texts / bare:.2f} texts/s, tgr embed {texts / tgr:.2f} texts/s", end="")
        print(f" (encoding alone {texts / encoding:.2f}): {bare / tgr:.3f} of the bare rate")
    rows_CE = np.stack(store.read(result.path, EMBEDDINGS).column("embedding"))[:CHECKED]
    names = store.read(result.path, EMBEDDINGS).table["class_name"].to_pylist()[:CHECKED]
    filled = prompts.read(folder / "prompts.toml")
    templates = [lambda name, text=text: filled.render(text, 0, name) for text in filled.templates]
    head_CE = open_clip.build_zero_shot_classifier(
        both.encoder.model, both.encoder.tokenizer, names, templates, device=options.device
    )
    difference = np.abs(rows_CE - head_CE.T.cpu().numpy()).max()
    print(f"largest difference from open_clip's zero-shot head, {len(names)} classes: {difference:.1e}")


def clocks() -> np.ndarray:
    """Return the current time of each of CLOCKS, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def of_classes(folder: Path, count: int) -> DataSource:
    """Return a data set without images that has the first `count` classes of ImageNet."""
    empty = pa.table({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())})
    names = "\n".join(class_names("imagenet")[:count])
    pq.write_table(empty.replace_schema_metadata({"classes": names}), folder / "test.parquet")
    return DataSource(dataset=f"parquet:{folder}", name="subset")


class Both(Encoder):
    """tgr's encoder, alternating with a bare loop on the same batches; `bare` and `encoding` are seconds by CLOCKS."""

    def __init__(self, encoder: OpenClip, device: str) -> None:
        self.encoder, self.device, self.name, self.inputs = encoder, device, encoder.name, encoder.inputs
        self.bare, self.encoding = np.zeros(2), np.zeros(2)
        self.first = True

    def encode(self, texts: Sequence[str], reporter: Reporter = SILENT) -> np.ndarray:
        rows: list[np.ndarray] = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            self.first = not self.first
            for bare in (self.first, not self.first):
                begin = clocks()
                if bare:
                    self._bare(batch)
                    self.bare += clocks() - begin
                else:
                    rows.append(self.encoder.encode(batch, reporter))
                    self.encoding += clocks() - begin
        return np.concatenate(rows)

    def _bare(self, batch: list[str]) -> torch.Tensor:
        with torch.inference_mode():
            tokens_BL = self.encoder.tokenizer(batch).to(self.device)
            return self.encoder.model.encode_text(tokens_BL, normalize=True).cpu()


if __name__ == "__main__":
    main()
