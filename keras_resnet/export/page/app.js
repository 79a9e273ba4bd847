// A picture, a net, five answers. Nothing is fetched from anywhere but this folder.
import { loadAndCompile, loadLiteRt, Tensor } from "./litert/index.js";

const element = (id) => document.getElementById(id);
const TOP = 5;

let shows = 0; // which picture is the latest
const about = await (await fetch("about.json")).json();
document.title = element("title").textContent = about.title;
let model;
try {
  await loadLiteRt("./litert/wasm/");
  model = await loadAndCompile("model.tflite", { accelerator: "wasm" });
  element("file").disabled = false;
  element("status").textContent = "Ready.";
} catch (error) {
  element("status").textContent = `The net could not be loaded: ${error.message ?? error}`;
  throw error;
}

element("file").addEventListener("change", (event) => show(event.target.files[0]));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    element("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") show(event.dataTransfer.files[0]);
  });
}

async function show(file) {
  if (!file || !model) return;
  const own = ++shows;
  element("answers").replaceChildren();
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    element("status").textContent = `${file.name} is no picture that this browser can read.`;
    return;
  }
  URL.revokeObjectURL(element("shown").src);
  element("shown").src = URL.createObjectURL(file);
  element("shown").hidden = false;
  const pixels = seen(picture);
  const start = performance.now();
  const scores = await probabilities(pixels);
  const took = performance.now() - start;
  if (own !== shows) return;
  element("status").textContent = `${file.name}: ${took.toFixed(1)} ms.`;
  const best = [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, TOP);
  element("answers").replaceChildren(...best.map((index) => answer(about.class_names[index], scores[index])));
}

function answer(name, score) {
  const item = document.createElement("li");
  const [label, bar, number] = ["span", "progress", "span"].map((tag) => document.createElement(tag));
  label.textContent = name;
  bar.value = score;
  bar.setAttribute("aria-label", name);
  number.className = "score";
  number.textContent = `${(100 * score).toFixed(1)}%`;
  item.dataset.score = score;
  item.append(label, bar, number);
  return item;
}

async function probabilities(pixels) {
  const image = new Tensor(pixels, [1, about.size, about.size, 3]);
  const outputs = await model.run({ image });
  const scores = outputs.probabilities.toTypedArray().slice();
  image.delete();
  outputs.probabilities.delete();
  return scores;
}

// The picture as tests see it: all of it, or the centre of a larger scale. Upright, as browsers show it; what is
// transparent is seen as black.
export function seen(picture) {
  const { width, height } = picture;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const { size, shorter_side: shorter } = about;
  if (about.whole) return scaled(data, width, height, [size, size], [0, 0]);
  const scale = shorter / Math.min(width, height);
  const across = Math.max(shorter, Math.round(width * scale));
  const down = Math.max(shorter, Math.round(height * scale));
  const corner = [Math.floor((across - size) / 2), Math.floor((down - size) / 2)];
  return scaled(data, width, height, [across, down], corner);
}

// RGB of the square at `corner` of the picture scaled to `[across, down]`: bilinear, antialiased. Canvases scale by
// filters of their own, each browser by another.
function scaled(rgba, width, height, [across, down], [left, top]) {
  const { size } = about;
  const columns = filter(width, across, left, size);
  const rows = filter(height, down, top, size);
  const narrow = new Float32Array(height * size * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < size; x++) {
      const { first, weights } = columns[x];
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * rgba[(y * width + first + k) * 4 + c];
        narrow[(y * size + x) * 3 + c] = sum;
      }
    }
  }
  const pixels = new Uint8ClampedArray(size * size * 3);
  for (let y = 0; y < size; y++) {
    const { first, weights } = rows[y];
    for (let i = 0; i < size * 3; i++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * narrow[(first + k) * size * 3 + i];
      pixels[y * size * 3 + i] = sum;
    }
  }
  return new Uint8Array(pixels.buffer);
}

// Which pixels of `length`, scaled to `scaledLength`, make each of `count` from `start` on, and with what weights.
function filter(length, scaledLength, start, count) {
  const ratio = length / scaledLength;
  const reach = Math.max(1, ratio);
  return Array.from({ length: count }, (_, i) => {
    const centre = (start + i + 0.5) * ratio;
    const first = Math.max(0, Math.ceil(centre - reach - 0.5));
    const last = Math.min(length - 1, Math.floor(centre + reach - 0.5));
    const weights = [];
    for (let k = first; k <= last; k++) weights.push(Math.max(0, 1 - Math.abs(k + 0.5 - centre) / reach));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}
