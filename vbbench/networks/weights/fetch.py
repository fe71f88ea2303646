"""Single files of the hub: from its cache, else downloaded, as the hub has them at that moment.

The released repositories are not pinned, since nobody here could look at them; the commit and the
digest of what was fetched are recorded in the cards of the weights that are made of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vbbench.core import paths
from vbbench.core.digests import file_digest
from vbbench.errors import WeightsError
from vbbench.networks.weights.catalog import Published
from vbbench.networks.weights.pretrained import TIMEOUT_S

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Fetched:
    """A published file that is here now.

    Attributes:
        path: in the hub's cache.
        origin: ``owner/name@commit``.
    """

    path: Path
    origin: str


def fetch_files(wanted: Sequence[Published]) -> list[Fetched]:
    """The files, each from the hub's cache or downloaded into it.

    Raises:
        WeightsError: files that are not here cannot be had: all of them are named, with what to put
            where; or one came damaged.
    """
    found = {each: _cached(each) for each in wanted}
    missing = [each for each, fetched in found.items() if fetched is None]
    if missing and (switched_off := paths.download_forbidden_by()):
        raise _not_at_hand(missing, f"nothing was downloaded, because {switched_off} is set")
    for each in missing:
        try:
            found[each] = _download(each)
        except WeightsError:
            raise
        except Exception as error:  # the hub's client raises of everything: its own errors, its HTTP library's, the system's
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            lacking = [one for one in missing if found[one] is None]
            raise _not_at_hand(lacking, f"downloading {each.file} failed: {reason}") from error
    return [fetched for fetched in found.values() if fetched is not None]


def _cached(wanted: Published) -> Fetched | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(wanted.repository, wanted.file)
    return _fetched(Path(found), wanted) if isinstance(found, str) else None


def _fetched(path: Path, wanted: Published) -> Fetched:
    commit = path.parts[-len(Path(wanted.file).parts) - 1]  # .../snapshots/<commit>/<file>
    return Fetched(path, f"{wanted.repository}@{commit}")


def _download(wanted: Published) -> Fetched:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    # asked first: where nobody answers, the download itself would try again for minutes
    facts = get_hf_file_metadata(hf_hub_url(wanted.repository, wanted.file), timeout=TIMEOUT_S)
    path = Path(hf_hub_download(wanted.repository, wanted.file, etag_timeout=TIMEOUT_S))
    published = facts.etag or ""
    if _SHA256.fullmatch(published) and file_digest(path) != published:
        raise WeightsError(
            f"{path} came damaged: its SHA-256 is not the {published[:12]} that the hub states; delete it and fetch it again."
        )
    return _fetched(path, wanted)


def _not_at_hand(missing: Sequence[Published], why: str) -> WeightsError:
    folder = paths.weights_dir("sd14")
    files = ", ".join(
        f"{each.file} of https://huggingface.co/{each.repository}" for each in missing
    )
    return WeightsError(
        f"not at hand: {files}. Download them where there is a network, put them into a folder (sub-folders and other names are fine) and "
        f"run `vbbench weights convert FOLDER`, which writes to {folder}; {why}."
    )
