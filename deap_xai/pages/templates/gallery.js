const { rows } = facts;
const PAGE = 60; // cards in the document at any time, however many images there are
let chosen = rows, first = 0;

// Makes an element; text is only ever set as text, never read as markup.
function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Warnings that differ in numbers or names alone are of one kind, which its first one stands for.
const kind = (text) => text.replace(/"[^"]*"|\d+(\.\d+)?/g, "…");

function options(select, texts, name = (text) => text) {
  const counts = new Map();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  for (const text of [...counts.keys()].sort()) {
    select.append(make("option", { value: `=${text}`, textContent: `${name(text)} (${counts.get(text)})` }));
  }
}
const warnings = new Map(); // those of each kind
for (const text of rows.flatMap((row) => row.warnings)) {
  warnings.set(kind(text), (warnings.get(kind(text)) ?? new Set()).add(text));
}
function kindName(one) {
  const [first, ...others] = warnings.get(one);
  return others.length ? `${first}, and the like` : first;
}
options(find("class"), rows.map((row) => row.target));
options(find("warning"), rows.flatMap((row) => [...new Set(row.warnings.map(kind))]), kindName);

function fits(row) {
  const target = find("class").value, warning = find("warning").value;
  const least = find("least").valueAsNumber, most = find("most").valueAsNumber;
  const full = row.probability_full;
  if (target && `=${row.target}` !== target) return false;
  if (least > 0 && !(full !== null && full >= least)) return false;
  if (most < 1 && !(full !== null && full <= most)) return false;
  if (warning === "none") return row.warnings.length === 0;
  if (warning === "any") return row.warnings.length > 0;
  return !warning || row.warnings.some((text) => `=${kind(text)}` === warning);
}

const fileName = (row) => row.image.split(/[\\/]/).pop();
const inOrder = new Intl.Collator("en", { numeric: true }).compare; // img2 before img10
const byName = (a, b) => inOrder(fileName(a), fileName(b)) || inOrder(a.image, b.image);

function sorted(some) {
  const order = find("sort").value;
  if (!order) return some;
  if (order === "image") return [...some].sort(byName);
  const key = order.replace("-", ""), sign = order.startsWith("-") ? -1 : 1;
  return [...some].sort((a, b) => {
    if (a[key] === b[key]) return 0;
    if (a[key] === null || b[key] === null) return a[key] === null ? 1 : -1; // unknown comes last
    return sign * (a[key] < b[key] ? -1 : 1);
  });
}

const namesakes = new Map();
for (const row of rows) namesakes.set(fileName(row), (namesakes.get(fileName(row)) ?? 0) + 1);
// The path, where files in several folders have the same name.
const cardName = (row) => (namesakes.get(fileName(row)) > 1 ? row.image : fileName(row));
// A name that breaks at its own seams rather than anywhere.
const seams = (name) => name.split(/(?<=[._\\/-])/).flatMap((part) => [part, make("wbr")]);
const kept = (row) => `${decimal(row.probability)} on ${row.size ?? "?"} of ${row.n_segments ?? "?"}`;

function picture(row, loading) {
  if (!row.thumbnail) return make("span", { className: "picture", textContent: "no picture" });
  return make("img", { className: "picture", loading, src: row.thumbnail, alt: "", width: 256, height: 256 });
}

function card(row) {
  const notes = row.warnings.length;
  const lines = [
    make("span", { className: "class", textContent: row.target }),
    make("span", { className: "small" }, ...seams(cardName(row))),
    make("span", { className: "small number", textContent: `full view ${decimal(row.probability_full)}` }),
    make("span", { className: "small", textContent: `kept ${kept(row)}` }),
  ];
  if (notes) lines.push(make("span", { textContent: `⚠ ${notes} note${notes === 1 ? "" : "s"}` }));
  const button = make("button", { type: "button" }, picture(row, "lazy"), ...lines);
  button.addEventListener("click", () => enlarge(row));
  return make("li", {}, button);
}

function enlarge(row) {
  find("large-title").textContent = `${row.target} in ${fileName(row)}`;
  const facts = [
    ["Image", row.image],
    ["Full view", decimal(row.probability_full)],
    ["Kept part", `${kept(row)} superpixels`],
    ["The rest", decimal(row.probability_rest)],
    ["Nothing", decimal(row.probability_empty)],
    ["Model calls", `${row.model_calls ?? "not known"}`],
  ];
  const line = ([name, value]) =>
    make("tr", {}, make("th", { scope: "row", textContent: name }), make("td", { textContent: value }));
  const body = [picture(row, "eager"), ...row.warnings.map((text) => make("p", { className: "note", textContent: text }))];
  body.push(make("table", {}, make("tbody", {}, ...facts.map(line))));
  if (row.command) {
    body.push(make("p", { className: "small", textContent: "For the whole explanation, with slider and heat map:" }));
    body.push(make("pre", { textContent: row.command }));
  }
  find("large-body").replaceChildren(...body);
  find("large").showModal();
}
find("close").addEventListener("click", () => find("large").close());

function show() {
  const some = chosen.slice(first, first + PAGE);
  find("cards").replaceChildren(...some.map(card));
  find("count").textContent = some.length
    ? `${first + 1} to ${first + some.length} of ${chosen.length.toLocaleString("en")}`
    : rows.length ? "No image fits these filters." : "No image was explained.";
  find("before").disabled = first === 0;
  find("after").disabled = first + PAGE >= chosen.length;
}

function turn(step) {
  first += step;
  show();
  document.querySelector(".pager").scrollIntoView({ block: "nearest" });
}
find("before").addEventListener("click", () => turn(-PAGE));
find("after").addEventListener("click", () => turn(PAGE));

function choose() {
  chosen = sorted(rows.filter(fits));
  first = 0;
  show();
}
find("filters").addEventListener("change", choose);
for (const name of ["least", "most"]) find(name).addEventListener("input", choose);
find("filters").addEventListener("reset", () => setTimeout(choose)); // after the fields are reset
find("filters").addEventListener("submit", (event) => event.preventDefault());
find("filters").hidden = rows.length === 0;
choose();
