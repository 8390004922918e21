"""What goes wrong for the people who use kidsclf, as opposed to what is a bug.

Every message is one sentence of three parts: what was asked, what was found, what to do.
Anything that is not a ``KidsclfError`` is a defect of the program and keeps its traceback.
"""


class KidsclfError(Exception):
    """Base of the errors that a user can mend; ``exit_code`` is what the command returns."""

    exit_code = 1


class ConfigError(KidsclfError):
    """The configuration or the command line asks for something that does not exist."""

    exit_code = 2


class InputError(KidsclfError):
    """A survey file, table or image is missing, damaged or not what it was said to be."""

    exit_code = 3


class StoreError(KidsclfError):
    """The work directory holds something that does not fit together."""

    exit_code = 4


class ClusterError(KidsclfError):
    """The cluster could not be opened, or lost what it needs to go on."""

    exit_code = 5


class PlanError(KidsclfError):
    """The run cannot be done with the memory, settings or inputs that it has."""

    exit_code = 6
