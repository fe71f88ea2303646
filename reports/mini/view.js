"use strict";

// The view is kept in the address, after a "?" within its fragment (#differences?matrix=dino): all else of it is fixed for a page from disk.
// A view is a plain record of texts; what is as it was at first is empty.
const FIELDS = ["sort", "order", "class", "text", "scale", "matrix"];

function readAddress() {
  const [anchor, ...rest] = location.hash.slice(1).split("?");
  const fields = new URLSearchParams(rest.join("?"));
  const view = Object.fromEntries(FIELDS.map((name) => [name, fields.get(name) ?? ""]));
  return { anchor, view: { ...view, hide: fields.getAll("hide") } };
}

function addressOf(anchor, view) {
  const fields = new URLSearchParams(FIELDS.filter((name) => view[name]).map((name) => [name, view[name]]));
  for (const name of view.hide) fields.append("hide", name);
  const query = fields.size ? `?${fields}` : "";
  return anchor || query ? `#${anchor}${query}` : location.pathname + location.search;
}

// One view, the functions that show it, and a way to change it that keeps the address in step.
const page = { view: readAddress().view, show: [] };

function showView() {
  for (const show of page.show) show(page.view);
}

function changeView(changes, { anchor = "", typing = false } = {}) {
  page.view = { ...page.view, ...changes };
  const address = addressOf(anchor, page.view);
  if (typing && history.state?.typing) history.replaceState({ typing }, "", address); // one step back for a whole word
  else history.pushState({ typing }, "", address);
  showView();
}

// Said where others can see it, once what is shown is the view of the address.
function told() {
  document.documentElement.dataset.view = location.hash || "#";
}

// Back, forward, an address that was edited, or a link within the page: that one has no state yet, and leaves the view as it is.
function followAddress() {
  const { anchor, view } = readAddress();
  if (history.state === null && !location.hash.includes("?")) {
    history.replaceState({}, "", addressOf(anchor, page.view));
    return;
  }
  page.view = view;
  showView();
}

function setUpView() {
  history.replaceState(history.state ?? {}, "");
  addEventListener("popstate", followAddress);
  addEventListener("hashchange", followAddress);
  showView();
  const { anchor } = readAddress();
  if (location.hash.includes("?") && anchor) document.getElementById(anchor)?.scrollIntoView();
}

// Sorting: a button in each column head; values come from data-value, rows without one stay last either way.
const collator = new Intl.Collator("en");

function sortKey(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  return cell.matches(".score, .cost") ? null : cell.textContent.trim();
}

function sortedRows(rows, column, order) {
  const sign = order === "ascending" ? 1 : -1;
  const compare = (a, b) => (typeof a === "string" && typeof b === "string" ? collator.compare(a, b) : a - b);
  const keyed = rows.map((row) => [sortKey(row, column), row]);
  keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
  return keyed.map(([, row]) => row);
}

const firstOrder = (head) => head.querySelector("button").dataset.first;
const opposite = (order) => (order === "ascending" ? "descending" : "ascending");

// Makes the heads of a table sort it; returns the function that shows a view's order and says by which head.
function sortable(table) {
  const heads = [...table.querySelectorAll("thead th[data-key]")];
  const start = heads.find((head) => head.getAttribute("aria-sort") !== "none");
  const body = table.querySelector(".models");
  const rows = [...body.rows];
  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => {
      const order = head.getAttribute("aria-sort") === firstOrder(head) ? opposite(firstOrder(head)) : firstOrder(head);
      const usual = head === start && order === firstOrder(head);
      changeView({ sort: usual ? "" : head.dataset.key, order: usual || order === firstOrder(head) ? "" : order });
      const name = head.querySelector("button").textContent.replace(/\s+/g, " ").trim();
      document.getElementById("sorted").textContent = `Sorted by ${name}, ${order}.`;
    });
  }
  return (view) => {
    const head = heads.find((each) => each.dataset.key === view.sort) ?? start;
    if (!head) return null;
    const order = ["ascending", "descending"].includes(view.order) ? view.order : firstOrder(head);
    for (const each of heads) each.setAttribute("aria-sort", each === head ? order : "none");
    body.append(...sortedRows(rows, head.cellIndex, order));
    return head;
  };
}

// Fields that choose items by class and by words, on the table page and on the list of items.
const byId = (id) => document.getElementById(id);
const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

function setUpItemFilters(form) {
  const [kind, text, clear] = ["filter-class", "filter-text", "filter-clear"].map(byId);
  form.addEventListener("submit", (event) => event.preventDefault());
  kind.addEventListener("change", () => changeView({ class: kind.value }));
  text.addEventListener("input", () => changeView({ text: text.value }, { typing: true }));
  clear.addEventListener("click", () => { changeView({ class: "", text: "", hide: [], scale: "" }); kind.focus(); });
  form.hidden = false;
  return (view) => {
    kind.value = view.class;
    if (kind.selectedIndex < 0) kind.value = ""; // an address may name a class that is not here
    if (text.value !== view.text) text.value = view.text;
    clear.disabled = !(view.class || view.text || view.hide.length || view.scale);
  };
}

// The list of items.
function setUpList() {
  const table = byId("items");
  if (!table) return;
  const rows = [...table.querySelectorAll("tbody tr")];
  const seen = (row) => [...row.querySelectorAll(".text, .individual")].map((cell) => cell.textContent).join(" ");
  const texts = rows.map((row) => `${row.dataset.words} ${seen(row)}`.toLowerCase());
  const sort = sortable(table);
  const showFilters = setUpItemFilters(byId("item-filters"));
  page.show.push((view) => {
    showFilters(view);
    const wanted = wordsOf(view.text);
    rows.forEach((row, place) => {
      row.hidden = Boolean(view.class && row.dataset.class !== view.class) || !wanted.every((word) => texts[place].includes(word));
    });
    sort(view);
    const shown = rows.filter((row) => !row.hidden).length;
    byId("filter-status").textContent = `${shown < rows.length ? `${shown} of ` : ""}${rows.length} items`;
    told();
  });
  setUpView();
}

addEventListener("DOMContentLoaded", setUpList);
