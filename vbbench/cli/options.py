"""Kinds of numbers on the command line; a wrong one is told before anything is done."""

from __future__ import annotations

import argparse
import math


def at_least(lowest: int, text: str) -> int:
    """The whole number that the text says.

    Raises:
        argparse.ArgumentTypeError: none, or below ``lowest``.
    """
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid int value: {text!r}") from None
    if number < lowest:
        raise argparse.ArgumentTypeError(f"must be at least {lowest}, not {number}")
    return number


def positive(text: str) -> int:
    """A number of steps, threads, items: 1 or more."""
    return at_least(1, text)


def seed(text: str) -> int:
    """A seed: 0 or more."""
    return at_least(0, text)


def finite(text: str) -> float:
    """A number that is neither infinite nor NaN."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid float value: {text!r}") from None
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"must be finite, not {text}")
    return number
