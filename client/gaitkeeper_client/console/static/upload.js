// Sends a recording in parts, and goes on where it was broken off.
"use strict";

const csrf = () => document.querySelector("meta[name=csrf]").content;
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const MOST_TRIES = 8;

async function problemOf(answer) {
  try {
    const told = await answer.json();
    return `${told.title} ${told.remedy}`;
  } catch (problem) {
    return word("answered", { status: answer.status });
  }
}

async function announce(form, file) {
  const number = (name) => (form.elements[name].value.trim() ? Number(form.elements[name].value.trim().replace(",", ".")) : null);
  const local = form.elements.recorded_at.value;
  const asked = {
    patient: form.elements.patient.value, file_name: file.name, size: file.size, height_m: number("height_m"), age: number("age"),
    sex: form.elements.sex.value, consent: form.elements.consent.value, note: form.elements.note.value, aid: form.elements.aid.value,
    recorded_at: local ? new Date(local).toISOString() : (file.lastModified ? new Date(file.lastModified).toISOString() : ""),
  };
  const answer = await fetch("/api/v1/uploads", {
    method: "POST", headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf() }, body: JSON.stringify(asked),
  });
  if (answer.status === 401) { location.assign("/sign-in"); throw new Error(word("session_ended")); }
  if (!answer.ok) throw new Error(await problemOf(answer));
  return answer.json();
}

async function standing(id) {
  const answer = await fetch(`/api/v1/uploads/${id}`, { method: "HEAD" });
  if (!answer.ok) throw new Error(word("answered", { status: answer.status }));
  return Number(answer.headers.get("Upload-Offset"));
}

async function send(job, file, segment, show) {
  let offset = job.offset, tries = 0;
  while (offset < file.size) {
    show(offset, tries ? word("going_on") : "");
    let answer;
    try {
      answer = await fetch(`/api/v1/uploads/${job.id}`, {
        method: "PATCH", body: file.slice(offset, offset + segment),
        headers: { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset), "X-CSRF-Token": csrf() },
      });
    } catch (problem) {
      answer = null;
    }
    if (answer && answer.status === 204) { offset = Number(answer.headers.get("Upload-Offset")); tries = 0; continue; }
    if (answer && answer.status < 500 && answer.status !== 409) throw new Error(await problemOf(answer));
    tries += 1;
    if (tries > MOST_TRIES) throw new Error(word("cannot_reach"));
    await wait(Math.min(500 * 2 ** tries, 15000));
    try { offset = await standing(job.id); } catch (problem) { /* the next try says so */ }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("upload"), box = document.getElementById("sending");
  const bar = document.getElementById("bar"), said = document.getElementById("said"), button = document.getElementById("send");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const file = form.elements.file.files[0];
    box.hidden = false;
    box.className = "";
    if (file.size > Number(form.dataset.most)) { said.textContent = word("too_large"); return; }
    button.disabled = true;
    const show = (offset, more) => {
      bar.value = (100 * offset) / file.size;
      said.textContent = word("sent", { sent: (offset / 1e6).toFixed(1), all: (file.size / 1e6).toFixed(1), more });
    };
    try {
      const job = await announce(form, file);
      await send(job, file, Number(form.dataset.segment), show);
      show(file.size, word("handed_in"));
      location.assign("/today");
    } catch (problem) {
      box.className = "refusal";
      said.textContent = problem.message;
      button.disabled = false;
    }
  });
});
