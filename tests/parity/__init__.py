"""Holds our classes against recorded outputs of the released VideoBooth code: ``python -m
tests.parity DIR``.

DIR is a folder of golden files: ``tests/files/golden`` (a selection) or the whole set,
``../shared/golden``. `--dtype bfloat16` evaluates the networks in it, within the bounds of
`tests.parity.cases`. One line a case file: the largest difference, its tolerance, ok or MISS. Exit
code 0: all within tolerance; 1: a miss; 2: DIR holds no case.
"""
