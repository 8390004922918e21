"""The page: sections put into one HTML file that needs nothing else.

The template escapes every text, because names of sources, networks and steps come from data;
only the drawings, whose texts matplotlib has escaped, go in as they are.
"""

from jinja2 import Environment, PackageLoader, StrictUndefined

from kidsclf.report.sections import all_sections
from kidsclf.report.tables import ReportTables


def render_page(tables: ReportTables) -> str:
    """Render the report of a run as one self-contained HTML page.

    Parameters
    ----------
    tables : ReportTables
        What the run reduced; what is missing is said on the page.

    Returns
    -------
    str
        HTML without outside references. The same tables give the same text.

    Examples
    --------
    >>> "no network was scored" in render_page(ReportTables())
    True
    """
    pages = Environment(
        loader=PackageLoader("kidsclf.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    name = (tables.summary.get("run") or {}).get("name")
    return pages.get_template("page.html.j2").render(
        title=f"{name}: classification report" if name else "Classification report",
        version=tables.versions.get("kidsclf", ""),
        sections=all_sections(tables),
    )
