"""What the shapes say of the classes: sizes, Gini and M20."""

from functools import partial

from kidsclf.report.blocks import Block, Section, drawing, missing
from kidsclf.report.figures.morphology import draw_gini_m20, draw_size_magnitude
from kidsclf.report.sections.catalogue import of_headline
from kidsclf.report.tables import ReportTables, present, select


def morphology(tables: ReportTables) -> Section:
    """Show the classes by size and magnitude, and in the plane of Gini and M20."""
    lead = (
        "Shapes come from stamps alone, without colours or networks: a class that holds sources "
        "of another's shape is worth a look."
    )
    rows = of_headline(tables, tables.morphology)
    seeing = (tables.settings.get("features") or {}).get("psf_fwhm_arcsec")
    blocks: list[Block] = []
    sizes, clumps = (
        None if rows is None else present(select(rows, {"plane": plane}))
        for plane in ("size_magnitude", "gini_m20")
    )
    if sizes is not None:
        blocks.append(
            drawing(
                "fig-size",
                partial(draw_size_magnitude, sizes, psf_fwhm_arcsec=seeing),
                title="Size and magnitude by class",
                caption="Shade is the logarithm of the number of catalogue sources; contours are "
                "the labelled ones. Stars should keep to the size of a point until they saturate, "
                "quasars nearly so, and galaxies lie above (Feng, figure 8). Sources whose light "
                "leaves the stamp have no size and are missing.",
                alt="Half-light radius against r magnitude for each class, catalogue and labels.",
                data=sizes,
            )
        )
    if clumps is not None:
        blocks.append(
            drawing(
                "fig-gini-m20",
                partial(draw_gini_m20, clumps),
                title="Gini and M20 by class",
                caption="Sources of a signal to noise above 2 a pixel. Concentrated light lies to "
                "the upper left, clumpy light to the right. What is no larger than the PSF takes "
                "the place of the PSF, whatever it is. Galaxies above the line are candidates for "
                "mergers (Lotz et al. 2008).",
                alt="Gini coefficient against M20 for each class, catalogue and labels.",
                data=clumps,
            )
        )
    if not blocks:
        blocks.append(missing("The plane of shapes", "none was measured (features.measure)"))
    return Section("morphology", "Shapes", lead, tuple(blocks))
