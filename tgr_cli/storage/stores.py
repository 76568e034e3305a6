"""The stores that paths may lie in, by scheme, and their errors as sentences.

fsspec's file systems raise whatever their clients raise, and some of their questions answer "no" to a failure: `exists`
is False while a server is down. So tgr asks `info` alone, and every call runs within `asking`.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from tgr_cli.errors import TgrError, did_you_mean, first_line

EXTRA = 'pip install "tgr[cloud]"'
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")  # C:/ is none
WRITTEN = "written"
VERSIONED = "?versionId="  # s3fs cuts keys here, and would write to what is before it
LOCAL = "file"  # file:///folder is a folder of this machine
NO_CREDENTIALS = re.compile("Credential|ProfileNotFound|TokenRetrieval|SSO|InvalidAccessKeyId|SignatureDoesNotMatch")


@dataclass(frozen=True)
class Store:
    """What tgr relies on in a store.

    `whole_puts`: an object appears whole or not at all, and replaces another at once; elsewhere a file is uploaded
    under another name and copied. `credentials` says where they come from. `buckets`: whether the first part of a path
    is a bucket, which must exist.
    """

    whole_puts: bool = True
    buckets: bool = True
    credentials: str = ""


_S3 = Store(credentials="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
_GS = Store(credentials='run "gcloud auth application-default login", or set GOOGLE_APPLICATION_CREDENTIALS')
STORES: Mapping[str, Store] = {
    "s3": _S3,
    "s3a": _S3,
    "gs": _GS,
    "gcs": _GS,
    "memory": Store(whole_puts=False, buckets=False),
}

# A scheme without slashes, after a space or in capitals is a slip, and no name of a folder.
ALMOST = re.compile(rf"\s*({'|'.join((*STORES, LOCAL))}):", re.IGNORECASE)


def scheme_of(text: str) -> str | None:
    """Return the scheme of a path in a store, in lower case; None for other texts. pathlib makes s3:/ of s3://."""
    found = SCHEME.match(text)
    return scheme if found and (scheme := found[1].lower()) in STORES else None


def refuse_unknown(text: str) -> None:
    """Raise TgrError for a text that looks like an address, and is neither in a known store nor file:///…

    As a path of this machine it would silently name a new folder, such as "s3:". In stores, ".." is a name like others.
    One slash is taken for two of an unknown scheme, unless there is such a folder.
    """
    if text.startswith(f"{LOCAL}:///"):
        return
    if scheme := scheme_of(text):
        if ".." in text.split("/"):
            raise TgrError(f'"{text}" has ".." in it, which no store resolves; write the path without it')
        if VERSIONED in text:
            raise TgrError(f'"{text}" names a version, where tgr reads and writes the newest; leave "{VERSIONED}…" out')
        if STORES[scheme].buckets and not text.partition(":")[2].strip("/"):
            raise TgrError(f'"{text}" names no bucket; write {scheme}://bucket/…')
    elif found := ALMOST.match(text):
        written = f"{LOCAL}:///folder" if found[1].lower() == LOCAL else f"{found[1].lower()}://bucket/…"
        raise TgrError(f'"{text}" is no address as tgr reads it; write {written}, all of it, with no space before')
    elif "://" in text or (reads_as_address(text) and not os.path.lexists(text.partition("/")[0])):
        known = ", ".join(f"{name}://" for name in STORES)
        here = "a path of this machine" if "://" in text else f"./{text} for a path of this machine"
        raise TgrError(
            f'"{text}" lies in no store that tgr knows; use {known}, or {here}.'
            + did_you_mean(text.partition(":")[0], STORES)
        )


def refuse_one_slash(text: str) -> None:
    """Raise TgrError for a typed s3:/bucket; as text of a `Path`, which has lost a slash, it is an address."""
    scheme, _, rest = text.partition(":")
    if scheme_of(text) and not rest.startswith("//"):
        raise TgrError(f'"{text}" is no address as tgr reads it; write {scheme}://{rest.lstrip("/")}, with two slashes')


def reads_as_address(text: str) -> bool:
    """Return whether a text begins as an address does, whatever its scheme, even with one slash."""
    return bool(SCHEME.match(text))


@cache
def file_system(scheme: str) -> Any:
    """Return fsspec's file system of a scheme; raises TgrError where its package is not installed.

    It keeps no listings: other machines write to the same folders.
    """
    try:
        import fsspec

        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        raise TgrError(f"{scheme}:// needs a package that is not installed; install it with {EXTRA}") from error


@contextmanager
def asking(path: object, scheme: str, what: str) -> Iterator[None]:
    """Context manager: raise TgrError where a store fails; `what` is done to `path`, such as "read".

    FileNotFoundError passes, as for files of this machine, but for what is written, which needs nothing to be there.
    """
    try:
        yield
    except TgrError:
        raise
    except FileNotFoundError as error:
        if what != WRITTEN:
            raise
        raise TgrError(f"{path} cannot be {what}: its bucket is gone; make it again, or name another") from error
    except Exception as error:  # each client has exceptions of its own, with no base in common
        raise TgrError(f"{path} cannot be {what}: {_in_words(error, scheme)}") from error


def _in_words(error: Exception, scheme: str) -> str:
    said = first_line(error).rstrip(".")
    names = " ".join(each.__name__ for each in type(error).__mro__)
    if NO_CREDENTIALS.search(f"{names} {error.__cause__!r} {said}"):
        return f"the store takes no such credentials ({said}); {STORES[scheme].credentials}"
    if isinstance(error, PermissionError):
        return f"the store does not allow it ({said}); tgr lists, reads, writes and deletes there"
    return f"the store does not answer as it should ({said}); look at the network, and give the same command again"
