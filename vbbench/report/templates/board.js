"use strict";

// The table page: filters, values on the scale from floor to ceiling, ranks, and the matrix of differences.

// Scores of all clips are a script of their own, asked for when a filter is first used.
let scores = null;

function loadScores() {
  scores ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = "scores.js";
    script.addEventListener("load", () => done(window.vbbenchScores));
    script.addEventListener("error", failed);
    document.head.append(script);
  });
  return scores;
}

function chosenItems(record, view) {
  const wanted = wordsOf(view.text);
  const told = (item) => `${record.texts?.[item] ?? ""} ${record.ids[item]} ${record.subjects[record.subjectOf[item]]}`.toLowerCase();
  const ofClass = (item) => !view.class || record.classes[record.classOf[item]] === view.class;
  const items = record.ids.map((_, item) => item).filter(ofClass);
  return wanted.length ? items.filter((item) => wanted.every((word) => told(item).includes(word))) : items;
}

// Mean and Student's t interval over individuals, each with all of its clips.
function estimate(values, items, record, metric, data) {
  const known = items.filter((item) => values[item] !== null);
  const count = known.length;
  if (!count) return { count, mean: null, low: null, high: null };
  const unit = 10 ** record.decimals;
  const groups = new Map();
  for (const item of known) {
    const [sum, size] = groups.get(record.subjectOf[item]) ?? [0, 0];
    groups.set(record.subjectOf[item], [sum + values[item] / unit, size + 1]);
  }
  const mean = [...groups.values()].reduce((total, [sum]) => total + sum, 0) / count;
  if (groups.size < data.fewest) return { count, mean, low: null, high: null };
  const squares = [...groups.values()].reduce((total, [sum, size]) => total + (sum - mean * size) ** 2, 0);
  // Kish's effective number: individuals of unequal many clips count as fewer.
  const effective = count ** 2 / [...groups.values()].reduce((total, [, size]) => total + size ** 2, 0);
  const freedom = Math.max(1, Math.floor(effective - 1 + 1e-9));
  const half = (data.t[freedom - 1] * Math.sqrt((squares * groups.size) / (groups.size - 1))) / count;
  const [least, most] = metric.bounds;
  return { count, mean, low: Math.max(mean - half, least ?? -Infinity), high: Math.min(mean + half, most ?? Infinity) };
}

// Model -> what the chosen items say of it under a metric, with its place on the axis and on the scale from floor to ceiling.
function estimates(record, items, metric, data) {
  const column = record.metrics.indexOf(metric.name);
  const found = new Map(record.models.map((name, row) => [name, estimate(record.values[row][column], items, record, metric, data)]));
  const ends = [...found.values()].flatMap(({ mean, low, high }) => [mean, low, high]).filter((end) => end !== null);
  const [least, most] = [Math.min(...ends), Math.max(...ends)];
  const [floor, ceiling] = [metric.floor, metric.ceiling].map((name) => found.get(name)?.mean ?? null);
  const sound = floor !== null && ceiling !== null && metric.sign * (ceiling - floor) >= data.least;
  return {
    found,
    ceiling,
    place: (value) => ((100 * (value - least)) / (most - least || 1)).toFixed(1),
    scale: (value) => (sound && value !== null ? (value - floor) / (ceiling - floor) : null),
  };
}

function written(value, decimals) {
  if (value === null) return "—";
  const text = Math.abs(value).toFixed(decimals);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

function range(ends, decimals) {
  if (ends.includes(null)) return "";
  const [low, high] = ends[0] <= ends[1] ? ends : [ends[1], ends[0]];
  return `${written(low, decimals)} to ${written(high, decimals)}`;
}

function element(tag, className, ...contents) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...contents);
  return made;
}

const bothScales = (tag, className, raw, scaled) => element(tag, className, element("span", "raw", raw), element("span", "scaled", scaled));

function whisker({ mean, low, high }, { place, ceiling }) {
  const made = element("span", "whisker");
  const marks = { m: mean, l: low, h: high, c: ceiling };
  for (const [name, value] of Object.entries(marks)) if (value !== null) made.style.setProperty(`--${name}`, place(value));
  return made;
}

function fillCell(cell, one, all, metric, chosen) {
  const parts = [bothScales("span", "mean", written(one.mean, metric.decimals), written(all.scale(one.mean), 2))];
  if (one.mean !== null) {
    parts.push(whisker(one, all));
    const ends = [one.low, one.high];
    if (one.low !== null) parts.push(bothScales("small", "", range(ends, metric.decimals), range(ends.map(all.scale), 2)));
  }
  if (one.count < chosen) parts.push(element("small", "lost", `${one.count} of ${chosen} scored`));
  cell.replaceChildren(...parts);
  cell.className = "score";
  delete cell.dataset.rank;
  if (one.mean === null) delete cell.dataset.value;
  else cell.dataset.value = one.mean;
}

// The cells as they came, of all items, to be put back.
function keepCells(table) {
  const cells = [...table.querySelectorAll("td.score")];
  const kept = cells.map((cell) => ({ cell, nodes: [...cell.childNodes], className: cell.className, data: { ...cell.dataset } }));
  return () => {
    for (const { cell, nodes, className, data } of kept) {
      cell.replaceChildren(...nodes);
      cell.className = className;
      delete cell.dataset.value;
      delete cell.dataset.rank;
      Object.assign(cell.dataset, data);
    }
  };
}

function fillTable(table, record, items, data) {
  data.metrics.forEach((metric, place) => {
    const all = estimates(record, items, metric, data);
    const column = table.querySelectorAll("th.score")[place].cellIndex;
    for (const row of table.querySelectorAll("tr[data-model]")) {
      fillCell(row.cells[column], all.found.get(row.dataset.model), all, metric, items.length);
    }
  });
}

// A rank belongs to one metric and to all items: to the metric sorted by, else to the one that orders the table.
function showRanks(table, head) {
  const metric = head?.dataset.metric ? head : table.querySelector("th.score");
  if (!metric || !byId("ranked-by")) return; // no metric that ranks
  for (const row of table.querySelector(".models").rows) row.cells[0].textContent = row.cells[metric.cellIndex].dataset.rank || "–";
  byId("ranked-by").textContent = metric.dataset.metric;
}

function setUpBoard(data) {
  const table = byId("board");
  const sort = sortable(table);
  const restore = keepCells(table);
  const status = byId("filter-status");
  let filtered = false;
  const settle = (view, says) => {
    showRanks(table, sort(view));
    status.replaceChildren(...says);
    told();
  };
  page.show.push(async (view) => {
    table.dataset.scale = view.scale === "scaled" ? "scaled" : "raw";
    if (!view.class && !view.text.trim()) {
      if (filtered) restore();
      filtered = false;
      settle(view, view.scale === "scaled" ? ["From floor (0) to ceiling (1)."] : []);
      return;
    }
    try {
      const record = await loadScores();
      if (page.view !== view) return; // changed meanwhile
      const items = chosenItems(record, view);
      filtered = true;
      fillTable(table, record, items, data);
      settle(view, [...filterWords(view, items, record), view.scale === "scaled" ? " From floor (0) to ceiling (1) of these." : ""]);
    } catch {
      status.textContent = "The scores could not be read: scores.js belongs beside this page.";
    }
  });
}

function filterWords(view, items, record) {
  const individuals = new Set(items.map((item) => record.subjectOf[item])).size;
  const list = Object.assign(document.createElement("a"), { textContent: "See these items" });
  const fields = new URLSearchParams(Object.entries({ class: view.class, text: view.text }).filter(([, value]) => value));
  list.href = `items.html#?${fields}`;
  let told = `${items.length} of ${record.ids.length} items, of ${individuals} ${individuals === 1 ? "individual" : "individuals"}. `;
  if (!items.length) return [told];
  if (view.class) told += `Class ${view.class}. `;
  if (view.text.trim()) told += `Prompts with “${view.text.trim()}”. `;
  return [told, list, ". Means are of these, intervals Student’s t over their individuals; ranks, clips and costs are of all items."];
}

function setUpChoices() {
  const choices = [...document.querySelectorAll("#filter-models [name=model]")];
  const details = byId("filter-models");
  const hide = () => changeView({ hide: choices.filter((box) => !box.checked).map((box) => box.value) });
  const setAll = (checked) => { for (const box of choices) box.checked = checked; hide(); };
  choices.forEach((box) => box.addEventListener("change", hide));
  byId("models-all").addEventListener("click", () => setAll(true));
  byId("models-none").addEventListener("click", () => setAll(false));
  details.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    details.open = false;
    details.querySelector("summary").focus();
  });
  details.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !details.contains(event.relatedTarget)) details.open = false;
  });
  addEventListener("click", (event) => { if (!details.contains(event.target)) details.open = false; });
  const scales = [...document.querySelectorAll("[name=scale]")];
  for (const choice of scales) choice.addEventListener("change", () => changeView({ scale: choice.value === "raw" ? "" : choice.value }));
  const hideable = document.querySelectorAll("main [data-model]");
  page.show.push((view) => {
    const hidden = new Set(view.hide);
    for (const box of choices) box.checked = !hidden.has(box.value);
    for (const each of hideable) each.hidden = hidden.has(each.dataset.model);
    byId("models-shown").textContent = `${choices.filter((box) => box.checked).length} of ${choices.length}`;
    for (const choice of scales) choice.checked = choice.value === (view.scale === "scaled" ? "scaled" : "raw");
  });
}

function setUpMatrix(data) {
  const choice = byId("matrix-metric");
  if (!choice) return;
  const rows = [...byId("matrix").tBodies[0].rows];
  let shown = 0;
  choice.addEventListener("change", () => changeView({ matrix: choice.selectedIndex ? choice.value : "" }, { anchor: "differences" }));
  page.show.push((view) => {
    choice.value = view.matrix || choice.options[0].value;
    if (choice.selectedIndex < 0) choice.selectedIndex = 0;
    if (choice.selectedIndex === shown) return;
    shown = choice.selectedIndex;
    byId("matrix-name").textContent = choice.options[shown].text;
    data.matrices[shown].forEach((cells, i) => cells.forEach((cell, j) => { if (cell) fillPair(rows[i].cells[j + 1], cell, data); }));
  });
}

function fillPair(cell, [verdict, text, interval, effect], data) {
  const [name, says] = data.verdicts[verdict];
  cell.className = name;
  cell.title = [interval, effect].filter(Boolean).join(", ");
  cell.replaceChildren(element("span", `mark ${name}`), text, element("span", "hidden", ` ${says}`));
}

addEventListener("DOMContentLoaded", () => {
  if (!byId("board")) return;
  const data = JSON.parse(byId("board-data").textContent);
  page.show.push(setUpItemFilters(byId("filters")));
  setUpChoices();
  setUpBoard(data);
  setUpMatrix(data);
  setUpView();
});
