const { width, height, points, superpixels } = facts;
const canvas = find("canvas"), context = canvas.getContext("2d");
const zoom = Math.max(1, Math.round(1000 / Math.max(width, height)));
canvas.width = width * zoom;
canvas.height = height * zoom;

const labels = new Int32Array(width * height);
for (let i = 0, at = 0; i < facts.runs.length; i += 2) {
  labels.fill(facts.runs[i], at, (at += facts.runs[i + 1]));
}
const view = new Image();
const layer = document.createElement("canvas"); // one pixel of the view is one of its own
layer.width = width;
layer.height = height;

let mode = "kept", shown = facts.picked, current = null;
const kept = (label) => points[shown].mask[label] === "1";
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Lays colours over the view: of(label) is [red, green, blue, alpha], or null for none.
function lay(of) {
  const colours = superpixels.map((_, label) => of(label));
  const image = new ImageData(width, height);
  labels.forEach((label, i) => colours[label] && image.data.set(colours[label], 4 * i));
  layer.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(layer, 0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = true;
}

// Lines wherever neighbouring pixels differ in what key gives for their labels.
function border(key, colour, thickness) {
  const keys = superpixels.map((_, label) => key(label)), path = new Path2D();
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const here = keys[labels[i]];
      if (x + 1 < width && keys[labels[i + 1]] !== here) {
        path.moveTo((x + 1) * zoom, y * zoom);
        path.lineTo((x + 1) * zoom, (y + 1) * zoom);
      }
      if (y + 1 < height && keys[labels[i + width]] !== here) {
        path.moveTo(x * zoom, (y + 1) * zoom);
        path.lineTo((x + 1) * zoom, (y + 1) * zoom);
      }
    }
  }
  context.lineCap = "square";
  // A dark line under a light one: seen on any picture, and without telling colours apart.
  for (const [stroke, wide] of [["#000000", thickness + 2], [colour, thickness]]) {
    context.strokeStyle = stroke;
    context.lineWidth = wide;
    context.stroke(path);
  }
}

function draw() {
  context.drawImage(view, 0, 0, canvas.width, canvas.height);
  if (mode === "heat") {
    context.globalCompositeOperation = "saturation"; // by black, which has none: grey
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "source-over";
    lay((label) => [...rgb(facts.colours[label]), 166]);
  } else if (mode === "outlines") {
    border((label) => label, "#ffffff", 2);
  } else {
    // The dark scheme's is grey, since on black a dark subject would look hidden.
    const faded = [...rgb(variable("--veil")), 215];
    lay((label) => (kept(label) === (mode === "kept") ? null : faded));
  }
  border(kept, "#ffaa00", 4);
  if (current !== null) border((label) => label === current, "#00e5ff", 6);
}

function tell() {
  const point = points[shown], own = shown === facts.picked ? " This is the explanation’s own mask." : "";
  const part = `${point.size} of ${superpixels.length} superpixels`;
  find("shown").textContent =
    `${part} ${point.size === 1 ? "gives" : "give"} ${decimal(point.probability)} to “${facts.target}”; the rest: ${decimal(point.rest)}.${own}`;
  find("point").setAttribute("aria-valuetext", `${part}, probability ${decimal(point.probability)}`);
  const what = { kept: "The kept part", removed: "What was removed", heat: "The heat map", outlines: "All outlines" };
  canvas.setAttribute("aria-label", `${what[mode]}: ${part} kept.`);
  for (const [name, value] of [["kept", point.probability], ["rest", point.rest]]) {
    find(`p-${name}`).textContent = decimal(value);
    find(`bar-${name}`).style.width = `${100 * (value ?? 0)}%`;
  }
  [find("dot").style.left, find("dot").style.top] = facts.places[shown].map((share) => `${share}%`);
  for (const cell of document.querySelectorAll("[data-shown]")) {
    cell.textContent = kept(Number(cell.dataset.shown)) ? "kept" : "hidden";
  }
  find("scale").hidden = mode !== "heat";
}

const hint = find("told").textContent;
function choose(label) {
  if (label === current) return;
  current = label;
  draw();
  if (label === null) return;
  const one = superpixels[label], share = Math.round((100 * one.kept) / points.length);
  const masks = points.length === 1 ? "one mask" : `${points.length} masks`;
  const sign = one.importance <= -0.005 ? "−" : "+"; // never −0.00
  const seeds = one.seeds ? ` ${one.seeds} seeds keep it.` : "";
  find("told").textContent =
    `Superpixel ${label}, ${kept(label) ? "kept" : "hidden"} here. Importance ` +
    `${sign}${Math.abs(one.importance).toFixed(2)} (log-odds), number ${one.rank} of ${superpixels.length}. ` +
    `Kept in ${one.kept} of the front’s ${masks} (${share} %).${seeds}`;
}

const centres = superpixels.map(() => ({ x: 0, y: 0, n: 0 }));
labels.forEach((label, i) => {
  centres[label].x += i % width;
  centres[label].y += Math.floor(i / width);
  centres[label].n += 1;
});
for (const centre of centres) {
  centre.x /= centre.n;
  centre.y /= centre.n;
}

// The superpixel whose centre is nearest, more in the arrow's direction than across it.
function neighbour(label, right, down) {
  let best = label, least = Infinity;
  centres.forEach((centre, other) => {
    const x = centre.x - centres[label].x, y = centre.y - centres[label].y;
    const along = x * right + y * down, across = Math.abs(x * down) + Math.abs(y * right);
    const far = along + 2 * across;
    if (along > 0 && along >= across && far < least) [best, least] = [other, far];
  });
  return best;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
find("picture").addEventListener("keydown", (event) => {
  if (event.key === "Escape") return choose(null);
  if (!(event.key in ARROWS) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const first = superpixels.findIndex((one) => one.rank === 1);
  choose(current === null ? first : neighbour(current, ...ARROWS[event.key]));
});

function labelAt(event) {
  // The picture may stand in a wider box: then bars at its sides belong to no superpixel.
  const box = canvas.getBoundingClientRect();
  const scale = Math.min(box.width / width, box.height / height);
  const x = Math.floor((event.clientX - box.left - (box.width - width * scale) / 2) / scale);
  const y = Math.floor((event.clientY - box.top - (box.height - height * scale) / 2) / scale);
  return x < 0 || y < 0 || x >= width || y >= height ? null : labels[y * width + x];
}
canvas.addEventListener("pointermove", (event) => choose(labelAt(event)));
canvas.addEventListener("pointerdown", (event) => choose(labelAt(event)));
canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && choose(null));

for (const button of document.querySelectorAll("[data-label]")) {
  const pick = () => choose(Number(button.dataset.label));
  button.addEventListener("focus", pick);
  button.addEventListener("click", () => {
    pick();
    find("picture").scrollIntoView({ block: "nearest" });
  });
}
for (const radio of document.querySelectorAll("[name=mode]")) {
  radio.addEventListener("change", () => {
    mode = radio.value;
    tell();
    draw();
  });
}
find("point").addEventListener("input", (event) => {
  shown = Number(event.target.value);
  current = null;
  find("told").textContent = hint; // what it told may no longer be so
  tell();
  draw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

// A reloaded page may come with the reader's earlier choices.
shown = Number(find("point").value);
mode = document.querySelector("[name=mode]:checked").value;
tell();
view.addEventListener("load", draw);
view.src = JSON.parse(find("view").textContent);
