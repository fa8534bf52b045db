"use strict";
// Labels as files: CSV, and the JSON of Label Studio. Nothing here knows the page.
const labelFiles = (() => {
  const quoted = (cell) => /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;

  const toCsv = (columns, rows) => [columns, ...rows].map((row) => `${row.map((cell) => quoted(String(cell))).join(",")}\n`).join("");

  // RFC 4180: quotes within quotes are doubled.
  function parseCsv(text) {
    const rows = [[]];
    const cells = /("(?:[^"]|"")*"|[^,\r\n]*)(,|\r?\n|\r|$)/gy;
    const body = text.replace(/^\ufeff/, "");
    for (let found; cells.lastIndex < body.length && (found = cells.exec(body));) {
      const [, cell, end] = found;
      rows.at(-1).push(cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell);
      if (end !== ",") rows.push([]);
      else if (cells.lastIndex === body.length) rows.at(-1).push("");
    }
    const [header, ...rest] = rows.filter((row) => row.length);
    return rest.map((row) => Object.fromEntries(header.map((name, at) => [name, row[at] ?? ""])));
  }

  const choice = (label) => ({from_name: "digit", to_name: "image", type: "choices", value: {choices: [label]}});

  // A task is a row with a picture, a label that may be missing, and the model's answer.
  function toTasks(rows, model) {
    return rows.map(({picture, label, suggested, ...row}) => ({
      data: {image: picture, ...row},
      predictions: [{model_version: model, score: row.confidence, result: [choice(suggested)]}],
      annotations: label === null ? [] : [{result: [choice(label)]}],
    }));
  }

  // Both of its exports: JSON, a list of tasks with annotations, and JSON-MIN, flat.
  function fromTasks(tasks) {
    return tasks.map((task) => {
      const annotation = (task.annotations ?? []).find((each) => !each.was_cancelled);
      const result = (annotation?.result ?? []).find((each) => each.value?.choices);
      const data = task.data ?? task;
      const flat = Array.isArray(task.digit) ? task.digit[0] : task.digit?.choices?.[0] ?? task.digit;
      const by = annotation?.completed_by ?? task.annotator;
      return {
        path: data.path ?? data.image ?? "",
        label: String(result?.value.choices[0] ?? flat ?? ""),
        reviewer: String(by?.email ?? by ?? data.reviewer ?? ""),
      };
    });
  }

  // Rows with path, label and, if known, reviewer; an error says what is wrong with the file.
  function parse(text) {
    if (/^\s*[[{]/.test(text)) {
      const tasks = JSON.parse(text);
      return fromTasks(Array.isArray(tasks) ? tasks : [tasks]);
    }
    const rows = parseCsv(text);
    if (!rows.length || !("path" in rows[0]) || !("label" in rows[0])) throw new Error("no columns path and label");
    return rows;
  }

  // Cohen's kappa: agreement beyond what two would reach who label as often alike by chance.
  function agreement(pairs) {
    const same = pairs.filter(([one, other]) => one === other).length, share = same / pairs.length;
    const often = (side, label) => pairs.filter((pair) => pair[side] === label).length / pairs.length;
    const labels = [...new Set(pairs.flat())];
    const chance = labels.reduce((sum, label) => sum + often(0, label) * often(1, label), 0);
    return {same, share, kappa: chance === 1 ? 1 : (share - chance) / (1 - chance)};
  }

  return {toCsv, toTasks, parse, agreement};
})();

