"""The tables of experiments as lines of text, ours beside the published values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from kidsclf.experiments import published
from kidsclf.experiments.external import ALL, CUT, FAR, GALAXY, QUASAR
from kidsclf.experiments.scores import MEASURES

_TOLD_THRESHOLDS = (0.34, 0.5, 0.9, 0.95, 0.99)
_HEADINGS = {"precision": "precision", "recall": "recall", "f1": "F1"}


def told_rows(table: pa.Table) -> list[str]:
    """Write a table of trainings: a line a class, the published value after each of ours."""
    names = table["class"].unique().to_pylist()
    width = max(len(name) for name in [*names, "class"])
    heading = "".join(f"  {_HEADINGS[each]:<15}{'Feng':>7}" for each in MEASURES)
    lines = [f"  {'class':<{width}} {'sources':>8}{heading}"]
    rows = table.to_pylist()
    for first in range(0, len(rows), len(names)):
        group = rows[first : first + len(names)]
        lines.append(_told_head(group[0]))
        if group[0]["seeds"]:
            lines += [_told_class(row, width) for row in group]
    return lines


def _told_head(row: Mapping[str, Any]) -> str:
    if row["note"] and not row["seeds"]:
        return f"{row['title']}: no answer, for {row['note']}"
    some = f" (of some seeds: {row['note']})" if row["note"] else ""
    return (
        f"{row['title']}: accuracy {_spread(row, 'accuracy')}, {row['train_rows']:,} sources "
        f"taught, {row['test_rows']:,} judged, {_seeds(row['seeds'])}{some}"
    )


def _told_class(row: Mapping[str, Any], width: int) -> str:
    cells = "".join(
        f"  {_spread(row, each):<15}{_number(row[f'published_{each}']):>7}" for each in MEASURES
    )
    return f"  {row['class']:<{width}} {row['support']:>8,}{cells}"


def _seeds(count: int) -> str:
    return f"{count} seed{'' if count == 1 else 's'}"


def _spread(row: Mapping[str, Any], measure: str) -> str:
    spread = row[f"{measure}_std"]
    known = f" ± {spread:.4f}" if np.isfinite(spread) else ""
    return f"{_number(row[measure])}{known}"


def _number(value: float) -> str:
    return f"{value:.4f}" if value is not None and np.isfinite(value) else "-"


def told_differences(table: pa.Table, heading: str) -> list[str]:
    """Write by how much one row's scores differ from another's, seed by seed."""
    lines = [heading]
    for row in table.to_pylist():
        spread = row["difference_std"]
        known = f" ± {spread:.4f}" if np.isfinite(spread) else ""
        printed = row["published"]
        beside = f"   Feng {printed:+.4f}" if np.isfinite(printed) else ""
        lines.append(
            f"  {_named(row):<18} {row['measure']:<12} {row['difference']:+.4f}{known}, "
            f"{_seeds(row['seeds'])}{beside}"
        )
    return lines


def _named(row: Mapping[str, Any]) -> str:
    """Name a row by its network, and its variant where the other is of the same network."""
    same = row["network"] == row["less_network"] and row["variant"] != row["less_variant"]
    return f"{row['network']}, {row['variant']}" if same else str(row["network"])


def told_thresholds(table: pa.Table) -> list[str]:
    """Write purity and completeness at a few thresholds, with what Feng's text says of them."""
    remarks = published.threshold_remarks()
    lines = []
    for network in table["network"].unique().to_pylist():
        lines.append(f"{network}, test sample")
        heading = f"  {'threshold':>9}  {'class':<8}{'sources':>9}{'precision':>11}{'recall':>9}"
        lines.append(f"{heading}{'frac_thre':>11}{'completeness':>14}")
        for row in table.to_pylist():
            if row["network"] != network or row["threshold"] not in _TOLD_THRESHOLDS:
                continue
            lines.append(
                f"  {row['threshold']:>9g}  {row['class']:<8}{row['count']:>9,}"
                f"{_number(row['precision']):>11}{_number(row['recall']):>9}"
                f"{_number(row['frac_thre']):>11}{_number(row['completeness']):>14}"
            )
    told = [f"Feng, MNN, p >= {value:g}: {remark}" for value, remark in remarks.items()]
    return lines + told


def told_external(
    shares: pa.Table, agreement: pa.Table, unanswered: Mapping[str, str], notes: Sequence[str]
) -> list[str]:
    """Write section 4.1.2: what became of stars, galaxies and quasars of other surveys."""
    values, lines = published.external(), []
    subsets = {
        ALL: "all",
        CUT: f"z >= {values.redshift_cut:g}",
        FAR: f"z > {values.quasar_redshift:g}",
    }
    rows = shares.to_pylist()
    for network, sample, name in dict.fromkeys(
        (row["network"], row["sample"], row["class"]) for row in rows
    ):
        mine = [
            r for r in rows if (r["network"], r["sample"], r["class"]) == (network, sample, name)
        ]
        for subset, meaning in subsets.items():
            some = [row for row in mine if row["of"] == subset]
            if some[0]["sources"] and (subset == ALL or name == GALAXY):
                head = f"{network}, {sample} ({name}, {meaning}): {some[0]['sources']:,} sources"
                lines += [head, *map(_told_share, filter(_is_told, some))]
            if subset == CUT and name == GALAXY and some[0]["sources"]:
                lines.append(_extragalactic(some, values.galaxies_cut))
    for row in agreement.to_pylist():
        if row["class"] == QUASAR and row["threshold"] in (0.0, values.sure):
            lines.append(_told_agreement(row, values))
    lines += [f"{question}: no answer, for {why}" for question, why in unanswered.items()]
    return lines + list(notes)


def _is_told(row: Mapping[str, Any]) -> bool:
    return bool(row["count"]) or bool(np.isfinite(row["published"]))


def _told_share(row: Mapping[str, Any]) -> str:
    beside = f"   Feng {100 * row['published']:.2f} %" if np.isfinite(row["published"]) else ""
    bounds = f"({100 * row['share_low']:.2f} to {100 * row['share_high']:.2f})"
    share = f"{100 * row['share']:.2f} %"
    return f"  {row['predicted_class']:<12} {row['count']:>9,} {share:>9} {bounds}{beside}"


def _extragalactic(some: Sequence[Mapping[str, Any]], beside: Mapping[str, float]) -> str:
    right = sum(row["count"] for row in some if row["predicted_class"] in (GALAXY, QUASAR))
    share = 100 * right / some[0]["sources"]
    feng = 100 * (beside[GALAXY] + beside[QUASAR])
    return f"  galaxy or quasar {right:>5,} {share:>7.2f} %   Feng {feng:.2f} %"


def _told_agreement(row: Mapping[str, Any], values: published.PublishedExternal) -> str:
    head = f"{row['network']}, {row['sample']} (quasars)"
    if row["threshold"] == 0.0:
        return (
            f"{head}: {100 * row['agreement']:.2f} % of {row['kept']:,} are quasars here too   "
            f"Feng {100 * values.quasars_agree:.0f} %"
        )
    return (
        f"{head}, p >= {row['threshold']:g}: {100 * (1 - row['agreement']):.2f} % of "
        f"{row['kept']:,} are not   Feng about {100 * values.quasars_disagree_when_sure:.0f} %"
    )
