// Words are asked for where a finding is amended or overruled only.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  for (const group of document.querySelectorAll(".decision")) {
    const why = group.querySelector("[data-why]");
    const show = () => {
      const chosen = group.querySelector("input[type=radio]:checked");
      why.hidden = !chosen || !["amended", "overruled"].includes(chosen.value);
      for (const field of why.querySelectorAll("textarea")) {
        field.required = !why.hidden && (field.name.startsWith("reason") || chosen.value === "amended");
      }
    };
    group.addEventListener("change", show);
    show();
  }
});
