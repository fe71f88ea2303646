"""The package tells through logging; the command line prints it, once."""

from __future__ import annotations

import logging

import pytest

from vbbench.cli.log_lines import spoken
from vbbench.core.log import LOG, TRAINING


def tell() -> None:
    LOG.info("the suite is rendered: 100 %s")
    TRAINING.info("toy: loss 0.1")
    logging.getLogger("vbbench.metrics").warning("mended")


def test_without_the_command_line_nothing_is_printed_but_warnings(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tell()
    assert capsys.readouterr() == ("", "")
    assert [record.message for record in caplog.records] == ["mended"]


def test_the_command_line_prints_each_sentence_once(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with spoken(), spoken():
        tell()
    printed = capsys.readouterr()
    assert printed.err == "vbbench: the suite is rendered: 100 %s\nvbbench: mended\n"
    assert printed.out == "toy: loss 0.1\n"
    assert caplog.records == []


def test_it_ends_also_by_an_error() -> None:
    before = (LOG.level, LOG.propagate, list(LOG.handlers))
    with pytest.raises(KeyboardInterrupt), spoken():
        raise KeyboardInterrupt
    assert (LOG.level, LOG.propagate, list(LOG.handlers)) == before
