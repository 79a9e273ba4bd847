// One image, one model, five predictions, or any number of labels. Nothing is fetched from anywhere but this folder.
import { loadAndCompile, loadLiteRt, Tensor } from "./litert/index.js";

const element = (id) => document.getElementById(id);
const TOP = 5;

// Filters for resizing, by distance in pixels; the bicubic one is Keys' with a = -0.5, as Pillow and TensorFlow have it.
const KERNELS = {
  bilinear: { support: 1, kernel: (x) => Math.max(0, 1 - x) },
  bicubic: {
    support: 2,
    kernel: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0),
  },
};

let latest = 0; // number of the image that was chosen last
const about = await (await fetch("about.json")).json();
document.title = element("title").textContent = about.title;
let model;
try {
  await loadLiteRt("./litert/wasm/");
  model = await loadAndCompile("model.tflite", { accelerator: "wasm" });
  element("file").disabled = false;
  element("status").textContent = "Ready.";
} catch (error) {
  element("status").textContent = `The model could not be loaded: ${error.message ?? error}`;
  throw error;
}

element("file").addEventListener("change", (event) => classify(event.target.files[0]));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    element("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") classify(event.dataTransfer.files[0]);
  });
}

async function classify(file) {
  if (!file || !model) return;
  const number = ++latest;
  element("predictions").replaceChildren();
  let image;
  try {
    image = await read(file);
  } catch {
    element("status").textContent = `${file.name} is not an image that this browser can read.`;
    return;
  }
  URL.revokeObjectURL(element("preview").src);
  element("preview").src = URL.createObjectURL(file);
  element("preview").hidden = false;
  const pixels = preprocess(image);
  const start = performance.now();
  const scores = await predict(pixels);
  const elapsed = performance.now() - start;
  if (number !== latest) return;
  element("status").textContent = `${file.name}: ${elapsed.toFixed(1)} ms.`;
  const sorted = [...scores.keys()].sort((a, b) => scores[b] - scores[a]);
  // Of a model of several labels an image those that reach their threshold: any number, or none.
  const best = about.thresholds
    ? sorted.filter((index) => scores[index] >= about.thresholds[index])
    : sorted.slice(0, TOP);
  if (!best.length) element("status").textContent += " It has none of the labels.";
  element("predictions").replaceChildren(...best.map((index) => row(about.class_names[index], scores[index])));
}

function row(name, score) {
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

async function predict(pixels) {
  const input = new Tensor(pixels, [1, about.size, about.size, 3]);
  const outputs = await model.run({ image: input });
  const scores = outputs.probabilities.toTypedArray().slice();
  input.delete();
  outputs.probabilities.delete();
  return scores;
}

// Decodes a file. Its numbers stay what they are, whatever profile of colors or gamma it declares, as in the evaluation.
export function read(file) {
  return createImageBitmap(file, { colorSpaceConversion: "none" });
}

// Prepares an image as the model's evaluation does: resized to a square, or the center of a resized image. Browsers
// turn it upright; transparent pixels become black, because a canvas does not keep their colors.
export function preprocess(image) {
  const { width, height } = image;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const { size, shorter_side: shorter } = about;
  if (about.crop_mode === "squash") return resizeAndCrop(data, width, height, [size, size], [0, 0]);
  // The publishers of weights cut off the fraction of the longer side, and round the corner's to the even number.
  const [side, corner] = about.is_published ? [Math.trunc, halfToEven] : [Math.round, Math.floor];
  const resized = [width, height].map((length) =>
    Math.max(shorter, side((length * shorter) / Math.min(width, height))),
  );
  return resizeAndCrop(data, width, height, resized, resized.map((length) => corner((length - size) / 2)));
}

function halfToEven(value) {
  return value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value);
}

// RGB of the square at `corner` of the image resized to `[across, down]`, antialiased. Canvases resize with filters of
// their own, which differ from browser to browser.
function resizeAndCrop(rgba, width, height, [across, down], [left, top]) {
  const { size } = about;
  const columns = filter(width, across, left, size);
  const rows = filter(height, down, top, size);
  const narrow = new Uint8ClampedArray(height * size * 3); // rounded between the two passes, halves up, as Pillow does
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < size; x++) {
      const { first, weights } = columns[x];
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * rgba[(y * width + first + k) * 4 + c];
        narrow[(y * size + x) * 3 + c] = Math.floor(sum + 0.5);
      }
    }
  }
  const pixels = new Uint8ClampedArray(size * size * 3);
  for (let y = 0; y < size; y++) {
    const { first, weights } = rows[y];
    for (let i = 0; i < size * 3; i++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * narrow[(first + k) * size * 3 + i];
      pixels[y * size * 3 + i] = Math.floor(sum + 0.5);
    }
  }
  return new Uint8Array(pixels.buffer);
}

// For each of `count` pixels from `start` on of `length` pixels resized to `newLength`: the weights of the original
// pixels, from `first` on.
function filter(length, newLength, start, count) {
  const ratio = length / newLength;
  const { support, kernel } = KERNELS[about.interpolation];
  const reach = Math.max(1, ratio);
  return Array.from({ length: count }, (_, i) => {
    const center = (start + i + 0.5) * ratio;
    const first = Math.max(0, Math.ceil(center - support * reach - 0.5));
    const last = Math.min(length - 1, Math.floor(center + support * reach - 0.5));
    const weights = [];
    for (let k = first; k <= last; k++) weights.push(kernel(Math.abs(k + 0.5 - center) / reach));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}
