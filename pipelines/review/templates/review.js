
"use strict";
// Text goes in by textContent alone: names of images are strangers' words.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const rows = data.rows;
  const [element, OPEN, UNREADABLE] = [(id) => document.getElementById(id), ".", "u"];
  const words = data.words, WORDS = Object.keys(words).join(""), letterOf = Object.fromEntries(Object.entries(words).map(([letter, word]) => [word, letter]));
  const [grid, sheet, chosen] = [element("grid"), element("sheet"), element("chosen")];
  let sprites = [];
  const SIDE = 28, WIDTH = 92, HEIGHT = 118, UNDOS = 1000;

  // --- The labels, one letter per row of the run: a digit, one that stands for a word, or a dot for none. Kept in the browser.

  // Each reviewer has labels of their own.
  const NAME = "digitmill reviewer";
  let reviewer = "";
  const key = () => `digitmill review ${data.run}${reviewer && ` ${reviewer}`}`;
  // Digits of fields have names instead of numbers.
  let labels = [], undos = [], kept = true, members = {};

  function load() {
    const size = 1 + rows.reduce((most, row) => Math.max(most, Number.isInteger(row.place) ? row.place : -1), -1);
    let stored = null;
    try {
      reviewer = localStorage.getItem(`${NAME} ${data.run}`) ?? localStorage.getItem(NAME) ?? "";
      stored = JSON.parse(localStorage.getItem(key()));
    } catch { kept = false; }
    element("reviewer").value = reviewer;
    const letters = new RegExp(`^[0-9${WORDS}.]*$`).test(stored?.labels ?? "") ? stored?.labels ?? "" : "";
    labels = [...letters.padEnd(size, OPEN)];
    members = {};
    for (const {place} of rows) if (!Number.isInteger(place)) labels[place] = OPEN;
    // Those that this page does not show, too: made with another limit, it may.
    for (const [place, letter] of Object.entries(stored?.members ?? {})) if (new RegExp(`^[0-9${WORDS}]$`).test(letter)) put(place, letter);
    undos = Array.isArray(stored?.undos) ? stored.undos : [];
    if (!kept) warn(`This browser keeps nothing for this page: download ${data.file} before you leave it.`);
  }

  function put(place, letter) {
    labels[place] = letter;
    if (Number.isInteger(place)) return;
    if (letter === OPEN) delete members[place];
    else members[place] = letter;
  }

  function save() {
    if (!kept) return;
    try {
      localStorage.setItem(key(), JSON.stringify({labels: labels.join(""), undos: undos.slice(-UNDOS), members}));
    } catch {
      kept = false;
      warn(`This browser's memory is full: download ${data.file} before you leave this page.`);
    }
  }

  // What was labeled before a name was given is that reviewer's.
  function rename(name) {
    const nameless = reviewer === "" && undos.length > 0;
    try {
      const known = localStorage.getItem(`digitmill review ${data.run} ${name}`) !== null;
      if (nameless && name && !known) localStorage.removeItem(key());
      localStorage.setItem(NAME, name);
      localStorage.setItem(`${NAME} ${data.run}`, name);
      reviewer = name;
      if (nameless && name && !known) save();
      else load();
    } catch { reviewer = name; }
    count();
    filter();
  }

  function warn(text) { element("warning").textContent = text; element("warning").hidden = false; }

  const labelOf = (number) => labels[rows[number].place];
  const isOpen = (number) => labelOf(number) === OPEN;
  const isWord = (number) => labelOf(number) in words;
  // By place, what another reviewer has labeled: shown once there is a label of one's own.
  let theirs = new Map(), theirName = "";
  const differs = (number) => !isOpen(number) && theirs.has(rows[number].place) && theirs.get(rows[number].place) !== labelOf(number);
  const takenFor = (row) => row.noDigit ? "none" : String(row.predicted);
  const suggested = (row) => row.noDigit ? UNREADABLE : String(row.predicted);

  // --- What is shown: the rows that match, and which of them is chosen.

  let matching = [], position = 0;

  function filter() {
    const digit = element("digit").value, state = element("state").value;
    const percent = (id, otherwise) => element(id).value === "" ? otherwise : Number(element(id).value);
    // A hair wider: what is shown as 50.0 % lies between 50.0 and 50.0.
    const [least, most] = [percent("least", 0) - 0.05, percent("most", 100) + 0.05];
    const states = {
      "": () => true,
      open: isOpen,
      done: (number) => !isOpen(number) && !isWord(number),
      unreadable: isWord,
      differ: differs,
      suspect: (number) => rows[number].suspect,
    };
    const before = matching[position];
    matching = [...rows.keys()].filter((number) => {
      const row = rows[number], confidence = 100 * row.confidence;
      return (digit === "" || takenFor(row) === digit) && confidence >= least && confidence <= most
        && states[state](number);
    });
    element("matching").textContent = matching.length === rows.length ? "" : `${matching.length.toLocaleString("en")} match`;
    element("nothing").hidden = matching.length > 0;
    tiles.forEach((tile) => tile.remove());
    tiles.clear();
    arranged = 0;
    choose(Math.max(0, matching.indexOf(before)));
  }

  // --- The grid: only the tiles in sight are there, so that thousands of images cost what dozens do.

  const tiles = new Map();
  let columns = 1, printing = false;

  // Column and line of each tile. A field begins a line, with a head that says what it is.
  let spots = [], heads = [], lines = 0, arranged = 0;

  function arrange() {
    columns = Math.max(1, Math.floor(grid.clientWidth / WIDTH));
    if (arranged === columns) return;
    let [line, column, before, indent] = [0, 0, -1, 0];
    [spots, heads] = [[], []];
    for (const number of matching) {
      const field = rows[number].field;
      if (field !== before) {
        if (column > 0) [line, column] = [line + 1, 0];
        if (field >= 0) { heads.push({field, line}); column = 1; }
        indent = field >= 0 && columns > 2 ? 1 : 0;
      }
      if (column >= columns) [line, column] = [line + 1, indent];
      spots.push([column++, line]);
      before = field;
    }
    [lines, arranged] = [spots.length ? line + 1 : 0, columns];
  }

  const shift = (column, line) => `translate(${column * WIDTH}px, ${line * HEIGHT}px)`;

  function layOut() {
    arrange();
    sheet.style.height = `${lines * HEIGHT}px`;
    const top = Math.floor(grid.scrollTop / HEIGHT) - 2;
    const bottom = Math.ceil((grid.scrollTop + grid.clientHeight) / HEIGHT) + 2;
    const from = (line) => { const at = spots.findIndex((spot) => spot[1] >= line); return at < 0 ? spots.length : at; };
    const [first, end] = printing ? [0, spots.length] : [from(top), from(bottom)];
    for (const [at, tile] of tiles) if (at < first || at >= end) { tile.remove(); tiles.delete(at); }
    for (let at = first; at < end; at++) {
      if (!tiles.has(at)) { tiles.set(at, makeTile(at)); sheet.append(tiles.get(at)); }
      tiles.get(at).style.transform = shift(...spots[at]);
    }
    sheet.querySelectorAll(".head").forEach((head) => head.remove());
    for (const {field, line} of heads) if (printing || (line >= top && line < bottom)) sheet.append(makeHead(field, line));
    if (printing) sortForPaper();
    if (tiles.has(position)) grid.setAttribute("aria-activedescendant", tiles.get(position).id);
    else grid.removeAttribute("aria-activedescendant");
  }

  // On paper the order in the document tells the place: each field's head, then its tiles.
  function sortForPaper() {
    const titles = [...sheet.querySelectorAll(".head")];
    for (let at = 0, head = 0; at < spots.length; at++) {
      if (heads[head]?.line === spots[at][1]) sheet.append(titles[head++]);
      sheet.append(tiles.get(at));
    }
  }

  function print(now) {
    printing = now;
    layOut();
  }

  function makeHead(field, line) {
    const head = document.createElement("div"), numbers = inField[field];
    head.setAttribute("role", "presentation");
    const done = numbers.filter((number) => !isOpen(number)).length;
    const {name, value} = data.fields[field];
    const texts = [value, done === numbers.length ? "labeled \u2713" : `${done} of ${numbers.length}`, name.replaceAll("/", "/\u200b")];
    head.className = value.length > 8 ? "head long" : "head";
    head.title = name;
    for (const [at, text] of texts.entries()) {
      const span = document.createElement("span");
      span.textContent = text;
      span.className = ["value", "", "end"][at];
      head.append(span);
    }
    head.style.transform = shift(0, line);
    return head;
  }

  // The numbers of each field's rows.
  const inField = data.fields.map(() => []);
  rows.forEach((row, number) => { if (row.field >= 0) inField[row.field].push(number); });

  function makeTile(at) {
    const tile = document.createElement("div");
    const {place} = rows[matching[at]];
    tile.id = Number.isInteger(place) ? `image-${place}` : `member-${matching[at]}`;
    tile.setAttribute("role", "option");
    tile.setAttribute("aria-setsize", matching.length);
    tile.setAttribute("aria-posinset", at + 1);
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIDE;
    draw(canvas, matching[at]);
    tile.append(canvas, ...[1, 2, 3].map(() => document.createElement("span")));
    tile.addEventListener("click", () => { choose(at); grid.focus(); });
    paint(tile, at);
    return tile;
  }

  function paint(tile, at) {
    const number = matching[at], row = rows[number], label = labelOf(number);
    const [given, model, more] = tile.querySelectorAll("span");
    tile.className = label === OPEN ? "tile" : label in words ? "tile unreadable" : "tile done";
    tile.setAttribute("aria-selected", at === position);
    given.className = "given";
    given.textContent = label === OPEN ? row.suspect ? `${row.known}, or ${row.predicted}?` : row.noDigit ? "no digit?" : `${row.predicted}?` : label in words ? inWords(label) : `${label} ✓`;
    model.textContent = data.blind ? "" : share(row.confidence);
    more.className = "unseen";
    more.textContent = `; ${describe(row)}; ${inWords(label)}${row.field < 0 ? "" : `; of ${data.fields[row.field].name}`}`;
  }

  function draw(canvas, number) {
    const at = number % data.perSprite, sprite = sprites[Math.floor(number / data.perSprite)];
    const [left, top] = [SIDE * (at % data.spriteColumns), SIDE * Math.floor(at / data.spriteColumns)];
    canvas.getContext("2d").drawImage(sprite, left, top, SIDE, SIDE, 0, 0, SIDE, SIDE);
  }

  const share = (probability) => `${(100 * probability).toFixed(1)} %`;
  // Where accepted images are among the others, nothing says which: not how sure the model was either.
  const describe = (row) => data.blind ? `taken for ${row.noDigit ? "no digit" : row.predicted}` : `taken for ${row.noDigit ? "no digit; if it is one, for " : ""}${row.predicted} at ${share(row.confidence)}, or ${row.second} at ${share(row.secondConfidence)}`;
  const inWords = (label) => label === OPEN ? "not labeled" : label in words ? words[label].replaceAll("_", " ") : `labeled ${label}`;

  // --- The chosen image.

  function choose(at) {
    const before = position;
    position = Math.max(0, Math.min(matching.length - 1, at));
    chosen.hidden = matching.length === 0;
    arrange();
    if (matching.length > 0) {
      const top = spots[position][1] * HEIGHT;
      if (top < grid.scrollTop) grid.scrollTop = top;
      else if (top + HEIGHT > grid.scrollTop + grid.clientHeight) grid.scrollTop = top + HEIGHT - grid.clientHeight;
    }
    layOut();
    for (const which of [before, position]) if (tiles.has(which)) paint(tiles.get(which), which);
    if (matching.length > 0) showChosen();
  }

  function showChosen() {
    const number = matching[position], row = rows[number], label = labelOf(number);
    draw(element("large"), number);
    element("source").hidden = row.original === "";
    if (row.original !== "") element("original").src = `data:image/webp;base64,${row.original}`;
    const words = describe(row);
    element("said").textContent = words[0].toUpperCase() + words.slice(1) + (row.known === null ? "" : `; known as ${row.known}`);
    element("name").textContent = row.name;
    const field = data.fields[row.field];
    element("field").hidden = !field;
    if (field) element("field").textContent = `Field ${field.name}: ${field.value}${field.why ? `; ${field.why}` : ""}`;
    const other = label === OPEN ? undefined : theirs.get(row.place);
    element("other").hidden = other === undefined;
    if (other !== undefined) element("other").textContent = `${theirName}: ${inWords(other)}${other === label ? "" : ", you: " + inWords(label)}`;
    for (const button of element("pad").querySelectorAll("button"))
      button.setAttribute("aria-pressed", button.dataset.label === label);
  }

  function count() {
    const done = rows.reduce((sum, _, number) => sum + !isOpen(number), 0);
    const without = Object.keys(words).map((letter) => [words[letter].replaceAll("_", " "), rows.filter((_, number) => labelOf(number) === letter).length]);
    element("bar").value = done;
    element("counts").textContent = `${done.toLocaleString("en")} of ${rows.length.toLocaleString("en")} looked at`
      + without.filter(([, many]) => many).map(([word, many]) => `, ${many.toLocaleString("en")} ${word}`).join("")
      + (data.fields.length ? `; ${inField.filter((numbers) => !numbers.some(isOpen)).length.toLocaleString("en")} of ${data.fields.length.toLocaleString("en")} fields` : "");
    element("download").disabled = done === 0;
    compare();
  }

  // --- What people do.

  function label(letter) {
    if (matching.length === 0) return;
    const number = matching[position], place = rows[number].place;
    undos.push([place, labels[place]]);
    put(place, letter === "suggested" ? suggested(rows[number]) : letter);
    element("live").textContent = `${rows[number].name}: ${inWords(labels[place])}`;
    save();
    count();
    next();
  }

  function next() {
    const after = matching.findIndex((number, at) => at > position && isOpen(number));
    const first = after >= 0 ? after : matching.findIndex(isOpen);
    if (first < 0) element("live").textContent = `All of these are labeled. Download ${data.file}, or show others.`;
    choose(first < 0 ? position : first);
  }

  function undo() {
    const last = undos.pop();
    if (!last) { element("live").textContent = "Nothing to undo."; return; }
    const [place, letter] = last;
    put(place, letter);
    save();
    count();
    const number = rows.findIndex((row) => row.place === place), at = matching.indexOf(number);
    if (number >= 0) element("live").textContent = `${rows[number].name}: ${inWords(letter)} again`;
    choose(at < 0 ? position : at);
  }

  function hand(text, name, type, many) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], {type}));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    element("live").textContent = `${name}: ${many.toLocaleString("en")} images`;
  }

  const wordOf = (letter) => words[letter] ?? letter;

  function download() {
    const lines = rows.filter((_, number) => !isOpen(number)).map((row) => {
      const cells = {...row, label: wordOf(labels[row.place]), reviewer, confidence: row.confidence.toFixed(6)};
      return data.columns.map((column) => cells[column]);
    });
    hand(labelFiles.toCsv(data.columns, lines), data.file, "text/csv", lines.length);
  }

  function studio() {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIDE;
    const tasks = rows.map((row, number) => {
      draw(canvas, number);
      const {path, sha256, generation, predicted} = row;
      // Of a blind page a task does not say either how sure the model was: it would tell who is audited.
      const sure = data.blind ? {} : {confidence: row.confidence};
      return {
        picture: canvas.toDataURL("image/png"), label: isOpen(number) ? null : wordOf(labels[row.place]),
        suggested: wordOf(suggested(row)), path, sha256, generation, predicted, ...sure, reviewer,
      };
    });
    hand(JSON.stringify(labelFiles.toTasks(tasks, data.run.slice(0, 16)), null, 1), "label-studio.json", "application/json", tasks.length);
  }

  // --- Labels from a file: one's own, or another reviewer's.

  async function open(input) {
    const [file] = input.files, say = (text) => { element("agreement").textContent = text; };
    input.value = "";
    let found;
    try { found = labelFiles.parse(await file.text()); }
    catch (error) { say(`${file.name} holds no labels: ${error.message}`); return null; }
    const places = new Map(rows.map((row) => [row.path, row.place]));
    const known = found.map(({path, label, reviewer}) => [places.get(path), letterOf[label] ?? label, reviewer])
      .filter(([place, letter]) => place !== undefined && letter.length === 1 && `0123456789${WORDS}`.includes(letter));
    say(`${file.name}: ${known.length.toLocaleString("en")} of its ${found.length.toLocaleString("en")} labels are of images on this page.`);
    return known;
  }

  async function openMine() {
    for (const [place, letter] of await open(element("mine")) ?? []) {
      if (labels[place] === letter) continue;
      undos.push([place, labels[place]]);
      put(place, letter);
    }
    save();
    count();
    filter();
  }

  async function openTheirs() {
    const found = await open(element("theirs"));
    if (!found) return;
    theirs = new Map(found);
    theirName = found.find(([, , name]) => name)?.[2] || "the other reviewer";
    element("state").querySelector("[value=differ]").hidden = theirs.size === 0;
    compare();
    filter();
  }

  function compare() {
    const both = [...rows.keys()].filter((number) => !isOpen(number) && theirs.has(rows[number].place));
    if (!both.length) return;
    const {same, share: part, kappa} = labelFiles.agreement(both.map((number) => [labelOf(number), theirs.get(rows[number].place)]));
    element("agreement").textContent = `You and ${theirName} have both labeled ${both.length.toLocaleString("en")} images and agree on ${same.toLocaleString("en")}, ${share(part)}; Cohen’s kappa ${kappa.toFixed(2)}.`;
  }

  // The tile above or below; of a line that is shorter, as fields have them, its last one.
  function beside(step) {
    const [column, line] = spots[position] ?? [0, 0];
    const there = [...spots.keys()].filter((at) => spots[at][1] === line + step);
    const nearest = there.filter((at) => spots[at][0] <= column).at(-1) ?? there[0] ?? position;
    return data.fields.length || spots[nearest]?.[0] === column ? nearest : position;
  }

  const moves = {
    ArrowLeft: () => position - 1,
    ArrowRight: () => position + 1,
    ArrowUp: () => beside(-1),
    ArrowDown: () => beside(1),
    PageUp: () => Math.max(position % columns, position - pageful()),
    PageDown: () => position + pageful(),
    Home: () => 0,
    End: () => matching.length - 1,
  };
  const pageful = () => columns * Math.max(1, Math.floor(grid.clientHeight / HEIGHT) - 1);
  const acts = {
    Enter: () => label("suggested"), Backspace: undo, n: next, 
    "?": () => element("help").showModal(),
  };
  for (const letter of WORDS) acts[letter] = acts[letter.toUpperCase()] = () => label(letter);

  // On some keyboards digits are typed with Shift: then the place of a key without it tells.
  const digitOf = (event) => /^[0-9]$/.test(event.key) ? event.key
    : event.shiftKey ? undefined : /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1];

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, select, summary")) {
      if (event.key === "Escape" || (event.key === "Enter" && event.target.closest("input"))) grid.focus();
      return;
    }
    if (event.target.closest("button") && (event.key === "Enter" || event.key === " ")) return;
    const digit = digitOf(event);
    if (moves[event.key]) choose(moves[event.key]());
    // A key that is held down labels one image.
    else if (event.repeat && event.key !== "Backspace") return;
    else if (acts[event.key]) acts[event.key]();
    else if (digit !== undefined) label(digit);
    else return;
    event.preventDefault();
  }

  document.addEventListener("keydown", pressed);
  grid.addEventListener("scroll", layOut, {passive: true});
  new ResizeObserver(layOut).observe(grid);
  for (const id of ["digit", "state"]) element(id).addEventListener("change", () => { filter(); grid.focus(); });
  for (const id of ["least", "most"]) element(id).addEventListener("input", filter);
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  element("keys").addEventListener("click", acts["?"]);
  element("download").addEventListener("click", download);
  for (const id of ["help", "files"]) element(id).addEventListener("close", () => grid.focus());
  element("others").addEventListener("click", () => element("files").showModal());
  element("studio").addEventListener("click", studio);
  element("mine").addEventListener("change", openMine);
  element("theirs").addEventListener("change", openTheirs);
  element("reviewer").addEventListener("change", () => rename(element("reviewer").value.trim()));
  element("pad").addEventListener("click", (event) => {
    const given = event.target.closest("button")?.dataset.label;
    if (given) (given === "undo" ? undo : () => label(given))();
    grid.focus();
  });
  // Another tab of the same page.
  addEventListener("storage", (event) => { if (event.key === key()) { load(); count(); filter(); } });
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  addEventListener("beforeunload", (event) => { if (!kept && undos.length) event.preventDefault(); });

  load();
  count();
  // Bitmaps: an image in the page is decoded anew whenever the browser has let go of its pixels.
  Promise.all([...document.querySelectorAll("img.sprite")].map(async (image) => {
    await image.decode();
    return createImageBitmap(image);
  })).then((bitmaps) => {
    sprites = bitmaps;
    filter();
    choose(Math.max(0, matching.findIndex(isOpen)));
    grid.focus();
    document.documentElement.dataset.ready = "yes";
  });
})();
