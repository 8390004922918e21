"""Constants that array formulas and compiled loops share, so that both give the same numbers."""

ETA = 0.2
"""Surface brightness at the Petrosian radius over the mean inside it (Petrosian 1976)."""

ANNULUS_PX = 1.0
"""Width of the annulus that the surface brightness is measured in (statmorph)."""

GRID_POINTS = 100
"""Radii tried between one annulus width and the stamp's diagonal (statmorph)."""

RADIUS_TOLERANCE_PX = 1e-3

SECANT_TOLERANCE = 1e-4
"""Product of two steps of a secant, px2, below which the next is known to be as short as the
product, since what is searched bends over about a pixel."""

MOST_REFINEMENTS = 12

FAR_VALUE = 100.0
"""What a centre off the stamp, or in the dark, is given so that the search turns back."""

FIRST_STEP = 0.05
"""Edge of the first simplex over the coordinate, as in ``scipy.optimize.fmin``."""

MOST_STEPS = 200
"""Steps before a source counts as not converged; every mock galaxy has arrived long before."""
