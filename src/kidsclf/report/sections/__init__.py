"""The parts of the page, in the order in which a reader asks for them."""

from kidsclf.report.blocks import Section
from kidsclf.report.sections import (
    accuracy,
    calibration,
    catalogue,
    experiments,
    gallery,
    morphology,
    novelty,
    overview,
    quasars,
    run,
    training,
)
from kidsclf.report.tables import ReportTables


def all_sections(tables: ReportTables) -> list[Section]:
    """Make every section of the page; one without data says what is missing."""
    return [
        overview.verdict(tables),
        overview.products(tables),
        run.cut_flow(tables),
        accuracy.accuracy(tables),
        calibration.calibration(tables),
        novelty.novelty(tables),
        catalogue.reach(tables),
        catalogue.counts(tables),
        quasars.quasars(tables),
        catalogue.colours(tables),
        morphology.morphology(tables),
        gallery.gallery(tables),
        training.training(tables),
        experiments.experiments(tables),
        catalogue.sky(tables),
        run.throughput(tables),
        run.settings(tables),
    ]
