/** All that decides what is drawn, and its form in an address: a link draws the same picture again. */

/** `fill` is no part of an address: what was rubbed out of which picture, or sketched, does not go into one. */
export type View = "one" | "grid" | "between" | "fill";

export interface State {
  prompt: string;
  second: string;
  mix: number;
  seed: bigint;
  index: number;
  truncation: number;
  view: View;
}

export const NUM_VARIATIONS = 9;

export function initialState(): State {
  return { prompt: "", second: "", mix: 0.5, seed: 0n, index: 0, truncation: 1, view: "one" };
}

export function toHash(state: State, model: string): string {
  const values = new URLSearchParams({ prompt: state.prompt, seed: String(state.seed), index: String(state.index) });
  values.set("truncation", String(state.truncation));
  if (state.view !== "fill") values.set("view", state.view);
  if (state.view === "between") {
    values.set("second", state.second);
    values.set("mix", String(state.mix));
  }
  if (model) values.set("model", model.slice(0, 12));
  return `#${values}`;
}

/** What an address says, with `state` for what it does not say, and the model that it was made with. */
export function fromHash(hash: string, state: State): { state: State; model: string } {
  const values = new URLSearchParams(hash.replace(/^#/, ""));
  const number = (name: string, low: number, high: number, otherwise: number) => {
    const value = Number(values.get(name) ?? NaN);
    return value >= low && value <= high ? value : otherwise;
  };
  const view = values.get("view");
  return {
    state: {
      prompt: values.get("prompt") ?? state.prompt,
      second: values.get("second") ?? state.second,
      mix: number("mix", 0, 1, state.mix),
      seed: parseSeed(values.get("seed") ?? "") ?? state.seed,
      index: Math.trunc(number("index", 0, NUM_VARIATIONS - 1, state.index)),
      truncation: number("truncation", 0, 1.5, state.truncation),
      view: view === "one" || view === "grid" || view === "between" ? view : state.view,
    },
    model: values.get("model") ?? "",
  };
}

/** A seed of 64 bits, or `null`. */
export function parseSeed(text: string): bigint | null {
  if (!/^-?\d{1,19}$/.test(text.trim())) return null;
  const seed = BigInt(text.trim());
  return seed === BigInt.asIntN(64, seed) ? seed : null;
}
