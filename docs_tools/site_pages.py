"""What the site is built from: `python -m docs_tools.site_pages FOLDER` writes it, `make docs` makes a site of it.

The documents are written for a reader of the repository, where README.md and ARCHITECTURE.md lie beside `docs/`. The
site has no such places: here every document becomes a page of one folder, each link goes where its target has gone, and
a file of the repository that a page links to (a parameter file, a source) is copied along. Lists are indented as
Python-Markdown wants them, by four columns, where GitHub is content with less.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

PROJECT = Path(__file__).parents[1]

TOP_PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Documents at the top of the repository, and what they are called on the site."""

LINK = re.compile(r"(?<=\]\()([^)#\s]+)(?=[)#])")
"""The target of a Markdown link or image, without its anchor."""

FENCE = re.compile(r" *(```+|~~~+)")
LIST_ITEM = re.compile(r"( *)([*+-]|\d+\.)( +)")
INDENT = 4
"""Columns by which Python-Markdown wants what belongs to an item of a list."""


def documents() -> list[str]:
    """Return every document of the site, as a path in the repository."""
    pages = sorted(path.relative_to(PROJECT).as_posix() for path in (PROJECT / "docs").rglob("*.md"))
    return [*TOP_PAGES, *pages]


def place_of(path: str) -> str:
    """Return where a file of the repository lies on the site."""
    if path in TOP_PAGES:
        return TOP_PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"repository/{path}"


def target_of(link: str, document: str) -> str | None:
    """Return the path in the repository that a link of a document means; None for one that leads elsewhere."""
    if "://" in link or link.startswith("mailto:"):
        return None
    return PurePosixPath(os.path.normpath(PurePosixPath(document).parent / link)).as_posix()


def page_of(document: str, text: str) -> tuple[str, set[str]]:
    """Return a document as a page of the site, and the files of the repository that it links to.

    Raises FileNotFoundError where a link leads to no file.
    """
    folder = PurePosixPath(place_of(document)).parent
    linked: set[str] = set()

    def moved(link: re.Match[str]) -> str:
        target = target_of(link[1], document)
        if target is None:
            return link[1]
        if not (PROJECT / target).is_file():
            raise FileNotFoundError(f"{document} links to {link[1]}: there is no such file in the repository")
        linked.add(target)
        return PurePosixPath(os.path.relpath(place_of(target), folder)).as_posix()

    lines = indented(outside_code(text.splitlines(), lambda line: LINK.sub(moved, line)))
    return "\n".join(lines) + "\n", linked


def outside_code(lines: list[str], change: Callable[[str], str]) -> list[str]:
    """Return the lines, those outside of code blocks changed."""
    return [line if code else change(line) for line, code in with_code(lines)]


def with_code(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Give each line, and whether it belongs to a fenced code block."""
    closing = ""
    for line in lines:
        fence = FENCE.match(line)
        yield line, bool(closing or fence)
        if closing:
            closing = "" if line.strip() == closing else closing
        elif fence:
            closing = fence[1]


def indented(lines: list[str]) -> list[str]:
    """Return the lines with all that belongs to an item of a list indented by four columns for each list around it."""
    result: list[str] = []
    offsets: list[int] = []  # where the text of each list item around begins, in the columns of the source
    block = ""  # the first of the lines since the last empty one
    for line, code in with_code(lines):
        column = len(line) - len(line.lstrip(" "))
        opens = not code or FENCE.match(line)
        while line.strip() and opens and offsets and column < offsets[-1]:
            offsets.pop()
        item = None if code else LIST_ITEM.match(line)
        if item and block and not LIST_ITEM.match(block):
            result.append("")  # an item that follows a paragraph at once would be part of it
            block = ""
        inner = max(0, column - (offsets[-1] if offsets else 0))
        result.append(" " * (INDENT * len(offsets) + inner) + line.strip(" ") if line.strip() else "")
        block = (block or line) if line.strip() else ""
        if item:
            offsets.append(len(item[0]))
    return result


def write(folder: Path) -> None:
    """Write all pages, and what they show and link to, into a folder; what was there is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    linked: set[str] = set()
    for document in documents():
        page, files = page_of(document, (PROJECT / document).read_text())
        linked |= files
        path = folder / place_of(document)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page)
    for file in sorted(linked - set(documents())):
        path = folder / place_of(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / file, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Writes the pages of the documentation's web site.")
    parser.add_argument("folder", type=Path, help="to write to; what is there goes")
    try:
        write(parser.parse_args().folder)
    except OSError as error:
        sys.exit(f"site_pages: {error}")
