"""Robot descriptions, which anybody in the network can publish, that were made to cost time or memory."""

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.plain_xml import DEEPEST, LONGEST_NAMESPACE, MOST_NAMES
from act_inference_ros.robot.robot_description import MAX_DESCRIPTION_BYTES, read_description
from test.bounds import bounded

LONG = "a" * 2_000_000
LITTLE_MEMORY = 256 * 2**20


def elements(count: int) -> str:
    return "".join(f"<a{i}/>" for i in range(count))


def attributes(count: int, prefix: str = "") -> str:
    return " ".join(f"{prefix}b{i}=''" for i in range(count))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"<robot xmlns='{LONG}'>{elements(200_000)}</robot>", "namespaces of at most"),
        (f"<robot xmlns='{LONG}'>{'<a/>' * 500_000}</robot>", "namespaces of at most"),
        (f"<robot xmlns:p='{LONG}'><a {attributes(100_000, 'p:')}/></robot>", "namespaces of at most"),
        (f"<robot xmlns='{'a' * 32_000}'>{elements(4_200)}</robot>", "namespaces of at most"),
        (f"<robot xmlns='{'a' * LONGEST_NAMESPACE}'>{elements(400_000)}</robot>", "different names"),
        (f"<robot {attributes(350_000)}/>", "different names"),
        (f"<robot {attributes(200_000, 'xmlns:')}/>", "different names"),
        ("<robot>" + "<a>" * 1_300_000, "levels"),
        ("<robot>" + "<a>" * 590_000 + "</a>" * 590_000 + "</robot>", "levels"),
    ],
    ids=range(9),
)
def test_what_would_cost_much_is_refused_at_little_cost(text: str, expected: str) -> None:
    assert len(text) <= MAX_DESCRIPTION_BYTES
    with bounded(LITTLE_MEMORY), pytest.raises(ConfigurationError, match=f"^robot_description: .*{expected}") as caught:
        read_description(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_large_description_is_read() -> None:
    joints = "".join(f"<joint name='{i}' type='fixed'/>" for i in range(100_000))
    names = elements(MOST_NAMES - 7)
    deep = "<a>" * (DEEPEST - 1) + "</a>" * (DEEPEST - 1)
    text = f"<robot xmlns='{'n' * LONGEST_NAMESPACE}'>{joints}{names}{deep}</robot>"
    with bounded():
        assert len(read_description(text)) == 100_000
