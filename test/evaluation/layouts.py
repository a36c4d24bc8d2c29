"""Reads the topics in a layout for Foxglove."""

from typing import Any


def topics_of(layout: dict[str, Any]) -> set[str]:
    """Every topic that a layout for Foxglove names."""
    found = set()
    for panel in layout["configById"].values():
        texts = [panel.get(key) for key in ("topicToRender", "topicPath", "imageTopic")]
        texts += [panel.get("imageMode", {}).get("imageTopic"), *(path["value"] for path in panel.get("paths", []))]
        found |= {text.split(".")[0] for text in texts if text}
    return found
