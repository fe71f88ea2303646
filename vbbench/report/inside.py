"""Paths that a run folder names: a run folder from elsewhere must not make a report read, and copy, other files."""

from __future__ import annotations

import os
from pathlib import Path

from vbbench.errors import RunFolderError


class Inside:
    """Paths inside of a folder. Links are followed; what a folder of files is, is looked up once for all of its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = os.path.realpath(folder)
        self._real: dict[Path, str] = {}

    def path(self, relative: str) -> Path:
        """A path of the folder.

        Raises:
            RunFolderError: it lies outside.
        """
        path = self._folder / relative
        if not f"{self._real_path(path)}{os.sep}".startswith(self._root.rstrip(os.sep) + os.sep):
            raise RunFolderError(f"{self._folder} names a file outside itself: {relative}.")
        return path

    def _real_path(self, path: Path) -> str:
        if path.name in ("", ".."):
            return os.path.realpath(path)
        parent = path.parent
        if parent not in self._real:
            self._real[parent] = os.path.realpath(parent)
        end = os.path.join(self._real[parent], path.name)
        return os.path.realpath(end) if os.path.islink(end) else end
