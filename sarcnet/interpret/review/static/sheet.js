"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
let reader = "", at = 0, row = 0, answers = {}, keeps = true;

function place() { return `sarcnet-review:${D.sheet}:${reader}`; }
function keep() {
  try { localStorage.setItem(place(), JSON.stringify({ at, answers })); } catch (error) { keeps = false; }
  $("kept").textContent = keeps ? "Kept in this browser." : "This browser keeps nothing: download before you close the page.";
}
function recall() {
  try { const old = JSON.parse(localStorage.getItem(place())); if (old) { at = old.at; answers = old.answers; } }
  catch (error) { keeps = false; }
}
function own() { return answers[D.items[at].id] ||= {}; }
function given(id) { return D.questions.filter(q => (answers[id] || {})[q.name] !== undefined).length; }

function draw() {
  const item = D.items[at], mine = own();
  $("frame").classList.remove("near"); $("picture").style.transform = "";
  $("picture").src = item.src;
  $("bar").style.width = 100 * D.barUm / D.tileUm + "%"; $("bar").hidden = $("barText").hidden = false;
  $("barText").textContent = `${D.barUm} µm`;
  $("where").textContent = `Tile ${at + 1} of ${D.items.length}`; $("code").textContent = item.id;
  D.questions.forEach((q, k) => {
    const box = $("q-" + q.name); box.classList.toggle("current", k === row);
    box.querySelectorAll("input").forEach(input => { input.checked = mine[q.name] === input.value; });
  });
  $("comment").value = mine.comment || "";
  $("back").disabled = at === 0; $("next").disabled = at === D.items.length - 1;
  let missing = 0, open = 0;
  D.items.forEach((other, k) => {
    const count = given(other.id), lacks = D.questions.length - count;
    missing += lacks; open += lacks > 0;
    $("dots").children[k].className = (lacks === 0 ? "done" : count ? "part" : "") + (k === at ? " here" : "");
  });
  $("state").textContent = missing ? `${missing} answers in ${open} tiles are missing.` : "Every tile is answered.";
}
function answer(name, value) { own()[name] = value; keep(); draw(); }
function go(to) { at = Math.max(0, Math.min(D.items.length - 1, to)); row = 0; keep(); draw(); }
function cell(value) { return /[",\r\n;]/.test(value) ? '"' + value.replaceAll('"', '""') + '"' : value; }
function table() {
  const rows = D.items.map(item => {
    const facts = { sheet_id: D.sheet, reader, item_id: item.id, ...(answers[item.id] || {}) };
    return D.columns.map(name => cell(String(facts[name] ?? ""))).join(",");
  });
  return [D.columns.join(","), ...rows].join("\r\n") + "\r\n";
}
function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  link.download = `review_${D.sheet}_${reader.replace(/[^A-Za-z0-9_-]/g, "_")}.csv`;
  link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

$("note").textContent = D.note; $("sheet").textContent = `sheet ${D.sheet}, ${D.items.length} tiles`;
D.questions.forEach((q, k) => {
  const box = document.createElement("fieldset"); box.id = "q-" + q.name;
  const legend = document.createElement("legend"); legend.textContent = q.title; box.append(legend);
  [...q.words.map((word, n) => [String(n), `${n} ${word}`]), [D.cannotJudge, "cannot judge"]].forEach(([value, text]) => {
    const label = document.createElement("label"), input = document.createElement("input");
    input.type = "radio"; input.name = q.name; input.value = value;
    input.addEventListener("change", () => { row = k; answer(q.name, value); });
    label.append(input, " " + text); box.append(label);
  });
  $("questions").append(box);
});
D.items.forEach((item, k) => {
  const dot = document.createElement("button"); dot.textContent = k + 1; dot.title = item.id;
  dot.addEventListener("click", () => go(k)); $("dots").append(dot);
});
$("start").addEventListener("submit", event => {
  event.preventDefault(); reader = $("reader").value.trim(); if (!reader) return;
  recall(); $("start").hidden = true; $("review").hidden = false; go(at);
});
$("back").addEventListener("click", () => go(at - 1)); $("next").addEventListener("click", () => go(at + 1));
$("comment").addEventListener("input", () => { own().comment = $("comment").value; keep(); });
$("download").addEventListener("click", download);
$("frame").addEventListener("click", event => {
  const near = $("frame").classList.toggle("near"), box = $("frame").getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  $("picture").style.transform = near ? `translate(${-150 * x}%, ${-150 * y}%) scale(2.5)` : "";
  $("bar").hidden = $("barText").hidden = near;
});
document.addEventListener("keydown", event => {
  if ($("review").hidden || event.target.tagName === "TEXTAREA" || event.ctrlKey || event.metaKey || event.altKey) return;
  const q = D.questions[row], last = D.questions.length - 1;
  if (/^[0-3]$/.test(event.key) || event.key === "n") {
    const value = event.key === "n" ? D.cannotJudge : event.key;
    row = Math.min(row + 1, last); answer(q.name, value);
  } else if (event.key === "ArrowRight") go(at + 1);
  else if (event.key === "ArrowLeft") go(at - 1);
  else if (event.key === "ArrowDown") { row = Math.min(row + 1, last); draw(); }
  else if (event.key === "ArrowUp") { row = Math.max(row - 1, 0); draw(); }
  else return;
  event.preventDefault();
});
