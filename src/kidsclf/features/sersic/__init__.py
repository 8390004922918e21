"""Sersic fits of stamps, thousands at a time."""

from kidsclf.features.sersic.fit import fit_sersic
from kidsclf.features.sersic.psf import gaussian_psf, moffat_psf
from kidsclf.features.sersic.record import SersicFits, SersicFlag

__all__ = ["SersicFits", "SersicFlag", "fit_sersic", "gaussian_psf", "moffat_psf"]
