"""The command line: which command is meant, and how it ends.

A command brings what it needs itself: ``status`` answers before a cluster or a figure could be
loaded.
"""

import logging
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from kidsclf.commands import COMMANDS
from kidsclf.errors import ConfigError, KidsclfError
from kidsclf.store.failure import INTERRUPTED, one_sentence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    logging.getLogger("distributed").setLevel(logging.ERROR)
    given = list(sys.argv[1:] if arguments is None else arguments)
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: in good order
    try:
        return _work(given)()
    except KidsclfError as error:
        print(f"kidsclf: {one_sentence(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("kidsclf: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except Exception:  # noqa: BLE001  # the outermost frame: a defect keeps its traceback
        traceback.print_exc()
        print("kidsclf: this is a defect of the program, please report it", file=sys.stderr)
        return 1


def _work(given: list[str]) -> Callable[[], int]:
    """Find the command and read its arguments."""
    word, rest = (given[0], given[1:]) if given else ("", [])
    if word in COMMANDS:
        command = COMMANDS[word]
        return lambda: command.work(command.parser().parse_args(rest))
    # These open clusters and draw figures.
    from kidsclf.experiment_command import EXPERIMENT  # noqa: PLC0415
    from kidsclf.run_command import build_parser, run  # noqa: PLC0415

    _check_word(word, [*COMMANDS, EXPERIMENT.name])
    if word == EXPERIMENT.name:
        return lambda: EXPERIMENT.work(EXPERIMENT.parser().parse_args(rest))
    return lambda: run(build_parser().parse_args(given))


def _check_word(word: str, known: Sequence[str]) -> None:
    """Refuse a word that is neither a command, an option nor a file."""
    plain = word.isidentifier() and not Path(word).exists()
    if plain and word not in known:
        near = get_close_matches(word, known, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"'{word}' is neither a command nor a configuration file; {meant}commands are "
            f"{', '.join(known)}, anything else has to be the path of a TOML file"
        )


if __name__ == "__main__":
    sys.exit(main())
