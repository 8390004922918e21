"""Places in an object store: what appears there, what is asked of it, and what it may do to us."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kidsclf.config import StoreSettings
from kidsclf.errors import ConfigError, StoreError
from kidsclf.places import (
    file_fingerprint,
    files_below,
    find_places,
    impatient,
    local_file,
    name_below,
    open_parquet,
    open_to_read,
    place,
    remove_tree,
    subfolders,
)
from kidsclf.schema import CutoutFlag
from kidsclf.sky.partition import Partition
from kidsclf.store import lease
from kidsclf.store.catalogue import HatsCatalogue, sort_rows
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.lock import locked
from kidsclf.store.publish import published_file, published_folder
from kidsclf.store.receipts import Receipt, is_finished, measure, write_receipt
from kidsclf.store.tables import read_table, write_table
from s3_server import environment, line_to

pytestmark = pytest.mark.s3

PARTITION = Partition(4, 1000)
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>"
BUSY = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_SLOW_DOWN), _SLOW_DOWN)
)


@pytest.fixture
def bucket(s3_server):
    return s3_server.new_bucket()


@pytest.fixture
def line(s3_server):
    with line_to(s3_server) as opened:
        yield opened


def through(line, path, **others):
    """Give the same place behind a line."""
    settings = {"patience_seconds": 30.0, **others}
    return type(path)(str(path), endpoint_url=line.address, anon=False, **settings)


def names(folder):
    return sorted(name_below(folder, path) for path in files_below(folder))


def test_a_file_appears_whole_or_not_at_all(bucket):
    path = bucket / "a b/c#1.txt"
    with pytest.raises(FileNotFoundError), published_file(path) as temporary:
        temporary.rename(temporary.with_name("half"))  # so there is nothing to publish
    assert names(bucket) == []
    with published_file(path) as temporary:
        temporary.write_text("whole")
    assert names(bucket) == ["a b/c#1.txt"]
    assert path.read_text() == "whole"
    with local_file(path) as copy:
        assert copy.read_text() == "whole"
    assert not copy.exists()
    before = file_fingerprint(path)
    path.write_text("other")
    assert before[:2] == (str(path), 5)
    assert file_fingerprint(path) != before


def test_a_folder_appears_with_the_file_that_opens_it_last(bucket, line):
    folder = through(line, bucket) / "group"
    for inner in ("old", "new"):
        with published_folder(folder, last="zarr.json") as temporary:
            (temporary / "zarr.json").write_text(inner)
            (temporary / inner).mkdir()
            (temporary / inner / "c").write_text(inner)
            (temporary / "zzz").write_text(inner)
    assert names(folder) == ["new/c", "zarr.json", "zzz"]
    written = [each.split()[1].rpartition("/group/")[2] for each in line.asked if "PUT" in each]
    assert written == ["old/c", "zzz", "zarr.json", "new/c", "zzz", "zarr.json"]


def test_globs_find_what_is_there_and_nothing_else(bucket, s3_server):
    for name in ("x/a-1.fits", "x/a-2.fits", "x/y/a-3.fits", "x/b.fits"):
        (bucket / name).write_bytes(b"1")
    settings = s3_server.settings()

    def found(pattern):
        return [name_below(bucket, p) for p in find_places(f"{bucket}{pattern}", settings)]

    assert found("x/a-*.fits") == ["x/a-1.fits", "x/a-2.fits"]
    assert found("x/**/a-*.fits") == ["x/a-1.fits", "x/a-2.fits", "x/y/a-3.fits"]
    assert found("x/b.fits") == ["x/b.fits"]
    assert found("x/c.fits") == found("x") == found("z/*") == []
    assert [each.name for each in subfolders(bucket / "x")] == ["y"]
    assert subfolders(bucket / "nowhere") == []
    remove_tree(bucket / "x/y")
    remove_tree(bucket / "nowhere")
    assert names(bucket) == ["x/a-1.fits", "x/a-2.fits", "x/b.fits"]
    with pytest.raises(ConfigError, match="local paths and s3:// only"):
        place("gs://bucket/x", settings)


def test_of_a_table_only_what_is_wanted_is_fetched(bucket, line):
    rng = np.random.default_rng(1)
    table = pa.table({f"c{k}": rng.random(400_000) for k in range(10)})
    with published_file(bucket / "t.parquet") as temporary:
        pq.write_table(table, temporary, row_group_size=50_000)
    whole = (bucket / "t.parquet").stat().st_size
    with open_parquet(through(line, bucket) / "t.parquet") as file:
        group = file.read_row_group(3, columns=["c4"])
    assert group["c4"].to_numpy()[0] == table["c4"][150_000].as_py()
    assert line.received < 2 * whole / 80 + 200_000  # one of 80 pieces, and the footer
    line.received = 0
    with open_to_read(through(line, bucket) / "t.parquet", read_ahead=4096) as file:
        parts = [file.read(100) for _ in range(20)]
    assert b"".join(parts)[:4] == b"PAR1"
    assert line.count("GET") < 10
    assert line.received < 20_000


def test_catalogue_and_stamps_are_those_of_a_local_folder(bucket, tmp_path):
    rng = np.random.default_rng(2)
    index = np.sort(rng.integers(PARTITION.first_index, PARTITION.last_index, 500))
    columns = {"_healpix_29": index, "name": [f"n{k}" for k in range(500)]}
    table = sort_rows(pa.table({**columns, "ra": rng.random(500), "dec": rng.random(500)}))
    ids = table["name"].to_numpy(zero_copy_only=False)
    stamps = rng.normal(0, 1e-12, (500, 11, 11)).astype(np.float32)
    for root in (tmp_path, bucket):
        catalogue = HatsCatalogue(root / "catalog")
        catalogue.write(PARTITION, table)
        catalogue.finish("c", [(PARTITION, 500)])
        assert catalogue.partitions() == (PARTITION,)
        assert catalogue.read(PARTITION, ["name"]).equals(table.select(["name"]))
        store = CutoutStore(root / "cutouts.zarr")
        for partition in (PARTITION, Partition(5, 1)):
            with store.writing(partition, ids, encoding="int16", attributes={}) as group:
                buffer = group.buffer(11)
                buffer.put(np.arange(500), stamps)
                group.add("r", buffer, np.zeros(500, np.uint8))
        store.keep_only([PARTITION])
        write_table(root / "t.parquet", table)
        assert read_table(root / "t.parquet", ["ra"]).num_rows == 500
    same = {name_below(tmp_path, path): path.read_bytes() for path in files_below(tmp_path)}
    assert {name_below(bucket, path): path.read_bytes() for path in files_below(bucket)} == same
    here, there = CutoutStore(tmp_path / "cutouts.zarr"), CutoutStore(bucket / "cutouts.zarr")
    rows = np.array([3, 499, 7])
    wanted = here.read(PARTITION, ids, ["r"], rows)["r"]
    np.testing.assert_array_equal(there.read(PARTITION, ids, ["r"], rows)["r"], wanted)
    assert not (there.flags(PARTITION, ids) & CutoutFlag.EDGE).any()
    with pytest.raises(StoreError, match="belong to other sources"):
        there.read(PARTITION, ids[::-1], ["r"])
    with pytest.raises(StoreError, match="run the stage 'cutouts'"):
        there.open(Partition(4, 7))


def test_receipts_hold_outputs_to_their_sizes(bucket):
    (bucket / "out/x").write_text("123")
    (bucket / "out/y/z").write_text("4567")
    (bucket / "outside").write_text("1")
    assert [measure(bucket / name) for name in ("out", "out/x", "no")] == [7, 3, -1]
    receipts = bucket / "receipts"
    receipt = Receipt("infer", "6/12", "f", 3, 0.1, {"out": 7}, {})
    write_receipt(receipts, receipt)
    assert is_finished(receipts, bucket, "infer", "6/12", "f") == receipt
    assert is_finished(receipts, bucket, "infer", "6/12", "g") is None
    (bucket / "out/x").unlink()
    assert is_finished(receipts, bucket, "infer", "6/12", "f") is None


def test_throttling_errors_and_broken_lines_are_waited_out(bucket, line):
    content = os.urandom(300_000)
    busy = [2]

    def answer(request):
        if busy[0]:
            busy[0] -= 1
            return BUSY
        return None

    line.answer = answer
    path = through(line, bucket) / "x"
    with published_file(path) as temporary:
        temporary.write_bytes(content)
    assert line.count("PUT") == 3
    line.cuts = [1, 100, 100_000]  # within the head, and twice within the body
    with open_to_read(path) as file:
        line.cuts = [1, 100, 100_000]
        assert file.read() == content
    assert line.cuts == []


def test_what_will_not_pass_is_said_at_once(bucket, line, monkeypatch):
    there = through(line, bucket)
    (bucket / "x").write_bytes(b"1")
    with pytest.raises(FileNotFoundError):
        (there / "none").read_bytes()
    line.asked.clear()
    nowhere = through(
        line, place("s3://no-such-bucket-here/x", StoreSettings(endpoint_url=line.address))
    )
    with pytest.raises(StoreError, match="there is no such bucket; make it"):
        nowhere.write_bytes(b"")
    assert len(line.asked) == 1
    line.asked.clear()
    for name, value in environment("stranger").items():
        monkeypatch.setenv(name, value)
    foreign = through(line, bucket, timeout_seconds=19.0)  # another connection, as that user
    with pytest.raises(StoreError, match=r"does not allow it .*check the credentials") as caught:
        (foreign / "x").write_bytes(b"")
    assert isinstance(caught.value, PermissionError)
    assert len(line.asked) == 1
    for name in environment():
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    nobody = through(line, bucket, timeout_seconds=18.0)
    with pytest.raises(StoreError, match="Unable to locate credentials"):
        (nobody / "x").read_bytes()


HOLD = """
import sys, time
from kidsclf.config import StoreSettings
from kidsclf.places import place
from kidsclf.store.lock import locked
with locked(place(sys.argv[1], StoreSettings(endpoint_url=sys.argv[2]))):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_run_is_refused_and_a_dead_one_replaced(bucket, s3_server):
    command = [sys.executable, "-c", HOLD, str(bucket / "run"), s3_server.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout.readline() == "held\n"
            wanted = rf"process {first.pid} on .* holds it since .*; wait for that run to end"
            with pytest.raises(StoreError, match=wanted), locked(bucket / "run"):
                pass
        finally:
            first.send_signal(signal.SIGKILL)
    assert names(bucket) == ["run/.lease.json"]
    with locked(bucket / "run"):
        assert json.loads((bucket / "run/.lease.json").read_text())["process"] == os.getpid()
    assert names(bucket) == []


def test_a_lease_of_elsewhere_is_free_only_when_it_is_stale(bucket, monkeypatch):
    holder = {"token": "t", "host": "elsewhere", "process": 1, "started": 0.0, "since": "then"}
    (bucket / ".lease.json").write_text(json.dumps(holder))
    wanted = "process 1 on elsewhere holds it since then"
    with pytest.raises(StoreError, match=wanted), locked(bucket):
        pass
    monkeypatch.setattr(lease, "STALE_SECONDS", -1.0)
    with locked(bucket):
        assert "elsewhere" not in (bucket / ".lease.json").read_text()


def test_a_run_whose_lease_was_taken_over_is_stopped(bucket, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED_SECONDS", 0.1)
    never = threading.Event()
    path = bucket / ".lease.json"
    intrude = threading.Timer(0.3, path.write_text, ['{"token": "of another"}'])
    intrude.start()
    with pytest.raises(StoreError, match="another run has taken it over"), locked(bucket):
        never.wait(60)
    assert json.loads((bucket / ".lease.json").read_text()) == {"token": "of another"}


def test_without_conditional_writes_there_is_no_lease(bucket, line):
    written = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
    line.answer = lambda request: written if request.startswith(b"PUT") else None
    wanted = "writes without looking at conditions"
    with pytest.raises(StoreError, match=wanted), locked(through(line, bucket)):
        pass


def test_a_server_that_is_killed_is_waited_for(bucket, s3_server):
    path = bucket / "x"
    path.write_bytes(b"1")
    s3_server.kill()
    try:
        with pytest.raises(StoreError, match="did not answer in") as caught:
            impatient(path, 1.0).read_bytes()
        assert isinstance(caught.value, OSError)
    finally:
        later = threading.Timer(2.0, s3_server.start_again)
        later.start()
    assert path.read_bytes() == b"1"
    later.join()
