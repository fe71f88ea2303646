"""Runs every case of a folder and prints one line for each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tests.parity.cases import KINDS, ROUNDED, Kind, Pairs
from tests.parity.golden import Released, read_golden
from vbbench.attention import BACKENDS
from vbbench.errors import VBBenchError

NOT_CASES = ("weights_*.safetensors", "*_keys.json", "*_keys.txt", "README.md")
"""Files that belong to a golden folder and are no cases."""


def main(arguments: Sequence[str]) -> int:
    """Compare a folder; returns the exit code."""
    chosen = _options(arguments)
    if chosen is None:
        print(
            f"usage: python -m tests.parity DIR [--backend NAME] [--dtype {' | '.join(ROUNDED)}]",
            file=sys.stderr,
        )
        return 2
    folder, backend, dtype = chosen
    if backend is not None and backend not in BACKENDS:
        print(
            f"there is no attention backend {backend}; there are {', '.join(BACKENDS)}",
            file=sys.stderr,
        )
        return 2
    if not folder.is_dir():
        print(f"{folder} is not a folder", file=sys.stderr)
        return 2
    files = sorted(
        path for path in folder.iterdir() if not any(path.match(pattern) for pattern in NOT_CASES)
    )
    cases = [(path, kind) for path in files if (kind := _kind(path)) is not None]
    for path in files:
        if _kind(path) is None:
            print(f"{path.name:32} unknown: no kind of case is named so")
    if not cases:
        print(f"{folder} holds no case", file=sys.stderr)
        return 2
    released = Released(folder, backend, dtype)
    results = [_report(path, kind, released) for path, kind in cases]
    print(f"{sum(results)} of {len(results)} cases within tolerance")
    return 0 if all(results) else 1


def _options(arguments: Sequence[str]) -> tuple[Path, str | None, torch.dtype] | None:
    """Folder, backend and dtype; None where the words cannot be understood."""
    words = dict(zip(arguments[1::2], arguments[2::2], strict=False))
    known = set(words) <= {"--backend", "--dtype"} and words.get("--dtype", "float32") in (
        "float32",
        *ROUNDED,
    )
    if len(arguments) != 1 + 2 * len(words) or not known:
        return None
    return (
        Path(arguments[0]),
        words.get("--backend"),
        getattr(torch, words.get("--dtype", "float32")),
    )


def _kind(path: Path) -> Kind | None:
    if path.suffix != ".safetensors":
        return None
    return next((kind for start, kind in KINDS.items() if path.stem.startswith(start)), None)


def _report(path: Path, kind: Kind, released: Released) -> bool:
    bound, unit = kind.tolerance, " of the maximum" if kind.relative else ""
    try:
        golden = read_golden(path)
        if released.dtype == torch.float32 or kind.rounded is None:
            difference = _largest(
                kind.run(golden, released), _of_maximum if kind.relative else _absolute
            )
        else:
            bound, unit = (
                kind.rounded * ROUNDED[str(released.dtype).removeprefix("torch.")],
                " of the root mean square",
            )
            difference = _largest(
                kind.run(golden.rounded(released.dtype), released), _of_mean_square
            )
    except KeyError as error:
        print(f"{path.stem:32} MISS: the file lacks {error}")
        return False
    except (VBBenchError, ValueError, RuntimeError) as error:
        print(f"{path.stem:32} MISS: {error}")
        return False
    fine = difference <= bound
    print(
        f"{path.stem:32} {difference:.2e} (tolerance {bound:.0e}{unit})  {'ok' if fine else 'MISS'}"
    )
    return fine


def _absolute(ours: Tensor, recorded: Tensor) -> float:
    return (ours - recorded).abs().max().item()


def _of_maximum(ours: Tensor, recorded: Tensor) -> float:
    return _absolute(ours, recorded) / recorded.abs().max().item()


def _of_mean_square(ours: Tensor, recorded: Tensor) -> float:
    return ((ours - recorded).norm() / recorded.norm()).item()


@torch.no_grad()
def _largest(pairs: Pairs, difference_of: Callable[[Tensor, Tensor], float]) -> float:
    largest = 0.0
    for ours, recorded in pairs:
        if ours.shape != recorded.shape:
            return float("inf")
        difference = difference_of(ours.double(), recorded.double())
        # max() would drop a NaN
        largest = difference if not difference <= largest else largest
    return largest
