"""scikit-learn's digits: 1,797 grey 8×8 images that need no download."""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tgr_cli.data.images import ImageSet, Split, checked

if TYPE_CHECKING:
    import numpy as np  # slow to import; imported in the functions that need it

SHARE_FOR_EVALUATION = 0.2
STORED = Path("datasets", "data", "digits.csv.gz")  # within scikit-learn's package


@dataclass(frozen=True)
class GreyArrays:
    """Adapter: index → the image of that row of a uint8 array [N, H, W]."""

    pixels: "np.ndarray"

    def __call__(self, number: int) -> Image.Image:
        return Image.fromarray(self.pixels[number])


def read(split: Split, names: tuple[str, ...]) -> ImageSet:
    """Return a split of the digits: the last fifth of each class is for evaluation.

    They are stored by writer, so splitting at the end of each class keeps most writers out of the other split.
    """
    import numpy as np

    pixels_NHW, labels_N = _stored()
    evaluation = np.zeros(len(labels_N), dtype=bool)
    for label in range(len(names)):
        of_class = np.flatnonzero(labels_N == label)
        evaluation[of_class[-round(SHARE_FOR_EVALUATION * len(of_class)) :]] = True
    chosen = np.flatnonzero(evaluation if split == "eval" else ~evaluation)
    word = "train" if split == "train" else "test"
    return checked(
        ImageSet(
            dataset="digits",
            split=split,
            classes=names,
            ids=tuple(f"{word}/{number:05}" for number in chosen),
            labels=labels_N[chosen],
            used=f"the {word} split of digits",
            read=GreyArrays(pixels_NHW[chosen]),
        )
    )


@cache
def _stored() -> "tuple[np.ndarray, np.ndarray]":
    """Return all pixels, uint8 [1797, 8, 8], and labels, int64 [1797], as scikit-learn stores them.

    Its file is read without importing scikit-learn, which takes a second, unless a release keeps it elsewhere.
    """
    import numpy as np

    package = find_spec("sklearn")
    found = [Path(place) / STORED for place in (package.submodule_search_locations if package else None) or ()]
    if found and found[0].is_file():
        table = np.loadtxt(found[0], delimiter=",")
        values, labels_N = table[:, :-1], table[:, -1]
    else:
        from sklearn.datasets import load_digits

        values, labels_N = load_digits(return_X_y=True)
    pixels_NHW = np.round(values.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return pixels_NHW, labels_N.astype(np.int64)
