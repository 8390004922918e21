"""The sources of one tile, from their random numbers alone.

Every tile's task can call for its neighbours' sources as well as its own: nothing is handed from
task to task, so the result cannot depend on their order or number.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from kidsclf.mock.draws import split_counts
from kidsclf.mock.galaxies import draw_sky_galaxies, draw_spectroscopic_galaxies
from kidsclf.mock.layout import Tile, random_generator, scatter_over_cell, space_over_cell
from kidsclf.mock.quasars import draw_sky_quasars, draw_spectroscopic_quasars
from kidsclf.mock.settings import MockSettings
from kidsclf.mock.sources import Sources, concatenate
from kidsclf.mock.stars import draw_sky_stars, draw_spectroscopic_stars

SPECTROSCOPIC_COUNTS: Final = (31_306, 19_608, 116_095)
"""Stars, quasars and galaxies of the SDSS sample of Feng et al. 2025."""
SHARED_SHARE: Final = 0.002
"""Share of sources that stand in the catalogues of two tiles."""


def draw_own_sources(settings: MockSettings, tile: Tile, tiles: int) -> Sources:
    """Draw what lies in a tile's cell: the natural sky, then its part of the labelled sources."""
    rng = random_generator(settings, tile, "sources")
    area = tile.side_deg**2
    natural = _draw_natural(area, rng)
    ra, dec = scatter_over_cell(tile, len(natural), rng)
    natural = replace(natural, ra=ra, dec=dec)
    counts = split_counts(
        settings.labelled, (1.0,) * tiles, random_generator(settings, None, "tiles")
    )
    classes = split_counts(int(counts[tile.index]), SPECTROSCOPIC_COUNTS, rng)
    extra = concatenate(
        [
            draw_spectroscopic_stars(int(classes[0]), rng),
            draw_spectroscopic_quasars(int(classes[1]), rng),
            draw_spectroscopic_galaxies(int(classes[2]), rng),
        ]
    )
    # Kept apart: at random places so many bright galaxies would lie in one another's light.
    ra, dec = space_over_cell(tile, len(extra), rng)
    labelled = replace(extra, ra=ra, dec=dec, labelled=np.ones(len(extra), dtype=np.bool_))
    return concatenate([natural, labelled])


def draw_shared_sources(settings: MockSettings, tile: Tile) -> Sources:
    """Draw the few sources at a tile's eastern edge that its eastern neighbour lists as well."""
    rng = random_generator(settings, tile, "shared sources")
    width = settings.overlap_arcmin / 60.0 / 2.0
    natural = _draw_natural(tile.side_deg**2 * SHARED_SHARE, rng)
    ra, dec = scatter_over_cell(tile, len(natural), rng, east_strip_deg=width)
    return replace(natural, ra=ra, dec=dec)


def _draw_natural(area_deg2: float, rng: np.random.Generator) -> Sources:
    return concatenate(
        [
            draw_sky_stars(area_deg2, rng),
            draw_sky_quasars(area_deg2, rng),
            draw_sky_galaxies(area_deg2, rng),
        ]
    )
