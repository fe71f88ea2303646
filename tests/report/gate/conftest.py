"""The run that gives every kind of verdict, from the tests of the gate's numbers."""

from tests.results.gate.conftest import case

__all__ = ["case"]
