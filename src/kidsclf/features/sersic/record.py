"""What a Sersic fit tells of sources, and what it does not trust."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

from kidsclf.features.arrays import namespace


class SersicFlag(IntFlag):
    """Why a fit, or part of it, is not trusted (``int32``); 0 is a plain one."""

    NO_PSF = 1
    """The image of the PSF holds NaN or no light."""
    MASKED = 2
    """Fewer than half of the pixels are usable, of the stamp or of the 5 x 5 at its centre."""
    LOW_SIGNAL = 4
    """The flux is below 5 times its noise under the fitted profile, or not positive."""
    NOT_CONVERGED = 8
    """No minimum was reached within the iterations."""
    OFF_CENTRE = 16
    """The centre ran away from that of the moments by an eighth of the stamp."""
    INDEX_LOW = 32
    """The index lies at its lower bound, 0.5; the profile is that of a Gaussian."""
    INDEX_HIGH = 64
    """The index lies at its upper bound, 8; radius and flux are those of wings never seen."""
    SIZE_SMALL = 128
    """No size can be told from the PSF: a star, or as good as one."""
    SIZE_LARGE = 256
    """The half-light radius is as large as the stamp."""
    TOO_FLAT = 512
    """The axis ratio is at its bound, 0.05."""


SHAPE = ("half_light_radius_px", "sersic_index", "axis_ratio", "position_angle_deg")
ALL = ("x_px", "y_px", "flux", "sky", *SHAPE)

SPOILT: Mapping[SersicFlag, tuple[str, ...]] = {
    SersicFlag.NO_PSF: ALL,
    SersicFlag.MASKED: ALL,
    SersicFlag.LOW_SIGNAL: ALL,
    SersicFlag.NOT_CONVERGED: ALL,
    SersicFlag.OFF_CENTRE: ALL,
    SersicFlag.INDEX_LOW: ("sersic_index",),
    SersicFlag.INDEX_HIGH: ("sersic_index", "half_light_radius_px", "flux"),
    SersicFlag.SIZE_SMALL: SHAPE,
    SersicFlag.SIZE_LARGE: (*SHAPE, "flux"),
    SersicFlag.TOO_FLAT: ("half_light_radius_px", "axis_ratio", "position_angle_deg"),
}
"""What is NaN under each flag, with its error."""


@dataclass(frozen=True)
class SersicFits:
    """Fits of n sources; arrays (n,) in the namespace of the stamps.

    Attributes
    ----------
    values, errors : mapping of name to float64 array
        ``x_px, y_px`` (0-based, x along columns, the middle of a pixel being an integer),
        ``flux`` (to infinity, in the unit of the stamps), ``half_light_radius_px`` (along the major
        axis), ``sersic_index``, ``axis_ratio`` (0 to 1), ``position_angle_deg`` (of the major axis,
        from x towards y, 0 to 180) and, if it was fitted, ``sky`` (per pixel). Errors are standard
        deviations by the curvature of chi-square. NaN where a flag says so.
    signal_to_noise : float64 array
        Flux over its error if all else were known.
    chi2 : float64 array
    degrees_of_freedom : int64 array
    iterations : int64 array
        Steps on all pixels; those on coarse pixels before are not counted.
    flags : int32 array
        ``SersicFlag``.
    """

    values: Mapping[str, Any]
    errors: Mapping[str, Any]
    signal_to_noise: Any
    chi2: Any
    degrees_of_freedom: Any
    iterations: Any
    flags: Any

    def __len__(self) -> int:
        return int(self.flags.shape[0])

    @staticmethod
    def concatenate(parts: "list[SersicFits]") -> "SersicFits":
        """Join parts, in order."""
        xp = namespace(parts[0].flags)
        columns = {
            name: xp.concat([part.values[name] for part in parts]) for name in parts[0].values
        }
        errors = {
            name: xp.concat([part.errors[name] for part in parts]) for name in parts[0].errors
        }
        names = ("signal_to_noise", "chi2", "degrees_of_freedom", "iterations", "flags")
        others = (xp.concat([getattr(part, name) for part in parts]) for name in names)
        return SersicFits(columns, errors, *others)
