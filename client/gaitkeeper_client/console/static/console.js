// What every page shares: the list of recordings that keeps itself up to date, tables that can be searched, confirmations.
"use strict";

// The words of the page's language, with {names} to be filled in.
function word(name, values = {}) {
  const table = JSON.parse(document.body.dataset.words);
  return table[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

function showJob(row, job) {
  const state = row.querySelector(".state");
  if (row.dataset.state !== job.state) {
    const told = document.getElementById("told");
    if (told) told.textContent = word("a_recording", { state: word(job.state) });
    if (["done", "refused", "failed", "abandoned"].includes(job.state)) { location.reload(); return; }
  }
  row.dataset.state = job.state;
  state.className = `state ${job.state}`;
  state.textContent = word(job.state);
  const bar = row.querySelector("progress");
  bar.hidden = job.state !== "running" && job.state !== "receiving";
  const share = job.state === "receiving" ? job.offset / job.size : job.progress;
  if (share === null) bar.removeAttribute("value"); else bar.value = Math.round(100 * share);
}

async function poll(table) {
  const rows = new Map([...table.querySelectorAll("tr[data-job]")].map((row) => [row.dataset.job, row]));
  let pause = 1000;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (document.hidden) continue;
    try {
      const answer = await fetch("/api/v1/jobs", { headers: { "X-Gaitkeeper-Poll": "1" } });
      if (answer.status === 401) { location.assign("/sign-in"); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const seen = new Set();
      for (const job of (await answer.json()).jobs) {
        seen.add(job.id);
        if (rows.has(job.id)) showJob(rows.get(job.id), job); else { location.reload(); return; }
      }
      for (const [id, row] of rows) {
        if (!seen.has(id) && ["receiving", "queued", "running"].includes(row.dataset.state)) { location.reload(); return; }
      }
      pause = 1000;
    } catch (problem) {
      pause = Math.min(pause * 2, 30000);
    }
  }
}

function searchable(field) {
  const rows = [...document.querySelectorAll(`#${field.dataset.search} tbody tr`)];
  const count = document.getElementById(`${field.dataset.search}-count`);
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    if (count) count.textContent = word("shown", { shown, all: rows.length });
  });
}

// What is wider than its place can be scrolled by the keyboard, too.
function reachable(box) {
  if (box.scrollWidth > box.clientWidth) box.setAttribute("tabindex", "0"); else box.removeAttribute("tabindex");
}

document.addEventListener("DOMContentLoaded", () => {
  const boxes = [...document.querySelectorAll(".scroll")];
  const measure = () => boxes.forEach(reachable);
  measure();
  window.addEventListener("resize", measure);
  document.querySelectorAll("details").forEach((part) => part.addEventListener("toggle", measure));
  const table = document.querySelector("table.jobs[data-poll='1']");
  if (table) poll(table);
  document.querySelectorAll("input[data-search]").forEach(searchable);
  document.querySelectorAll("form[data-confirm]").forEach((form) => form.addEventListener("submit", (event) => {
    if (!window.confirm(form.dataset.confirm)) event.preventDefault();
  }));
});
