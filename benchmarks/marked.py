"""Parts of documents that are written from result files, between two marks.

Not a benchmark. ``<!-- python -m benchmarks table writes NAME -->`` begins a part, and the next
``<!-- end of NAME -->`` ends it; what stands between is replaced, and nothing else is touched.
"""

from collections.abc import Mapping

_BEGIN, _END = "<!-- python -m benchmarks table writes {} -->", "<!-- end of {} -->"


def fill(text: str, parts: Mapping[str, str]) -> str:
    """Replace named parts of a document.

    Raises
    ------
    ValueError
        When a mark is not there.

    >>> marked = "a <!-- python -m benchmarks table writes b --> c <!-- end of b --> d"
    >>> fill(marked, {"b": "new"}).splitlines()[2]
    'new'
    """
    for name, content in parts.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        start = text.index(begin) + len(begin)
        stop = text.index(end, start)
        text = f"{text[:start]}\n\n{content.strip()}\n\n{text[stop:]}"
    return text
