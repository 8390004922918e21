"""One tile's task: draw its sources, measure them, write catalogue and images, return labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.mock.astrometry import gaia_astrometry
from kidsclf.mock.catalogue import Listing, catalogue_columns, source_names
from kidsclf.mock.coverage import crowding, infrared_gaps
from kidsclf.mock.fits_tables import Columns, write_table
from kidsclf.mock.frames import mask_image, weight_image, write_frames
from kidsclf.mock.layout import Tile, image_side_px, neighbours, random_generator, tile_wcs
from kidsclf.mock.photometry import Photometry, measure, observed_mag_r
from kidsclf.mock.rendering import Drawable, PointSpread, add_noise, draw_image, draw_point_spread
from kidsclf.mock.settings import BANDS, MockSettings
from kidsclf.mock.sources import CLASS_NAMES, KINDS, STAR, Sources, concatenate
from kidsclf.mock.spectra import gama_spectra, sdss_spectra
from kidsclf.mock.tile_sources import draw_own_sources, draw_shared_sources

REACH_PX = 500
"""Sources so far outside an image still reach into it."""


@dataclass(frozen=True)
class TileProduct:
    """What a tile's task wrote and hands back."""

    catalogue: Path
    images: tuple[Path, ...]
    rows: int
    shared_rows: int
    sdss: Columns
    gaia: Columns
    gama: Columns
    truth: pa.Table


def write_tile(
    settings: MockSettings, tiles: tuple[Tile, ...], tile: Tile, out: Path
) -> TileProduct:
    """Write one tile's files and return its share of the tables that span the survey."""
    psf = draw_point_spread(settings, tile)
    own = draw_own_sources(settings, tile, len(tiles))
    shared = draw_shared_sources(settings, tile)
    if _eastern(tiles, tile) is None:
        shared = shared.take(np.zeros(len(shared), dtype=np.bool_))
    measured = _measure_own(own, psf, settings, tile)
    edge = _measure_shared(shared, settings, tile, tile, "shared photometry")
    listings = [measured, edge, *_from_the_west(settings, tiles, tile)]
    listing = _join([_detected(each) for each in listings])
    catalogue = out / "catalogues" / tile.file_name("ugriZYJHKs_cat.fits")
    columns = catalogue_columns(listing, settings, tile, psf.fwhm_arcsec)
    rows = write_table(catalogue, columns, "OBJECTS")
    everything = concatenate([own, shared])
    images: tuple[Path, ...] = ()
    if settings.catalogue_rows is None:
        images = _write_images(settings, tiles, tile, everything, psf, out / "tiles")
    return TileProduct(
        catalogue=catalogue,
        images=images,
        rows=rows,
        shared_rows=sum(int(each.photometry.detected.sum()) for each in listings[2:]),
        sdss=sdss_spectra(everything, settings, tile),
        gaia=gaia_astrometry(everything, settings, tile),
        gama=gama_spectra(everything, settings, tile),
        truth=_truth(_join([measured, edge]), tile),
    )


def _measure_own(own: Sources, psf: PointSpread, settings: MockSettings, tile: Tile) -> Listing:
    rng = random_generator(settings, tile, "photometry")
    gaps = infrared_gaps(settings, tile, own.ra, own.dec)
    photometry = measure(own, gaps, psf.fwhm_arcsec, settings, rng)
    merged, deblended = crowding(own.ra, own.dec, own.total_mag_r, psf.fwhm_arcsec)
    photometry.detected[merged] = False
    return Listing(own, photometry, source_names(photometry.ra, photometry.dec), deblended)


def _measure_shared(
    shared: Sources, settings: MockSettings, owner: Tile, tile: Tile, purpose: str
) -> Listing:
    """Measure on ``tile``'s images what ``owner`` shares with its eastern neighbour."""
    psf = draw_point_spread(settings, tile)
    gaps = infrared_gaps(settings, tile, shared.ra, shared.dec)
    rng = random_generator(settings, owner, purpose)
    photometry = measure(shared, gaps, psf.fwhm_arcsec, settings, rng)
    names = source_names(photometry.ra, photometry.dec)
    return Listing(shared, photometry, names, np.zeros(len(shared), dtype=np.bool_))


def _from_the_west(
    settings: MockSettings, tiles: tuple[Tile, ...], tile: Tile
) -> tuple[Listing, ...]:
    """Measure again, under the same names, what the western neighbour shares with this tile."""
    west = next((t for t in neighbours(tiles, tile) if _eastern(tiles, t) == tile), None)
    if west is None:
        return ()
    shared = draw_shared_sources(settings, west)
    first = _measure_shared(shared, settings, west, west, "shared photometry")
    again = _measure_shared(shared, settings, west, tile, "shared photometry again")
    again.photometry.detected[:] &= first.photometry.detected
    return (Listing(shared, again.photometry, first.names, again.deblended),)


def _eastern(tiles: tuple[Tile, ...], tile: Tile) -> Tile | None:
    side = round(len(tiles) ** 0.5)
    return tiles[tile.index + 1] if tile.column + 1 < side else None


def _detected(listing: Listing) -> Listing:
    kept = listing.photometry.detected
    return Listing(
        listing.sources.take(kept),
        listing.photometry.take(kept),
        listing.names[kept],
        listing.deblended[kept],
    )


def _join(listings: list[Listing]) -> Listing:
    names = Photometry.__dataclass_fields__
    columns = (np.concatenate([getattr(x.photometry, name) for x in listings]) for name in names)
    return Listing(
        concatenate([x.sources for x in listings]),
        Photometry(*columns),
        np.concatenate([x.names for x in listings]),
        np.concatenate([x.deblended for x in listings]),
    )


def _write_images(
    settings: MockSettings,
    tiles: tuple[Tile, ...],
    tile: Tile,
    own: Sources,
    psf: PointSpread,
    folder: Path,
) -> tuple[Path, ...]:
    blocks = [own]
    for other in neighbours(tiles, tile):
        blocks.append(draw_own_sources(settings, other, len(tiles)))
        if _eastern(tiles, other) is not None:
            blocks.append(draw_shared_sources(settings, other))
    side = image_side_px(settings, tile)
    sources, drawable = _in_image(concatenate(blocks), settings, tile, side)
    image, saturation = draw_image(drawable, side, psf, settings)
    stars = sources.sky_class == STAR
    mask = mask_image(
        side,
        drawable.x[stars],
        drawable.y[stars],
        drawable.mag_r[stars],
        image >= saturation,
        settings.pixel_scale_arcsec,
    )
    images: dict[str, NDArray[Any]] = {
        "sci": add_noise(image, settings, tile),
        "wei": weight_image(side, settings),
        "msk": mask,
    }
    return write_frames(folder, images, settings, tile, psf)


def _in_image(
    sources: Sources, settings: MockSettings, tile: Tile, side: int
) -> tuple[Sources, Drawable]:
    x, y = tile_wcs(settings, tile).all_world2pix(sources.ra, sources.dec, 0)
    near = (x > -REACH_PX) & (y > -REACH_PX) & (x < side + REACH_PX) & (y < side + REACH_PX)
    seen = sources.take(near)
    return seen, Drawable(
        x[near],
        y[near],
        observed_mag_r(seen),
        seen.half_light_radius_arcsec,
        seen.sersic_index,
        seen.axis_ratio,
        seen.position_angle_deg,
        seen.point_fraction,
        seen.bulge_fraction,
    )


def _truth(listing: Listing, tile: Tile) -> pa.Table:
    """Return what is true of a tile's own sources, whether the catalogue holds them or not."""
    sources, detected = listing.sources, listing.photometry.detected
    columns: dict[str, NDArray[np.generic]] = {
        "ID": np.where(detected, listing.names, ""),
        "KIDS_TILE": np.full(len(sources), tile.name),
        "in_catalogue": detected,
        "labelled": sources.labelled,
        "class": np.array(CLASS_NAMES)[sources.sky_class],
        "kind": np.array(KINDS)[sources.kind],
        "ra": sources.ra,
        "dec": sources.dec,
        "redshift": sources.redshift.astype(np.float32),
        "total_mag_r": sources.total_mag_r.astype(np.float32),
        "nucleus_mag_r": sources.nucleus_mag_r.astype(np.float32),
        "half_light_radius_arcsec": sources.half_light_radius_arcsec.astype(np.float32),
        "point_fraction": sources.point_fraction.astype(np.float32),
    }
    for number, band in enumerate(BANDS):
        columns[f"gaap_mag_{band}"] = sources.gaap_mags[:, number].astype(np.float32)
    return pa.table({name: pa.array(values) for name, values in columns.items()})
