"""What receipts tell of the labelled sample: read once, however many tasks learn from it."""

from dataclasses import dataclass
from functools import cached_property

from kidsclf.errors import InputError
from kidsclf.pipeline.context import (
    Context,
    finished_partitions,
    left_out_before,
    task_fingerprint,
)
from kidsclf.store.receipts import fingerprint

SCALE_TOLERANCE = 0.01
"""By which pixel scales of one run may differ."""


@dataclass(frozen=True)
class SampleReceipts:
    """The labelled sample of a run, as its receipts tell.

    Attributes
    ----------
    context : Context
    """

    context: Context

    @cached_property
    def left_out(self) -> frozenset[str]:
        """Labels of partitions in quarantine."""
        return left_out_before(self.context, "train")

    @cached_property
    def scale_arcsec(self) -> float:
        """Of the stamps, arcsec a pixel; 0 without images."""
        return pixel_scale(self.context)

    def made_from(self, *, images: bool, shapes: bool = False) -> str:
        """Hash what the sample is made of: the partitions in which it has sources.

        So a network is not trained anew where the survey grows but its sample does not.
        """
        if shapes:
            return self._with_shapes
        return self._with_stamps if images else self._without_stamps

    @cached_property
    def _with_stamps(self) -> str:
        return self._made_from("match", "cutouts")

    @cached_property
    def _with_shapes(self) -> str:
        return self._made_from("match", "features")

    @cached_property
    def _without_stamps(self) -> str:
        return self._made_from("match")

    def _made_from(self, *stages: str) -> str:
        context, made_of = self.context, []
        for partition, receipt in finished_partitions(context, "train").items():
            matched = context.receipt("match", partition.label)
            if matched is None or matched.facts["matched"][context.config.train.sample]:
                of_it = [task_fingerprint(context, stage, partition.label) for stage in stages]
                made_of.append([partition.label, receipt.fingerprint, *of_it])
        return fingerprint(made_of)


def pixel_scale(context: Context) -> float:
    """Give the scale of the run's stamps, arcsec a pixel; 0 without images.

    Raises
    ------
    InputError
        When tiles of scales that differ by more than 1 % were cut.
    """
    if not context.has_images:
        return 0.0
    scales: set[float] = set()
    for partition in finished_partitions(context, "train"):
        receipt = context.receipt("cutouts", partition.label)
        scales.update(receipt.facts["pixel_scales_arcsec"] if receipt else ())
    if not scales:
        return 0.0
    if max(scales) > (1 + SCALE_TOLERANCE) * min(scales):
        raise InputError(
            f"stamps of one run are to have one pixel scale, but its tiles have "
            f"{min(scales):.4f} to {max(scales):.4f} arcsec; give tiles of one scale"
        )
    return min(scales)
