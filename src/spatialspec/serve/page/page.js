// Two requests with one seed, plain AR and another method, painted while the server draws them.

const find = (name) => document.getElementById(name);
const form = find("form"), prompt = find("prompt"), seed = find("seed"), method = find("method");
const quality = find("quality"), tint = find("tint"), status = find("status");
let model = null, running = null; // the model served; AbortController and jobs of the drawing now

class Panel {
  constructor(section) {
    this.heading = section.querySelector("h2");
    this.canvas = section.querySelector("canvas");
    this.bar = section.querySelector("progress");
    this.passes = section.querySelector("strong");
    this.more = section.querySelector(".more");
    this.save = section.querySelector(".save");
  }

  start(name) {
    Object.assign(this, { name, image: null, writers: "", done: null, turn: (this.turn ?? 0) + 1 });
    this.heading.textContent = name;
    this.bar.value = 0;
    this.bar.setAttribute("aria-label", `cells written by ${name}`);
    this.passes.textContent = "0";
    this.more.textContent = "waiting";
    this.save.hidden = true;
    this.paint();
  }

  figures(now) {
    if (this.done && this.done !== now) return; // news from before the end
    this.passes.textContent = now.passes;
    this.bar.max = now.total;
    this.bar.value = now.cells;
    const rate = now.tokens_per_second === null ? "" : `, ${now.tokens_per_second.toFixed(0)} tokens/s`;
    this.more.textContent = `${now.cells} of ${now.total} cells, ${now.seconds.toFixed(1)} s${rate}`;
    this.canvas.setAttribute("aria-label", `${this.name}: ${now.cells} of ${now.total} cells drawn`);
  }

  async show(type, base64, writers) {
    const image = new Image(), turn = this.turn;
    image.src = `data:image/${type};base64,${base64}`;
    await image.decode();
    if (turn !== this.turn || (this.image && image.height < this.image.height)) return; // an older preview
    Object.assign(this, { image, writers });
    this.paint();
  }

  paint() {
    const [rows, columns] = model.grid, [width, height] = model.size.split("x").map(Number);
    const scale = Math.max(1, Math.round(960 / width)), pen = this.canvas.getContext("2d");
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    this.canvas.style.aspectRatio = `${width} / ${height}`;
    pen.imageSmoothingQuality = "high";
    if (this.image) pen.drawImage(this.image, 0, 0, width * scale, (this.image.height / this.image.width) * width * scale);
    if (!tint.checked) return;
    const side = [this.canvas.width / columns, this.canvas.height / rows], style = getComputedStyle(document.documentElement);
    const shown = this.writers.slice(-rows * columns); // of the image, which is the last grid
    pen.globalAlpha = 0.5;
    [...shown].forEach((writer, cell) => {
      if (writer === "0") return;
      pen.fillStyle = style.getPropertyValue(writer === "1" ? "--target" : "--draft");
      pen.fillRect((cell % columns) * side[0], Math.floor(cell / columns) * side[1], side[0], side[1]);
    });
  }

  async finish(event) {
    this.done = event;
    this.figures(event);
    await this.show("png", event.b64_json, event.writers);
    this.save.href = `data:image/png;base64,${event.b64_json}`;
    this.save.download = `${prompt.value.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)}-${event.seed}-${this.name}.png`;
    this.save.hidden = false;
  }
}

const panels = [...document.querySelectorAll(".panel")].map((section) => new Panel(section));

function headers() {
  return { "Content-Type": "application/json", ...(find("key").value && { Authorization: `Bearer ${find("key").value}` }) };
}

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: headers() });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer");
  }
  if (answer.ok) return answer;
  if (answer.status === 401) {
    find("key-label").hidden = false;
    find("key").focus();
  }
  const text = await answer.json().catch(() => null);
  throw new Error(text?.error?.message ?? `the server answered ${answer.status}`);
}

async function* events(answer) { // server-sent events, as JSON
  let text = "";
  for (const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value).replaceAll("\r\n", "\n").split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (data) yield JSON.parse(data);
    }
  }
}

async function watch(panel, job, signal) {
  const answer = await call(`v1/images/jobs/${job}/events`, { signal });
  for await (const event of events(answer)) {
    if (event.type !== "image_generation.progress" || panel.done) continue;
    panel.figures(event);
    if (event.b64_json) await panel.show("webp", event.b64_json, event.writers);
  }
}

async function draw(panel, body, now) {
  const signal = now.abort.signal;
  const answer = await call("v1/images/generations", { method: "POST", signal, body: JSON.stringify({ ...body, stream: true }) });
  now.jobs.push(answer.headers.get("x-job-id"));
  watch(panel, now.jobs.at(-1), signal).catch(() => {}); // a job that is over already cannot be watched
  for await (const event of events(answer)) {
    if (event.error) throw new Error(event.error.message);
    if (event.type === "image_generation.completed") await panel.finish(event);
  }
  if (!panel.done) throw new Error("the server ended before the image was done");
}

function say(text, kind = "") {
  status.textContent = text;
  status.className = kind;
}

function conclude([ar, other]) {
  const same = ar.tokens.filter((token, cell) => token === other.tokens[cell]).length, all = ar.tokens.length;
  const share = `${((Math.floor((same / all) * 1000)) / 10).toFixed(1)} % of tokens are equal`; // 100 only if all are
  const times = (ar.passes / other.passes).toFixed(1), passes = `${other.passes} passes instead of ${ar.passes}`;
  let found = `Not exact, another image: ${share}`;
  if (same === all) found = "Identical";
  else if (other.seed_exact && model.dtype !== "float32") found = `Equal up to ${model.dtype === "bfloat16" ? "bf16" : "fp16"} rounding: ${share}`;
  else if (other.seed_exact) found = `Not identical: ${share}`;
  else if (other.exact) found = `Another image of the same distribution: ${share}`;
  say(`${found}. ${passes}, ${times} times fewer.`, same === all ? "done same" : "done");
}

async function both() {
  await cancel();
  const now = (running = { abort: new AbortController(), jobs: [] });
  const body = { prompt: prompt.value, seed: Number(seed.value) };
  const chosen = { ...body, method: method.value, ...(dial() && quality.value !== "exact" && { quality: quality.value }) };
  history.replaceState(null, "", link());
  find("link").href = link();
  panels[0].start("plain AR");
  panels[1].start(dial() && quality.value !== "exact" ? `${method.value}, ${quality.value}` : method.value);
  find("cancel").disabled = false;
  say(`Drawing “${prompt.value}” from seed ${seed.value}.`);
  try {
    await Promise.all([draw(panels[0], { ...body, method: "ar" }, now), draw(panels[1], chosen, now)]);
    if (running === now) conclude(panels.map((panel) => panel.done));
  } catch (error) {
    if (running !== now) return;
    now.abort.abort(); // ends the other image, too
    const wanted = error.message === "cancelled"; // by somebody else
    say(wanted ? "Cancelled." : `Error: ${error.message}`, wanted ? "" : "bad");
  }
  if (running === now) end();
}

function end() {
  running = null;
  find("cancel").disabled = true;
}

async function cancel() {
  const now = running;
  if (!now) return;
  end();
  await Promise.allSettled(now.jobs.map((job) => call(`v1/images/jobs/${job}`, { method: "DELETE" })));
  now.abort.abort();
  say("Cancelled.");
}

const dial = () => method.value.split(":")[0] === "spatial"; // the one method that quality sets
const link = () => `#${new URLSearchParams({ prompt: prompt.value, seed: seed.value, method: method.value, quality: quality.value })}`;

function choose(select, value) {
  if (value && ![...select.options].some((option) => option.value === value)) select.add(new Option(value, value));
  if (value) select.value = value;
}

function follow() { // a link: its settings, and the image that they give
  const given = new URLSearchParams(location.hash.slice(1));
  if (!given.get("prompt")) return;
  prompt.value = given.get("prompt");
  if (/^[0-9]{1,15}$/.test(given.get("seed") ?? "")) seed.value = given.get("seed");
  choose(method, given.get("method"));
  if (["exact", "high", "balanced", "fast"].includes(given.get("quality"))) quality.value = given.get("quality");
  quality.disabled = !dial();
  both();
}

async function open() {
  try {
    [model] = (await (await call("v1/models")).json()).data;
  } catch (error) {
    say(`Error: ${error.message}`, "bad");
    return;
  }
  const [first, ...others] = ["spatial", ...model.methods.filter((name) => name !== "spatial" && name !== "ar")];
  method.replaceChildren(new Option(first, first), ...others.map((name) => new Option(name, name)));
  find("examples").replaceChildren(...model.examples.map((text) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    button.onclick = () => { prompt.value = text; form.requestSubmit(); };
    return button;
  }));
  prompt.value ||= model.examples[0] ?? "";
  find("served").textContent = [`${model.id}, ${model.size} pixels, ${model.grid.join("×")} cells, ${model.dtype}`, ...model.remarks].join("; ");
  panels.forEach((panel) => panel.paint());
  say("Ready.");
  follow();
}

form.onsubmit = (event) => { event.preventDefault(); model ? both() : open(); };
find("cancel").onclick = cancel;
find("again").onclick = () => { seed.value = Math.floor(Math.random() * 1e9); form.requestSubmit(); };
find("key").onchange = () => { if (!model) open(); };
method.onchange = () => { quality.disabled = !dial(); };
tint.onchange = () => { find("legend").hidden = !tint.checked; if (model) panels.forEach((panel) => panel.paint()); };
document.onkeydown = (event) => { if (event.key === "Escape") cancel(); };
window.onhashchange = follow;
open();
