"""Small pieces of HTML for the report's sections. Their arguments are text, not markup."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], lines: Iterable[Sequence[str]], style: str = "") -> str:
    """A table of texts; `style` is a class of the page's stylesheet."""
    head = "".join(f"<th>{safe(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{safe(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f'<table class="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def bullets(items: Iterable[str]) -> str:
    """A list of texts."""
    return f"<ul>{''.join(f'<li>{safe(item)}</li>' for item in items)}</ul>"


def data_uri(kind: str, content: bytes) -> str:
    """Return an image as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def safe(text: str) -> str:
    """Return a text with all markup escaped."""
    return html.escape(text)
