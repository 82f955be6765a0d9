"""HTML and script of the review sheet; `/*DATA*/` is replaced by the sheet's codes, pictures and questions as JSON.

A page of its own in every respect: its content security policy forbids any request, answers stay in the browser's
localStorage until they are downloaded, and it works from a USB stick.
"""

PAGE = r"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Review of tiles</title>
<style>
 body { font: 16px/1.4 system-ui, sans-serif; color: #222; background: #fafafa; margin: 0 auto; max-width: 1120px;
  padding: 12px 20px }
 header { display: flex; gap: 16px; align-items: baseline; flex-wrap: wrap; border-bottom: 1px solid #ccc; padding-bottom: 8px }
 h1 { font-size: 20px; margin: 0 }
 #note { font-weight: 600; color: #8a3b00 }
 #main { display: grid; grid-template-columns: minmax(300px, 560px) 1fr; gap: 24px; margin-top: 12px }
 #frame { position: relative; overflow: hidden; aspect-ratio: 1; background: #eee; border: 1px solid #bbb; cursor: zoom-in }
 #frame img { width: 100%; height: 100%; display: block; transform-origin: 0 0 }
 #frame.near { cursor: zoom-out }
 #bar { position: absolute; left: 12px; bottom: 12px; height: 4px; background: #000; outline: 1px solid #fff }
 #barText { position: absolute; left: 12px; bottom: 18px; font-size: 13px; background: #ffffffcc; padding: 0 4px }
 fieldset { border: 1px solid #ccc; border-radius: 6px; margin: 0 0 8px; padding: 2px 10px 6px; display: flex; flex-wrap: wrap;
  gap: 2px 4px; background: #fff }
 fieldset.current { border: 2px solid #0072b2; padding: 1px 9px 5px }
 legend { font-weight: 600; padding: 0 4px }
 fieldset input { margin: 0 1px 0 0; vertical-align: -1px }
 fieldset label { font-size: 14px; padding: 2px 5px; border-radius: 4px; cursor: pointer; white-space: nowrap }
 fieldset label:has(input:checked) { background: #cfe6f5 }
 textarea { width: 100%; box-sizing: border-box; font: inherit; height: 44px }
 button { font: inherit; padding: 6px 14px; border: 1px solid #888; border-radius: 6px; background: #fff; cursor: pointer }
 button.strong { background: #0072b2; color: #fff; border-color: #0072b2 }
 #dots { display: flex; flex-wrap: wrap; gap: 3px; margin: 12px 0 }
 #dots button { padding: 0; width: 26px; height: 20px; font-size: 11px; border-radius: 3px; color: #555 }
 #dots .part { background: #ffe08a } #dots .done { background: #bfe3c4 } #dots .here { outline: 2px solid #0072b2 }
 footer { display: flex; gap: 12px; align-items: center; flex-wrap: wrap; border-top: 1px solid #ccc; padding-top: 10px }
 .quiet { color: #666; font-size: 14px } [hidden] { display: none !important }
 @media (max-width: 820px) { #main { grid-template-columns: 1fr } }
</style>
</head>
<body>
<header><h1>Review of tiles</h1><span id="note"></span><span class="quiet" id="sheet"></span></header>
<form id="start">
 <p>You will see small pieces of tissue, in no order and without names. Rate five patterns in each, from 0 to 3. Choose
 &ldquo;cannot judge&rdquo; where a pattern cannot be seen. Please do not discuss the tiles before all readers are done.</p>
 <p><label>Your initials or reader code: <input id="reader" maxlength="20" required></label>
 <button class="strong">Begin, or go on</button></p>
 <p class="quiet">Answers stay on this computer, in this browser, until you download them. Keys: 0 to 3 answer the framed
 row, n is &ldquo;cannot judge&rdquo;, up and down change the row, left and right the tile. Click the picture to come
 nearer.</p>
</form>
<div id="review" hidden>
 <div id="main">
  <div><div id="frame"><img id="picture" alt="tile to be rated"><span id="barText"></span><span id="bar"></span></div></div>
  <div><p><b id="where"></b> <span class="quiet" id="code"></span></p><div id="questions"></div>
   <label class="quiet">Comment (optional)<textarea id="comment" maxlength="500"></textarea></label>
   <p><button id="back">&larr; Back</button> <button id="next" class="strong">Next &rarr;</button></p></div>
 </div>
 <div id="dots"></div>
 <footer><button id="download" class="strong">Download answers (CSV)</button><span id="state"></span>
 <span class="quiet" id="kept"></span></footer>
</div>
<script>
"use strict";
const D = /*DATA*/;
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
</script>
</body>
</html>
"""
