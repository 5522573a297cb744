/** The page's elements, and pictures on them. */

import type { Pixels } from "./cutout.ts";

export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no #${id}.`);
  return found as T;
}

export function paint(canvas: HTMLCanvasElement, { width, height, rgb }: Pixels): void {
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let pixel = 0; pixel < width * height; pixel++) rgba.set(rgb.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d")?.putImageData(new ImageData(rgba, width, height), 0, 0);
  canvas.hidden = false;
}

/** Small pictures to choose from. */
export class Tiles {
  readonly #buttons: HTMLButtonElement[];

  constructor(parent: HTMLElement, labels: string[], onChoose: (place: number) => void) {
    this.#buttons = labels.map((label, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", label);
      button.append(document.createElement("canvas"));
      button.addEventListener("click", () => onChoose(place));
      return button;
    });
    parent.replaceChildren(...this.#buttons);
  }

  paint(place: number, picture: Pixels): void {
    const canvas = this.#buttons[place]?.firstElementChild;
    if (canvas instanceof HTMLCanvasElement) paint(canvas, picture);
  }

  mark(chosen: number): void {
    this.#buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(place === chosen)));
  }
}

export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Tells something below the picture; only to screen readers where `said`, because it can be seen. */
export function status(sentence: string, said = false): void {
  element("status").textContent = sentence;
  element("status").classList.toggle("said", said);
}

export function placeholder(sentence: string): void {
  element("placeholder").textContent = sentence;
  element("placeholder").hidden = !sentence;
}

export function shortened(caption: string): string {
  const characters = Array.from(caption.trim());
  return characters.length > 60 ? `${characters.slice(0, 59).join("")}…` : characters.join("");
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
