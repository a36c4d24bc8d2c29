"""Refuses, before it is loaded, XML in which a few bytes cost unlimited time or memory. Imports Python alone."""

from __future__ import annotations

import pyexpat

LONGEST_NAMESPACE = 200
"""Most characters of a namespace. The parser repeats it in the name of every element and attribute within."""
MOST_NAMES = 1000
"""Most different names of elements and attributes. A robot description has less than a hundred."""
DEEPEST = 256
"""Most levels of elements. A robot description has about six."""


class NotPlainXml(ValueError):
    """The message is a part of a sentence: what was expected, what came, and what to do."""


def check_plain_xml(text: str) -> None:
    """Raise NotPlainXml for a text that declares a DOCTYPE, or goes beyond the bounds above.

    A text that is no XML is checked as far as it is; the parser that loads it says what is wrong with it. It costs
    little, because names are not joined with their namespaces here.
    """
    parser = pyexpat.ParserCreate()
    check = _Check()
    parser.StartDoctypeDeclHandler = check.doctype
    parser.StartElementHandler = check.begin
    parser.EndElementHandler = check.end
    try:
        parser.Parse(text, True)
    except (pyexpat.ExpatError, UnicodeEncodeError):
        return


class _Check:
    def __init__(self) -> None:
        self._depth = 0
        self._names: set[str] = set()

    def doctype(self, *_declared: object) -> None:
        raise NotPlainXml("expected a text without DOCTYPE and entities, got one that declares some; remove them")

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise NotPlainXml(f"expected at most {DEEPEST} levels of elements, got more; take the inner ones out")
        self._names.add(name)
        self._names.update(attributes)
        if len(self._names) > MOST_NAMES:
            raise NotPlainXml(
                f"expected at most {MOST_NAMES} different names of elements and attributes, got more; "
                "write what differs as values of attributes"
            )
        for attribute, value in attributes.items():
            if attribute.startswith("xmlns") and len(value) > LONGEST_NAMESPACE:
                raise NotPlainXml(
                    f"expected namespaces of at most {LONGEST_NAMESPACE} characters, got one of {len(value)}; "
                    "shorten it"
                )

    def end(self, _name: str) -> None:
        self._depth -= 1
