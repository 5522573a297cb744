import { type Bundle, loadBundle, PageError } from "./bundle.ts";
import type { Pixels } from "./cutout.ts";
import { Artist, mixed, type Picture, startRuntime } from "./drawing.ts";
import { Easel, type Origin } from "./easel.ts";
import { Latest } from "./latest.ts";
import { encodePng, type Provenance, recordable } from "./png.ts";
import { fromHash, initialState, NUM_VARIATIONS, parseSeed, type State, toHash, type View } from "./state.ts";
import { element, megabytes, paint, placeholder, save, shortened, status, Tiles } from "./view.ts";

interface Drawn {
  picture: Picture;
  facts: Omit<Provenance, "model" | "generator">;
}

const DEBOUNCE_MS = 120;
const NUM_STEPS = 9;
const MOST_PAPER = 512; // pixels each way of what is sketched on
/** What the view is called in which a model draws from a picture, and what is said of it. */
const OF_A_PICTURE: Record<string, [string, string]> = {
  complete: ["Rub out", "Rub out what is to be drawn anew."],
  sketch: ["Sketch", "Sketch it: dark lines are followed."],
};

const prompt = element<HTMLTextAreaElement>("prompt");
const second = element<HTMLTextAreaElement>("second");
const seed = element<HTMLInputElement>("seed");
const truncation = element<HTMLInputElement>("truncation");
const mix = element<HTMLInputElement>("mix");
const download = element<HTMLButtonElement>("download");
const picture = element<HTMLCanvasElement>("picture");
const views = [...document.querySelectorAll<HTMLInputElement>("input[name=view]")];

const steps = Array.from({ length: NUM_STEPS }, (_, step) => step / (NUM_STEPS - 1));
const variations = Array.from({ length: NUM_VARIATIONS }, (_, index) => index);
const variationNames = variations.map((index) => `Variation ${index + 1} of ${NUM_VARIATIONS}`);
const stepNames = steps.map((step) => `${Math.round(100 * step)} % of the second caption`);
const grid = new Tiles(element("grid"), variationNames, choose);
const strip = new Tiles(element("strip"), stepNames, goTo);

const easel = new Easel(draw);

const work = new Latest();
let state = initialState();
let bundle: Bundle | null = null;
let artist: Artist | null = null;
let linkedModel = "";
let shown: Drawn[] = [];
let stripKey = "";
let timer = 0;

/** For tests and for the curious: what a caption becomes, and what is on the page. */
const hook = {
  ready: start(),
  idle: async () => {
    await hook.ready;
    if (timer) draw();
    await work.idle();
  },
  tokenIds: (caption: string) => Array.from(artist?.tokenizer.read(caption).tokenIds ?? []),
  hole: () => [...easel.hole],
  pictures: () => shown.map(({ picture, facts }) => ({ ...facts, seed: String(facts.seed), size: [picture.height, picture.width], rgb: [...picture.rgb] })),
};
Object.assign(window, { keras_t2i: hook });

async function start(): Promise<void> {
  ({ state, model: linkedModel } = fromHash(location.hash, state));
  listen();
  showState();
  try {
    const folder = new URLSearchParams(location.search).get("bundle") ?? "./bundle/";
    const onProgress = (bytes: number, all: number | undefined) =>
      placeholder(`Loading the model: ${megabytes(bytes)}${all ? ` of ${megabytes(all)}` : ""}`);
    const [loaded] = await Promise.all([loadBundle(folder, onProgress), startRuntime("./wasm/")]);
    artist = await Artist.prepare(loaded);
    bundle = loaded;
    introduce(loaded);
    draw();
  } catch (error) {
    const sentence = error instanceof PageError ? error.message : `Something went wrong: ${error}`;
    element("error").textContent = sentence;
    element("error").hidden = false;
    element("figure").hidden = true;
  }
}

function listen(): void {
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  element("controls").addEventListener("input", () => (linkedModel = "")); // from now on it is another picture
  for (const field of [prompt, second]) {
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(draw, DEBOUNCE_MS);
    });
  }
  for (const field of [seed, truncation, mix, ...views]) field.addEventListener("input", draw);
  element("keep").addEventListener("click", () => shown[0] && easel.keep(shown[0].picture));
  seed.addEventListener("change", showState); // what is no seed goes back to the last one
  element("new-seed").addEventListener("click", () => {
    state.index = 0;
    seed.value = String((crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) % 1_000_000);
    draw();
  });
  element<HTMLInputElement>("crisp").addEventListener("change", (event) => {
    document.body.classList.toggle("crisp", (event.target as HTMLInputElement).checked);
  });
  download.addEventListener("click", () => void saveShown());
  element("copy-link").addEventListener("click", () => void copyLink());
  addEventListener("hashchange", () => {
    ({ state, model: linkedModel } = fromHash(location.hash, initialState()));
    showState();
    draw();
  });
}

function introduce({ name, license, example, mixes, imageInput, imageSize }: Bundle): void {
  document.title = `${name}: draw from a caption`;
  for (const id of ["model-name", "footer-name"]) element(id).textContent = name;
  element("footer-license").textContent = license ? `, under ${license}` : ", whose license is not stated";
  prompt.placeholder = example ? `for example: ${example}` : "What should it draw?";
  for (const view of views) if (view.value === "between") view.disabled = !mixes;
  element("fill-view").hidden = !imageInput;
  if (imageInput) prepareEasel(imageInput, imageSize);
  if (!mixes && state.view === "between") state.view = "one";
  if (!location.hash && !prompt.value) prompt.value = example;
}

function prepareEasel(imageInput: string, imageSize: number): void {
  element("fill-view").lastElementChild!.textContent = ofAPicture(imageInput)[0];
  const hasPen = imageInput !== "complete";
  for (const [id, isShown] of [["rub-help", !hasPen], ["pen-help", hasPen], ["keep", !hasPen]] as const) {
    element(id).hidden = !isShown;
  }
  if (!hasPen) return;
  if (!new URLSearchParams(location.hash.slice(1)).has("view")) for (const view of views) view.checked = view.value === "fill";
  element("tools").setAttribute("aria-label", "Sketching");
  element("brush").setAttribute("aria-label", "Paper to sketch on");
  element("eraser").textContent = "Eraser";
  easel.takePen(Math.min(4 * imageSize, MOST_PAPER));
}

function ofAPicture(imageInput: string): [string, string] {
  return OF_A_PICTURE[imageInput] ?? ["From a picture", "Open a picture, or draw one."];
}

function showState(): void {
  if (prompt.value !== state.prompt) prompt.value = state.prompt;
  if (second.value !== state.second) second.value = state.second;
  seed.value = String(state.seed);
  truncation.value = String(state.truncation);
  mix.value = String(state.mix);
  for (const view of views) view.checked = view.value === state.view;
}

function readState(): void {
  state = {
    prompt: prompt.value,
    second: second.value,
    mix: Number(mix.value),
    seed: parseSeed(seed.value) ?? state.seed,
    index: state.index,
    truncation: Number(truncation.value),
    view: (views.find((view) => view.checked)?.value ?? "one") as View,
  };
}

function draw(): void {
  clearTimeout(timer);
  timer = 0;
  readState();
  const between = state.view === "between";
  const entersEasel = state.view === "fill" && element("tools").hidden;
  element("tools").hidden = state.view !== "fill";
  element("truncation-field").hidden = element("copy-link").hidden = state.view === "fill";
  element("second-field").hidden = element("mix-field").hidden = !between;
  element("truncation-value").textContent = state.truncation.toFixed(2);
  keepAddress();
  if (entersEasel && !easel.hasPen && easel.bring(chosen()?.picture)) return; // which draws
  const wanted = { ...state };
  if (artist) work.request((isStale) => drawState(wanted, isStale).catch(report));
}

async function drawState(wanted: State, isStale: () => boolean): Promise<void> {
  if (!artist) return;
  if (wanted.view === "fill") {
    await (easel.hasPen ? followPen : fill)(artist, wanted, isStale);
    return;
  }
  if (!wanted.prompt.trim()) {
    clear("Type a caption, and it is drawn here.");
    return;
  }
  const from = await artist.embed(wanted.prompt);
  const common = { prompt: wanted.prompt, seed: wanted.seed, truncation: wanted.truncation };
  const drawn: Drawn[] = [];
  const add = async (embedding: Float32Array, facts: Drawn["facts"]) => {
    drawn.push({ picture: await artist!.draw(embedding, facts.seed, facts.index, facts.truncation), facts });
    await new Promise((resolve) => setTimeout(resolve)); // keys and pointers come first
  };
  if (wanted.view === "grid") {
    for (const index of variations) {
      if (isStale()) return;
      await add(from, { ...common, index });
      grid.paint(index, drawn.at(-1)!.picture);
    }
  } else if (wanted.view === "between" && wanted.second.trim()) {
    const to = await artist.embed(wanted.second);
    const facts = { ...common, second_prompt: wanted.second, index: wanted.index };
    await add(mixed(from, to, wanted.mix), { ...facts, mix: wanted.mix });
    paint(picture, drawn[0]!.picture);
    const key = JSON.stringify([wanted.prompt, wanted.second, String(wanted.seed), wanted.index, wanted.truncation]);
    if (key !== stripKey) {
      for (const [place, step] of steps.entries()) {
        if (isStale()) return;
        await add(mixed(from, to, step), { ...facts, mix: step });
        strip.paint(place, drawn.at(-1)!.picture);
      }
      stripKey = key;
    }
    strip.mark(steps.indexOf(wanted.mix));
    drawn.length = 1;
  } else {
    await add(from, { ...common, index: wanted.index });
    paint(picture, drawn[0]!.picture);
  }
  if (!isStale()) show(wanted, drawn);
}

async function fill(painter: Artist, wanted: State, isStale: () => boolean): Promise<void> {
  const { prompt: caption, seed: seedValue, index } = wanted;
  if (easel.isEmpty && caption.trim()) {
    easel.bring(await painter.draw(await painter.embed(caption), seedValue, index, wanted.truncation));
    return;
  }
  if (easel.isEmpty) {
    clear("Type a caption, and it is drawn here; or open a picture.");
    return;
  }
  if (!easel.isRubbed || !caption.trim()) {
    clear("");
    showEasel(easel.picture, "Picture to rub out from");
    tellOrigin(easel.origin);
    status(easel.isRubbed ? "Type what is to be drawn there." : "Rub out what is to be drawn anew.");
    return;
  }
  const { picture: whole, hole } = easel;
  const filled = await painter.complete(await painter.embed(caption), seedValue, index, whole, hole.slice());
  if (isStale()) return;
  const facts = { prompt: caption, seed: seedValue, index, truncation: 1, image: "complete" } as const;
  showEasel(filled, `Picture of which a part was drawn by AI as “${shortened(caption)}”, seed ${seedValue}`);
  show(wanted, [{ picture: filled, facts }]);
}

async function followPen(painter: Artist, wanted: State, isStale: () => boolean): Promise<void> {
  const { prompt: caption, seed: seedValue, index } = wanted;
  if (!caption.trim()) {
    clear("Type a caption, and it is drawn here.");
    showEasel(easel.picture, "Paper");
    return;
  }
  const drawn = await painter.drawFrom(await painter.embed(caption), seedValue, index, easel.sheet);
  paint(picture, drawn); // also where the pen is farther on by now: it is nearer than what is there
  if (isStale()) return;
  showEasel(easel.picture, "Paper");
  const facts = { prompt: caption, seed: seedValue, index, truncation: 1, image: bundle?.imageInput ?? "" };
  show(wanted, [{ picture: drawn, facts }]);
}

function showEasel(pixels: Pixels, label: string): void {
  element("known").setAttribute("aria-label", label);
  easel.show(pixels);
}

function show(drawnState: State, drawn: Drawn[]): void {
  shown = drawn;
  const { view, prompt, second, seed } = drawnState;
  picture.hidden = view === "grid" || (view === "fill" && !easel.hasPen);
  element("grid").hidden = view !== "grid";
  if (view !== "fill") easel.hide();
  element("strip").hidden = !second.trim();
  placeholder("");
  const mean = drawn.reduce((sum, { picture }) => sum + picture.milliseconds, 0) / drawn.length;
  numbers(mean);
  tellOrigin(view === "fill" && !easel.hasPen && easel.origin !== "drawn" ? "both" : "drawn");
  describeChoice();
  const isFilled = view === "fill" && !easel.hasPen;
  const what = view === "grid" ? `${drawn.length} pictures of` : isFilled ? "what was rubbed out as" : "a picture of";
  const to = view === "between" && second.trim() ? `, on its way to “${shortened(second)}”` : "";
  picture.setAttribute("aria-label", `AI-generated picture of “${shortened(prompt)}”${to}, seed ${seed}`);
  const hint = hints(drawnState)[0] ?? (view === "fill" && easel.hasPen && !easel.isRubbed ? whatToSketch() : undefined);
  if (hint) status(hint);
  else status(`Drew ${what} “${shortened(prompt)}”${to}.`, true);
  download.disabled = false;
  element<HTMLButtonElement>("keep").disabled = view !== "fill";
}

/** Said until there is something on the paper. */
function whatToSketch(): string | undefined {
  return easel.origin === "drawn" ? ofAPicture(bundle?.imageInput ?? "")[1] : undefined;
}

function tellOrigin(origin: Origin): void {
  element("badge").hidden = origin === "reader";
  element("badge").textContent = origin === "both" ? "Partly AI-generated" : "AI-generated";
}

/** What the reader should know of what is typed; the most important first. */
function hints({ view, prompt, second: secondPrompt, seed: seedValue }: State): string[] {
  const found: string[] = [];
  if (parseSeed(seed.value) === null) found.push(`A seed is a whole number of 64 bits; drew seed ${seedValue}.`);
  for (const caption of view === "between" ? [prompt, secondPrompt] : [prompt]) {
    const cut = artist?.tokenizer.read(caption).numCut ?? 0;
    if (cut) found.push(`Only the first ${artist?.tokenizer.limit} tokens of “${shortened(caption)}” are read.`);
  }
  if (view === "between" && !secondPrompt.trim()) found.push("Type a second caption: pictures in between are drawn.");
  if (linkedModel && bundle && !bundle.model.startsWith(linkedModel)) {
    found.push("The link was made with another model: this one draws another picture.");
  }
  return found;
}

function clear(hint: string): void {
  shown = [];
  download.disabled = element<HTMLButtonElement>("keep").disabled = true;
  easel.hide();
  picture.hidden = element("grid").hidden = true;
  stripKey = "";
  element("strip").hidden = true;
  element("made-by").textContent = element("pace").textContent = "";
  placeholder(hint);
  status(hint, true);
}

/** Browsers stop a page that writes its address too often. */
function keepAddress(): void {
  const address = bundle && toHash(state, bundle.model);
  if (address && address !== location.hash) history.replaceState(null, "", address);
}

function choose(index: number): void {
  state.index = index;
  keepAddress();
  describeChoice();
}

function goTo(place: number): void {
  mix.value = String(steps[place]);
  draw();
}

function chosen(): Drawn | undefined {
  return shown.length > 1 ? shown[state.index] : shown[0];
}

function describeChoice(): void {
  grid.mark(state.index);
  const facts = chosen()?.facts;
  if (!facts || !bundle) return;
  const share = facts.mix === undefined ? "" : `, ${Math.round(100 * facts.mix)} % of the way`;
  element("made-by").textContent = `by ${bundle.name}, seed ${facts.seed}, index ${facts.index}${share}`;
}

async function saveShown(): Promise<void> {
  const drawn = chosen();
  if (!drawn || !bundle) return;
  const { prompt: caption, second_prompt: secondCaption, ...facts } = drawn.facts;
  const { width, height, rgb } = drawn.picture;
  const withText = element<HTMLInputElement>("write-prompt").checked;
  const png = await encodePng(width, height, rgb, {
    ...(withText && caption !== undefined ? { prompt: recordable(caption) } : {}),
    ...(withText && secondCaption !== undefined ? { second_prompt: recordable(secondCaption) } : {}),
    ...facts,
    model: bundle.model,
    generator: bundle.generatorName,
  });
  save(png, `${bundle.name}-${facts.seed}-${facts.index}.png`.replace(/[^\w.-]+/g, "_"));
  status("Saved the picture as PNG.");
}

async function copyLink(): Promise<void> {
  try {
    await navigator.clipboard.writeText(location.href);
    status("Copied a link that draws this again.");
  } catch {
    status("The browser did not allow copying: the link is in the address bar.");
  }
}

function numbers(milliseconds: number): void {
  const files = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const bytes = files.reduce((sum, file) => sum + (file as PerformanceResourceTiming).encodedBodySize, 0);
  const size = bundle?.imageSize;
  element("pace").textContent = `${milliseconds.toFixed(0)} ms per image`;
  element("numbers").textContent = `${size} × ${size} pixels · ${megabytes(bytes)} downloaded`;
}

function report(error: unknown): void {
  status(`It could not be drawn: ${error instanceof Error ? error.message : error}`);
}
