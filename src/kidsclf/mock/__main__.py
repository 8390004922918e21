"""Command line: ``python -m kidsclf.mock OUT --area 0.4 --seed 1``."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from time import perf_counter

from kidsclf.errors import KidsclfError
from kidsclf.mock import BandDepths, MockSettings, write_survey


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a survey as the arguments say; return the exit status."""
    options = _parser().parse_args(arguments)
    started = perf_counter()
    try:
        survey = write_survey(_settings(options), options.out)
    except KidsclfError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(
        f"{survey.folder}: {survey.catalogue_rows} rows in {len(survey.catalogues)} catalogues, "
        f"{len(survey.images)} images, {survey.sdss_rows} SDSS, {survey.gaia_rows} Gaia and "
        f"{survey.gama_rows} GAMA rows, in {perf_counter() - started:.1f} s"
    )
    return 0


def _settings(options: argparse.Namespace) -> MockSettings:
    depths = dict(zip((field.name for field in fields(BandDepths)), options.depths, strict=True))
    return MockSettings(
        area_deg2=options.area,
        seed=options.seed,
        ra_deg=options.ra,
        dec_deg=options.dec,
        labelled=options.labelled,
        tile_deg=options.tile,
        overlap_arcmin=options.overlap,
        pixel_scale_arcsec=options.pixel_scale,
        seeing_fwhm_arcsec=options.seeing,
        depths=BandDepths(**depths),
        catalogue_rows=options.catalogue_only,
        compress=options.compress,
        workers=options.workers,
    )


def _parser() -> argparse.ArgumentParser:
    default = MockSettings()
    parser = argparse.ArgumentParser(
        prog="python -m kidsclf.mock",
        description="Write a synthetic KiDS-like survey: catalogues, r images and labels. "
        "The same seed gives the same bytes, whatever the number of workers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("out", type=Path, help="a new or empty folder")
    add("--area", type=float, default=default.area_deg2, help="square degrees, 0.1 to 100")
    add("--seed", type=int, default=default.seed, help="of all random numbers")
    add("--ra", type=float, default=default.ra_deg, help="centre of the footprint, degrees")
    add("--dec", type=float, default=default.dec_deg, help="centre of the footprint, degrees")
    add("--labelled", type=int, default=default.labelled, metavar="N",
        help="sources added in the mix of the SDSS sample, all with spectra; the natural sky has "
        "only about 124 spectra per square degree")  # fmt: skip
    add("--tile", type=float, default=default.tile_deg, help="largest side of a tile, degrees")
    add("--overlap", type=float, default=default.overlap_arcmin,
        help="width that neighbouring images share, arcmin")  # fmt: skip
    add("--pixel-scale", type=float, default=default.pixel_scale_arcsec, help="arcsec")
    add("--seeing", type=float, default=default.seeing_fwhm_arcsec,
        help="median FWHM in r, arcsec")  # fmt: skip
    add("--depths", type=float, nargs=9, default=default.depths.as_tuple(),
        metavar=tuple(field.name for field in fields(BandDepths)),
        help="5 sigma point-source limits, AB mag")  # fmt: skip
    add("--catalogue-only", type=int, default=None, metavar="ROWS",
        help="write about so many rows and no images; the area follows")  # fmt: skip
    add("--compress", action="store_true", help="write the images as RICE .fits.fz")
    add("--workers", type=int, default=2, help="processes")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
