"""The command line. One file a command; what a command needs is imported when it runs, so that
``--help`` is quick.

Exit codes: 0 done; 1 a check failed; 2 usage or bad input; 3 incomplete; 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from vbbench.cli.log_lines import spoken
from vbbench.core.version import __version__
from vbbench.errors import UsageError, VBBenchError

COMMANDS = (
    "run",
    "score",
    "report",
    "claims",
    "power",
    "profile",
    "sample",
    "new",
    "models",
    "suites",
    "metrics",
    "weights",
    "gate",
    "train",
    "tune",
    "data",
    "world",
)
INTERRUPTED = 130
# What the machine refuses, not what the program got wrong: told in a sentence.
_REFUSALS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EIO,
    errno.EMFILE,
    errno.EFBIG,
}
_REFUSALS |= {
    errno.EEXIST,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOLCK,
}


class Parser(argparse.ArgumentParser):
    """Ends a wrong command line with a sentence."""

    def error(self, message: str) -> NoReturn:
        """Raises `UsageError` where argparse would print and exit."""
        raise UsageError(f"{message}; `{self.prog} --help` tells more.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments, without the program's name; those of the process by default.
    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(
        sys.stdout, io.TextIOWrapper
    ):  # a name that the terminal cannot show must not end a run
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with spoken():
            return _main(arguments)
    except VBBenchError as error:
        print(f"vbbench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("vbbench: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `vbbench models | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        print(f"vbbench: {error.filename or 'the disk'}: {error.strerror}.", file=sys.stderr)
        return VBBenchError.exit_code


def _main(arguments: list[str]) -> int:
    _check_command(arguments)
    parser = make_parser()
    try:
        options, unknown = parser.parse_known_args(arguments)
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    if unknown:
        command = f"vbbench {arguments[0]}" if arguments[0] in COMMANDS else "vbbench"
        raise UsageError(
            f"unrecognized arguments: {' '.join(unknown)}; `{command} --help` tells more."
        )
    if not hasattr(options, "command"):
        parser.print_help()
        return UsageError.exit_code
    return options.command(options)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; each command adds its own part."""
    parser = Parser(
        prog="vbbench",
        description="Evaluation and benchmarking of image-prompted video generation.",
    )
    parser.add_argument("--version", action="version", version=f"vbbench {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for name in COMMANDS:
        importlib.import_module(f"vbbench.cli.{name}").add_parser(commands)
    return parser


def _check_command(arguments: list[str]) -> None:
    """A wrong command is answered with the nearest one, not with a list of all."""
    word = next((word for word in arguments if not word.startswith("-")), None)
    if word is not None and word == arguments[0] and word not in COMMANDS:
        from vbbench.core.names import nearest

        raise UsageError(f"there is no command {word!r}: {nearest(word, COMMANDS)}")
