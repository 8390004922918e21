"""A configuration cannot make the program write outside its work directory."""

from pathlib import Path

import pytest

from kidsclf.config_file import build_config
from kidsclf.errors import ConfigError

OUTSIDE = ["../outside", "/tmp/outside", "a/../../outside", "..", ".", "", "a\x00b", "C:\\outside"]


def settings(**changes: object) -> dict:
    return {"survey": {"preset": "sdss_photometry"}, **changes}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("where", ["samples", "networks", "sample", "product_network"])
def test_names_that_become_folders_lead_nowhere_else(name, where):
    changes = {
        "samples": {"samples": {name: {"preset": "gaia"}}},
        "networks": {"train": {"networks": [name]}},
        "sample": {"train": {"sample": name}},
        "product_network": {"reduce": {"product_network": name}},
    }[where]
    with pytest.raises(ConfigError, match="only letters, digits, '-' and '_' are allowed"):
        build_config(settings(**changes))


def listing(folder: Path, but: Path) -> dict[str, int]:
    """Give the time of change of everything below a folder, but for what lies in another."""
    return {
        str(path): path.lstat().st_mtime_ns
        for path in folder.rglob("*")
        if not path.is_relative_to(but)
    }


def test_a_title_is_only_a_title(small_survey, command, workers, tmp_path):
    title = "../../outside; touch outside $(touch outside) `touch outside` <script>x</script>"
    (tmp_path / "beside").mkdir()
    work = tmp_path / "beside" / "work"
    before = listing(tmp_path, work) | listing(small_survey, work)
    done = command(
        *(small_survey / "run.toml", "--workdir", work, "--cluster", workers),
        *("--set", f"run.title={title}", "--set", "run.report=true"),
    )
    assert done.code == 0, done.err
    after = listing(tmp_path, work) | listing(small_survey, work)
    assert {**after, str(work.parent): 0} == {**before, str(work.parent): 0}
    assert not list(tmp_path.rglob("outside*"))
    page = (work / "report/index.html").read_text()
    assert "&lt;script&gt;x&lt;/script&gt;" in page
    assert "<script>x</script>" not in page


def test_fresh_does_not_empty_what_a_link_leads_to(small_survey, command, workers, tmp_path):
    work, treasure = tmp_path / "work", tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "kept").write_text("kept")
    asked = (small_survey / "run.toml", "--workdir", work, "--cluster", workers)
    assert command(*asked, "--stages", "ingest").code == 0
    (work / "models").symlink_to(treasure)
    (work / "samples").symlink_to(treasure)
    done = command(*asked, "--stages", "ingest", "--fresh")
    assert done.code == 0, done.err
    assert (treasure / "kept").read_text() == "kept"
