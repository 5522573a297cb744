package keras.t2i

import java.text.Normalizer
import java.util.Locale

/** The part `tokenizer` of `bundle.json`. */
class TokenizerRules(
    val sequenceLength: Int,
    val lowercase: Boolean,
    val stripAccents: Boolean,
    val splitOnCjk: Boolean,
    val suffixIndicator: String,
    val startTokenId: Int,
    val endTokenId: Int,
    val paddingTokenId: Int,
    val unknownTokenId: Int,
)

class Tokens(val tokenIds: IntArray, val paddingMask: IntArray, val numCut: Int)

/**
 * Captions to token numbers: those of the model's own tokenizer in TensorFlow.
 *
 * @param vocabulary The lines of `vocab.txt`.
 */
class WordPiece(vocabulary: List<String>, private val rules: TokenizerRules) {
    private val numbers = vocabulary.withIndex().associate { (number, piece) -> piece to number }

    fun read(caption: String): Tokens {
        val pieces = words(caption).flatMap { pieces(it) }
        val kept = pieces.take(rules.sequenceLength - 2)
        val filled = listOf(rules.startTokenId) + kept + rules.endTokenId
        return Tokens(
            tokenIds = IntArray(rules.sequenceLength) { if (it < filled.size) filled[it] else rules.paddingTokenId },
            paddingMask = IntArray(rules.sequenceLength) { if (it < filled.size) 1 else 0 },
            numCut = pieces.size - kept.size,
        )
    }

    /** Words and punctuation marks, without accents and with case folded where the rules say so. */
    private fun words(caption: String): List<String> {
        var text = buildString {
            for (c in codePoints(caption)) {
                when {
                    c < 0x20 -> append(' ')
                    Character.getType(c) == Character.SURROGATE.toInt() -> append('?') // half a pair, as in Python
                    else -> appendCodePoint(c)
                }
            }
        }
        if (rules.stripAccents) {
            val parts = codePoints(Normalizer.normalize(text, Normalizer.Form.NFD))
            text = buildString {
                for (c in parts) if (Character.getType(c) != Character.NON_SPACING_MARK.toInt()) appendCodePoint(c)
            }
        }
        val found = mutableListOf<String>()
        val word = StringBuilder()
        fun finish() {
            found += folded(word.toString())
            word.setLength(0)
        }
        for (c in codePoints(text)) {
            val alone = isPunctuation(c) || (rules.splitOnCjk && isIn(c, CJK))
            if (alone || c == 0x20 || isControl(c)) finish()
            if (alone) found += folded(String(Character.toChars(c)))
            if (!alone && c != 0x20 && !isControl(c)) word.appendCodePoint(c)
        }
        finish()
        return found.filter { it.isNotEmpty() }
    }

    /** Unicode's NFKC_Casefold. After splitting: what folds to a mark or a space ("½", "…") is no border. */
    private fun folded(word: String): String {
        if (!rules.lowercase) return word
        val visible = buildString { for (c in codePoints(word)) if (!isIn(c, IGNORABLE)) appendCodePoint(c) }
        val lower = Normalizer.normalize(visible, Normalizer.Form.NFKC).lowercase(Locale.ROOT)
        // Lower case is not folded case in three letters.
        return Normalizer.normalize(lower.replace("ß", "ss").replace("ς", "σ").replace("և", "եւ"), Normalizer.Form.NFKC)
    }

    /** The longest pieces from left to right, or one unknown token. */
    private fun pieces(word: String): List<Int> {
        val unknown = listOf(rules.unknownTokenId)
        if (word.toByteArray().size > MAX_BYTES) return unknown
        val found = mutableListOf<Int>()
        var start = 0
        while (start < word.length) {
            val prefix = if (start > 0) rules.suffixIndicator else ""
            var end = word.length
            while (end > start && prefix + word.substring(start, end) !in numbers) end--
            if (end == start) return unknown
            found += numbers.getValue(prefix + word.substring(start, end))
            start = end
        }
        return found
    }

    private companion object {
        const val MAX_BYTES = 100
        val CJK = listOf(
            0x3400..0x4DBF, 0x4E00..0x9FFF, 0xF900..0xFAFF, 0x20000..0x2A6DF, 0x2A700..0x2B73F, 0x2B740..0x2B81F,
            0x2B820..0x2CEAF, 0x2F800..0x2FA1F,
        )

        /** Without a shape, but no format characters, at which words are split. */
        val IGNORABLE = listOf(
            0xAD..0xAD, 0x34F..0x34F, 0x115F..0x1160, 0x2065..0x2065, 0x3164..0x3164, 0xFE00..0xFE0F, 0xFFA0..0xFFA0,
            0xFFF0..0xFFF8, 0xE0000..0xE0FFF,
        )
        val PUNCTUATION = setOf(
            Character.CONNECTOR_PUNCTUATION, Character.DASH_PUNCTUATION, Character.START_PUNCTUATION,
            Character.END_PUNCTUATION, Character.INITIAL_QUOTE_PUNCTUATION, Character.FINAL_QUOTE_PUNCTUATION,
            Character.OTHER_PUNCTUATION,
        ).map { it.toInt() }.toSet()

        fun isIn(c: Int, ranges: List<IntRange>): Boolean = ranges.any { c in it }

        fun isControl(c: Int): Boolean =
            Character.getType(c) == Character.CONTROL.toInt() || Character.getType(c) == Character.FORMAT.toInt()

        /** As in the first BERT: Unicode's punctuation, and of ASCII all but letters, digits, space and control. */
        fun isPunctuation(c: Int): Boolean =
            Character.getType(c) in PUNCTUATION || (c in 0x21..0x7E && !Character.isLetterOrDigit(c))

        fun codePoints(text: String): List<Int> {
            val found = ArrayList<Int>(text.length)
            var place = 0
            while (place < text.length) {
                found += text.codePointAt(place)
                place += Character.charCount(found.last())
            }
            return found
        }
    }
}
