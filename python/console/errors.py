"""The exceptions that a program turns into one sentence and an exit code.

A message is one sentence: the thing, both numbers, the remedy. Everything that is not one of these
is a bug and keeps its stack trace.
"""


class UserError(Exception):
    """What the user asked for cannot be done: exit code 1."""

    exit_code = 1


class UsageError(UserError):
    """The command line itself is wrong: exit code 2."""

    exit_code = 2


class FormatError(UserError):
    """A file does not hold what its format promises. The message begins with the file's path."""

    def __init__(self, path: object, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = str(path)
        self.problem = problem
