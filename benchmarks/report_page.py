"""How long a report takes to open in Chromium: until its text can be read, and until every plot is drawn.

The page is served from this machine with a script at its end that looks for the plots and sends the times back. Times
count from the beginning of the navigation, as the browser has it, and are real ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from typing import Any

from act_inference_ros.errors import ActInferenceError
from act_inference_ros.program.processes import ManagedProcess
from test.evaluation.browser import CHROMIUM, chromium_command

DEADLINE_S = 60.0
_WATCH = """<script>
(() => {
  const plots = () => [...document.querySelectorAll(".plot")].filter((plot) => plot.offsetParent);
  const drawn = (plot) => plot.querySelector(".scatterlayer .trace path, .barlayer .trace path");
  const painted = () => performance.getEntriesByName("first-contentful-paint")[0];
  const inView = (plot) => plot.getBoundingClientRect().top < innerHeight;
  let seen_s = null;
  const look = () => {
    if (seen_s === null && painted() && plots().filter(inView).every(drawn)) seen_s = performance.now() / 1e3;
    if (!painted() || !plots().every(drawn)) { setTimeout(look, 5); return; }
    requestAnimationFrame(() => setTimeout(() => fetch("done", { method: "POST", body: JSON.stringify(
      { text_s: painted().startTime / 1e3, seen_s, plots_s: performance.now() / 1e3, plots: plots().length }) })));
  };
  look();
})();
</script></body>"""
PLOTS = re.compile(r'(<script type="application/json" id="data">).*?</script>\s*<script>.*?</script>', re.DOTALL)
"""The part after plotly in a report: the data and the code that draws them."""


def opening_times(html: str, repeat: int) -> list[dict[str, Any]]:
    """When, in each of `repeat` openings, text was painted (`text_s`), the plots in view (`seen_s`), all (`plots_s`).

    `plots` counts them.

    Each is by a browser with a profile of its own, so that nothing is cached. Raises ActInferenceError if a page does
    not get ready.
    """
    page = html.replace("default-src 'none';", "default-src 'none'; connect-src 'self';").replace("</body>", _WATCH)
    found = []
    for _ in range(repeat):
        with _served(page.encode()) as (address, answers), TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            # The browser is ended early; its leftovers are removed with this directory.
            command = chromium_command(Path(directory) / "profile", address, "--disable-dev-shm-usage")
            environment = {**os.environ, "TMPDIR": directory}
            with ManagedProcess("chromium", command, environment, Path(directory) / "browser.txt") as browser:
                found.append(_answer(answers, browser))
    return found


def without_plots(html: str) -> str:
    """The same page with its text and with plotly, but without anything to draw: the least that it can take."""
    return PLOTS.sub("", html).replace('class="plot', 'class="no-plot')


def can_open() -> bool:
    """Whether there is a browser."""
    return CHROMIUM is not None


def _answer(answers: Queue[dict[str, Any]], browser: ManagedProcess) -> dict[str, Any]:
    """What the page sends back. Raises ActInferenceError if it does not, or the browser ends."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and browser.returncode is None:
        with contextlib.suppress(Empty):
            return answers.get(timeout=0.2)
    raise ActInferenceError(f"the report did not get ready within {DEADLINE_S:g} s:\n{browser.last_lines()}")


@contextmanager
def _served(page: bytes) -> Iterator[tuple[str, Queue[dict[str, Any]]]]:
    """The page's address while the block lasts, and what it sends back."""
    answers: Queue[dict[str, Any]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self) -> None:
            answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", answers
    finally:
        server.shutdown()
        server.server_close()
