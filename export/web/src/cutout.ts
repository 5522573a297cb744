/**
 * The surroundings of a hole in a picture, as a model sees them, and what it drew put back.
 *
 * The pixels are those of Python, whose pictures Pillow resizes: in whole multiples of 2^-22, rounded to bytes after
 * the rows and again after the columns. Numbers in JavaScript hold such sums exactly.
 */

/** 8-bit RGB, rows from top to bottom. */
export interface Pixels {
  width: number;
  height: number;
  rgb: Uint8Array;
}

/** For each new place the first old one that it is made of, and what each of these counts. */
type Weights = { first: number; shares: number[] }[];
type Filter = (distance: number) => number;

const CONTEXT = 2; // sides of the hole
const WHOLE = 2; // a picture at most so many times as large as the model draws is looked at whole
const FIXED = 2 ** 22;

const area: Filter = (x) => (x > -0.5 && x <= 0.5 ? 1 : 0);
const sinc: Filter = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));
const lanczos: Filter = (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0);

/** The central square of a picture, at a size: what a model sees of pictures without a hole. */
export function centralSquare({ width, height, rgb }: Pixels, size?: number): Pixels {
  const side = Math.min(width, height);
  const [top, left] = [Math.floor((height - side) / 2), Math.floor((width - side) / 2)];
  const square = new Uint8Array(3 * side * side);
  for (let y = 0; y < side; y++) {
    const start = 3 * ((top + y) * width + left);
    square.set(rgb.subarray(start, start + 3 * side), 3 * y * side);
  }
  if (size === undefined || size === side) return { width: side, height: side, rgb: square };
  return { width: size, height: size, rgb: resized(square, side, normalized(weightsOf(lanczos, 3, side, size))) };
}

export class Cutout {
  readonly #picture: Pixels;
  readonly #hole: Uint8Array;
  readonly #top: number;
  readonly #left: number;
  readonly #side: number;
  readonly size: number;
  /** What the model sees, `size` times `size` pixels. */
  readonly rgb: Uint8Array;
  /** 1 where it is to draw, 0 elsewhere; what lies beyond the picture is to be drawn too. */
  readonly hole: Uint8Array;

  /** `hole` has a number for each pixel of the picture: 1 where something is to be drawn, somewhere, and 0 elsewhere. */
  constructor(picture: Pixels, hole: Uint8Array, size: number) {
    const { width, height } = picture;
    const [top, bottom, left, right] = bounds(hole, width, height);
    const reach = Math.max(bottom - top, right - left);
    const side = Math.min(Math.max(CONTEXT * reach, WHOLE * size), Math.max(Math.min(width, height), reach));
    this.#picture = picture;
    this.#hole = hole;
    this.#side = side;
    this.#top = begin(top, bottom, side, height);
    this.#left = begin(left, right, side, width);
    this.size = size;
    const square = new Uint8Array(3 * side * side);
    const covered = new Uint8Array(side * side).fill(1);
    this.#inCommon((inPicture, inSquare) => {
      square.set(picture.rgb.subarray(3 * inPicture, 3 * inPicture + 3), 3 * inSquare);
      covered[inSquare] = hole[inPicture]!;
    });
    const smaller = side > size;
    const weights = smaller ? weightsOf(area, 0.5, side, size) : nearest(side, size);
    this.rgb = resized(square, side, smaller ? normalized(weights) : weights);
    this.hole = anyOf(covered, side, weights);
  }

  /** The picture with what was drawn in its hole; everywhere else it stays the same. */
  putBack(drawn: Uint8Array): Pixels {
    const large = resized(drawn, this.size, normalized(weightsOf(lanczos, 3, this.size, this.#side)));
    const rgb = this.#picture.rgb.slice();
    this.#inCommon((inPicture, inSquare) => {
      if (this.#hole[inPicture]) rgb.set(large.subarray(3 * inSquare, 3 * inSquare + 3), 3 * inPicture);
    });
    return { ...this.#picture, rgb };
  }

  /** Calls `each` with the place of every pixel that picture and square have in common, in both. */
  #inCommon(each: (inPicture: number, inSquare: number) => void): void {
    const { width, height } = this.#picture;
    for (let y = Math.max(this.#top, 0); y < Math.min(this.#top + this.#side, height); y++) {
      for (let x = Math.max(this.#left, 0); x < Math.min(this.#left + this.#side, width); x++) {
        each(y * width + x, (y - this.#top) * this.#side + x - this.#left);
      }
    }
  }
}

function bounds(hole: Uint8Array, width: number, height: number): [number, number, number, number] {
  let [top, bottom, left, right] = [height, 0, width, 0];
  hole.forEach((value, place) => {
    if (!value) return;
    const x = place % width;
    const y = (place - x) / width;
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
  });
  return [top, bottom, left, right];
}

/** Where a square begins that has what is between two places in its middle, within the picture where it can be. */
function begin(start: number, end: number, side: number, length: number): number {
  if (side > length) return Math.floor((length - side) / 2);
  return Math.min(Math.max(Math.floor((start + end - side) / 2), 0), length - side);
}

function weightsOf(filter: Filter, support: number, oldSize: number, size: number): Weights {
  const scale = oldSize / size;
  const wide = Math.max(scale, 1);
  return Array.from({ length: size }, (_, place) => {
    const center = (place + 0.5) * scale;
    const first = Math.trunc(Math.max(center - support * wide + 0.5, 0));
    const end = Math.min(Math.trunc(center + support * wide + 0.5), oldSize);
    const distance = (old: number) => (first + old - center + 0.5) / wide;
    return { first, shares: Array.from({ length: end - first }, (_, old) => filter(distance(old))) };
  });
}

function nearest(oldSize: number, size: number): Weights {
  return Array.from({ length: size }, (_, place) => ({
    first: Math.floor(((place + 0.5) * oldSize) / size),
    shares: [1],
  }));
}

function normalized(weights: Weights): Weights {
  return weights.map(({ first, shares }) => {
    const sum = shares.reduce((all, share) => all + share, 0);
    return { first, shares: shares.map((share) => share / sum) };
  });
}

/** A square of `side` pixels at another size: rows first, and then columns. */
function resized(rgb: Uint8Array, side: number, weights: Weights): Uint8Array {
  const size = weights.length;
  const across = new Uint8Array(3 * side * size);
  const fixed = weights.map(({ first, shares }) => ({ first, shares: shares.map((share) => Math.round(share * FIXED)) }));
  const toByte = (sum: number) => Math.min(Math.max(Math.floor((sum + FIXED / 2) / FIXED), 0), 255);
  const line = (from: Uint8Array, start: number, stride: number, to: Uint8Array, place: number, step: number) => {
    for (const { first, shares } of fixed) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let old = 0; old < shares.length; old++) {
          sum += shares[old]! * from[start + (first + old) * stride + channel]!;
        }
        to[place + channel] = toByte(sum);
      }
      place += step;
    }
  };
  for (let y = 0; y < side; y++) line(rgb, 3 * y * side, 3, across, 3 * y * size, 3);
  const result = new Uint8Array(3 * size * size);
  for (let x = 0; x < size; x++) line(across, 3 * x, 3 * size, result, 3 * x, 3 * size);
  return result;
}

/** 1 where a new pixel has any part in old ones that are 1. */
function anyOf(covered: Uint8Array, side: number, weights: Weights): Uint8Array {
  const size = weights.length;
  const places = weights.map(({ first, shares }) => shares.flatMap((share, old) => (share > 0 ? [first + old] : [])));
  const result = new Uint8Array(size * size);
  places.forEach((rows, y) =>
    places.forEach((columns, x) => {
      result[y * size + x] = Number(rows.some((row) => columns.some((column) => covered[row * side + column])));
    }),
  );
  return result;
}
