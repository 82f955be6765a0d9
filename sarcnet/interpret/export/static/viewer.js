"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id), canvas = $("canvas"), pen = canvas.getContext("2d"), SIDE = 256;
const view = { x: 0, y: 0, zoom: 1 };  // level-0 pixel at the upper left corner; CSS pixels per level-0 pixel
const pictures = new Map(), SHADES = D.shades.map(c => `rgb(${c})`), FINEST = 4;  // screen pixels per finest pixel, at most
let chosen = -1, asked = false, firstPicture = null;
const number = v => (v < 0 ? "\u2212" : "+") + Math.abs(v).toPrecision(3);
const biggest = Math.max(...D.tiles.map(t => Math.abs(t[3])));

function shade(v) {
  const place = (Math.max(-1, Math.min(1, v / D.limit)) + 1) / 2;
  return SHADES[Math.round(place * (SHADES.length - 1))];
}
function picture(url) {
  let image = pictures.get(url);
  if (!image) { image = new Image(); image.onload = later; image.src = url; pictures.set(url, image); }
  return image.complete && image.naturalWidth ? image : null;
}
function drawLevel(level) {
  const side = SIDE * level.scale, w = canvas.clientWidth / view.zoom, h = canvas.clientHeight / view.zoom;
  let whole = true;
  for (let r = Math.max(0, Math.floor(view.y / side)); r < level.urls.length && r * side < view.y + h; r++)
    for (let c = Math.max(0, Math.floor(view.x / side)); c < level.urls[r].length && c * side < view.x + w; c++) {
      const image = picture(level.urls[r][c]);
      if (!image) { whole = false; continue; }
      const z = view.zoom, left = Math.round((c * side - view.x) * z), top = Math.round((r * side - view.y) * z);
      const right = Math.round((c * side + image.naturalWidth * level.scale - view.x) * z);
      const bottom = Math.round((r * side + image.naturalHeight * level.scale - view.y) * z);
      pen.drawImage(image, left, top, right - left, bottom - top);
    }
  return whole;
}
function draw() {
  asked = false;
  const ratio = window.devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio);
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0); pen.clearRect(0, 0, w, h); pen.imageSmoothingEnabled = true;
  const fine = D.levels.findIndex(level => level.scale * view.zoom <= 1.05);  // the coarsest that is fine enough
  const last = fine < 0 ? D.levels.length - 1 : fine;
  for (let k = 0; k <= last; k++) {
    const whole = drawLevel(D.levels[k]);
    if (whole && firstPicture === null) firstPicture = performance.now();
  }
  const opacity = +$("opacity").value, least = threshold(), side = D.side * view.zoom;
  pen.globalAlpha = opacity;
  D.tiles.forEach(([x, y, , v]) => {
    const left = (x - view.x) * view.zoom, top = (y - view.y) * view.zoom;
    if (Math.abs(v) < least || left > w || top > h || left + side < 0 || top + side < 0) return;
    pen.fillStyle = shade(v); const a = Math.round(left), b = Math.round(top);
    pen.fillRect(a, b, Math.round(left + side) - a, Math.round(top + side) - b);
  });
  pen.globalAlpha = 1;
  if (chosen >= 0) {
    const [x, y] = D.tiles[chosen]; pen.lineWidth = 2; pen.strokeStyle = "#000";
    pen.strokeRect((x - view.x) * view.zoom, (y - view.y) * view.zoom, side, side);
  }
  bar(w);
}
function later() { if (!asked) { asked = true; requestAnimationFrame(draw); } }
function bar(w) {
  const um = D.mpp / view.zoom * w / 5, power = 10 ** Math.floor(Math.log10(um));
  const length = [5, 2, 1].map(n => n * power).find(n => n <= um);
  $("bar").style.width = `${length / D.mpp * view.zoom}px`;
  $("barText").textContent = length >= 1000 ? `${length / 1000} mm` : `${length} \u00b5m`;
}
function threshold() { return Number($("threshold").value) ** 2 * biggest; }
function sliders() {
  $("opacityOut").textContent = `${Math.round(100 * $("opacity").value)} %`;
  const left = D.tiles.filter(t => Math.abs(t[3]) >= threshold()).length;
  $("thresholdOut").textContent = `${threshold().toPrecision(2)} (${left} tiles)`; later();
}
function tell() {
  if (chosen < 0) { $("info").innerHTML = ""; $("info").hidden = true; return; }
  const rows = D.columns.map((name, k) => {
    const v = D.tiles[chosen][k + 2], text = v === null ? "\u2013" : k === 1 ? number(v) : String(v).replace(/^-/, "\u2212");
    const row = document.createElement("tr");
    for (const part of [name, text]) row.insertCell().textContent = part;
    return row;
  });
  const table = document.createElement("table"); table.append(...rows);
  $("info").replaceChildren(table); $("info").hidden = false;
}
function under(px, py) {
  const x = view.x + px / view.zoom, y = view.y + py / view.zoom, s = D.side;
  return D.tiles.findIndex(t => x >= t[0] && x < t[0] + s && y >= t[1] && y < t[1] + s);
}
function point(px, py) {
  $("info").classList.toggle("left", px > canvas.clientWidth * 0.6);  // never under the pointer
  const found = under(px, py);
  if (found !== chosen) { chosen = found; tell(); later(); }
}
function clampView() {
  const w = canvas.clientWidth, h = canvas.clientHeight, whole = Math.min(w / D.width, h / D.height);
  const most = Math.max(FINEST / D.levels[D.levels.length - 1].scale, whole);
  view.zoom = Math.max(whole * 0.9, Math.min(most, view.zoom));
  view.x = Math.max(-w / 2 / view.zoom, Math.min(D.width - w / 2 / view.zoom, view.x));
  view.y = Math.max(-h / 2 / view.zoom, Math.min(D.height - h / 2 / view.zoom, view.y));
}
function zoom(factor, px = canvas.clientWidth / 2, py = canvas.clientHeight / 2) {
  const x = view.x + px / view.zoom, y = view.y + py / view.zoom;
  view.zoom *= factor; const before = view.zoom; clampView();
  view.x = x - px / view.zoom; view.y = y - py / view.zoom; clampView(); point(px, py); later();
}
function move(dx, dy) { view.x -= dx / view.zoom; view.y -= dy / view.zoom; clampView(); later(); }
function fit() {
  const w = canvas.clientWidth, h = canvas.clientHeight;
  view.zoom = Math.min(w / D.width, h / D.height);
  view.x = (D.width - w / view.zoom) / 2; view.y = (D.height - h / view.zoom) / 2; later();
}

const fingers = new Map();
canvas.addEventListener("pointerdown", e => { fingers.set(e.pointerId, e); canvas.setPointerCapture(e.pointerId); });
for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, e => fingers.delete(e.pointerId));
canvas.addEventListener("pointermove", e => {
  const old = fingers.get(e.pointerId);
  if (old && fingers.size === 1) move(e.offsetX - old.offsetX, e.offsetY - old.offsetY);
  if (old && fingers.size === 2) {
    const other = [...fingers.values()].find(f => f.pointerId !== e.pointerId);
    const apart = f => Math.max(20, Math.hypot(f.offsetX - other.offsetX, f.offsetY - other.offsetY));
    zoom(apart(e) / apart(old), other.offsetX, other.offsetY);
  }
  if (old) fingers.set(e.pointerId, e);
  point(e.offsetX, e.offsetY);
});
canvas.addEventListener("pointerleave", () => { if (!fingers.size) point(-1e9, -1e9); });
canvas.addEventListener("wheel", e => {
  e.preventDefault(); zoom(Math.exp(-Math.max(-120, Math.min(120, e.deltaY)) / 300), e.offsetX, e.offsetY);
}, { passive: false });
canvas.addEventListener("dblclick", e => zoom(2, e.offsetX, e.offsetY));
document.addEventListener("keydown", e => {
  if (e.target.tagName === "INPUT" || e.ctrlKey || e.metaKey || e.altKey) return;
  const far = 80, keys = { ArrowLeft: [far, 0], ArrowRight: [-far, 0], ArrowUp: [0, far], ArrowDown: [0, -far] };
  if (keys[e.key]) move(...keys[e.key]);
  else if (e.key === "+" || e.key === "=") zoom(1.5);
  else if (e.key === "-") zoom(1 / 1.5);
  else if (e.key === "0") fit();
  else return;
  e.preventDefault();
});
$("in").addEventListener("click", () => zoom(1.5)); $("out").addEventListener("click", () => zoom(1 / 1.5));
$("fit").addEventListener("click", fit);
for (const id of ["opacity", "threshold"]) $(id).addEventListener("input", sliders);
let sized = false;
new ResizeObserver(() => { if (sized) { clampView(); later(); } else if (canvas.clientWidth) { sized = true; fit(); } })
  .observe(canvas);

$("title").textContent = D.title; $("note").textContent = D.note;
const finest = `${D.finest.toPrecision(2)} \u00b5m/px`;
$("warn").textContent = [
  D.finest > D.mpp * 1.05 ? `picture no finer than ${finest}` : "",
  D.absent ? `${D.absent} tiles of small contribution are not shown` : "",
].filter(Boolean).join("; ");
$("low").textContent = number(-D.limit); $("high").textContent = number(D.limit);
const ramp = $("ramp"); ramp.width = SHADES.length; ramp.height = 1;
SHADES.forEach((colour, k) => { const p = ramp.getContext("2d"); p.fillStyle = colour; p.fillRect(k, 0, 1, 1); });
tell(); sliders();
