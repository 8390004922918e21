"""The documentation holds: settings, links, stages and snippets are those of the code."""

import re
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from kidsclf import errors, run_command
from kidsclf.config import Config
from kidsclf.pipeline.plan import STAGES

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SECTION = re.compile(r"^## `\[+([\w.]+)\]+`$", re.MULTILINE)
SETTING = re.compile(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", re.MULTILINE)


def sections_of(model: type[BaseModel], prefix: str = "") -> dict[str, type[BaseModel]]:
    """List every section by its TOML name; one of a mapping of sections is called ``NAME``."""
    found = {prefix: model} if prefix else {}
    for key, field in model.model_fields.items():
        below = [field.annotation, *get_args(field.annotation)]
        for kind in below:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                name = f"{prefix}.{key}".lstrip(".")
                of_mapping = get_origin(field.annotation) is dict
                found |= sections_of(kind, f"{name}.NAME" if of_mapping else name)
    return found


def settings_in_page() -> dict[str, dict[str, str]]:
    """Read the tables of the page: section, key, default."""
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    _, *parts = SECTION.split(text)
    return {
        name: dict(SETTING.findall(part))
        for name, part in zip(parts[::2], parts[1::2], strict=True)
    }


def as_toml(value: Any) -> str:
    """Write a default as the page does."""
    if value is PydanticUndefined:
        return "*required*"
    if value is None:
        return "*none*"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(as_toml(each).strip('`') for each in value)}]`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def test_every_section_is_documented() -> None:
    assert set(settings_in_page()) == set(sections_of(Config))


@pytest.mark.parametrize("name", sorted(sections_of(Config)))
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    fields = {
        key: as_toml(field.default)
        for key, field in sections_of(Config)[name].model_fields.items()
        if f"{name}.{key}" not in sections_of(Config)
    }
    assert settings_in_page()[name] == fields


def test_every_option_is_documented() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    options = re.findall(r"--[a-z-]+", run_command.build_parser().format_help())
    assert {option for option in options if f"`{option}" not in text} == set()


def test_every_exit_code_is_documented() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    for kind in errors.KidsclfError.__subclasses__():
        assert re.search(rf"^\| {kind.exit_code} \| .*`{kind.__name__}` \|$", text, re.MULTILINE)


def test_every_stage_is_documented() -> None:
    text = (DOCS / "stages.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## `(\w+)`", text, re.MULTILINE)
    assert headings == [stage.name for stage in STAGES]


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    named = {link for link in LINK.findall(index) if "/" not in link}
    assert named == {page.name for page in PAGES} - {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    links = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets_compile(page: Path) -> None:
    for language, code in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            compile(code, page.name, "exec")


def test_no_page_names_a_folder_of_one_machine() -> None:
    texts = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    odd = {name for name, text in texts.items() if re.search(r"(?<![\w.])/(home|root|work)/", text)}
    assert not odd
