// The heatmap answers the pointer and the arrow keys: what a cell holds is said below the chart, and to screen readers.
"use strict";

function explore(chart) {
  const cells = [...chart.querySelectorAll(".cell")];
  if (!cells.length) return;
  const rows = new Map();
  for (const cell of cells) {
    const y = cell.getAttribute("y");
    if (!rows.has(y)) rows.set(y, []);
    rows.get(y).push(cell);
  }
  const grid = [...rows.values()];
  const words = new Map(cells.map((cell) => [cell, cell.querySelector("title").textContent]));
  const name = chart.querySelector("title").textContent;
  const readout = document.createElement("p");
  readout.className = "readout";
  readout.setAttribute("role", "status");
  readout.textContent = word("point");
  chart.after(readout);
  chart.classList.add("explore");
  chart.setAttribute("tabindex", "0");
  chart.setAttribute("role", "application");
  chart.setAttribute("aria-roledescription", word("heatmap"));
  chart.setAttribute("aria-label", name);
  let row = 0, column = 0;
  const show = () => {
    cells.forEach((cell) => cell.classList.remove("here"));
    const cell = grid[row][column];
    cell.classList.add("here");
    readout.textContent = words.get(cell);
  };
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key === "Home") column = 0;
    else if (event.key === "End") column = grid[row].length - 1;
    else if (step) {
      row = Math.min(Math.max(row + step[0], 0), grid.length - 1);
      column = (column + step[1] + grid[row].length) % grid[row].length;
    } else return;
    event.preventDefault();
    show();
  });
  chart.addEventListener("focus", show);
  chart.addEventListener("pointermove", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    row = grid.findIndex((line) => line.includes(cell));
    column = grid[row].indexOf(cell);
    show();
  });
}

document.addEventListener("DOMContentLoaded", () => {
  for (const chart of document.querySelectorAll("svg")) if (chart.querySelector(".cell")) explore(chart);
});
