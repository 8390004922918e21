"""The page's figures: the budget of the main job, ratios against their goals, scaling.

Not a benchmark. Each figure has its numbers as a table beside it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from benchmarks.figures import draw_budget, draw_goals, draw_overview, draw_scaling
from benchmarks.headlines import about, goals, labelled, main_job, records_of, scaling_curves
from benchmarks.record import Kept, Ratio, Record
from benchmarks.wording import (
    facts_in_words,
    goal,
    machine_in_words,
    name,
    number,
    plain,
    spread,
    stem,
)
from kidsclf.report.blocks import Block, Folded, Section, drawing, grid, missing

_MOST_ROWS = 30
"""Goals that are drawn in the open; the figure of more is folded."""


def budget(kept: Sequence[Kept]) -> Section:
    """Show which share of the main job each stage takes."""
    blocks: list[Block] = []
    for file, record in records_of(kept, "engine"):
        shares = main_job(record)
        if shares:
            told = ", ".join(f"{key} {value}" for key, value in facts_in_words(record.facts))
            blocks.append(
                drawing(
                    f"fig-budget-{stem(file)}",
                    partial(draw_budget, shares),
                    title="Where the time of the main job goes",
                    caption=f"The longest bar is where a gain is worth most. Measured with {told}. "
                    f"The mix moves with what is asked: networks of stamps make infer and train "
                    f"the most of it.",
                    alt="Bars of the share of time that each stage of the main job takes.",
                )
            )
        told = [(m.subject, m.quantity, spread(m), m.unit) for m in record.measurements]
        table = grid("Cost of the engine", ("Subject", "Quantity", "Value", "Unit"), told)
        blocks.append(Folded("What the engine itself costs", (table,)))
    if not blocks:
        blocks = [missing("The budget of the main job", "no file holds the benchmark engine")]
    lead = "A whole run, stage by stage, and what tasks and publishing add to the work."
    return Section("budget", "Where the time goes", lead, tuple(blocks))


def judged(kept: Sequence[Kept]) -> Section:
    """Show every ratio that has a goal, all together and by benchmark."""
    found = [each for each in labelled(kept) if goals(each[2])]
    lead = (
        "What is asked of a ratio, and what it is. A filled dot is a goal reached, an open diamond "
        "one missed."
    )
    if not found:
        return Section("goals", "Goals", lead, (missing("Every goal", "no ratio has one"),))
    overview = drawing(
        "fig-goals",
        partial(draw_overview, [(label, record) for label, _, record in found]),
        title="Every goal",
        caption="How many times its goal each ratio is, on a logarithmic axis, a row for each "
        "benchmark; at the end of a row, how many are reached. Left of the line are those missed.",
        alt="Dots of ratios over their goals, one row for each benchmark, a line at the goal.",
    )
    figures = [block for each in found for block in _goals_of(*each)]
    return Section("goals", "Goals", lead, (overview, *figures))


def _goals_of(label: str, file: Kept, record: Record) -> Iterator[Block]:
    asked = goals(record)
    rows = [
        (name(each), number(each.median), _range(each), goal(each), _end(each)) for each in asked
    ]
    data = grid(f"Goals of {record.benchmark}", ("Ratio", "Median", "Range", "Goal", ""), rows)
    figure = drawing(
        f"fig-goals-{stem(file)}-{record.benchmark}",
        partial(draw_goals, record),
        title=label,
        caption=f"{plain(about(record.benchmark))} On {machine_in_words(file.machine)}.",
        alt=f"Ratios of {record.benchmark} with their ranges, each with its goal as a line.",
    )
    shown = replace(figure, data=data)
    if len(asked) > _MOST_ROWS:
        yield Folded(f"{label}: {len(asked)} goals", (shown,))
    else:
        yield shown


def _end(of: Ratio) -> str:
    return "reached" if of.reached else "missed"


def _range(of: Ratio) -> str:
    return f"{number(min(of.values))} to {number(max(of.values))}"


def scaling(kept: Sequence[Kept]) -> Section:
    """Show the efficiency of ever more workers."""
    blocks: list[Block] = []
    for file, record in records_of(kept, "scaling"):
        curves = scaling_curves(record)
        wanted = next((each.goal for each in goals(record)), None)
        rows = [
            (kind, count, number(each.median), f"{min(each.values):.3f} to {max(each.values):.3f}")
            for kind, curve in curves.items()
            for count, each in curve
        ]
        figure = drawing(
            f"fig-scaling-{stem(file)}",
            partial(draw_scaling, curves, wanted),
            title="Efficiency of ever more workers",
            caption="Ideal time over the time taken; bars are the range over the repeats. "
            + "; ".join(f"{key}: {value}" for key, value in facts_in_words(record.facts))
            + f". On {machine_in_words(file.machine)}.",
            alt="Efficiency against the number of workers, strong and weak scaling.",
        )
        data = grid("Efficiency", ("Scaling", "Workers", "Median", "Range"), rows)
        blocks.append(replace(figure, data=data))
    if not blocks:
        blocks = [missing("Scaling", "no file holds the benchmark scaling")]
    lead = "Tasks that wait instead of computing, so that engine, scheduler and client are judged."
    return Section("scaling", "Scaling", lead, tuple(blocks))
