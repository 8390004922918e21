"""The verdict in one glance, and where the products are."""

from collections.abc import Mapping
from typing import Any

from kidsclf.report.blocks import (
    Block,
    Remark,
    Section,
    Share,
    Shares,
    Tile,
    Tiles,
    grid,
    missing,
)
from kidsclf.report.numbers import decimal, is_number, percent, whole
from kidsclf.report.palette import VARIABLES, class_look, in_order
from kidsclf.report.tables import ReportTables, headline_network


def verdict(tables: ReportTables) -> Section:
    """Say how many sources were classified, as what, how well, and what to beware of."""
    summary = tables.summary
    blocks: list[Block] = [_tiles(summary, headline_network(tables))]
    blocks += _warnings(summary.get("warnings"))
    blocks.append(_shares(summary.get("catalogue") or {}))
    blocks.append(_networks(summary.get("networks") or {}))
    return Section("verdict", "At a glance", _sentence(tables), tuple(blocks))


def _sentence(tables: ReportTables) -> str:
    made = tables.summary.get("catalogue") or {}
    network = headline_network(tables)
    if not made.get("rows"):
        return "This run has not written a catalogue of classified sources."
    text = f"{whole(made['rows'])} sources have a class"
    if is_number(made.get("area_sq_deg")):
        text += f", over {decimal(made['area_sq_deg'], 1)} square degrees"
    return text + (f", given by the network “{network}”." if network else ".")


def _tiles(summary: Mapping[str, Any], network: str | None) -> Tiles:
    made = summary.get("catalogue") or {}
    scores = (summary.get("networks") or {}).get(network) or {}
    rows_in, rows_out = summary.get("rows_in"), summary.get("rows_out")
    spread = scores.get("accuracy_std")
    tiles = [
        Tile(whole(made.get("rows")), "classified sources"),
        Tile(whole(rows_in), "rows read", f"{whole(rows_out)} went into the catalogue"),
        Tile(_area(made.get("area_sq_deg")), "of sky"),
        Tile(
            percent(scores.get("accuracy"), 2),
            "accuracy on labelled sources",
            f"± {percent(spread, 2)} over folds" if is_number(spread) else "",
        ),
        Tile(
            percent(scores.get("balanced_accuracy"), 2),
            "balanced accuracy",
            "mean recall of the classes",
        ),
        _calibration(scores.get("trust") or {}),
        *_left_out(summary),
    ]
    return Tiles(tuple(tiles))


def _area(square_degrees: Any) -> str:
    known = decimal(square_degrees, 2 if is_number(square_degrees) and square_degrees < 10 else 0)
    return f"{known} deg²" if is_number(square_degrees) else known


def _calibration(trust: Mapping[str, Any]) -> Tile:
    raw, value = trust.get("ece"), trust.get("ece_calibrated")
    note = f"{percent(raw)} as the network says" if is_number(raw) else ""
    return Tile(percent(value), "calibration error", note)


def _left_out(summary: Mapping[str, Any]) -> list[Tile]:
    quarantine, warnings = summary.get("quarantine") or {}, summary.get("warnings")
    tasks = quarantine.get("tasks")
    number = len(warnings) if warnings is not None else None
    return [
        Tile(
            whole(quarantine.get("rows")),
            "rows in quarantine",
            f"of {whole(tasks)} tasks" if tasks else "",
        ),
        Tile(whole(number), "warnings", "told below" if number else ""),
    ]


def _warnings(warnings: Any) -> list[Block]:
    if warnings is None:
        return [missing("The list of warnings", "the summary of the run has none")]
    if not warnings:
        return [Remark("The run raised no warnings.")]
    return [Remark(str(text), "warning") for text in warnings]


def _shares(made: Mapping[str, Any]) -> Block:
    counts = {str(name): n for name, n in (made.get("classes") or {}).items() if is_number(n)}
    total = sum(counts.values())
    if not total:
        return missing("The mix of classes", "no catalogue has been reduced yet")
    shares = tuple(
        Share(
            class_look(name).label,
            whole(counts[name]),
            percent(counts[name] / total),
            round(100 * counts[name] / total, 3),
            VARIABLES[class_look(name).colour],
        )
        for name in in_order(list(counts))
    )
    return Shares("Classes in the catalogue", shares)


def _networks(networks: Mapping[str, Mapping[str, Any]]) -> Block:
    if not networks:
        why = "no network was scored on labelled sources, so nothing says how far to trust them"
        return missing("Accuracy", why)
    classes = in_order(
        [str(name) for one in networks.values() for name in one.get("classes") or {}]
    )
    rows = []
    for name, scores in networks.items():
        f1 = [((scores.get("classes") or {}).get(c) or {}).get("f1") for c in classes]
        spread = scores.get("accuracy_std")
        accuracy = decimal(scores.get("accuracy"))
        accuracy += f" ± {decimal(spread)}" if is_number(spread) else ""
        balanced = decimal(scores.get("balanced_accuracy"))
        rows.append([name, accuracy, balanced, *map(decimal, f1), whole(scores.get("parameters"))])
    labels = [f"F1 {class_look(name).label}" for name in classes]
    headings = ["Network", "Accuracy", "Balanced accuracy", *labels, "Parameters"]
    return grid("Networks on labelled sources", headings, rows)


def products(tables: ReportTables) -> Section:
    """List the files that the run leaves for its users."""
    listed = tables.summary.get("products") or []
    rows = [
        [str(one.get("path", "")), str(one.get("what", "")), whole(one.get("rows"))]
        for one in listed
    ]
    block: Block
    if rows:
        block = grid("Products, relative to the work directory", ["Path", "What", "Rows"], rows)
    else:
        block = missing("The list of products", "the summary of the run names none")
    lead = (
        "The catalogue and its companions lie in the folder products/ of the work directory, "
        "beside the folder of this page; metrics/ holds every number shown here."
    )
    return Section("products", "Products", lead, (block,))
