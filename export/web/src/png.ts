/**
 * PNG files that say what they are.
 *
 * They are written here, and not by a canvas, which may convert colors and cannot add anything to the file.
 */

const SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/";
const xmp = (source: string) =>
  '<?xpacket begin="\uFEFF" id="W5M0MpCehiHzreSzNTczkc9d"?>' +
  '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' +
  '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">' +
  `<Iptc4xmpExt:DigitalSourceType>${SOURCES}${source}</Iptc4xmpExt:DigitalSourceType>` +
  '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>';

const MAX_PROMPT = 500;

export interface Provenance {
  prompt?: string;
  second_prompt?: string;
  mix?: number;
  seed: bigint;
  index: number;
  truncation: number;
  /** What the model was given of an image: that makes it a composite. */
  image?: string;
  model: string;
  generator: string;
}

/** A PNG file of 8-bit RGB pixels, rows from top to bottom. */
export async function encodePng(width: number, height: number, rgb: Uint8Array, facts: Provenance): Promise<Blob> {
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8); // bits of a channel
  header.setUint8(9, 2); // RGB
  const rows = new Uint8Array(height * (3 * width + 1)); // a row begins with its filter: 0, none
  for (let y = 0; y < height; y++) {
    rows.set(rgb.subarray(y * 3 * width, (y + 1) * 3 * width), y * (3 * width + 1) + 1);
  }
  return new Blob(
    [
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
      chunk("IHDR", new Uint8Array(header.buffer)),
      text("keras_t2i", json(facts)),
      text("XML:com.adobe.xmp", xmp(facts.image ? "compositeWithTrainedAlgorithmicMedia" : "trainedAlgorithmicMedia")),
      chunk("IDAT", await deflate(rows)),
      chunk("IEND", new Uint8Array(0)),
    ],
    { type: "image/png" },
  );
}

/** The first `MAX_PROMPT` characters, on one line; the rest of a caption is not recorded. */
export function recordable(prompt: string): string {
  return Array.from(prompt).slice(0, MAX_PROMPT).join("").replace(/[\p{Cc}\p{Cs}]/gu, " ");
}

function json(facts: Provenance): string {
  // A seed of 64 bits is a number in JSON, but not one that `JSON.stringify` can write.
  const pairs = Object.entries(facts).filter(([, value]) => value !== undefined);
  return `{${pairs
    .map(([name, value]) => `${JSON.stringify(name)}: ${typeof value === "bigint" ? value : JSON.stringify(value)}`)
    .join(", ")}}`;
}

function text(keyword: string, content: string): Uint8Array<ArrayBuffer> {
  return chunk("iTXt", new TextEncoder().encode(`${keyword}\0\0\0\0\0${content}`));
}

function chunk(type: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC_TABLE[(value ^ byte) & 0xff]! ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

async function deflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const compressed = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(compressed).arrayBuffer());
}
