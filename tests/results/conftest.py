"""The small run of the tests of reports, for this folder too."""

from tests.report.conftest import run_folder

__all__ = ["run_folder"]
