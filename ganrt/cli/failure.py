"""What went wrong, as one sentence and an exit code."""

from __future__ import annotations

import sys
import traceback

import typer

from ..errors import ArgumentError, GanrtError
from .terminal import plain, say

__all__ = ["Interrupted", "report"]

# typer exports one of the errors of a wrong command line, but not what they have in common
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class Interrupted(Exception):
    """Ctrl-C, under a name that typer does not turn into a silent exit."""


def report(problem: BaseException, debug: bool) -> int:
    """Says on stderr what went wrong, with the traceback when `debug`; returns the exit code."""
    if debug and not isinstance(problem, SystemExit):
        traceback.print_exception(problem, file=sys.stderr)
    match problem:
        case SystemExit():
            return problem.code if isinstance(problem.code, int) else 1
        case Interrupted() | KeyboardInterrupt() | typer.Abort():
            say("Interrupted; nothing half-written was left.")
            return 130
        case _UsageError():
            return _usage(problem)
        case GanrtError():
            text, code = str(problem), 2 if isinstance(problem, ArgumentError) else 1
        case MemoryError():
            text, code = "There is not enough memory for this; ask for fewer samples at once, or write a folder.", 1
        case OSError() if problem.filename is None and problem.strerror:
            text, code = f"The output could not be written: {problem.strerror}.", 1
        case _:
            reason = " ".join(str(problem).split()) or "no reason given"
            hint = "" if debug else " Run the same command with --debug to see where."
            text, code = f"Something unexpected went wrong ({type(problem).__name__}: {reason[:300]}).{hint}", 1
    say(f"Error: {plain(text)}")
    return code


def _usage(problem: Exception) -> int:
    context = getattr(problem, "ctx", None)
    text = getattr(problem, "format_message", problem.__str__)()
    text = " ".join(text.split())
    command = context.command_path if context is not None else "ganrt"
    say(f"Error: {plain(text)}{'' if text.endswith(('.', '?')) else '.'} See: {command} --help")
    return 2
