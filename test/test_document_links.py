"""Every link of the documents leads somewhere, its anchor too, and the site shows every page."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs_tools.site_pages import PROJECT, documents, indented, page_of, place_of, target_of, with_code

LINKED = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)")


def text_of(document: str) -> str:
    return (PROJECT / document).read_text()


def prose(text: str) -> list[str]:
    """The lines outside of code blocks."""
    return [line for line, code in with_code(text.splitlines()) if not code]


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    anchors: list[str] = []
    for line in prose(text):
        if heading := re.match(r"#+ (.*)", line):
            words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            slug = re.sub(r"[^\w -]", "", words).strip().replace(" ", "-")
            anchors.append(slug + (f"-{anchors.count(slug)}" if slug in anchors else ""))
    return set(anchors)


def broken_links(document: str, text: str) -> list[str]:
    """The links that lead to no file of the repository, or to no heading of a document."""
    broken = []
    for path, anchor in LINKED.findall(re.sub(r"`[^`]*`", "", "\n".join(prose(text)))):
        target = target_of(path, document) if path else document
        if target is None:
            continue
        found = target == document or (PROJECT / target).is_file()
        if found and anchor:
            found = anchor in anchors_of(text if target == document else text_of(target))
        if not found:
            broken.append(f"{path}#{anchor}" if anchor else path)
    return broken


NAMED = re.compile(r"(?<![\w/.])(?:test|benchmarks|config|deploy|docs_tools|examples|act_inference_ros)/[\w/.-]*\w")
MADE_LATER = ("benchmarks/results", "deploy/secrets")
"""Named, and made only when something runs."""


def missing_files(text: str) -> list[str]:
    """Files and folders of the repository that are named, in prose or commands, and do not exist."""
    return [name for name in NAMED.findall(text) if not (PROJECT / name).exists() and not name.startswith(MADE_LATER)]


@pytest.mark.parametrize("document", documents())
def test_every_file_of_the_repository_that_a_document_names_exists(document: str) -> None:
    assert missing_files(text_of(document)) == []


def test_a_file_that_is_not_there_would_be_found() -> None:
    text = "`pytest test/ros/test_commands.py test/ros/test_nothing.py` and share/act_inference_ros/config/x.yaml"
    assert missing_files(text) == ["test/ros/test_nothing.py"]


def settings() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(text_of("mkdocs.yml"))
    return read


def pages_in(navigation: list[dict[str, Any]]) -> list[str]:
    """The pages of mkdocs.yml's nav, those of sections too."""
    entries = [entry for item in navigation for entry in item.values()]
    return [page for entry in entries for page in ([entry] if isinstance(entry, str) else pages_in(entry))]


@pytest.mark.parametrize("document", documents())
def test_every_link_of_a_document_leads_somewhere(document: str) -> None:
    assert broken_links(document, text_of(document)) == []


def test_a_link_that_leads_nowhere_would_be_found() -> None:
    text = (
        "# Two words\n[a](operating.md#the-states) [b](operating.md#nothing) [c](nothing.md)\n"
        "[d](#two-words) [e](#three)\n"
        "![f](../docs/pipeline.svg) ![g](pipeline.png) [h](https://a.example/b) `[i](not a link)`\n"
        "```\n[j](code.md)\n# no heading\n```\n[k](#no-heading)\n"
    )
    assert broken_links("docs/x.md", text) == [
        "operating.md#nothing",
        "nothing.md",
        "#three",
        "pipeline.png",
        "#no-heading",
    ]
    assert broken_links("README.md", "[a](docs/operating.md#the-states) [b](operating.md)") == ["operating.md"]


def test_the_site_shows_every_document_once() -> None:
    assert sorted(pages_in(settings()["nav"])) == sorted(place_of(document) for document in documents())


def test_the_readme_leads_to_every_page() -> None:
    linked = {target_of(path, "README.md") for path, _ in LINKED.findall(text_of("README.md"))}
    assert set(documents()) - linked == {"README.md"}


@pytest.mark.parametrize("document", [document for document in documents() if document.startswith("docs/")])
def test_a_page_says_at_once_what_it_is_for(document: str) -> None:
    title, empty, first = text_of(document).splitlines()[:3]
    assert title.startswith("# ")
    assert empty == ""
    assert first.startswith("This page ")


@pytest.mark.parametrize("document", documents())
def test_a_document_has_no_drawing_that_the_site_would_show_as_text(document: str) -> None:
    """GitHub draws a Mermaid block; the site, which fetches no script, shows its source."""
    assert not re.findall(r"^ *(?:```|~~~)\s*mermaid", text_of(document), re.MULTILINE)


def test_links_of_a_page_go_where_their_targets_have_gone() -> None:
    text = "[a](operating.md#x) [b](../ARCHITECTURE.md) [c](../config/so101.yaml) [d](https://e.example) [e](#here)"
    page, files = page_of("docs/x.md", text)
    moved = (
        "[a](operating.md#x) [b](architecture.md) [c](repository/config/so101.yaml) [d](https://e.example) [e](#here)\n"
    )
    assert page == moved
    assert files == {"docs/operating.md", "ARCHITECTURE.md", "config/so101.yaml"}
    assert page_of("README.md", "![p](docs/pipeline.svg)") == ("![p](pipeline.svg)\n", {"docs/pipeline.svg"})
    assert page_of("README.md", "```\n[p](nothing.md)\n```")[0] == "```\n[p](nothing.md)\n```\n"


@pytest.mark.parametrize("link", ["nothing.md", "examples/"])
def test_a_page_with_a_link_that_the_site_cannot_have_is_refused(link: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"README\.md links to"):
        page_of("README.md", f"[a]({link})")


def test_what_belongs_to_an_item_of_a_list_is_indented_by_four_columns() -> None:
    source = """Words:
1. one
   more

   ```bash
   make demo
     deep
   ```

   * inner
     too

   more of one
2. two

Words."""
    wanted = """Words:

1. one
    more

    ```bash
    make demo
      deep
    ```

    * inner
        too

    more of one

2. two

Words."""
    assert indented(source.splitlines()) == wanted.splitlines()


def test_the_site_fetches_nothing_from_elsewhere() -> None:
    assert settings()["theme"]["font"] is False
    assert not any(name.startswith("extra") for name in settings())
    pictures = [link for document in documents() for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text_of(document))]
    assert pictures
    assert [link for link in pictures if "://" in link] == []


@pytest.mark.skipif(not importlib.util.find_spec("mkdocs"), reason="mkdocs is not installed; `make docs` installs it")
def test_the_site_can_be_built_and_fetches_nothing(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "docs_tools.site_pages", str(tmp_path / "pages")], cwd=PROJECT, check=True)
    places = {"INHERIT": str(PROJECT / "mkdocs.yml"), "docs_dir": "pages", "site_dir": "site"}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(places))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    built = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    pages = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.html")}
    assert {place_of(document).replace(".md", ".html") for document in documents()} <= pages
    for page in pages:
        text = (tmp_path / "site" / page).read_text()
        assert re.findall(r"""<(?:script|img|iframe)[^>]*src=["']?(?:https?:)?//[^>]*>""", text) == [], page
        assert re.findall(r"""<link[^>]*rel=["']?(?:stylesheet|preconnect)[^>]*(?:https?:)?//[^>]*>""", text) == [], (
            page
        )
