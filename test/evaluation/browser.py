"""A report opened in headless Chromium from disk, without a network, at a given width."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: the report cannot be opened")

# The page runs in a frame of the wanted width: a headless window does not get as narrow as a phone.
_FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0"><pre id="seen"></pre><script>
const frame = document.createElement("iframe");
frame.style = "border:0;width:%(width)dpx;height:900px";
const see = () => {
  const page = frame.contentDocument, drawn = {};
  page.querySelectorAll(".plot").forEach((plot) => {
    const traces = [...plot.querySelectorAll(".scatterlayer .trace, .barlayer .trace")];
    drawn[plot.id] = traces.filter((trace) => trace.querySelector("path")).length;
  });
  document.getElementById("seen").textContent = JSON.stringify({
    drawn, visible: [...page.querySelectorAll(".plot")].filter((plot) => plot.offsetParent).map((plot) => plot.id),
    width: page.documentElement.scrollWidth, text: page.querySelector("main").innerText,
    images: [...page.images].map((image) => image.complete && image.naturalWidth > 0),
    requests: frame.contentWindow.performance.getEntriesByType("resource").map((entry) => entry.name)
      .filter((name) => !name.startsWith("data:")) });
};
// Everything that is to be seen is drawn, or will never be: what was chosen by the script takes a while.
const isDrawn = (plot) => !plot.offsetParent || plot.querySelector(".scatterlayer .trace, .barlayer .trace");
const wait = (left) => {
  const plots = [...frame.contentDocument.querySelectorAll(".plot")];
  if (plots.every(isDrawn) || left <= 0) setTimeout(see, 500); else setTimeout(() => wait(left - 100), 100);
};
frame.onload = () => { const page = frame.contentDocument; %(script)s; wait(10000); };
frame.srcdoc = %(page)s;
document.body.append(frame);
</script>"""


@dataclass
class Seen:
    """What the browser shows: plot id -> traces drawn in it, plots that are not hidden, width in pixels, text."""

    drawn: dict[str, int]
    visible: list[str]
    width: int
    text: str
    images: list[bool]
    requests: list[str]
    console: list[str]


def chromium_command(profile: Path, address: str, *more: str) -> list[str]:
    """Headless Chromium with its own profile, which reaches no other machine."""
    assert CHROMIUM is not None
    return [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
        f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--window-size=1400,1000", "--enable-logging=stderr", *more, address,
    ]  # fmt: skip


def open_report(report: Path, width: int, directory: Path, script: str = "") -> Seen:
    """Open a report in a frame `width` pixels wide, and run `script` there, in which `page` is the document."""
    page = json.dumps(report.read_text(encoding="utf-8")).replace("<", "\\u003c")
    wrapper = directory / "frame.html"
    wrapper.write_text(_FRAME % {"width": width, "page": page, "script": script}, encoding="utf-8")
    virtual = ("--virtual-time-budget=20000", "--dump-dom")
    command = chromium_command(directory / "profile", wrapper.as_uri(), *virtual)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, f"the report did not open:\n{done.stderr[-3000:]}"
    assert found[1], f"the report did not get ready:\n{done.stderr[-3000:]}"
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return Seen(**json.loads(unescape(found[1])), console=console)
