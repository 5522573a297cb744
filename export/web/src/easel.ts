/** A picture with a brush that rubs out, or paper with a pen: with mouse, finger, pen or keyboard. */

import { centralSquare, type Pixels } from "./cutout.ts";
import { element, paint, shortened, status } from "./view.ts";

const MOST_PIXELS = 2048; // of a picture's height and of its width: larger ones are made smaller
const MOST_STEPS = 20; // that can be undone
const INK = "black";

/** Whose a picture is: the model's, the reader's, or the reader's with what the model drew in it. */
export type Origin = "drawn" | "reader" | "both";

const NOTHING: Pixels = { width: 1, height: 1, rgb: new Uint8Array(3) };

export class Easel {
  readonly #known = element<HTMLCanvasElement>("known");
  readonly #brush = element<HTMLCanvasElement>("brush");
  readonly #size = element<HTMLInputElement>("brush-size");
  readonly #eraser = element<HTMLButtonElement>("eraser");
  readonly #onChanged: () => void;
  readonly #earlier: Uint8Array<ArrayBuffer>[] = [];
  #picture = NOTHING;
  #brought: Pixels | undefined;
  #origin: Origin = "drawn";
  #hole = new Uint8Array(1);
  #cursor = { x: 0, y: 0 };
  #stroke: { x: number; y: number } | null = null;
  #isFilled = false;
  #paper: Pixels | null = null; // where the brush is a pen
  #isPointed = false;
  #border: Path2D | null = null; // of the hole, which is long to find in a large picture

  /** `onChanged` is called after each change of picture or hole. */
  constructor(onChanged: () => void) {
    this.#onChanged = onChanged;
    const brush = this.#brush;
    this.#eraser.addEventListener("click", () => this.#takeEraser(!this.#isEraser));
    brush.addEventListener("pointerdown", (event) => this.#begin(event));
    brush.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) brush.addEventListener(end, () => this.#end());
    brush.addEventListener("keydown", (event) => this.#press(event));
    brush.addEventListener("pointerleave", () => {
      this.#isPointed = false;
      this.#sketch();
    });
    for (const change of ["focus", "blur"]) brush.addEventListener(change, () => this.#sketch());
    this.#size.addEventListener("input", () => this.#sketch());
    element("open").addEventListener("click", () => element("file").click());
    element("file").addEventListener("change", (event) => void this.#open(event.target as HTMLInputElement));
    element("undo").addEventListener("click", () => this.undo());
    element("start-over").addEventListener("click", () => this.#startOver());
    new ResizeObserver(() => this.#sketch()).observe(brush);
  }

  /** Takes white paper of so many pixels each way, and makes a pen of the brush. */
  takePen(size: number): void {
    this.#paper = { width: size, height: size, rgb: new Uint8Array(3 * size * size).fill(255) };
    this.#size.value = "3";
    element("pad").append(element("easel"));
    this.#take(this.#paper, "drawn");
  }

  /** Where it is: in the place of the picture, or beside it. */
  get #frame(): HTMLElement {
    return element(this.#paper ? "pad" : "frame");
  }

  get picture(): Pixels {
    return this.#picture;
  }

  /** Whether its brush is a pen: what a model draws is then shown beside it. */
  get hasPen(): boolean {
    return this.#paper !== null;
  }

  /** The picture with what a pen drew on it. */
  get sheet(): Pixels {
    const rgb = this.#picture.rgb.slice();
    this.#hole.forEach((value, place) => value && rgb.fill(0, 3 * place, 3 * place + 3));
    return { ...this.#picture, rgb };
  }

  /** 1 where something was rubbed out, or where there is ink, 0 elsewhere. */
  get hole(): Uint8Array {
    return this.#hole;
  }

  get isRubbed(): boolean {
    return this.#hole.includes(1);
  }

  /** Whether nothing was ever put on it. */
  get isEmpty(): boolean {
    return this.#picture === NOTHING;
  }

  get origin(): Origin {
    return this.#origin;
  }

  /** Takes a picture that was drawn, unless it was the last that was brought. */
  bring(picture: Pixels | undefined): boolean {
    if (!picture || picture === this.#brought) return false;
    this.#brought = picture;
    this.#take(picture, "drawn");
    return true;
  }

  async #open(input: HTMLInputElement): Promise<void> {
    const file = input.files?.[0];
    if (!file) return;
    try {
      const picture = await readPicture(file);
      this.#take(this.#paper ? centralSquare(picture) : picture, "reader");
    } catch {
      status(`“${shortened(file.name)}” is no picture that this browser can read.`);
    }
    input.value = ""; // so that the same file can be opened again
  }

  /** Takes what became of its picture, to go on from there. */
  keep(picture: Pixels): void {
    this.#take(picture, this.#origin === "drawn" ? "drawn" : "both");
  }

  #take(picture: Pixels, origin: Origin): void {
    this.#picture = picture;
    this.#origin = origin;
    this.#hole = new Uint8Array(picture.width * picture.height);
    this.#earlier.length = 0;
    this.#cursor = { x: Math.floor(picture.width / 2), y: Math.floor(picture.height / 2) };
    this.#changed();
  }

  /** Shows the picture, or what became of it. */
  show(picture: Pixels): void {
    this.#isFilled = picture !== this.#picture;
    this.#frame.hidden = element("easel").hidden = false;
    const { width, height } = picture;
    const frame = this.#frame.style;
    frame.aspectRatio = `${width} / ${height}`;
    frame.width = height > width ? `${(100 * width) / height}%` : "";
    paint(this.#known, picture);
    this.#sketch();
  }

  hide(): void {
    element("easel").hidden = true;
    this.#frame.hidden = this.#paper !== null;
    Object.assign(this.#frame.style, { aspectRatio: "", width: "" });
  }

  undo(): void {
    const hole = this.#earlier.pop();
    if (!hole) return;
    this.#hole = hole;
    this.#changed();
  }

  #changed(): void {
    this.#border = null;
    element<HTMLButtonElement>("undo").disabled = !this.#earlier.length;
    element<HTMLButtonElement>("start-over").disabled = !this.isRubbed && this.#picture === (this.#paper ?? this.#picture);
    this.#sketch();
    this.#onChanged();
  }

  #remember(): void {
    if (this.#earlier.push(this.#hole.slice()) > MOST_STEPS) this.#earlier.shift();
  }

  #startOver(): void {
    if (this.#paper && this.#picture !== this.#paper) this.#take(this.#paper, "drawn");
    else this.#change(() => this.#hole.fill(0));
  }

  get #isEraser(): boolean {
    return this.#eraser.getAttribute("aria-pressed") === "true";
  }

  #takeEraser(taken: boolean): void {
    this.#eraser.setAttribute("aria-pressed", String(taken));
  }

  #change(change: () => void): void {
    this.#remember();
    change();
    this.#changed();
  }

  get #radius(): number {
    return (Number(this.#size.value) / 200) * Math.max(this.#picture.width, this.#picture.height);
  }

  #place(event: PointerEvent): { x: number; y: number } {
    const box = this.#brush.getBoundingClientRect();
    const { width, height } = this.#picture;
    return {
      x: Math.floor(((event.clientX - box.left) / box.width) * width),
      y: Math.floor(((event.clientY - box.top) / box.height) * height),
    };
  }

  #begin(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.#brush.setPointerCapture(event.pointerId);
    this.#remember();
    this.#cursor = this.#stroke = this.#place(event);
    this.#draw(this.#stroke, this.#stroke);
    this.#sketch();
  }

  /** What a pen draws is followed while it is drawn. */
  #draw(from: { x: number; y: number }, to: { x: number; y: number }): void {
    this.#rub(from, to, this.#isEraser ? 0 : 1);
    if (this.#paper) this.#onChanged();
  }

  #move(event: PointerEvent): void {
    const place = this.#place(event);
    this.#cursor = place;
    this.#isPointed = true;
    if (this.#stroke) {
      this.#draw(this.#stroke, place);
      this.#stroke = place;
    }
    this.#sketch();
  }

  #end(): void {
    if (!this.#stroke) return;
    this.#stroke = null;
    this.#changed();
  }

  #press(event: KeyboardEvent): void {
    const step = event.shiftKey ? 1 : Math.max(1, Math.floor(this.#radius));
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [-step, 0],
      ArrowRight: [step, 0],
      ArrowUp: [0, -step],
      ArrowDown: [0, step],
    };
    const move = moves[event.key];
    const { width, height } = this.#picture;
    if (move) {
      this.#cursor = {
        x: Math.min(Math.max(this.#cursor.x + move[0], 0), width - 1),
        y: Math.min(Math.max(this.#cursor.y + move[1], 0), height - 1),
      };
      this.#sketch();
      status(`Column ${this.#cursor.x + 1} of ${width}, row ${this.#cursor.y + 1} of ${height}.`, true);
    } else if (event.key === " ") {
      this.#change(() => this.#rub(this.#cursor, this.#cursor, 1));
    } else if (event.key === "Backspace") {
      this.#change(() => this.#rub(this.#cursor, this.#cursor, 0));
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      this.undo();
    } else {
      return; // the browser's own
    }
    event.preventDefault();
  }

  /** Sets the hole wherever the brush passes on its way. */
  #rub(from: { x: number; y: number }, to: { x: number; y: number }, value: number): void {
    const { width, height } = this.#picture;
    const radius = Math.max(this.#radius, 0.5);
    const [alongX, alongY] = [to.x - from.x, to.y - from.y];
    const length = alongX * alongX + alongY * alongY;
    const [top, bottom] = [Math.min(from.y, to.y) - radius, Math.max(from.y, to.y) + radius];
    const [left, right] = [Math.min(from.x, to.x) - radius, Math.max(from.x, to.x) + radius];
    for (let y = Math.max(Math.ceil(top), 0); y <= Math.min(bottom, height - 1); y++) {
      for (let x = Math.max(Math.ceil(left), 0); x <= Math.min(right, width - 1); x++) {
        const share = length ? ((x - from.x) * alongX + (y - from.y) * alongY) / length : 0;
        const near = Math.min(Math.max(share, 0), 1);
        const distance = Math.hypot(x - from.x - near * alongX, y - from.y - near * alongY);
        if (distance <= radius) this.#hole[y * width + x] = value;
      }
    }
  }

  /** Draws ink; or the border of the hole, all of it while it is being rubbed or not yet filled; and the brush. */
  #sketch(): void {
    const { width, height } = this.#picture;
    const scale = Math.min(this.#brush.clientWidth * devicePixelRatio, 2 * MOST_PIXELS) / width;
    const context = this.#brush.getContext("2d");
    if (!context || !scale) return;
    this.#brush.width = Math.round(width * scale);
    this.#brush.height = Math.round(height * scale);
    if (this.#paper || this.#stroke || !this.#isFilled) this.#cover(context, scale);
    context.scale(scale, scale);
    if (!this.#paper && !this.#stroke && this.#isFilled) this.#line(context, scale, this.#borderOfHole(), [4, 4]);
    if (document.activeElement !== this.#brush && !this.#isPointed) return;
    const circle = new Path2D();
    circle.arc(this.#cursor.x + 0.5, this.#cursor.y + 0.5, Math.max(this.#radius, 0.5), 0, 2 * Math.PI);
    this.#line(context, scale, circle, []);
  }

  /** Ink; or what was rubbed out, in the squares by which pictures show that nothing is there. */
  #cover(context: CanvasRenderingContext2D, scale: number): void {
    const { width, height } = this.#picture;
    context.fillStyle = this.#paper ? INK : (context.createPattern(checkered(), "repeat") ?? INK);
    for (let y = 0; y < height; y++) {
      const [top, bottom] = [Math.round(y * scale), Math.round((y + 1) * scale)];
      for (let x = 0; x < width; x++) {
        let end = x;
        while (end < width && this.#hole[y * width + end]) end++;
        const left = Math.round(x * scale);
        if (end > x) context.fillRect(left, top, Math.round(end * scale) - left, bottom - top);
        x = end;
      }
    }
  }

  #borderOfHole(): Path2D {
    if (this.#border) return this.#border;
    const { width, height } = this.#picture;
    const at = (x: number, y: number) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : this.#hole[y * width + x]);
    const border = new Path2D();
    for (let y = 0; y <= height; y++) {
      for (let x = 0; x <= width; x++) {
        if (at(x, y) !== at(x - 1, y)) [border.moveTo(x, y), border.lineTo(x, y + 1)];
        if (at(x, y) !== at(x, y - 1)) [border.moveTo(x, y), border.lineTo(x + 1, y)];
      }
    }
    return (this.#border = border);
  }

  /** Dark on light, so that it is seen on any picture. */
  #line(context: CanvasRenderingContext2D, scale: number, path: Path2D, dashes: number[]): void {
    context.lineWidth = (3 * devicePixelRatio) / scale;
    context.strokeStyle = "white";
    context.setLineDash([]);
    context.stroke(path);
    context.lineWidth /= 3;
    context.strokeStyle = "black";
    context.setLineDash(dashes.map((length) => (length * devicePixelRatio) / scale));
    context.stroke(path);
  }
}

function checkered(): HTMLCanvasElement {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 16;
  const context = tile.getContext("2d");
  if (context) {
    context.fillStyle = "#c8c8c8";
    context.fillRect(0, 0, 16, 16);
    context.fillStyle = "#a4a4a4";
    context.fillRect(0, 0, 8, 8);
    context.fillRect(8, 8, 8, 8);
  }
  return tile;
}

/** A file's picture, upright, on white where it is transparent; larger ones are made smaller. */
async function readPicture(file: Blob): Promise<Pixels> {
  const image = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const scale = Math.min(1, MOST_PIXELS / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("no canvas");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const { width, height, data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const rgb = new Uint8Array(3 * width * height);
  for (let pixel = 0; pixel < width * height; pixel++) rgb.set(data.subarray(4 * pixel, 4 * pixel + 3), 3 * pixel);
  return { width, height, rgb };
}
