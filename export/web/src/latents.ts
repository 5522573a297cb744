/**
 * The noise of an image, from its seed and its number alone: what TensorFlow gives, to the last bits of a float.
 *
 * Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011) in counter mode, and Box-Muller.
 */

type Words = [number, number, number, number];

const KEY = [0x3ec8f720, 0x02461e29] as const;

export function latents(seed: bigint, index: number, latentDim: number, truncation: number): Float32Array {
  const [seedLow, seedHigh] = halves(seed);
  const [indexLow, indexHigh] = halves(BigInt(index));
  // As in TensorFlow, the key and the upper half of the counter are themselves a cipher of the seed.
  const [key0, key1, upper0, upper1] = philox([seedLow, seedHigh, indexLow, indexHigh], KEY[0], KEY[1]);
  const noise = new Float32Array(Math.ceil(latentDim / 4) * 4);
  for (let block = 0; 4 * block < latentDim; block++) {
    const [a, b, c, d] = philox([block, 0, upper0, upper1], key0, key1);
    noise.set([...normals(a, b), ...normals(c, d)], 4 * block);
  }
  const factor = Math.fround(truncation);
  return noise.slice(0, latentDim).map((value) => value * factor);
}

function halves(value: bigint): [number, number] {
  const bits = BigInt.asUintN(64, value);
  return [Number(bits & 0xffffffffn), Number(bits >> 32n)];
}

function philox(counter: Words, key0: number, key1: number): Words {
  let [a, b, c, d] = counter;
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = product(0xd2511f53, a);
    const [high1, low1] = product(0xcd9e8d57, c);
    [a, b, c, d] = [(high1 ^ b ^ key0) >>> 0, low1, (high0 ^ d ^ key1) >>> 0, low0];
    key0 = (key0 + 0x9e3779b9) >>> 0;
    key1 = (key1 + 0xbb67ae85) >>> 0;
  }
  return [a, b, c, d];
}

/** Upper and lower 32 bits of a product, from 16-bit parts: a number holds 53 bits exactly. */
function product(a: number, b: number): [number, number] {
  const low = (a & 0xffff) * b;
  const high = (a >>> 16) * b + Math.floor(low / 0x10000);
  return [Math.floor(high / 0x10000), Math.imul(a, b) >>> 0];
}

function normals(first: number, second: number): [number, number] {
  const radius = Math.sqrt(-2 * Math.log(Math.max(uniform(first), 1e-7)));
  const angle = 2 * Math.PI * uniform(second);
  return [radius * Math.sin(angle), radius * Math.cos(angle)];
}

/** From 0 to 1, without 1: the lower 23 bits. */
function uniform(word: number): number {
  return (word & 0x7fffff) / 0x800000;
}
