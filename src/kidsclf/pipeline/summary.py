"""The run in one record: cut flow, warnings, versions, ``metrics/summary.json``."""

from collections.abc import Mapping, Sequence
from typing import Any

from kidsclf import __version__
from kidsclf.models.files import installed_versions
from kidsclf.pipeline.context import (
    Context,
    finished_partitions,
    quarantined_before,
    stage_summary,
)
from kidsclf.pipeline.products import product_listing, product_network
from kidsclf.reduce.summary import CutFlowStep, NetworkResult, RunFacts, build_summary
from kidsclf.schema import CutCount, CutoutFlag
from kidsclf.store.quarantine import Quarantined
from kidsclf.store.receipts import read_receipt

_PACKAGES = (
    *("numpy", "pyarrow", "astropy", "healpy", "hats", "zarr", "dask", "distributed"),
    *("dask-jobqueue", "keras", "tensorflow-cpu", "tensorflow", "xgboost-cpu", "matplotlib"),
)


def cut_flow(context: Context) -> list[CutFlowStep]:
    """List every selection of the run, with what it kept."""
    flow = [
        CutFlowStep("ingest", "catalogue", CutCount(*cut))
        for cut in stage_summary(context, "ingest").facts["cuts"]
    ]
    rows, kept = int(stage_summary(context, "ingest").facts["rows_out"]), _rows_classified(context)
    if kept < rows:
        reason = "bad input, or it killed every worker; see the folder quarantine"
        cut = CutCount("quarantine", reason, rows, rows - kept)
        flow.append(CutFlowStep("quarantine", "catalogue", cut))
    if not context.samples:
        return flow
    facts = stage_summary(context, "match").facts
    for name, matched in facts["matched"].items():
        cuts = [CutCount(*cut) for cut in facts["cuts"].get(name, [])]
        flow += [CutFlowStep("match", name, cut) for cut in cuts]
        if cuts:
            left = cuts[-1].rows_out
            radius = context.config.samples[name].radius_arcsec
            reason = f"no source within {radius:g} arcsec, or the source stands in another sample"
            flow.append(
                CutFlowStep("match", name, CutCount("matched", reason, left, left - matched))
            )
    return flow


def summarise_run(
    context: Context, steps: Sequence[CutFlowStep], results: Mapping[str, NetworkResult]
) -> dict[str, Any]:
    """Build the content of ``metrics/summary.json``.

    Nothing in it depends on when, where or by how many workers the run was done.
    """
    ingest = stage_summary(context, "ingest")
    facts = RunFacts(
        run={
            "name": context.config.run.title,
            "seed": context.config.run.seed,
            "version": __version__,
            "survey": context.survey.name,
            "pretrained": context.config.train.pretrained is not None,
        },
        rows_in=ingest.rows,
        rows_out=_rows_classified(context),
        training_sample=context.config.train.sample,
        product_network=product_network(context),
        cut_flow=steps,
        warnings=warnings_of(context),
    )
    rows = facts.rows_out
    summary = build_summary(facts, results)
    left_out = quarantined_before(context, "")
    summary["quarantine"] = {
        "tasks": len(left_out),
        "rows": sum(record.rows for record in left_out),
    }
    summary["products"] = [
        {"path": path, "what": what, "rows": rows}
        for path, what in (
            *product_listing(context),
            *((f"scores/{name}", f"what {name} says, HATS") for name in results),
        )
    ]
    return summary


def warnings_of(context: Context) -> list[str]:
    """Say what a reader of the catalogue should know before trusting it."""
    found = _quarantine(context)
    if context.survey.position.invented:
        found.append(
            "The survey's tables hold no positions: those here are made from the names, and "
            "neither the map of the sky nor any density means anything."
        )
    if context.samples:
        matched = stage_summary(context, "match").facts["matched"]
        found += [
            f"No source of the catalogue stands in the sample {name}."
            for name, count in matched.items()
            if not count
        ]
    if context.has_images:
        rows = int(stage_summary(context, "ingest").facts["rows_out"])
        flagged = _flagged(context)
        found += [
            f"{flagged[name]:,} of {rows:,} cutouts: {meaning}."
            for name, meaning in _MEANING.items()
            if flagged[name]
        ]
    if context.config.train.folds and context.config.train.pretrained is None:
        found.append(
            "The network of the catalogue learnt from every labelled source (flag 64): their "
            "probabilities are too sure; the accuracies are those of the folds."
        )
    if context.config.train.pretrained is not None:
        found.append(
            "The networks were trained in another run: sources that taught them there "
            "count as unseen here."
        )
    return found


def _rows_classified(context: Context) -> int:
    """Count the sources of the partitions that no stage has put in quarantine."""
    return sum(receipt.rows for receipt in finished_partitions(context, "products").values())


def _quarantine(context: Context) -> list[str]:
    """Say what was left out: how much at each stage, and the first reason."""
    stages: dict[str, list[Quarantined]] = {}
    for record in quarantined_before(context, ""):
        stages.setdefault(record.stage, []).append(record)
    return [
        f"{len(records)} tasks of the stage {stage}, with some {sum(r.rows for r in records):,} "
        f"rows, are in quarantine and their partitions left out, such as {records[0].task}: "
        f"{records[0].reason}."
        for stage, records in stages.items()
    ]


_MEANING = {
    "MISSING_TILE": "no tile holds the source, so image networks gave no class",
    "EDGE": "part of the stamp lies off its tile and is zero",
    "COARSE": "too bright for steps of a fifth of the sky noise",
}


def _flagged(context: Context) -> dict[str, int]:
    total = {flag.name or "": 0 for flag in CutoutFlag}
    for partition in finished_partitions(context, "products"):
        receipt = read_receipt(context.work.receipts, "cutouts", partition.label)
        for name, count in receipt.facts["flags"].items() if receipt else ():
            total[name] += count
    return total


def versions() -> dict[str, str]:
    """List the versions of the program and of what it stands on."""
    return {"kidsclf": __version__, **installed_versions(_PACKAGES)}
