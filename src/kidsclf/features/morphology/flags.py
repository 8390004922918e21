"""What stands in the way of a morphology, one bit each."""

from enum import IntFlag


class MorphologyFlag(IntFlag):
    """Why some numbers of a source are missing or doubtful (``int32``); 0 is a plain one."""

    NO_IMAGE = 1
    """No usable pixel: every number is NaN."""
    NO_SOURCE = 2
    """Nothing stands out of the sky at the centre, or its light is not positive: all NaN."""
    NO_SKY = 4
    """Too few pixels show empty sky: numbers that subtract its share are NaN."""
    EDGE = 8
    """The segment touches the edge of the stamp; no number is withheld for this alone."""
    MASKED = 16
    """Masked or outlying pixels lie in the segment; no number is withheld for this alone."""
    LOW_SN = 32
    """Signal to noise per pixel below 2: statistics of structure are NaN (Lotz et al. 2004)."""
    NO_PETROSIAN = 64
    """The surface brightness does not fall to a fifth inside the stamp, or at once: what is
    measured in Petrosian apertures is NaN."""
    CUT_OFF = 128
    """More than a tenth of the aperture of 1.5 Petrosian radii lies off the stamp or is masked:
    what is measured in it is NaN."""
    BAD_MOMENTS = 256
    """Second moments are not those of an ellipse: shape and elliptical radii are NaN."""
    NO_CENTRE = 512
    """The asymmetry has no minimum near the source; the centroid was taken for its centre."""
    SEGMENTS_DIFFER = 1024
    """The segments of Gini and MID share less than a quarter of the larger (statmorph)."""
    UNRESOLVED = 2048
    """The Petrosian radius is too small for a smoothing of two pixels: smoothness is NaN."""
    NO_PSF = 4096
    """No PSF was given: stellarity is NaN."""
