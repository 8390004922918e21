"""How far each piece of the sky is: what the scheduler knows, kept small whatever the survey.

The client says at the start of a stage how many tasks lie in each cell of the sky; the scheduler
then counts their transitions. A cell is a partition, or in large surveys the pixel that holds
several, so that a browser is never sent more than some thousand shapes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from distributed import Scheduler, SchedulerPlugin

from kidsclf.sky.partition import Partition

TOPIC = "kidsclf-sky"
"""Topic of the events by which the client tells the scheduler of stages and quarantine."""

STATES = ("pending", "running", "done", "quarantined")
MOST_CELLS = 4096
PLUGIN = "kidsclf-sky"
SKY_PAGE = "/individual-sky"
"""Of the dashboard; Dask lists pages of such names under "More..."."""

_LABEL = re.compile(r"\d+/\d+")
_KEY = re.compile(r"-(\d+/\d+)-[0-9a-f]{32}$")


@dataclass
class Cell:
    """Tasks of one cell of the sky: all, those on a worker, finished, left out."""

    tasks: int = 0
    running: int = 0
    done: int = 0
    quarantined: int = 0

    @property
    def state(self) -> str:
        """The state to colour it by.

        >>> Cell(tasks=2, done=1, running=1).state
        'running'
        """
        if self.quarantined:
            return "quarantined"
        if self.running:
            return "running"
        return "done" if self.done >= self.tasks else "pending"


def cells_of(todo: Iterable[str], finished: Iterable[str]) -> dict[str, Any]:
    """Count tasks by cell; labels that name no partition count for none.

    Returns
    -------
    dict
        ``order`` (the finest of a cell), ``todo`` and ``finished`` (tasks by cell's label), and
        ``tasks``, those still to do whether or not they have a place on the sky.

    >>> cells_of(["2/17", "2/18", "chunk-00001"], ["1/3"])
    {'order': 2, 'tasks': 3, 'todo': {'2/17': 1, '2/18': 1}, 'finished': {'1/3': 1}}
    """
    labels = list(todo)
    ahead = [Partition.parse(label) for label in labels if _LABEL.fullmatch(label)]
    behind = [Partition.parse(label) for label in finished if _LABEL.fullmatch(label)]
    order = max((each.order for each in (*ahead, *behind)), default=0)
    while order and len({_cell(each, order) for each in (*ahead, *behind)}) > MOST_CELLS:
        order -= 1
    return {
        "order": order,
        "tasks": len(labels),
        "todo": dict(Counter(_cell(each, order) for each in ahead)),
        "finished": dict(Counter(_cell(each, order) for each in behind)),
    }


def _cell(partition: Partition, order: int) -> str:
    if partition.order <= order:
        return partition.label
    return Partition(order, partition.pixel >> (2 * (partition.order - order))).label


class SkyStates(SchedulerPlugin):  # type: ignore[misc]
    """Keeps the state of every cell for the map on the dashboard."""

    name = PLUGIN

    def __init__(self) -> None:
        self.stage = ""
        self.tasks = self.done = 0
        self.order = 0
        self.cells: dict[str, Cell] = {}
        self.version = 0
        """Grows with every change, so that a page redraws only when there is news."""
        self.layout = 0
        """Grows when other cells are shown."""

    def log_event(self, topic: str, msg: Any) -> None:
        """Hear of a stage that begins, or of a task left out."""
        if topic != TOPIC:
            return
        if "quarantined" in msg:
            cell = self._cell_of(msg["quarantined"])
            if cell is not None:
                cell.quarantined += 1
        else:
            self._begin(msg)
        self.version += 1

    def _begin(self, plan: Mapping[str, Any]) -> None:
        self.stage, self.tasks, self.done = plan["stage"], plan["tasks"], 0
        if not plan["todo"] and not plan["finished"]:
            return  # a stage without places, such as training, leaves the map as it is
        self.order = plan["order"]
        cells = {label: Cell() for label in sorted({*plan["todo"], *plan["finished"]})}
        for label, count in plan["todo"].items():
            cells[label].tasks += count
        for label, count in plan["finished"].items():
            cells[label].tasks += count
            cells[label].done += count
        if cells.keys() != self.cells.keys():
            self.layout += 1
        self.cells = cells

    def transition(self, key: str, start: str, finish: str, *_: Any, **__: Any) -> None:
        """Follow a task on and off a worker."""
        if start == finish or "processing" not in (start, finish):
            return
        place = _KEY.search(str(key))
        cell = self._cell_of(place[1]) if place else None
        if finish == "memory":
            self.done += 1
        if cell is not None:
            cell.running += 1 if finish == "processing" else -1
            cell.done += finish == "memory"
        self.version += 1

    def _cell_of(self, label: str) -> Cell | None:
        if not _LABEL.fullmatch(label):
            return None
        return self.cells.get(_cell(Partition.parse(label), self.order))


def follow_sky(scheduler: Scheduler) -> None:
    """Let a scheduler keep the states, once."""
    if PLUGIN not in scheduler.plugins:
        scheduler.add_plugin(SkyStates())
