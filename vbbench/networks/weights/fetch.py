"""Single files of the hub: from its cache, else downloaded, as the hub has them at that moment.

The released repositories are not pinned, since nobody here could look at them; the commit and the
digest of what was fetched are recorded in the cards of the weights that are made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vbbench.core import hub, paths
from vbbench.errors import WeightsError, reason_of
from vbbench.networks.weights.catalog import Published


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
    if missing and (refusal := hub.refusal()):
        raise _not_at_hand(missing, refusal)
    for each in missing:
        try:
            path = hub.download_file(each.repository, each.file)
        except WeightsError:
            raise
        except Exception as error:  # the hub's client raises of everything: its own errors, its HTTP library's, the system's
            lacking = [one for one in missing if found[one] is None]
            why = f"downloading {each.file} failed: {reason_of(error)}"
            raise _not_at_hand(lacking, why) from error
        found[each] = _fetched(path, each)
    return [fetched for fetched in found.values() if fetched is not None]


def _cached(wanted: Published) -> Fetched | None:
    path = hub.cached_file(wanted.repository, wanted.file)
    return None if path is None else _fetched(path, wanted)


def _fetched(path: Path, wanted: Published) -> Fetched:
    commit = path.parts[-len(Path(wanted.file).parts) - 1]  # .../snapshots/<commit>/<file>
    return Fetched(path, f"{wanted.repository}@{commit}")


def _not_at_hand(missing: Sequence[Published], why: str) -> WeightsError:
    folder = paths.weights_dir("sd14")
    files = ", ".join(
        f"{each.file} of https://huggingface.co/{each.repository}" for each in missing
    )
    return WeightsError(
        f"not at hand: {files}. Download them where there is a network, put them into a folder (sub-folders and other names are fine) and "
        f"run `vbbench weights convert FOLDER`, which writes to {folder}; {why}."
    )
