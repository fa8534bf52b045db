"use strict";

// Tables: a click on a heading sorts by it, the largest number or the first word on top; again, the reverse.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const words = head.classList.contains("words");
      const was = head.getAttribute("aria-sort");
      const down = was === "none" ? !words : was === "ascending";
      const worth = (row) => {
        const cell = row.cells[column];
        if (words) return cell.textContent;
        return cell.dataset.value === "" ? null : Number(cell.dataset.value);
      };
      const order = (one, other) => {
        const [a, b] = [worth(one), worth(other)];
        if (a === null || b === null) return (a === null) - (b === null);
        const sign = words ? a.localeCompare(b, "en", { numeric: true }) : a - b;
        return down ? -sign : sign;
      };
      heads.forEach((each) => each.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    });
  });
}

// Thresholds: the slider moves the mark on the curve and exchanges the words beside it.
for (const figure of document.querySelectorAll(".explorer")) {
  const steps = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
  const slider = figure.querySelector("input[type=range]");
  const mark = figure.querySelector(`[id="${figure.id}-marker"]`);
  const show = () => {
    const step = steps[slider.valueAsNumber];
    for (const place of figure.querySelectorAll("[data-step]")) {
      place.textContent = step[Number(place.dataset.step)];
    }
    slider.setAttribute("aria-valuetext", `${step[0]}: ${step[2]} accepted`);
    mark.setAttribute("transform", `translate(${step[6]} ${step[7]})`);
  };
  slider.addEventListener("input", show);
  figure.querySelector(".back").addEventListener("click", () => {
    slider.value = slider.defaultValue;
    show();
  });
  // A browser may bring back where the slider stood before a reload.
  show();
}

// Copy buttons: what browsers cannot open, and commands.
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const words = button.firstChild;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      words.data = "copied";
    } catch {
      words.data = "copying is not allowed here";
    }
    setTimeout(() => { words.data = "copy"; }, 2000);
  });
}

// A cell of a matrix leads to its images: the keyboard goes on from there.
addEventListener("hashchange", () => document.querySelector(".cells > :target")?.focus());
