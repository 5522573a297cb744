/** Captions and seeds to pixels: the text encoder and the generator of a bundle, in WebAssembly. */

import { type CompiledModel, loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { type Bundle, PageError } from "./bundle.ts";
import { centralSquare, Cutout, type Pixels } from "./cutout.ts";
import { latents } from "./latents.ts";
import { CaptionTokenizer } from "./text.ts";

export interface Picture extends Pixels {
  milliseconds: number;
}

export class Artist {
  readonly #bundle: Bundle;
  readonly #generator: CompiledModel;
  readonly #textEncoder: CompiledModel;
  readonly #completer: CompiledModel | null;
  readonly #known = new Map<string, Float32Array>();
  readonly tokenizer: CaptionTokenizer;

  private constructor(bundle: Bundle, networks: [CompiledModel, CompiledModel, CompiledModel | null]) {
    this.#bundle = bundle;
    [this.#generator, this.#textEncoder, this.#completer] = networks;
    this.tokenizer = new CaptionTokenizer(bundle.files.tokenizer, bundle.tokenizer);
  }

  /** Needs `startRuntime`. */
  static async prepare(bundle: Bundle): Promise<Artist> {
    try {
      const onCpu = { accelerator: "wasm" } as const; // the path whose numbers are Python's
      const { generator, textEncoder, completer } = bundle.files;
      const artist = new Artist(bundle, [
        await loadAndCompile(generator, onCpu),
        await loadAndCompile(textEncoder, onCpu),
        completer ? await loadAndCompile(completer, onCpu) : null,
      ]);
      // The first run prepares what the later ones use: it is not the time of an image.
      await artist.draw(new Float32Array(bundle.embeddingDim), 0n, 0, 1);
      return artist;
    } catch (error) {
      throw new PageError(`The model could not be prepared: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** The sentence embedding of a caption. */
  async embed(caption: string): Promise<Float32Array> {
    const known = this.#known.get(caption);
    if (known) return known;
    const { tokenIds, paddingMask } = this.tokenizer.read(caption);
    const inputs = { token_ids: tokenIds, padding_mask: paddingMask };
    const embedding = await run(this.#textEncoder, inputs, [1, tokenIds.length], "sentence_embeddings");
    if (this.#known.size > 100) this.#known.clear();
    this.#known.set(caption, embedding);
    return embedding;
  }

  async draw(embedding: Float32Array, seed: bigint, index: number, truncation: number): Promise<Picture> {
    const { latentDim, imageSize } = this.#bundle;
    const noise = latents(seed, index, latentDim, truncation);
    const start = performance.now();
    const shapes = { latents: [1, latentDim], sentence_embeddings: [1, embedding.length] };
    const images = await run(this.#generator, { latents: noise, sentence_embeddings: embedding }, shapes, "images");
    const milliseconds = performance.now() - start;
    return { width: imageSize, height: imageSize, rgb: Uint8Array.from(images, toByte), milliseconds };
  }

  /** A picture with its hole filled: 1 in `hole`, a number for each pixel, is where. All else stays the same. */
  async complete(embedding: Float32Array, seed: bigint, index: number, of: Pixels, hole: Uint8Array): Promise<Picture> {
    const start = performance.now();
    const cut = new Cutout(of, hole, this.#bundle.imageSize);
    const picture = cut.putBack(await this.#guided(embedding, seed, index, cut.rgb, cut.hole));
    return { ...picture, milliseconds: performance.now() - start };
  }

  /** A picture that is drawn from another, from its lines for instance. */
  async drawFrom(embedding: Float32Array, seed: bigint, index: number, of: Pixels): Promise<Picture> {
    const start = performance.now();
    const size = this.#bundle.imageSize;
    const rgb = await this.#guided(embedding, seed, index, centralSquare(of, size).rgb);
    return { width: size, height: size, rgb, milliseconds: performance.now() - start };
  }

  async #guided(text: Float32Array, seed: bigint, index: number, rgb: Uint8Array, hole?: Uint8Array): Promise<Uint8Array> {
    if (!this.#completer) throw new PageError("This model draws from captions alone.");
    const { latentDim, imageSize: size } = this.#bundle;
    const inputs = {
      latents: latents(seed, index, latentDim, 1),
      sentence_embeddings: text,
      pictures: Float32Array.from(rgb, (byte) => Math.fround(byte / 127.5) - 1),
      ...(hole && { masks: Float32Array.from(hole) }),
    };
    const shapes = {
      latents: [1, latentDim],
      sentence_embeddings: [1, text.length],
      pictures: [1, size, size, 3],
      masks: [1, size, size, 1],
    };
    return Uint8Array.from(await run(this.#completer, inputs, shapes, "images"), toByte);
  }
}

/**
 * Loads LiteRT.js. `folder` holds its WebAssembly.
 *
 * One build of several, the one that runs in every browser that LiteRT.js runs in. The one with relaxed SIMD is 9 MB
 * more for the same pixels: on x86, shapes_64 takes 7 ms an image with either in int8, 8 ms instead of 10 in float32.
 */
export async function startRuntime(folder: string): Promise<void> {
  if (typeof WebAssembly !== "object") throw new PageError("This browser has no WebAssembly, which drawing needs.");
  // LiteRT writes what it does to standard error; browsers would show that as errors of the page.
  Object.assign(globalThis, { Module: { printErr: (line: string) => console.debug(line) } });
  try {
    await loadLiteRt(`${folder}litert_wasm_compat_internal.js`);
  } catch {
    throw new PageError(`LiteRT.js could not be started: is its WebAssembly in ${folder}, beside this page?`);
  }
}

/** A point on the way from one embedding to another, whose length lies between theirs as well. */
export function mixed(from: Float32Array, to: Float32Array, mix: number): Float32Array {
  const between = from.map((value, place) => (1 - mix) * value + mix * to[place]!);
  const length = norm(between);
  const scale = length > 0 ? ((1 - mix) * norm(from) + mix * norm(to)) / length : 1;
  return between.map((value) => value * scale);
}

function norm(vector: Float32Array): number {
  return Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
}

async function run(
  model: CompiledModel,
  inputs: Record<string, Float32Array | Int32Array>,
  shape: number[] | Record<string, number[]>,
  output: string,
): Promise<Float32Array> {
  const tensors: Record<string, Tensor> = {};
  for (const [name, data] of Object.entries(inputs)) {
    tensors[name] = new Tensor(data, Array.isArray(shape) ? shape : shape[name]);
  }
  const results = await model.run(tensors);
  const result = results[output];
  if (!result) throw new PageError(`The model gives no ${output}: it gives ${Object.keys(results).join(", ")}.`);
  const numbers = Float32Array.from(result.toTypedArray());
  for (const tensor of [...Object.values(tensors), ...Object.values(results)]) tensor.delete();
  return numbers;
}

/** In single precision, with halves to the even side, as NumPy has it. */
function toByte(value: number): number {
  const level = Math.fround(Math.fround(value + 1) * 127.5);
  const whole = Math.round(level);
  const even = whole - level === 0.5 && whole % 2 === 1 ? whole - 1 : whole;
  return Math.min(Math.max(even, 0), 255);
}
