"use strict";

// Sorting: a button in each column head; values come from data-value, rows without one stay last either way.
function sortBoard(board, head) {
  const button = head.querySelector("button");
  const first = button.dataset.first;
  const other = first === "ascending" ? "descending" : "ascending";
  const order = head.getAttribute("aria-sort") === first ? other : first;
  for (const each of board.querySelectorAll("thead [aria-sort]")) each.setAttribute("aria-sort", each === head ? order : "none");
  const column = head.cellIndex;
  const body = board.querySelector(".models");
  const sign = order === "ascending" ? 1 : -1;
  const key = (row) => {
    const cell = row.cells[column];
    if (cell.tagName === "TH") return cell.textContent.trim().toLowerCase();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  const rows = [...body.rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
  body.append(...rows.map(([, row]) => row));
  if (head.dataset.metric) showRanks(board, column, head.dataset.metric);
  const name = button.textContent.replace(/\s+/g, " ").trim();
  document.getElementById("sorted").textContent = `Sorted by ${name}, ${order}.`;
}

// A rank belongs to one metric: the one that was last sorted by.
function showRanks(board, column, metric) {
  for (const row of board.querySelector(".models").rows) row.cells[0].textContent = row.cells[column].dataset.rank || "–";
  document.getElementById("ranked-by").textContent = metric;
}

function setUpBoard() {
  const board = document.getElementById("board");
  if (!board) return;
  for (const head of board.querySelectorAll("thead [aria-sort]")) {
    head.querySelector("button").addEventListener("click", () => sortBoard(board, head));
  }
}

// Videos: one frame number for all, so that they move in step; only clips in sight are moved.
function setUpPlayer() {
  const player = document.getElementById("player");
  if (!player) return;
  const fps = Number(player.dataset.fps);
  const total = Number(player.dataset.frames);
  const [play, slider, text] = ["play", "frame", "frame-text"].map((id) => document.getElementById(id));
  const seen = new Set();
  let frame = 0;
  let timer = null;

  const place = (clip) => {
    const { frames, columns, rows } = clip.dataset;
    const shown = frame % Number(frames);
    const x = (shown % Number(columns)) / Number(columns);
    const y = Math.floor(shown / Number(columns)) / Number(rows);
    clip.firstElementChild.style.transform = `translate(${-100 * x}%, ${-100 * y}%)`;
  };
  const show = (number) => {
    frame = (number + total) % total;
    slider.value = frame + 1;
    text.value = `${frame + 1} / ${total}`;
    seen.forEach(place);
  };
  const pause = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  const start = () => {
    timer = setInterval(() => { if (!document.hidden) show(frame + 1); }, 1000 / fps);
    play.textContent = "Pause";
  };
  const step = (by) => { pause(); show(frame + by); };

  play.addEventListener("click", () => (timer === null ? start() : pause()));
  slider.addEventListener("input", () => { pause(); show(Number(slider.value) - 1); });
  document.getElementById("back").addEventListener("click", () => step(-1));
  document.getElementById("forth").addEventListener("click", () => step(1));
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) { seen.add(target); place(target); } else seen.delete(target);
    }
  }, { rootMargin: "200px" });
  document.querySelectorAll(".clip").forEach((clip) => watcher.observe(clip));

  for (const button of player.querySelectorAll("[data-size]")) {
    button.addEventListener("click", () => {
      document.documentElement.style.setProperty("--tile", `${button.dataset.size}px`);
      for (const each of player.querySelectorAll("[data-size]")) each.setAttribute("aria-pressed", String(each === button));
    });
  }
  addEventListener("beforeprint", () => document.querySelectorAll("img[loading]").forEach((image) => { image.loading = "eager"; }));
  player.hidden = false;
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) pause(); else start();
}

// Theme: as the system has it, until someone chooses; the choice is kept where the browser allows it.
const THEMES = ["auto", "light", "dark"];

function storedTheme() {
  try {
    const name = localStorage.getItem("vbbench-theme");
    return THEMES.includes(name) ? name : "auto";
  } catch {
    return "auto"; // storage may be switched off
  }
}

function applyTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}

function setUpTheme() {
  const button = document.getElementById("theme");
  let current = storedTheme();
  const tell = () => { button.textContent = `Theme: ${current}`; };
  button.addEventListener("click", () => {
    current = THEMES[(THEMES.indexOf(current) + 1) % THEMES.length];
    try { localStorage.setItem("vbbench-theme", current); } catch { /* then it lasts as long as the page */ }
    applyTheme(current);
    tell();
  });
  tell();
  button.hidden = false;
}

applyTheme(storedTheme()); // before the first paint, so that nothing flashes
addEventListener("DOMContentLoaded", () => {
  setUpTheme();
  setUpBoard();
  setUpPlayer();
});
