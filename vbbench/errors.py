"""Every error a user can meet, as one tree.

VBBenchError                     exit code 2 unless a child says otherwise
├── UsageError                   a wrong name, option or combination of options
├── InputError                   a picture, text or video that cannot be used
├── SuiteError                   a suite folder that is damaged or inconsistent
├── RecipeError                  a recipe folder that cannot be understood
├── WeightsError                 weights that are missing, damaged or of another shape
├── RunFolderError               a run folder of another suite or plan, or damaged
├── CommandError                 a model's own program that crashed, hung, or made no video of the
kind asked for ├── PrerequisiteError            an optional package or program that is not installed
├── IncompleteError              exit code 3: some items failed, or cannot be compared
└── CheckFailed                  exit code 1: a check was made and did not pass
"""

from __future__ import annotations


class VBBenchError(Exception):
    """Base of all errors that end a command with one sentence instead of a traceback."""

    exit_code: int = 2
    details: str | None = (
        None  # more than a sentence can hold; kept in a file beside a run's records
    )


class UsageError(VBBenchError):
    """A wrong name, option or combination of options."""


class InputError(VBBenchError):
    """A picture, text or video that cannot be used."""


class SuiteError(VBBenchError):
    """A suite folder that is damaged or inconsistent."""


class RecipeError(VBBenchError):
    """A recipe folder that cannot be understood."""


class WeightsError(VBBenchError):
    """Weights that are missing, damaged or of another shape."""


class RunFolderError(VBBenchError):
    """A run folder that belongs to another suite or plan, or is damaged."""


class CommandError(VBBenchError):
    """A model's own program that crashed, hung, or made no video of the kind asked for.

    Args:
        details: the last lines of what it wrote.
    """

    def __init__(self, message: str, details: str | None = None) -> None:
        super().__init__(message)
        self.details = details


class PrerequisiteError(VBBenchError):
    """An optional package or program that is not installed; the message names the command that
    installs it."""


class IncompleteError(VBBenchError):
    """Some items failed, were not measured, or cannot be compared."""

    exit_code = 3


class CheckFailed(VBBenchError):
    """A check was made and did not pass."""

    exit_code = 1


def reason_of(error: BaseException) -> str:
    """What an error of another library says, for the middle of a sentence: its first line without
    the full stop, or its name where it says nothing."""
    lines = str(error).strip().splitlines()
    return (lines or [type(error).__name__])[0].rstrip(".")


def one_line(error: BaseException) -> str:
    """An error as the reason in a record: our own as their sentence, others with their kind."""
    text = " ".join(str(error).split())
    if isinstance(error, VBBenchError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
