/** A LiteRT bundle of keras_t2i: its description, and its files, each checked against the description. */

export interface Bundle {
  name: string;
  /** SHA-256 of all that decides what it draws, in hexadecimal. */
  model: string;
  license: string | null;
  generatorName: string;
  latentDim: number;
  embeddingDim: number;
  imageSize: number;
  /** Whether embeddings can be mixed; token numbers cannot. */
  mixes: boolean;
  /** What it is given of a picture, `complete` for one with a hole; nothing where it draws from captions alone. */
  imageInput: string | undefined;
  /** A caption to begin with. */
  example: string;
  tokenizer: TokenizerRules;
  files: {
    generator: Uint8Array;
    textEncoder: Uint8Array;
    tokenizer: Uint8Array;
    /** What draws from pictures, where the model can. */
    completer: Uint8Array | undefined;
  };
}

export interface TokenizerRules {
  sequence_length: number;
  start_token_id: number;
  end_token_id: number;
  padding_token_id: number;
}

/** What stops the page, in a sentence for its reader. */
export class PageError extends Error {}

interface Tensors {
  file: string;
  inputs: Record<string, { shape: number[] }>;
  outputs: Record<string, { shape: number[] }>;
}

interface Description {
  name?: string | null;
  model?: string;
  license?: string | null;
  note?: string;
  example?: string;
  versions?: Record<string, string>;
  generator: Tensors;
  completer?: Tensors & { image_input: string };
  text_encoder: (Tensors & { normalization?: string }) | null;
  tokenizer: (TokenizerRules & { json?: string }) | null;
  bytes?: Record<string, number>;
  sha256: Record<string, string>;
}

/** Loads a bundle from a folder of this site. `onProgress` is given the bytes so far, and all of them where known. */
export async function loadBundle(
  address: string,
  onProgress: (bytes: number, all: number | undefined) => void,
): Promise<Bundle> {
  const folder = new URL(address.replace(/\/?$/, "/"), document.baseURI);
  if (folder.origin !== location.origin) {
    throw new PageError(`The bundle must be on this page's own site, ${location.origin}; got ${folder.origin}.`);
  }
  const description = await describe(new URL("bundle.json", folder));
  const { generator, text_encoder: textEncoder, tokenizer } = description;
  if (textEncoder === null || tokenizer?.json === undefined) {
    throw new PageError(description.note ?? "This bundle cannot read captions: it has no tokenizer.json.");
  }
  const names = [generator.file, textEncoder.file, tokenizer.json];
  if (description.completer) names.push(description.completer.file);
  const all = description.bytes && names.reduce((sum, name) => sum + (description.bytes?.[name] ?? 0), 0);
  let received = 0;
  const [generatorFile, encoderFile, tokenizerFile, completerFile] = await Promise.all(
    names.map((name) =>
      loadFile(new URL(name, folder), name, description.sha256[name], (bytes) => onProgress((received += bytes), all)),
    ),
  );
  return {
    name: description.name ?? "keras_t2i model",
    model: description.model ?? "",
    license: description.license ?? null,
    generatorName: `keras_t2i ${description.versions?.["keras_t2i"] ?? ""}`.trim(),
    latentDim: lastSize(generator.inputs["latents"]),
    embeddingDim: lastSize(generator.inputs["sentence_embeddings"]),
    imageSize: generator.outputs["images"]?.shape[1] ?? 0,
    mixes: !textEncoder.normalization?.startsWith("token ids"),
    imageInput: description.completer?.image_input,
    example: description.example ?? "",
    tokenizer,
    files: {
      generator: generatorFile!,
      textEncoder: encoderFile!,
      tokenizer: tokenizerFile!,
      completer: completerFile,
    },
  };
}

function lastSize(tensor: { shape: number[] } | undefined): number {
  return tensor?.shape.at(-1) ?? 0;
}

async function describe(address: URL): Promise<Description> {
  const text = new TextDecoder().decode(await fetchBytes(address, "bundle.json"));
  try {
    const description = JSON.parse(text) as Description & { format?: string };
    if (description.format?.startsWith("keras_t2i litert bundle ")) return description;
  } catch {
    // What a host answers in place of a missing file is often a page: the sentence below is right for it too.
  }
  throw new PageError(`No bundle of keras_t2i is at ${address.pathname}.`);
}

async function loadFile(
  address: URL,
  file: string,
  expected: string | undefined,
  onProgress: (bytes: number) => void,
): Promise<Uint8Array> {
  const bytes = await fetchBytes(address, file, onProgress);
  if (hexadecimal(await sha256(bytes)) !== expected) {
    throw new PageError(`${file} is not the file that bundle.json describes: its SHA-256 differs. Export again.`);
  }
  return bytes;
}

async function fetchBytes(
  address: URL,
  file: string,
  onProgress?: (bytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(address, { credentials: "same-origin" }).catch(() => null);
  if (!response?.ok) {
    const why = response ? `the host answered ${response.status}` : "the host did not answer";
    throw new PageError(`${file} could not be loaded from ${address.pathname}: ${why}.`);
  }
  const counted = response.body?.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        onProgress?.(chunk.length);
        controller.enqueue(chunk);
      },
    }),
  );
  return new Uint8Array(await new Response(counted).arrayBuffer());
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  // Browsers have `crypto.subtle` on secure origins and on this machine's own address alone.
  if (!globalThis.crypto?.subtle) throw new PageError("Open this page over https: files cannot be checked over http.");
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

function hexadecimal(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
