"""Validation of head options without importing torch."""

from pathlib import Path

from tgr_cli.artifacts.layout import INITS
from tgr_cli.errors import TgrError, one_of
from tgr_cli.models.source import HEADS

TEXT_INITS = tuple(name for name in INITS if name != "random")  # of a text head: made of words


def refuse_meaningless(head: str, init: str | None, embeddings: Path | None, embedding_dim: int | None) -> None:
    """Raise TgrError for an unknown head or initialisation, and for an option that the head does not use."""
    one_of("--head", head, HEADS)
    one_of("--init", init, TEXT_INITS)
    if init is not None and head != "text":
        raise TgrError(f'--init {init} has no meaning for --head {head}; use "--head text"')
    if embeddings is not None and head != "text":
        raise TgrError(f'--embeddings has no meaning for --head {head}; use "--head text"')
    if embedding_dim is not None and head != "cosine":
        raise TgrError(
            f"--embedding-dim has no meaning for --head {head}; it sets the size of the random matrix of "
            '"--head cosine", a text head has that of its embeddings'
        )
