/** The page's elements, and pictures on them. */

import type { Picture } from "./drawing.ts";

export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no #${id}.`);
  return found as T;
}

export function paint(canvas: HTMLCanvasElement, picture: Picture): void {
  const { size, rgb } = picture;
  const rgba = new Uint8ClampedArray(4 * size * size).fill(255);
  for (let pixel = 0; pixel < size * size; pixel++) rgba.set(rgb.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
  if (canvas.width !== size) canvas.width = canvas.height = size;
  canvas.getContext("2d")?.putImageData(new ImageData(rgba, size, size), 0, 0);
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

  paint(place: number, picture: Picture): void {
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
