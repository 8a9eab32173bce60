"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const [rows, columns] = data.grid, cells = rows * columns;
const $ = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const WORDS = {
  target: "the target itself", vertical: "a draft from above", horizontal: "a draft from the left",
  refined: "a refined draft", other: "a draft from neither direction",
  accepted: "draft accepted", refused: "draft rejected", none: "nothing drafted",
};
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis
const ramp = (x) => {
  const place = Math.min(Math.max(x, 0), 1) * (RAMP.length - 1), i = Math.min(Math.floor(place), RAMP.length - 2);
  return `rgb(${RAMP[i].map((low, k) => Math.round(low + (place - i) * (RAMP[i + 1][k] - low))).join(" ")})`;
};
const element = (tag, parent, properties = {}) => parent.appendChild(Object.assign(document.createElement(tag), properties));
const percent = (part) => (part > 0 && part < 0.01 ? "< 1 %" : `${(100 * part).toFixed(0)} %`);
document.documentElement.style.setProperty("--ratio", `${columns} / ${rows}`);

const first = data.panels[0], last = data.panels[data.panels.length - 1];
const steps = first.slots.length; // of the slider: one is a pass of the first method
const total = Math.max(...data.panels.map((panel) => panel.slots.length));
// Passes of a panel at a step: the same share of its own, or as many as the first method's.
const reached = (panel, step) =>
  $("race-on").checked ? Math.min(step, panel.slots.length) : Math.round((step * panel.slots.length) / steps);
const written = (panel, pass) => panel.written[pass];
for (const panel of data.panels) {
  panel.written = Array(panel.slots.length + 1).fill(0);
  panel.written_in.forEach((number) => panel.written[number]++);
  for (let i = 1; i < panel.written.length; i++) panel.written[i] += panel.written[i - 1];
}

// --- the parts of the page
$("prompt").textContent = `“${data.prompt}”`;
if (data.panels.length > 1) {
  const times = last.slots.length / first.slots.length;
  $("claim").innerHTML = "<strong></strong><span></span>";
  $("claim").children[0].textContent = `${first.slots.length} passes instead of ${last.slots.length}`;
  $("claim").children[1].textContent =
    `, ${times.toFixed(1)} times fewer. ${first.name} beside ${last.name}, from the same seed: ` +
    (data.same === cells ? "identical images." : `${percent(data.same / cells)} of the tokens are the same.`);
} else {
  $("claim").textContent = `${first.name}: ${first.slots.length} passes of the model for ${cells} cells.`;
}
const CELL = 24; // pixels of the canvas
for (const panel of data.panels) {
  const box = element("article", $("panels"), { className: "panel" });
  panel.title = element("h2", box);
  panel.canvas = element("canvas", box, { width: columns * CELL, height: rows * CELL });
  panel.canvas.setAttribute("role", "img");
  panel.figures = element("p", box);
  panel.share = element("span", element("div", box, { className: "share" }));
  panel.bitmap = new Image();
  panel.bitmap.onload = () => draw();
  panel.bitmap.src = panel.image;
  if (panel.atlas) {
    panel.frames = new Image();
    panel.frames.onload = () => draw();
    panel.frames.src = panel.atlas;
  }
}
first.canvas.tabIndex = 0;
const known = (values) => values.filter((value) => value !== null);
const highest = Math.max(1e-9, ...known(first.entropy));
const MAPS = [
  { name: "Who wrote it", id: "writer", classes: data.writers, of: first.writer },
  { name: "Accepted or rejected", id: "fate", classes: data.fates, of: first.fate },
  { name: "Target's entropy", id: "entropy", low: "0", high: `${highest.toFixed(1)} nats`, scale: highest, of: first.entropy },
  { name: "Draft's distance", id: "distance", low: "0, alike", high: "1, disjoint", scale: 1, of: first.distance },
];
for (const map of MAPS) {
  const box = element("figure", $("maps"));
  element("figcaption", box, { textContent: map.name });
  map.canvas = element("canvas", box, { width: columns, height: rows, id: "map-" + map.id });
  map.canvas.setAttribute("role", "img");
  const legend = element("p", box);
  if (map.classes) {
    for (const i of [...new Set(map.of)].sort()) {
      const item = element("span", legend);
      element("i", item).style.background = `var(--${map.classes[i]})`;
      item.append(WORDS[map.classes[i]]);
    }
  } else {
    legend.className = "ends";
    legend.append(map.low, " ");
    element("span", legend, { textContent: map.high });
    const bar = element("span", box, { className: "scale" });
    bar.style.background = `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map(ramp).join(", ")})`;
  }
  map.mean = element("p", box);
}
const table = $("writers").tBodies[0];
for (const [i, name] of data.writers.entries()) {
  if (!first.writer.includes(i)) continue;
  const line = element("tr", table, { id: "writer-" + name });
  element("i", element("td", line)).style.background = `var(--${name})`;
  line.cells[0].append(WORDS[name]);
  element("td", line);
  element("td", line);
}
$("settings").textContent = data.settings;

// --- drawing
let cursor = null;
function paint(panel, pass) {
  const pen = panel.canvas.getContext("2d"), marked = $("tint").checked, finished = pass === panel.slots.length;
  const place = (cell) => [(cell % columns) * CELL, Math.floor(cell / columns) * CELL, CELL, CELL];
  pen.imageSmoothingQuality = "high";
  pen.globalAlpha = 1;
  pen.drawImage(panel.bitmap, 0, 0, columns * CELL, rows * CELL);
  pen.fillStyle = colour("empty");
  panel.written_in.forEach((number, cell) => number > pass && pen.fillRect(...place(cell)));
  const guesses = finished ? [] : panel.guesses[pass];
  const size = [panel.bitmap.width / columns, panel.bitmap.height / rows];
  for (const cell of guesses) {
    if (panel.written_in[cell] <= pass) continue;
    if (panel.frames && panel.frames.complete) {
      const left = (pass % data.across) * panel.bitmap.width + (cell % columns) * size[0];
      const top = Math.floor(pass / data.across) * panel.bitmap.height + Math.floor(cell / columns) * size[1];
      pen.globalAlpha = 0.65;
      pen.drawImage(panel.frames, left, top, ...size, ...place(cell));
    }
    pen.globalAlpha = 0.45;
    pen.strokeStyle = colour("none");
    pen.lineWidth = 1;
    pen.strokeRect(place(cell)[0] + 0.5, place(cell)[1] + 0.5, CELL - 1, CELL - 1);
  }
  if (marked && new Set(panel.writer).size > 1) {
    data.writers.forEach((name, i) => {
      pen.fillStyle = colour(name);
      panel.written_in.forEach((number, cell) => {
        if (number > pass || panel.writer[cell] !== i) return;
        const [x, y] = place(cell);
        pen.globalAlpha = 0.14;
        pen.fillRect(x, y, CELL, CELL);
        pen.globalAlpha = 0.9;
        pen.fillRect(x + 0.34 * CELL, y + 0.34 * CELL, 0.32 * CELL, 0.32 * CELL);
      });
    });
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = colour("ink");
  pen.lineWidth = 2;
  if (marked || !finished) {
    panel.written_in.forEach((number, cell) => number === pass && pen.strokeRect(place(cell)[0] + 1, place(cell)[1] + 1, CELL - 2, CELL - 2));
  }
  if (cursor !== null && panel === first) {
    pen.lineWidth = 4;
    pen.strokeStyle = colour("mark");
    pen.strokeRect(place(cursor)[0] + 2, place(cursor)[1] + 2, CELL - 4, CELL - 4);
  }
}
function paintMap(map, pass) {
  const pen = map.canvas.getContext("2d"), there = [];
  map.of.forEach((value, cell) => {
    const is = first.written_in[cell] <= pass;
    pen.fillStyle = !is || value === null ? colour("empty") : map.classes ? colour(map.classes[value]) : ramp(value / map.scale);
    pen.fillRect(cell % columns, Math.floor(cell / columns), 1, 1);
    if (is && value !== null) there.push(value);
  });
  const mean = there.reduce((sum, value) => sum + value, 0) / there.length;
  if (map.classes) map.mean.textContent = "";
  else map.mean.textContent = there.length ? `mean so far ${mean.toFixed(2)}` : "nothing yet";
  map.canvas.setAttribute("aria-label", `${map.name}, ${there.length} of ${cells} cells. ${map.mean.textContent}`);
}
function paintRace(step) {
  const canvas = $("race"), box = canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1;
  canvas.width = box.width * ratio;
  canvas.height = box.height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const x = (p) => 2 + (p / total) * (box.width - 4), y = (c) => box.height - 18 - (c / cells) * (box.height - 24);
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = colour("soft");
  pen.strokeStyle = colour("line");
  pen.strokeRect(x(0), y(cells), x(total) - x(0), y(0) - y(cells));
  pen.textAlign = "left";
  pen.fillText("pass 0", x(0), box.height - 4);
  pen.textAlign = "right";
  pen.fillText(String(total), x(total), box.height - 4);
  pen.lineWidth = 2.5;
  for (const panel of [...data.panels].reverse()) {
    pen.strokeStyle = panel.slots.length === 1 || panel === first ? colour("mark") : colour("soft");
    pen.beginPath();
    panel.written.forEach((count, p) => (p ? pen.lineTo(x(p), y(count)) : pen.moveTo(x(p), y(count))));
    pen.stroke();
    const middle = Math.floor(panel.slots.length / 2);
    pen.fillStyle = pen.strokeStyle;
    pen.textAlign = "left";
    pen.fillText(panel.label, x(middle) + 8, y(panel.written[middle]) + 12);
  }
  for (const panel of data.panels) {
    const at = reached(panel, step);
    pen.fillStyle = colour("ink");
    pen.beginPath();
    pen.arc(x(at), y(written(panel, at)), 4.5, 0, 2 * Math.PI);
    pen.fill();
  }
  const state = data.panels.map((panel) => `${panel.name} ${written(panel, reached(panel, step))}`).join(", ");
  canvas.setAttribute("aria-label", `Cells written: ${state}, of ${cells}`);
}
function draw() {
  const pass = Number($("pass").value);
  $("now").textContent = pass;
  for (const panel of data.panels) {
    const length = panel.slots.length, at = reached(panel, pass), count = written(panel, at), done = at === length;
    panel.title.textContent = panel.name + (done ? " " : "");
    if (done) element("span", panel.title, { className: "done", textContent: "✓ done" });
    panel.figures.textContent = `pass ${at} of ${length}, ${count} of ${cells} cells`;
    panel.share.style.width = `${(100 * count) / cells}%`;
    panel.canvas.setAttribute("aria-label", `Image by ${panel.name}: ${panel.figures.textContent}`);
    if (panel.bitmap.complete) paint(panel, at);
  }
  const so = written(first, pass);
  for (const line of table.rows) {
    const index = data.writers.indexOf(line.id.replace("writer-", ""));
    const count = first.written_in.filter((number, cell) => number <= pass && first.writer[cell] === index).length;
    line.cells[1].textContent = count;
    line.cells[2].textContent = so ? percent(count / so) : "–";
  }
  MAPS.forEach((map) => paintMap(map, pass));
  paintRace(pass);
  $("pass").setAttribute("aria-valuetext", `pass ${pass}: ${first.figures.textContent}`);
}
const seek = (pass) => {
  $("pass").value = pass;
  draw();
};

// --- hands
let timer = null, at = 0;
function play(on) {
  clearInterval(timer);
  timer = null;
  $("play").textContent = on ? "Pause" : "Play";
  $("play").setAttribute("aria-pressed", String(on));
  if (!on) {
    $("live").textContent = data.panels.map((panel) => `${panel.name}: ${panel.figures.textContent}`).join("; ");
    return;
  }
  at = Number($("pass").value) >= steps ? 0 : Number($("pass").value);
  timer = setInterval(() => {
    at += Math.max(1, Math.round(steps / 200));
    seek(Math.min(at, steps));
    if (at >= steps) play(false);
  }, 60);
}
$("play").onclick = () => play(timer === null);
$("pass").oninput = () => {
  if (timer !== null) play(false);
  draw();
};
$("tint").onchange = $("race-on").onchange = draw;
$("race-on").parentElement.hidden = data.panels.length === 1;
$("controls").onsubmit = (event) => event.preventDefault();
addEventListener("keydown", (event) => {
  if (event.key === " " && !["INPUT", "BUTTON"].includes(event.target.tagName)) {
    event.preventDefault();
    play(timer === null);
  }
});
$("race").onclick = (event) => {
  const box = $("race").getBoundingClientRect();
  seek(Math.min(steps, Math.round((total * (event.clientX - box.left)) / box.width)));
};
function explain(panel, cell) {
  const where = `${panel.name}, row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}: `;
  const far = panel.distance[cell];
  $("detail").textContent =
    where + `written in pass ${panel.written_in[cell]} by ${WORDS[data.writers[panel.writer[cell]]]}, ` +
    `${WORDS[data.fates[panel.fate[cell]]]}; passes that scored it: ${panel.scored[cell]}; ` +
    `entropy ${panel.entropy[cell].toFixed(2)} nats` + (far === null ? "." : `, draft's distance ${far.toFixed(2)}.`);
}
function point(canvas, panel) {
  canvas.onpointermove = canvas.onpointerdown = (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((columns * (event.clientX - box.left)) / box.width);
    const row = Math.floor((rows * (event.clientY - box.top)) / box.height);
    if (column >= 0 && row >= 0 && column < columns && row < rows) explain(panel, row * columns + column);
  };
}
data.panels.forEach((panel) => point(panel.canvas, panel));
MAPS.forEach((map) => point(map.canvas, first));
first.canvas.onkeydown = (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (!step) return;
  event.preventDefault();
  const next = cursor === null ? 0 : cursor + step;
  if (next >= 0 && next < cells) cursor = next;
  explain(first, cursor);
  draw();
};
first.canvas.onblur = () => {
  cursor = null;
  draw();
};
dark.addEventListener("change", draw);
addEventListener("resize", draw);
$("pass").max = steps;
seek(steps);
