
// A head sorts its table; cells without a number stay last either way.
function sortRows(table, head) {
  const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  for (const each of table.querySelectorAll("thead [aria-sort]")) each.setAttribute("aria-sort", each === head ? order : "none");
  const sign = order === "ascending" ? 1 : -1;
  const key = (row) => {
    const cell = row.cells[head.cellIndex];
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    return head.classList.contains("cost") ? null : cell.textContent.trim();
  };
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
  table.classList.add("sorted");
  document.getElementById("sorted").textContent = `Sorted by ${head.textContent.trim()}, ${order}.`;
}

addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("table.rows")) {
    for (const head of table.querySelectorAll("thead [aria-sort]")) {
      head.querySelector("button").addEventListener("click", () => sortRows(table, head));
    }
  }
});
