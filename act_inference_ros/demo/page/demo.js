"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const WIDTH = 360, HEIGHT = 170, LEFT = 44, RIGHT = 8, TOP = 22, BOTTOM = 20;
let chosen = 0, frame = 0, playing = !matchMedia("(prefers-reduced-motion: reduce)").matches, timer = 0;

const episode = () => data.episodes[chosen];
const span = () => Math.max(episode().duration_s, 0.1);
const x = (time) => LEFT + ((WIDTH - LEFT - RIGHT) * time) / span();

function path(lines, joint, y) {
  const positions = lines.joints[joint];
  return lines.times.map((time, i) => `${i ? "L" : "M"}${x(time).toFixed(1)} ${y(positions[i]).toFixed(1)}`).join("");
}

function plot(box) {
  const joint = box.dataset.joint, { told, measured } = episode();
  const all = [...told.joints[joint], ...measured.joints[joint]];
  const least = Math.min(...all), most = Math.max(...all), room = Math.max((most - least) * 0.05, 1e-4);
  const y = (value) =>
    HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * (value - least + room)) / (most - least + 2 * room);
  const label = (value) => `<text x="${LEFT - 4}" y="${y(value) + 4}" text-anchor="end">${value.toFixed(3)}</text>`;
  box.innerHTML = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${joint}: told and measured">
    <text x="${LEFT}" y="14">${joint}</text>
    <line class="axis" x1="${LEFT}" y1="${HEIGHT - BOTTOM}" x2="${WIDTH - RIGHT}" y2="${HEIGHT - BOTTOM}"/>
    <text x="${LEFT}" y="${HEIGHT - 5}">0</text>
    <text x="${WIDTH - RIGHT}" y="${HEIGHT - 5}" text-anchor="end">${span().toFixed(1)} s</text>
    ${all.length ? label(least) + label(most) : ""}
    <path class="told" d="${path(told, joint, y)}"/><path class="measured" d="${path(measured, joint, y)}"/>
    <line class="now" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/></svg>`;
}

function show() {
  const frames = episode().frames, time = frames.length ? frames[frame][0] : 0;
  if (frames.length) at("film").src = frames[frame][1];
  at("seek").value = frame;
  at("clock").textContent = `${time.toFixed(1)} s`;
  document.querySelectorAll(".now").forEach((line) => {
    line.setAttribute("x1", x(time));
    line.setAttribute("x2", x(time));
  });
}

function choose(number) {
  chosen = number;
  frame = 0;
  at("seek").max = Math.max(episode().frames.length - 1, 0);
  at("outcome").textContent = `${episode().line}.`;
  document.querySelectorAll("#chips button").forEach((chip, i) => chip.setAttribute("aria-pressed", i === chosen));
  document.querySelectorAll(".plot").forEach(plot);
  show();
}

function advance() {
  const frames = episode().frames;
  if (frame + 1 < frames.length) {
    frame += 1;
    show();
  } else choose((chosen + 1) % data.episodes.length);
  schedule();
}

function schedule() {
  clearTimeout(timer);
  at("play").textContent = playing ? "pause" : "play";
  if (!playing) return;
  const frames = episode().frames, last = frame + 1 >= frames.length;
  timer = setTimeout(advance, last ? 1000 : 1000 * (frames[frame + 1][0] - frames[frame][0]));
}

data.episodes.forEach((each, i) => {
  const chip = document.createElement("button");
  chip.type = "button";
  chip.className = each.success ? "lifted" : "failed";
  chip.textContent = `${each.index}: ${each.success ? "lifted" : "not lifted"}`;
  chip.addEventListener("click", () => { choose(i); schedule(); });
  at("chips").append(chip);
});
at("play").addEventListener("click", () => { playing = !playing; schedule(); });
at("seek").addEventListener("input", () => { frame = Number(at("seek").value); playing = false; show(); schedule(); });
if (data.episodes.length) { choose(0); schedule(); }
