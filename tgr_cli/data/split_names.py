"""Recognising a split in a folder or file name, in any spelling: Training, val, valid, TEST, dev, seg_train …"""

import re
from collections.abc import Iterable
from typing import Literal

from tgr_cli.data.images import Split

Word = Literal["train", "val", "test"]

# The split for each word. Whole words only: "strain" and "contest" are not splits.
SPELLINGS: dict[str, Word] = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "eval", "evaluation", "holdout"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
WORDS: dict[Split, tuple[Word, ...]] = {"train": ("train",), "eval": ("val", "test")}

# Words without a meaning of their own next to a split's: "train_set", "TestData", "final_test_images", "val2017".
_FILLERS = frozenset(
    (
        *("set", "sets", "data", "dataset", "datasets", "split", "splits", "folder", "dir", "sample", "samples"),
        *("image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos"),
        *("all", "full", "final", "small", "large", "resized", "clean", "new", "original", "orig", "raw"),
    )
)
_GLUED = re.compile(rf"({'|'.join(sorted(SPELLINGS, key=len, reverse=True))})({'|'.join(sorted(_FILLERS))})")


def words(name: str) -> list[str]:
    """Return the words of a name without numbers: "segTrain_set2" gives seg, train, set."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    found = []
    for word in re.findall(r"[^\W\d_]+", parted.casefold()):
        glued = _GLUED.fullmatch(word)
        found += [glued[1], glued[2]] if glued else [word]
    return found


def of_file(name: str) -> Word | None:
    """Return the split named in a file name, whatever other words it has; None for none or several."""
    found = {SPELLINGS[word] for word in words(name) if word in SPELLINGS}
    return found.pop() if len(found) == 1 else None


def of_folders(names: Iterable[str]) -> dict[str, Word]:
    """Return the subfolders named after a split, and their splits.

    Beside the split's word a name may have words without meaning (`train_set`), or words shared by all of these
    subfolders (`seg_train`, `seg_test`).
    """
    candidates: dict[str, tuple[Word, frozenset[str]]] = {}
    for name in names:
        split = of_file(name)
        if split is not None:
            rest = frozenset(word for word in words(name) if word not in SPELLINGS and word not in _FILLERS)
            candidates[name] = (split, rest)
    return {
        name: split
        for name, (split, rest) in candidates.items()
        if not rest or any(other != split and shared == rest for other, shared in candidates.values())
    }
