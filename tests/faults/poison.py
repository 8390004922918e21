"""Preloaded by workers of the tests: named tasks kill their process, or eat its memory.

POISON holds ``STAGE LABEL:DEED`` parts, separated by ``;``.
"""

import os
import signal
import time

import kidsclf.pipeline.tasks

DEEDS = dict(part.split(":") for part in os.environ["POISON"].split(";"))
_perform = kidsclf.pipeline.tasks.perform


def poisoned(task, work):
    deed = DEEDS.get(f"{task.stage} {task.label}")
    if deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    eaten = []
    while deed == "eat":
        eaten.append(bytearray(b"x") * 20_000_000)
        time.sleep(0.01)
    return _perform(task, work)


def dask_setup(worker):
    kidsclf.pipeline.tasks.perform = poisoned
