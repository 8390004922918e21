"""Run benchmarks, compare two result files, or write tables and a page from those that are kept.

python -m benchmarks                       all of them, small
python -m benchmarks match cutouts --size full --repeats 5 --out results.json
python -m benchmarks compare OLD.json NEW.json
python -m benchmarks table                 docs/benchmarks.md, and speeds in README and docs
python -m benchmarks page --out FILE       all of it as one HTML page
"""

import argparse
import importlib
import sys
from pathlib import Path

import benchmarks
from benchmarks.compare import print_comparison
from benchmarks.headlines import ROOT
from benchmarks.record import SIZES, print_record, read_kept, write_records
from kidsclf.errors import KidsclfError

_PAGE = ROOT / "runs" / "benchmarks.html"
_DEFINES = "\ndef measure("


def benchmark_names() -> tuple[str, ...]:
    """List the modules of this package that measure something.

    They are not imported: one may need a peer that is not installed, and the others run.
    """
    return tuple(
        sorted(
            path.stem
            for folder in benchmarks.__path__
            for path in Path(folder).glob("*.py")
            if _DEFINES in path.read_text(encoding="utf-8")
        )
    )


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    told = {"compare": _compare, "table": _table, "page": _page}
    if arguments and arguments[0] in told:
        try:
            told[arguments[0]](arguments[1:])
        except KidsclfError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit_code
        return 0
    return _measure(arguments)


def _compare(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    files = parser.parse_args(arguments)
    print_comparison(read_kept(files.old), read_kept(files.new))


def _table(arguments: list[str]) -> None:
    # Drawing is not brought where nothing is drawn: a machine with a GPU may lack what it needs.
    from benchmarks.documents import write_documents

    argparse.ArgumentParser(prog="python -m benchmarks table").parse_args(arguments)
    write_documents()


def _page(arguments: list[str]) -> None:
    from benchmarks.web_page import write_web_page

    parser = argparse.ArgumentParser(prog="python -m benchmarks page")
    parser.add_argument("--out", type=Path, default=_PAGE, help="default: %(default)s")
    where = parser.parse_args(arguments).out
    write_web_page(where)
    sys.stdout.write(f"{where}\n")


def _measure(arguments: list[str]) -> int:
    names = benchmark_names()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--size", choices=SIZES, default="small", help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the results as JSON")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in names]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(names)}")
    records = []
    for name in options.names or names:
        record = importlib.import_module(f"benchmarks.{name}").measure(
            options.size, options.repeats
        )
        print_record(record)
        records.append(record)
        if options.out:  # after each, so that a later failure costs nothing
            write_records(options.out, records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
