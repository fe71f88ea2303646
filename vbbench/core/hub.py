"""The only door to the Hugging Face hub: its local cache, and downloads where they are allowed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from vbbench.core.digests import file_digest
from vbbench.core.paths import OFFLINE_VARIABLES
from vbbench.errors import WeightsError

TIMEOUT_S = 5.0
"""Seconds after which a hub that does not answer counts as out of reach."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OFF = ("", "0", "no", "off", "false")


def refusal() -> str | None:
    """Why nothing may be downloaded, as half a sentence that names the environment variable; None
    where downloads are allowed."""
    for name in OFFLINE_VARIABLES:
        if os.environ.get(name, "").strip().lower() not in _OFF:
            return f"nothing was downloaded, because {name} is set"
    return None


def cached_file(repository: str, file: str, revision: str | None = None) -> Path | None:
    """A file in the hub's local cache; None where it is not in it.

    Args:
        repository: ``owner/name``.
        revision: a commit or branch; None: the main branch.
    """
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


def published_digest(repository: str, file: str, revision: str | None = None) -> str | None:
    """The SHA-256 that the hub states of a file; None where it states none. Asks the hub.

    Raises:
        Exception: nobody answers within `TIMEOUT_S`, or there is no such file; the hub's client
            raises of everything, which `reason_of` puts into words.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    address = hf_hub_url(repository, file, revision=revision)
    stated = get_hf_file_metadata(address, timeout=TIMEOUT_S).etag or ""
    return stated if _SHA256.fullmatch(stated) else None


def download_file(repository: str, file: str) -> Path:
    """Fetch a file into the hub's cache, with the client's own progress bar.

    Raises:
        WeightsError: it came damaged.
        Exception: as `published_digest`.
    """
    from huggingface_hub import hf_hub_download

    # asked first: where nobody answers, the download itself would try again for minutes
    published = published_digest(repository, file)
    path = Path(hf_hub_download(repository, file, etag_timeout=TIMEOUT_S))
    if published is not None and file_digest(path) != published:
        raise WeightsError(
            f"{path} came damaged: its SHA-256 is not the {published[:12]} that the hub states; "
            "delete it and fetch it again."
        )
    return path


def folder_of(repository: str, revision: str, patterns: Sequence[str], *, local: bool) -> Path:
    """Folder of a repository's files in the hub's cache.

    Args:
        revision: a commit.
        patterns: of the names of the files that are wanted.
        local: take what is in the cache; else what is missing is downloaded.
    Raises:
        Exception: as `published_digest`.
    """
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            repository,
            revision=revision,
            allow_patterns=list(patterns),
            local_files_only=local,
        )
    )
