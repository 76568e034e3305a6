"""How likely each image is to be struck: doubtful images more often, because they carry most of the effect.

A fault changes the loss of a confident prediction hardly at all, and its class even less, so that a few images with a
small Top2Diff hold most of the variance between faults. A fault f of image i is therefore drawn with

    UNIFORM + (WITHIN + OVER · R_i) · Q_f

times its uniform probability. R_i is 1 - Top2Diff of the image's golden prediction over its mean, and Q_f the expected
effect of the fault over its mean within the image (importance.py); both average to 1. The image is drawn first, with

    chance_i = UNIFORM + WITHIN + OVER · R_i

times the uniform probability, then the fault within it, uniformly with probability UNIFORM / chance_i and in proportion
to Q otherwise. UNIFORM bounds the weight of a fault (by 1 / UNIFORM) whatever R and Q say, and WITHIN that of faults
whose effect Q foresees in images that R takes for harmless.

A change of a logit itself changes the loss by about as much in every image, so R is 1 at a site that is the logits.

Suffixes: N images of the pool, I eligible ones in the order in which they are struck.
"""

import numpy as np

UNIFORM, WITHIN, OVER = 0.1, 0.1, 0.8


def chances(doubt_I: np.ndarray, *, logits: bool) -> np.ndarray:
    """Return each image's probability of being struck, relative to equally likely images, [I]; the mean is 1.

    `doubt_I` is 1 - Top2Diff of the golden run. Images are equally likely if it is 0 in all of them, and at a site that
    gives the `logits`.
    """
    mean = float(doubt_I.mean())
    if logits or not mean > 0:
        return np.ones(len(doubt_I))
    chance_I = UNIFORM + WITHIN + OVER * doubt_I / mean
    return np.asarray(chance_I / chance_I.mean())


def uniform_share(chance_Q: np.ndarray) -> np.ndarray:
    """Return the share of the faults of images with these chances that is drawn uniformly within the image."""
    return UNIFORM / chance_Q
