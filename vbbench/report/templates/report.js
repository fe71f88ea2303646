"use strict";

// What is remembered from page to page; storage may be switched off, then it lasts as long as the page.
function recall(name, fallback) {
  try {
    return localStorage.getItem(`vbbench-${name}`) ?? fallback;
  } catch {
    return fallback;
  }
}

function remember(name, value) {
  try { localStorage.setItem(`vbbench-${name}`, value); } catch { /* as said */ }
}

// Videos: one frame number for all, so that they move in step; only clips in sight are moved.
const SPEEDS = ["0.25", "0.5", "1", "1.5", "2"];
const player = { present: false };

function setUpPlayer() {
  const box = document.getElementById("player");
  if (!box) return;
  const fps = Number(box.dataset.fps);
  const total = Number(box.dataset.frames);
  const [play, slider, text, speed] = ["play", "frame", "frame-text", "speed"].map((id) => document.getElementById(id));
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
    clearInterval(timer);
    timer = setInterval(() => { if (!document.hidden) show(frame + 1); }, 1000 / (fps * Number(speed.value)));
    play.textContent = "Pause";
  };
  const setSpeed = (value) => {
    speed.value = SPEEDS.includes(value) ? value : "1";
    remember("speed", speed.value);
    if (timer !== null) start();
  };
  const setSize = (size) => {
    const button = [...box.querySelectorAll("[data-size]")].find((each) => each.dataset.size === size);
    if (!button) return;
    document.documentElement.style.setProperty("--tile", `${size}px`);
    for (const each of box.querySelectorAll("[data-size]")) each.setAttribute("aria-pressed", String(each === button));
  };

  Object.assign(player, {
    present: true,
    toggle: () => (timer === null ? start() : pause()),
    step: (by) => { pause(); show(frame + by); },
    faster: (by) => setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, SPEEDS.indexOf(speed.value) + by))]),
  });
  player.seen = () => seen.size > 0;
  play.addEventListener("click", player.toggle);
  slider.addEventListener("input", () => { pause(); show(Number(slider.value) - 1); });
  speed.addEventListener("change", () => setSpeed(speed.value));
  document.getElementById("back").addEventListener("click", () => player.step(-1));
  document.getElementById("forth").addEventListener("click", () => player.step(1));
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) { seen.add(target); place(target); } else seen.delete(target);
    }
  }, { rootMargin: "200px" });
  document.querySelectorAll(".clip").forEach((clip) => watcher.observe(clip));
  for (const button of box.querySelectorAll("[data-size]")) {
    button.addEventListener("click", () => { setSize(button.dataset.size); remember("size", button.dataset.size); });
  }
  setSize(recall("size", ""));
  setSpeed(recall("speed", "1"));
  box.hidden = false;
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) pause(); else start();
}

// Keys of one letter, for pages that tell of them; they rest while someone types, and can be switched off.
const KEYS = {
  " ": () => player.present && player.seen() && player.toggle(), // else it scrolls
  ",": () => player.present && player.step(-1),
  ".": () => player.present && player.step(1),
  "[": () => player.present && player.faster(-1),
  "]": () => player.present && player.faster(1),
  n: () => follow("next"),
  p: () => follow("prev"),
  "/": () => focusOn("filter-text"),
  v: () => document.querySelector("[name=scale]:not(:checked)")?.click(),
  "?": () => document.getElementById("keys").showModal(),
};

function follow(rel) {
  const link = document.querySelector(`a[rel=${rel}]`);
  link?.click();
  return Boolean(link);
}

function focusOn(id) {
  const field = document.getElementById(id);
  field?.focus();
  return Boolean(field);
}

function setUpKeys() {
  const dialog = document.getElementById("keys");
  if (!dialog) return;
  const opener = document.getElementById("keys-open");
  const box = document.getElementById("keys-on");
  box.checked = recall("keys", "on") !== "off";
  box.addEventListener("change", () => remember("keys", box.checked ? "on" : "off"));
  opener.addEventListener("click", () => dialog.showModal());
  opener.hidden = false;
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("[type=search], select, textarea, dialog[open]");
    const pressed = event.key === " " && event.target.closest?.("button, a, summary, input");
    if (!box.checked || typing || pressed || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = KEYS[event.key];
    if (act && act() !== false) event.preventDefault();
  });
}

// What is folded opens for a link to it, and for paper; pictures that were not needed yet are, for paper.
function unfoldTarget() {
  const folded = document.getElementById(location.hash.slice(1).split("?")[0])?.closest("details");
  if (folded) folded.open = true;
}

function prepareForPrint() {
  for (const each of document.querySelectorAll("details.spec-card, details.scales")) each.open = true;
  for (const image of document.querySelectorAll("img[loading]")) image.loading = "eager";
}

// Theme: as the system has it, until someone chooses.
const THEMES = ["auto", "light", "dark"];

function storedTheme() {
  const name = recall("theme", "auto");
  return THEMES.includes(name) ? name : "auto";
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
    remember("theme", current);
    applyTheme(current);
    tell();
  });
  tell();
  button.hidden = false;
}

applyTheme(storedTheme()); // before the first paint, so that nothing flashes
addEventListener("DOMContentLoaded", () => {
  setUpTheme();
  setUpPlayer();
  setUpKeys();
  unfoldTarget();
  addEventListener("hashchange", unfoldTarget);
  addEventListener("beforeprint", prepareForPrint);
});
