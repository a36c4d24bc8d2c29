"""`docs/parameters.md`, as `robot/parameters.py` declares the parameters: `python -m docs_tools.parameter_page`."""

import argparse
from pathlib import Path

import yaml

from act_inference_ros.robot.parameters import PARAMETERS, Parameter

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"

HEAD = """\
# Parameters

This page lists every parameter of `policy_node`, with its default and what it may be.

They stand in the parameter file under `/**/policy_node: ros__parameters:`. *Live* ones take effect while the node runs;
the others are read at configure. ROS units are rad, m and s. The table is written by
`python -m docs_tools.parameter_page` from `act_inference_ros/robot/parameters.py`: change it there.

| Parameter | Default | Live | Meaning |
| --- | --- | --- | --- |
"""

FOOT = """
## Launch arguments

Launch arguments of `policy.launch.py`: `mode`, `checkpoint`, `engine`, `precision`, `isolation`, `server`, `model`,
`autostart`, `use_sim_time`, `shadow`, `start_paused`, `black_box` (each overrides the file only when given),
`params_file`, `namespace`, `name`, `log_level`; `respawn:=true` starts the node again, paused, if it dies;
`start_server:=true model_repository:=DIR` starts a Triton of this machine with it. Two robots are two namespaces:
[operating.md](operating.md#two-robots).
"""


def page() -> str:
    """Return the whole page, in Markdown."""
    return HEAD + "".join(f"| {' | '.join(row(parameter))} |\n" for parameter in PARAMETERS) + FOOT


def row(parameter: Parameter) -> tuple[str, str, str, str]:
    """Return the four cells of a parameter's row: name, default, whether it is live, meaning."""
    choices = ", ".join(f"`{choice}`" for choice in parameter.choices if choice)
    limits = parameter.range_text[:1].upper() + parameter.range_text[1:]
    permitted = f"One of {choices}." if choices else limits + "." * bool(limits)
    meaning = f"{escaped(parameter.description)} {permitted}".strip()
    return f"`{parameter.name}`", escaped(written(parameter.default)), "yes" if parameter.live else "", meaning


def written(default: object) -> str:
    """Return a default as YAML has it, for a reader."""
    if default == "":
        return "(empty)"
    return str(yaml.safe_dump(default, default_flow_style=True)).removesuffix("...\n").strip()


def escaped(text: str) -> str:
    """Return text that a cell shows as it is: `<camera>` is no HTML there, and `|` ends no cell."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


if __name__ == "__main__":
    argparse.ArgumentParser(description=f"Writes {PAGE.name} anew, from the parameters in the code.").parse_args()
    PAGE.write_text(page())
