"""Assigns image topics to the policy's cameras: by name, else if only one topic has the camera's size."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from act_inference_ros.drafting.facts import ImageTopic
from act_inference_ros.interfaces import RAW
from act_inference_ros.spec import ImageSpec


@dataclass(frozen=True)
class CameraDraft:
    """A camera of the policy and its topic; if the topic is None, `candidates` are the possible topics."""

    image: ImageSpec
    topic: ImageTopic | None
    why: str
    candidates: tuple[ImageTopic, ...] = ()

    @property
    def resized(self) -> bool:
        """Whether the topic's image size differs from the policy's."""
        size = (self.image.height, self.image.width)
        return self.topic is not None and (self.topic.height, self.topic.width) != size


def find_cameras(images: Sequence[ImageSpec], topics: Sequence[ImageTopic]) -> list[CameraDraft]:
    """Find the topic of each camera, in the policy's order.

    A topic is a camera's if the words of the camera's name stand in it, and in no other camera's topic. If then one
    camera and one source of images of its size are left, they belong together. Raw and compressed topics of one source
    count as one; the faster is taken, of equal ones the raw one.
    """
    sources: dict[str, list[ImageTopic]] = {}
    for topic in topics:
        sources.setdefault(_source(topic.topic), []).append(topic)
    named = {image.camera: [each for each in sources if _has_words(each, image.camera)] for image in images}
    counts: dict[str, int] = {}
    for each in (source for found in named.values() for source in found):
        counts[each] = counts.get(each, 0) + 1
    taken = {
        camera: found[0] for camera, found in named.items() if len(found) == 1 and counts[found[0]] == 1
    }  # fmt: skip
    drafts = []
    for image in images:
        if image.camera in taken:
            best = _best(sources[taken[image.camera]])
            drafts.append(CameraDraft(image, best, f"its name stands in the topic; {text_of(best)}"))
            continue
        left = [_best(sources[each]) for each in sources if each not in taken.values()]
        fitting = [topic for topic in left if (topic.height, topic.width) == (image.height, image.width)]
        if len(fitting) == 1 and len(images) - len(taken) == 1 and not named[image.camera]:
            why = f"no topic has its name; this is the only one left of its size; {text_of(fitting[0])}"
            drafts.append(CameraDraft(image, fitting[0], why))
        else:
            why = "several topics have its name" if named[image.camera] else "no topic has its name"
            drafts.append(CameraDraft(image, None, why, tuple(fitting or left)))
    return drafts


def text_of(topic: ImageTopic) -> str:
    """Return size and rate, for a comment."""
    rate = "" if topic.rate is None else f", {topic.rate:.1f} images a second"
    return f"{topic.width}x{topic.height}{rate}"


def _source(topic: str) -> str:
    """Return the topic without the suffix for the image transport."""
    return re.sub(r"/(compressed|theora|ffmpeg|zstd)$", "", topic)


def _best(topics: Iterable[ImageTopic]) -> ImageTopic:
    # Rates come from counting, so a difference of one lost image must not matter.
    return max(topics, key=lambda topic: (round(topic.rate or 0.0), topic.transport == RAW))


def _words(text: str) -> list[str]:
    return [each for each in re.split(r"[^a-z0-9]+", text.lower()) if each]


def _has_words(topic: str, camera: str) -> bool:
    """Whether the words of a camera's name stand one after the other in a topic."""
    wanted, there = _words(camera), _words(topic)
    return any(there[i : i + len(wanted)] == wanted for i in range(len(there) - len(wanted) + 1))
