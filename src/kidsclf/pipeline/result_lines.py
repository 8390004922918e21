"""What a run found, in the lines with which its command ends."""

from collections.abc import Iterator
from typing import Any

from kidsclf.pipeline.progress import duration
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.tables import read_json


def result_lines(work: WorkDirectory, seconds: float) -> Iterator[str]:
    """Say what was classified, how well, and where it lies.

    Parameters
    ----------
    work : WorkDirectory
    seconds : float
        That the command took.
    """
    path = work.metrics / "summary.json"
    if not path.exists():
        yield f"done in {duration(seconds)}: {work.root}"
        return
    summary = read_json(path)
    catalogue = summary["catalogue"]
    yield ""
    area = catalogue["area_sq_deg"]
    where = f"over {area:.2f} sq. deg." if area else "over an area too sparse to measure"
    yield (
        f"{summary['rows_in']:,} rows read, {summary['rows_out']:,} classified by "
        f"{catalogue['network']} {where}"
    )
    counts = "  ".join(f"{name} {count:,}" for name, count in catalogue["classes"].items())
    yield f"classes    {counts}"
    yield from _network_lines(summary["networks"], pretrained=summary["run"]["pretrained"])
    for warning in summary["warnings"]:
        yield f"note       {warning}"
    for number, name in enumerate(_catalogue_names(summary)):
        yield f"{'' if number else 'catalogue':<10} {work.root / name}"
    if work.report.exists():
        yield f"report     {work.report}"
    yield f"took       {duration(seconds)}"


def _catalogue_names(summary: dict[str, Any]) -> list[str]:
    names = (each["path"] for each in summary["products"])
    return [name for name in names if name.startswith("products/")]


def _network_lines(networks: dict[str, Any], *, pretrained: bool) -> Iterator[str]:
    judged = {name: each for name, each in networks.items() if each["accuracy"] is not None}
    if not judged:
        yield "no labels  judge the networks of this run"
        return
    first = next(iter(judged.values()))
    classes = list(first["classes"])
    support = sum(each["support"] for each in first["classes"].values())
    seen = "(what taught the networks is not known here)" if pretrained else "they have not seen"
    yield f"networks   judged by {support:,} labels of {first['sample']} {seen}"
    heads = "".join(f"{'F1 ' + each:<12}" for each in classes)
    yield f"           {'':<10} {'accuracy':<18}{heads}".rstrip()
    for name, each in judged.items():
        accuracy = _number(each["accuracy"])
        if each.get("accuracy_std"):
            accuracy += f" +- {each['accuracy_std']:.4f}"
        scores = "".join(f"{_number(each['classes'][c]['f1']):<12}" for c in classes)
        yield f"           {name:<10} {accuracy:<18}{scores}".rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
