"use strict";
// Draws the plots of the page from the JSON in #data. Times in s, positions in ROS units.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const ink = "#0f172a", grid = "#e9edf2", soft = "#475569";
  const runColours = ["#2563eb", "#d97706"], fanColours = ["rgba(37,99,235,0.42)", "rgba(217,119,6,0.42)"];
  const config = { responsive: true, displaylogo: false,
    displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

  const axis = (title, more) => Object.assign(
    { title: { text: title, font: { size: 12, color: soft } }, gridcolor: grid, zeroline: false, linecolor: grid,
      tickfont: { size: 11 } }, more);
  const layout = (x, y, more) => Object.assign({
    xaxis: axis(x), yaxis: axis(y), margin: { l: 68, r: 12, t: 8, b: 42 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
    font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif", size: 12, color: ink },
    hovermode: "x unified", hoverlabel: { bgcolor: "#fff", font: { size: 12 } }, showlegend: false,
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11.5 } },
  }, more);
  // One plot at a time, those that can be seen first, so that the page can be read and scrolled meanwhile.
  const waiting = new Map();
  const isSeen = (id) => {
    const place = document.getElementById(id)?.getBoundingClientRect();
    return place && place.bottom > 0 && place.top < innerHeight;
  };
  const drawNext = () => {
    if (!waiting.size) return;
    const ids = [...waiting.keys()];
    const id = ids.find(isSeen) ?? ids[0];
    const [traces, settings] = waiting.get(id);
    waiting.delete(id);
    const element = document.getElementById(id);
    if (element && element.offsetParent) Plotly.react(element, traces, settings, config);
    if (waiting.size) setTimeout(drawNext);
  };
  const draw = (id, traces, settings) => {
    if (!waiting.size) setTimeout(drawNext);
    waiting.delete(id);
    waiting.set(id, [traces, settings]);
  };
  const runLabel = (run, what) => data.runs.length > 1 ? `${data.runs[run]}: ${what}` : what;

  // All chunks in one trace: a gap after each.
  const fan = (chunks, joint) => {
    const x = [], y = [];
    for (const chunk of chunks) {
      chunk.y[joint].forEach((value, i) => { x.push(chunk.t + i / data.fps); y.push(value); });
      x.push(null); y.push(null);
    }
    return [x, y];
  };

  // Around the worst seam, which is at 0.
  const drawSplice = (episode) => {
    const units = { position: "rad or m", velocity: "rad/s or m/s", acceleration: "rad/s² or m/s²" };
    for (const [plot, unit] of Object.entries(units)) {
      const traces = [];
      episode.runs.forEach((run, r) => {
        for (const [name, line] of Object.entries(run && run.splice ? run.splice.lines : {})) {
          if (name === "demonstration" && r) continue;
          traces.push({ type: "scatter", mode: "lines", name: name === "setpoint" ? runLabel(r, name) : name,
            x: run.splice.ms, y: line[plot], line: { width: name === "setpoint" ? 2 : 1.5,
              color: name === "setpoint" ? runColours[r] : ink } });
        }
      });
      draw(`splice-${plot}`, traces, layout("after the seam, ms", unit, { hovermode: "x", showlegend: true,
        shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: 0, x1: 0,
          line: { color: soft, width: 1, dash: "dot" } }] }));
    }
    const what = document.getElementById("splice-what");
    if (what) what.textContent = episode.runs.map((run, r) => run && run.splice ? runLabel(r, run.splice.text) : "")
      .filter(Boolean).join("; ") || "none";
  };

  const boxes = [...document.querySelectorAll("[data-shows]")];
  const isShown = (joint) => !boxes.length || boxes[joint].checked;

  const drawEpisode = (index) => {
    const episode = data.episodes[index];
    if (!episode) return;
    data.joints.forEach((_, joint) => {
      if (!isShown(joint)) return;
      const traces = [];
      episode.runs.forEach((run, r) => {
        if (!run) return;
        const [x, y] = fan(run.chunks, joint);
        traces.push({ type: "scatter", mode: "lines", name: runLabel(r, "predicted chunks"), x, y,
          line: { width: 1, color: fanColours[r] }, hoverinfo: "skip" });
      });
      for (const line of episode.lines) {
        traces.push({ type: "scatter", mode: "lines", name: line.name, x: line.t, y: line.y[joint],
          line: { width: 2, color: ink, dash: line.dash || "solid" } });
      }
      episode.runs.forEach((run, r) => {
        if (run) traces.push({ type: "scatter", mode: "lines", name: runLabel(r, "executed plan"), x: run.plan.t,
          y: run.plan.y[joint], line: { width: 2, color: runColours[r] } });
      });
      draw(`joint-${joint}`, traces, layout("time in s", "position in rad or m", { hovermode: "x" }));
    });
    drawSplice(episode);
    episode.runs.forEach((run, r) => {
      const key = document.getElementById(`verdict-${r}`);
      if (key) key.textContent = run ? run.verdict : "";
    });
  };

  const chooser = document.getElementById("episode");
  if (chooser) chooser.addEventListener("change", () => drawEpisode(Number(chooser.value)));
  drawEpisode(0);

  const drawHorizon = () => {
    const lines = data.horizon.filter((line) => {
      const joint = data.joints.indexOf(line.joint);
      return joint < 0 || isShown(joint);
    });
    const traces = lines.map((line) => ({
      type: "scatter", mode: "lines", name: runLabel(line.run, line.joint), x: line.ms, y: line.mae,
      line: { width: 2, color: line.colour, dash: line.dash } }));
    draw("horizon", traces, layout("predicted ahead, ms", "mean error in rad or m",
      { showlegend: true, yaxis: axis("mean error in rad or m", { rangemode: "tozero" }) }));
  };
  if (data.horizon.length) drawHorizon();

  const showChosen = () => {
    document.querySelectorAll("[data-joint]").forEach((box) => { box.hidden = !isShown(Number(box.dataset.joint)); });
    drawEpisode(chooser ? Number(chooser.value) : 0);
    if (data.horizon.length) drawHorizon();
  };
  const choose = (checked) => { boxes.forEach((box) => { box.checked = checked; }); showChosen(); };
  boxes.forEach((box) => box.addEventListener("change", showChosen));
  for (const [id, checked] of [["all-joints", true], ["no-joints", false]]) {
    const button = document.getElementById(id);
    if (button) button.addEventListener("click", () => choose(checked));
  }

  if (data.latency.length) {
    const all = data.latency.flatMap((run) => run.ms).sort((a, b) => a - b);
    // A single outlier must not squeeze the rest into one bar; it is in the table and in the plot over time.
    const end = 1.15 * all[Math.floor(0.99 * (all.length - 1))] || 1;
    const traces = data.latency.map((run) => ({
      type: "histogram", name: data.runs[run.run], x: run.ms.map((v) => Math.min(v, end)), opacity: 0.75,
      xbins: { start: 0, end: end * 1.0001, size: end / 40 }, marker: { color: runColours[run.run] },
      hovertemplate: "%{x} ms: %{y}<extra></extra>" }));
    draw("latency", traces, layout("inference time, ms", "chunks", { barmode: "overlay", bargap: 0.06,
      hovermode: "closest", showlegend: data.runs.length > 1, yaxis: axis("chunks", { rangemode: "tozero" }) }));
    const points = data.latency.map((run) => ({
      type: "scatter", mode: "markers", name: data.runs[run.run], y: run.ms, x: run.ms.map((_, i) => i + 1),
      marker: { size: 5, color: runColours[run.run] } }));
    draw("latency-time", points, layout("chunk, in order", "inference time, ms", { hovermode: "closest",
      showlegend: data.runs.length > 1, yaxis: axis("inference time, ms", { rangemode: "tozero" }) }));
  }

  if (data.height.length) {
    const traces = data.height.map((line) => ({
      type: "scatter", mode: "lines", name: line.name, x: line.t, y: line.mm, opacity: line.success ? 0.75 : 1,
      line: { width: 1.8, color: line.success ? runColours[line.run] : "#dc2626", dash: line.run ? "dash" : "solid" } }));
    draw("height", traces, layout("time in s", "cube above the table, mm", { hovermode: "closest",
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: data.lifted_mm, y1: data.lifted_mm,
        line: { color: "#15803d", width: 1.2, dash: "dot" } }],
      annotations: [{ xref: "paper", x: 0, xanchor: "left", y: data.lifted_mm, yanchor: "bottom", showarrow: false,
        text: "lifted", font: { size: 11, color: "#15803d" } }] }));
  }
})();
