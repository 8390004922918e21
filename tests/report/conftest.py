"""A small invented run: the tables that the report is given, of the size a demonstration has."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest

from kidsclf.reduce.context import Context
from kidsclf.reduce.luminosity import quasar_models
from kidsclf.reduce.published import quasar_published
from kidsclf.report import ReportTables, render_page
from kidsclf.report.tables import select

CLASSES = ("STAR", "QSO", "GALAXY")
NETWORKS = ("mnn", "xgboost")
BANDS = ["u", "g", "r", "i", "Z", "Y", "J", "H", "Ks"]
HOSTILE = "<script>alert('sky')</script> $\\frac{1}{2}$ & \"quoted\""


def classification_table() -> pa.Table:
    rows = []
    for k, network in enumerate(NETWORKS):
        for sample, support in (("sdss", (1900, 1100, 6800)), ("gaia", (4100, 0, 0))):
            bins = [(math.nan, math.nan)] + [(r, r + 1.0) for r in range(16, 22)]
            for low, high in bins:
                faint = 0.0 if math.isnan(low) else 0.02 * max(0.0, low - 18) ** 1.3
                for fold in (-1, 0, 1, 2):
                    for name, total in zip(CLASSES, support, strict=True):
                        score = {"STAR": 0.985, "QSO": 0.95, "GALAXY": 0.991}[name]
                        score -= 0.012 * k + faint * (2 if name == "QSO" else 1) + 0.003 * fold
                        found = round(score * total)
                        rows.append(
                            {
                                "network": network,
                                "sample": sample,
                                "fold": fold,
                                "r_low": low,
                                "r_high": high,
                                "class": name,
                                "support": total,
                                "true_positive": found,
                                "false_positive": total // 60,
                                "false_negative": total - found,
                                "precision": score - 0.004 if total else math.nan,
                                "recall": score if total else math.nan,
                                "f1": score - 0.002 if total else math.nan,
                                "accuracy": 0.987 - 0.01 * k - faint,
                                "balanced_accuracy": 0.972 - 0.01 * k - faint,
                            }
                        )
    return pa.Table.from_pylist(rows)


def confusion_table() -> pa.Table:
    parts = {"STAR": (0.985, 0.011, 0.004), "QSO": (0.02, 0.945, 0.035)}
    parts["GALAXY"] = (0.003, 0.006, 0.991)
    rows = [
        {
            "network": network,
            "sample": "sdss",
            "true_class": true,
            "predicted_class": predicted,
            "count": round(2000 * parts[true][p]),
            "fraction": parts[true][p],
        }
        for network in NETWORKS
        for true in CLASSES
        for p, predicted in enumerate(CLASSES)
    ]
    return pa.Table.from_pylist(rows)


def threshold_table() -> pa.Table:
    rows = []
    for network in NETWORKS:
        for threshold in [*np.linspace(0.34, 0.98, 33).tolist(), 0.99, 0.995, 0.999]:
            for name, loss in zip(CLASSES, (0.02, 0.05, 0.01), strict=True):
                kept = 1 - loss * (1 / (1.01 - threshold)) ** 0.6
                purity = 1 - loss * (1 - threshold) ** 0.5
                rows.append(
                    {
                        "network": network,
                        "sample": "sdss",
                        "threshold": threshold,
                        "class": name,
                        "precision": purity,
                        "recall": purity - 0.003,
                        "f1": purity - 0.002,
                        "frac_thre": kept,
                        "completeness": kept * purity,
                        "count": round(3000 * kept),
                    }
                )
    return pa.Table.from_pylist(rows)


def calibration_tables() -> dict[str, pa.Table]:
    found = {name: [] for name in ("reliability", "calibration", "prediction_sets", "wanted")}
    for network in NETWORKS:
        for name in (*CLASSES, "ALL"):
            place = {"network": network, "sample": "sdss", "class": name}
            for low, high in ((math.nan, math.nan), (18.0, 19.0)):
                inside = place | {"r_low": low, "r_high": high, "count": 900}
                for kind, slope in (("raw", 0.8), ("calibrated", 0.98)):
                    for k in range(15):
                        p = (k + 0.5) / 15
                        fraction = 0.5 + slope * (p - 0.5)
                        found["reliability"].append(
                            inside
                            | {"kind": kind, "p_low": k / 15, "p_high": (k + 1) / 15, "p_mean": p}
                            | {"count": 400 if k in (0, 14) else 6, "fraction": fraction}
                            | {"fraction_low": fraction - 0.02, "fraction_high": fraction + 0.02}
                        )
                found["calibration"].append(
                    inside
                    | {"ece": 0.03, "ece_calibrated": 0.01, "ece_by_chance": 0.009, "nll": 0.2}
                    | {"nll_calibrated": 0.15, "brier": 0.05, "brier_calibrated": 0.04}
                )
                found["prediction_sets"].append(
                    inside
                    | {"coverage": 0.951, "coverage_low": 0.944, "coverage_high": 0.957}
                    | {"mean_size": 1.07, "empty": 0.004, "single": 0.92, "multiple": 0.076}
                )
        for name in CLASSES:
            for what, value in (("purity", 0.95), ("completeness", 0.9), ("purity", 0.99)):
                cut = {"threshold": 0.8321, "threshold_low": 0.7, "threshold_high": 0.9}
                cut |= {"purity": 0.96, "purity_low": 0.95, "purity_high": 0.97}
                cut |= {"completeness": 0.91, "completeness_low": 0.9, "completeness_high": 0.92}
                if value == 0.99:
                    cut = dict.fromkeys(cut, math.nan)
                found["wanted"].append(
                    {"network": network, "sample": "sdss", "class": name, "wanted": what}
                    | {"value": value, "count": 0 if value == 0.99 else 812}
                    | cut
                )
    return {name: pa.Table.from_pylist(rows) for name, rows in found.items()}


def novelty_tables() -> dict[str, pa.Table]:
    judged, counted = [], []
    edges = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
    for network in NETWORKS:
        for r in (math.nan, 19.0, 20.0, 21.0):
            for k, (low, high) in enumerate(itertools.pairwise(edges)):
                cell = {"network": network, "r_low": r, "r_high": r + 1.0}
                cell |= {"novelty_low": low, "novelty_high": high}
                fraction = 0.99 - 0.03 * k
                judged.append(
                    cell
                    | {"sample": "sdss", "count": 200 - 39 * k, "accuracy": fraction}
                    | {"correct": round(fraction * (200 - 39 * k)), "p_mean": fraction + 0.01}
                    | {"accuracy_low": fraction - 0.02, "accuracy_high": fraction + 0.01}
                )
                counted += [cell | {"class": name, "count": 50 + 10 * k} for name in CLASSES]
    return {
        "novelty_accuracy": pa.Table.from_pylist(judged),
        "novelty_counts": pa.Table.from_pylist(counted),
    }


def count_tables() -> tuple[pa.Table, pa.Table, pa.Table]:
    by_r, by_p, quasars = [], [], []
    for network in NETWORKS[:2]:
        cumulative, area = 0.0, 38.4
        for r in np.arange(14, 23, 0.25).tolist():
            slopes = {"STAR": 90 * 10 ** (0.12 * (r - 14)), "QSO": 0.004 * 10 ** (0.7 * (r - 14))}
            slopes["GALAXY"] = 2 * 10 ** (0.5 * (r - 14))
            slopes["QSO"] = min(slopes["QSO"], 300 * 10 ** (0.2 * (r - 20)))
            edges = {"network": network, "r_low": r, "r_high": r + 0.25}
            by_r += [edges | {"class": c, "count": round(n)} for c, n in slopes.items()]
            count = round(slopes["QSO"])
            cumulative += count / area
            quasars.append(
                edges
                | {
                    "count": count,
                    "count_probability": 0.93 * count,
                    "area_sq_deg": area,
                    "per_sq_deg": count / area,
                    "per_sq_deg_error": math.sqrt(count) / area,
                    "cumulative_per_sq_deg": cumulative,
                    "cumulative_per_sq_deg_error": math.sqrt(cumulative / area),
                    "probability_per_sq_deg": 0.93 * count / area,
                    "probability_per_sq_deg_error": math.sqrt(0.93 * count) / area,
                    "cumulative_probability_per_sq_deg": 0.93 * cumulative,
                }
            )
        for p in np.arange(0.3, 1.0, 0.02).tolist():
            for name, size in zip(CLASSES, (9e3, 3e3, 3e4), strict=True):
                count = round(size * math.exp(-(1 - p) * 12))
                by_p.append(
                    {"network": network, "class": name, "p_low": p, "p_high": p + 0.02}
                    | {"count": count}
                )
    return pa.Table.from_pylist(by_r), pa.Table.from_pylist(by_p), pa.Table.from_pylist(quasars)


def quasar_tables(counts: pa.Table) -> dict[str, pa.Table]:
    """What goes with the counts: fields, corrected numbers, models, what is published."""
    fields, corrected = [], []
    for row in counts.to_pylist():
        edges = {name: row[name] for name in ("network", "r_low", "r_high")}
        for source, part in (("catalogue", 1.0), ("sdss", 0.6)):
            found = {"count": round(part * row["count"]), "footprint_sq_deg": 38.4}
            found |= {"field_sq_deg": 4.0, "fields": 100, "independent": 9.6}
            for prefix in ("", "cumulative_"):
                density = part * row[f"{prefix}per_sq_deg"]
                found |= {f"{prefix}median": density, f"{prefix}poisson": math.sqrt(density / 4)}
                found |= {f"{prefix}low": 0.9 * density, f"{prefix}high": 1.1 * density}
                found[f"{prefix}mean_error"] = 0.03 * density
            fields.append(edges | {"source": source} | found)
        known = 16 <= row["r_low"] < 22
        for cut in (0.0, 0.9):
            values = {"purity": 0.9, "completeness": 0.8, "estimate": 0.9 * row["count"]}
            values |= {n: 0.9 * row[n] for n in ("per_sq_deg", "cumulative_per_sq_deg")}
            values |= {f"{n}_low": 0.8 * v for n, v in values.items()} | {
                f"{n}_high": 1.2 * v for n, v in values.items()
            }
            if not known:
                values = dict.fromkeys(values, math.nan)
            found = {"p_min": cut, "labels": 50 * known, "count": row["count"]}
            corrected.append(edges | found | values | {"why": "" if known else "no labels"})
    tables = {
        "quasar_fields": pa.Table.from_pylist(fields),
        "quasar_corrected": pa.Table.from_pylist(corrected),
        "quasar_models": quasar_models(Context(("QSO",), "sdss", (19.0, 20.0, 21.0, 22.0), ())),
    }
    own = [select(each, {"network": "mnn"}) for each in (counts, tables["quasar_fields"])]
    return tables | {"quasar_published": quasar_published(*own, "sdss")}


def colour_table() -> pa.Table:
    rng = np.random.default_rng(7)
    centres = {"STAR": (0.9, 0.45), "QSO": (0.2, 0.12), "GALAXY": (1.1, 0.45)}
    edges = np.linspace(-1, 3, 61)
    rows = []
    for sample, size in (("catalogue", 30_000), ("sdss", 2500)):
        for name, (x, y) in centres.items():
            along = rng.normal(0, 0.4 if name != "QSO" else 0.15, size)
            points = np.stack([x + along, y + 0.5 * along + rng.normal(0, 0.12, size)])
            counts, _, _ = np.histogram2d(*points, bins=(edges, edges - 1))
            for i, j in np.argwhere(counts > 0).tolist():
                rows.append(
                    {"network": "mnn", "sample": sample, "class": name}
                    | {"extrapolated": i % 5 == 0, "x_colour": "g-r", "y_colour": "r-i"}
                    | {"x_low": edges[i], "x_high": edges[i + 1]}
                    | {"y_low": edges[j] - 1, "y_high": edges[j + 1] - 1}
                    | {"count": int(counts[i, j])}
                )
    return pa.Table.from_pylist(rows)


def morphology_table() -> pa.Table:
    rng = np.random.default_rng(8)
    edges = {
        "size_magnitude": (np.linspace(14, 25, 111), np.linspace(-0.8, 0.8, 81)),
        "gini_m20": (np.linspace(-3, 0, 76), np.linspace(0.2, 0.8, 61)),
    }
    rows = []
    for sample, size in (("catalogue", 8000), ("sdss", 900)):
        for name, radius in (("STAR", 0.4), ("QSO", 0.42), ("GALAXY", 0.7)):
            r = rng.normal(20.5, 1.2, size)
            log_radius = np.log10(radius) + rng.normal(0, 0.05, size)
            m20 = rng.normal(-1.6, 0.15, size)
            gini = 0.33 - 0.1 * m20 + rng.normal(0, 0.02, size)
            for plane, points in (("size_magnitude", (r, log_radius)), ("gini_m20", (m20, gini))):
                x, y = edges[plane]
                counts, _, _ = np.histogram2d(*points, bins=(x, y))
                rows += [
                    {"network": "mnn", "plane": plane, "sample": sample, "class": name}
                    | {"x_low": x[i], "x_high": x[i + 1], "y_low": y[j], "y_high": y[j + 1]}
                    | {"count": int(counts[i, j])}
                    for i, j in np.argwhere(counts > 0).tolist()
                ]
    return pa.Table.from_pylist(rows)


def history_table() -> pa.Table:
    rows = []
    for network in NETWORKS:
        for fold in range(3):
            for epoch in range(1, 41):
                loss = 0.05 + 0.5 * math.exp(-epoch / 6) + 0.004 * fold
                over = 0.02 + 0.0006 * max(0, epoch - 22) + 0.006 * math.sin(3.1 * epoch + fold)
                score = math.nan if network == "xgboost" else 0.99 - 0.2 * math.exp(-epoch / 5)
                rows.append(
                    {"network": network, "fold": fold, "member": 0, "epoch": epoch}
                    | {"loss": loss, "val_loss": loss + over}
                    | {"accuracy": score, "val_accuracy": score - 0.4 * over}
                )
    return pa.Table.from_pylist(rows)


def gallery_table() -> pa.Table:
    rng = np.random.default_rng(11)
    y, x = np.mgrid[-20:21, -20:21]
    rows = []
    for name, width in zip(CLASSES, (1.6, 1.6, 3.4), strict=True):
        for kind in ("typical", "uncertain", "misclassified", "novel"):
            for number in range(7):
                tilt = rng.uniform(0.6, 1.0) if name == "GALAXY" else 1.0
                flux = 10 ** rng.uniform(-9.6, -8.2)
                shape = np.exp(-(x**2 + (y / tilt) ** 2) / (2 * width**2))
                image = flux * shape / shape.sum() + rng.normal(0, 2e-13, x.shape)
                wrong = CLASSES[(CLASSES.index(name) + 1) % 3]
                blank = kind == "uncertain" and number == 0
                rows.append(
                    {
                        "network": "mnn",
                        "class": name,
                        "kind": kind,
                        "name": f"KiDS J{1200 + number}{kind[:3]}-00{number}",
                        "ra": 359.9 + 0.03 * number - 360 * (number > 3),
                        "dec": -31.2,
                        "r": -2.5 * math.log10(flux),
                        "training_distance": 20.0 - number,
                        "p_max": 0.99 if kind == "typical" else 0.47,
                        "true_class": wrong if kind == "misclassified" else "",
                        "size_px": 41,
                        "band": "r",
                        "image": [] if blank else image.astype(np.float32).ravel().tolist(),
                        "bands": BANDS,
                        "magnitudes": [
                            math.nan if blank and b < 2 else 21 - 0.3 * b + rng.normal(0, 0.1)
                            for b in range(9)
                        ],
                    }
                )
    return pa.Table.from_pylist(rows)


def sky_table() -> pa.Table:
    rng = np.random.default_rng(3)
    rows = []
    for ra0, ra1, dec0, dec1 in ((345.0, 375.0, -34.0, -28.0), (150.0, 200.0, -3.0, 3.0)):
        for ra in np.arange(ra0, ra1, 1.3).tolist():
            for k, dec in enumerate(np.arange(dec0, dec1, 0.46).tolist()):
                crowd = 1 + 0.8 * math.cos(math.radians(ra - 340))
                stars, galaxies = rng.poisson(2000 * crowd), rng.poisson(9000)
                quasars = rng.poisson(600)
                rows.append(
                    {"order": 6, "pixel": len(rows), "ra": (ra + 0.65 * (k % 2)) % 360, "dec": dec}
                    | {"count": int(stars + galaxies + quasars)}
                    | {"depth": 24.8 + 0.1 * math.sin(ra), "unclassified": 0, "flagged": k % 3}
                    | {"star": int(stars), "qso": int(quasars), "galaxy": int(galaxies)}
                )
    return pa.Table.from_pylist(rows)


def distribution_table() -> pa.Table:
    rows = []
    for quantity, low, bins in (("magnitude", 15.0, 40), ("u-g", -1.0, 30)):
        for sample, names in (("catalogue", ("ALL",)), ("sdss", CLASSES)):
            for k in range(bins if sample == "catalogue" else bins // 2):
                rows += [
                    {"network": "mnn", "quantity": quantity, "sample": sample, "class": name}
                    | {"low": low + 0.2 * k, "high": low + 0.2 * (k + 1), "count": 3 + 9 * k}
                    for name in names
                ]
    return pa.Table.from_pylist(rows)


def worker_table() -> pa.Table:
    rows = [
        {"stage": stage, "worker": f"node{k}:{4000 + k}", "tasks": 12 - 5 * k, "rows": 900 * k}
        | {"seconds": 20.5 - 3 * k, "rows_per_second": 900 * k / (20.5 - 3 * k)}
        for stage in ("ingest", "infer")
        for k in range(2)
    ]
    return pa.Table.from_pylist(rows)


def throughput_table() -> pa.Table:
    """A stage, a network on a processor and one on a GPU, and a stage that had nothing to do."""
    rows = [
        {"stage": "ingest", "network": None, "seconds": 50.0, "threads": 1},
        {"stage": "infer", "network": "xgboost", "seconds": 20.0, "threads": 2},
        {"stage": "infer", "network": "mnn", "seconds": 25.0, "threads": 2},
        {"stage": "match", "network": None, "seconds": 0.0, "threads": 1},
    ]
    return pa.Table.from_pylist(
        [
            {"stage": row["stage"], "network": row["network"], "tasks": 24, "rows": 100_000}
            | {"worker_seconds": row["seconds"], "threads": row["threads"]}
            | {"on_gpu": row["network"] == "mnn"}
            | {
                "rows_per_thread_second": 1e5 / row["seconds"] / row["threads"]
                if row["seconds"]
                else math.nan
            }
            | {"median_task_rows_per_second": 5100.0 if row["network"] else math.nan}
            for row in rows
        ]
    )


def experiment_tables() -> dict[str, dict[str, pa.Table]]:
    """What two experiments leave, and one of another version."""
    sizes = [
        {"title": f"{size:,} sources", "network": "mnn", "class": name, "seeds": 3}
        | {"f1": 0.9 + 0.01 * k, "f1_std": 0.004, "published_f1": math.nan, "train_rows": size}
        for k, size in enumerate((5000, 10_000, 20_000))
        for name in CLASSES
    ]
    thresholds = select(threshold_table(), {"network": "mnn"})
    return {
        "training_size": {"table": pa.Table.from_pylist(sizes)},
        "thresholds": {"table": thresholds},
        "table1": {"table": pa.table({"network": ["mnn"]})},
    }


def run_tables() -> tuple[pa.Table, pa.Table]:
    steps = (("bands", "all nine bands measured", 5210), ("limit", "r <= 23", 30_412))
    cuts, left = [], 121_034
    for step, reason, cut in (*steps, (HOSTILE, "flagged by the survey", 0)):
        cuts.append(
            {"stage": "ingest", "table": "photometry", "step": step, "reason": reason}
            | {"rows_in": left, "rows_cut": cut, "rows_out": left - cut}
        )
        left -= cut
    cuts.append(
        {"stage": "match", "table": "sdss", "step": "within 1 arcsec", "reason": "no counterpart"}
        | {"rows_in": 9950, "rows_cut": 150, "rows_out": 9800}
    )
    times = {"ingest": 41.2, "cutouts": 96.0, "match": 8.1, "train": 312.5, "infer": 58.3}
    stages = [
        {"stage": stage, "tasks": 24, "skipped": 3 * (stage == "ingest"), "rows": left}
        | {"seconds": seconds, "rows_per_second": left / seconds}
        for stage, seconds in (times | {"reduce": 5.2}).items()
    ]
    return pa.Table.from_pylist(cuts), pa.Table.from_pylist(stages)


def summary() -> dict[str, object]:
    return {
        "run": {"name": "demo", "seed": 20261121, "workdir": "work/demo", "hostile": HOSTILE},
        "rows_in": 121_034,
        "rows_out": 85_412,
        "networks": {
            network: {
                "accuracy": 0.9876 - 0.01 * k,
                "accuracy_std": None if k else 0.0011,
                "balanced_accuracy": 0.9731 - 0.01 * k,
                "parameters": None if network == "xgboost" else 1_234_567 // (k + 1),
                "trust": {"temperature": 1.37, "prediction_sets": {"promised_coverage": 0.95}},
                "classes": {
                    name: {"precision": 0.98, "recall": 0.97, "f1": 0.975 - 0.01 * k}
                    | {"support": 1000}
                    for name in CLASSES
                },
            }
            for k, network in enumerate(NETWORKS)
        },
        "catalogue": {
            "rows": 85_412,
            "network": "mnn",
            "classes": {"STAR": 24_010, "QSO": 5_402, "GALAXY": 56_000},
            "area_sq_deg": 38.4,
        },
        "quarantine": {"tasks": 2, "rows": 1204},
        "products": [
            {"path": "products/catalogue.fits", "what": "the catalogue, FITS", "rows": 85_412},
            {"path": "products/coverage.moc.fits", "what": "the sky it covers", "rows": None},
        ],
        "warnings": [f"tile KIDS_1.0_-31.2 was quarantined: {HOSTILE}"],
    }


@pytest.fixture(scope="session")
def tables() -> ReportTables:
    by_r, by_p, quasars = count_tables()
    cuts, stages = run_tables()
    return ReportTables(
        summary=summary(),
        settings={
            "run": {"seed": 20261121, "stages": ["ingest", "train"]},
            "surveys": [{"name": "kids", "bands": BANDS}, {"name": HOSTILE}],
            "store": {"workdir": None},
        },
        versions={"kidsclf": "0.1.0", "numpy": "2.4.6", "python": "3.11.9"},
        cut_flow=cuts,
        classification=classification_table(),
        confusion=confusion_table(),
        thresholds=threshold_table(),
        **calibration_tables(),
        **novelty_tables(),
        class_counts=by_r,
        p_max=by_p,
        quasar_counts=quasars,
        **quasar_tables(quasars),
        colour_colour=colour_table(),
        morphology=morphology_table(),
        history=history_table(),
        gallery=gallery_table(),
        sky=sky_table(),
        stages=stages,
        throughput=throughput_table(),
        workers=worker_table(),
        distributions=distribution_table(),
        experiments=experiment_tables(),
    )


@pytest.fixture(scope="session")
def page(tables) -> str:
    return render_page(tables)
