/** Captions to token numbers, as the model's own tokenizer in TensorFlow gives them. */

import { Tokenizer } from "@huggingface/tokenizers";
import type { TokenizerRules } from "./bundle.ts";

export interface Tokens {
  tokenIds: Int32Array;
  paddingMask: Int32Array;
  /** Pieces of the caption that did not fit. */
  numCut: number;
}

export class CaptionTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #rules: TokenizerRules;

  constructor(json: Uint8Array, rules: TokenizerRules) {
    this.#tokenizer = new Tokenizer(JSON.parse(new TextDecoder().decode(json)), {});
    this.#rules = rules;
  }

  /** Pieces of a caption that the model reads, without start and end. */
  get limit(): number {
    return this.#rules.sequence_length - 2;
  }

  read(caption: string): Tokens {
    const rules = this.#rules;
    // Python writes half surrogate pairs as question marks; UTF-8 cannot hold them.
    const whole = caption.replace(/\p{Surrogate}/gu, "?");
    const pieces = this.#tokenizer.encode(whole, { add_special_tokens: false }).ids;
    const kept = pieces.slice(0, this.limit);
    const tokenIds = new Int32Array(rules.sequence_length).fill(rules.padding_token_id);
    tokenIds.set([rules.start_token_id, ...kept, rules.end_token_id]);
    return {
      tokenIds,
      paddingMask: tokenIds.map((_, place) => (place < kept.length + 2 ? 1 : 0)),
      numCut: pieces.length - kept.length,
    };
  }
}
