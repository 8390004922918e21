"""Asks a network about the sources of a partition."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from kidsclf.errors import PlanError
from kidsclf.features.colours import photometry_features
from kidsclf.features.images import has_image, stack_stamps
from kidsclf.infer.compiled import summarise_rows
from kidsclf.models.description import InputDescription
from kidsclf.models.network import Answering, Probabilities
from kidsclf.schema import Inputs, Scores

UNCLASSIFIED = -1
"""Code of a source that the network could say nothing of."""


def score(network: Answering, blocks: Iterable[Inputs], *, batch_size: int) -> Scores:
    """Score sources; the answer for each is the same bits whatever stands beside it.

    Batches have one shape, the last one of a block padded, so a source's answer depends neither on
    its place nor on the block or partition that it came with.

    Parameters
    ----------
    network : Answering
    blocks : iterable of Inputs
        n sources in bands among which are those that the network was trained on; at least one
        block, empty or not.
    batch_size : int
        Rows computed at once.

    Returns
    -------
    Scores
        In the order of the rows. A source without any magnitude where the network reads some, or
        without a stamp in each of the bands that it needs, has NaN probabilities and class code -1.

    Raises
    ------
    PlanError
        If the inputs lack bands of the network or have stamps of another size.
    """
    parts = [_probabilities(network, inputs, batch_size) for inputs in blocks]
    return summarise(np.concatenate(parts), network.description.classes)


def _probabilities(network: Answering, inputs: Inputs, batch_size: int) -> Probabilities:
    description = network.description
    _check(inputs, description)
    magnitudes, stamps = inputs.magnitudes_in(description.bands), None
    photometry = photometry_features(magnitudes)
    usable = np.isfinite(magnitudes).any(axis=1) | (not description.bands)
    if description.image_bands:
        stamps = stack_stamps(inputs.images, description.image_bands)
        usable &= has_image(stamps)
    if usable.all():
        return network.predict(photometry, stamps, batch_size)
    probabilities = np.full((len(inputs), len(description.classes)), np.nan, dtype=np.float32)
    if usable.any():
        some = None if stamps is None else stamps[usable]
        probabilities[usable] = network.predict(photometry[usable], some, batch_size)
    return probabilities


def summarise(probabilities: NDArray[np.float32], classes: tuple[str, ...]) -> Scores:
    """Derive class, largest probability and entropy from probabilities.

    Parameters
    ----------
    probabilities : float32 array (n, classes)
        Within [0, 1]; a row of NaN is a source without an answer.
    classes : tuple of str

    Returns
    -------
    Scores
        Entropy is Shannon's, -sum p ln p (nats; Shannon 1948, Bell Syst. Tech. J. 27, 379),
        between 0 and ln(classes). Of equally probable classes the first is taken.

    Examples
    --------
    >>> summarise(np.array([[0.5, 0.5]], np.float32), ("STAR", "QSO")).entropy.round(3).tolist()
    [0.6930000185966492]
    """
    rows = len(probabilities)
    codes, p_max, entropy = np.empty(rows, np.int64), *np.empty((2, rows), np.float32)
    summarise_rows(probabilities, UNCLASSIFIED, codes, p_max, entropy)
    return Scores(probabilities, codes, p_max, entropy, classes)


def _check(inputs: Inputs, description: InputDescription) -> None:
    if not set(description.bands) <= set(inputs.bands):
        raise PlanError(
            f"a network of the bands {' '.join(description.bands)} was asked about sources with "
            f"{' '.join(inputs.bands)}; train it on this survey"
        )
    for band in description.image_bands:
        sizes = inputs.images[band].shape[1:] if band in inputs.images else ()
        if sizes and set(sizes) != {description.size_px}:
            raise PlanError(
                f"a network of {description.size_px} pixel stamps was asked about stamps of "
                f"{sizes[0]} x {sizes[1]}; set cutouts.size_px = {description.size_px}"
            )
