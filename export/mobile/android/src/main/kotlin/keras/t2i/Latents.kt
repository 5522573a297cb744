package keras.t2i

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.ln
import kotlin.math.max
import kotlin.math.sin
import kotlin.math.sqrt

private const val WORD = 0xFFFFFFFFL

/**
 * The noise of an image, from its seed and its number alone: TensorFlow's, up to the last bits of a float.
 *
 * Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011) in counter mode, and Box-Muller.
 * `latents.json` of a bundle has examples.
 */
fun latents(seed: Long, index: Long, size: Int, truncation: Float = 1f): FloatArray {
    // As in TensorFlow, the key and the upper half of the counter are themselves a cipher of the seed.
    val start = longArrayOf(seed and WORD, seed ushr 32, index and WORD, index ushr 32)
    val mixed = philox(start, 0x3EC8F720L, 0x02461E29L)
    val noise = FloatArray((size + 3) / 4 * 4)
    for (block in 0 until noise.size / 4) {
        val words = philox(longArrayOf(block.toLong(), 0, mixed[2], mixed[3]), mixed[0], mixed[1])
        for (pair in 0..1) {
            val radius = sqrt(-2 * ln(max(uniform(words[2 * pair]), 1e-7)))
            val angle = 2 * PI * uniform(words[2 * pair + 1])
            noise[4 * block + 2 * pair] = (radius * sin(angle)).toFloat() * truncation
            noise[4 * block + 2 * pair + 1] = (radius * cos(angle)).toFloat() * truncation
        }
    }
    return noise.copyOf(size)
}

/** Four words of 32 bits, each in a Long, from four words of counter and two of key. */
private fun philox(counter: LongArray, firstKey: Long, secondKey: Long): LongArray {
    var (a, b, c, d) = counter
    var key0 = firstKey
    var key1 = secondKey
    repeat(10) {
        // The product of two words wraps around in a Long, but its bits are right.
        val first = a * 0xD2511F53L
        val second = c * 0xCD9E8D57L
        a = (second ushr 32) xor b xor key0
        b = second and WORD
        c = (first ushr 32) xor d xor key1
        d = first and WORD
        key0 = (key0 + 0x9E3779B9L) and WORD
        key1 = (key1 + 0xBB67AE85L) and WORD
    }
    return longArrayOf(a, b, c, d)
}

/** From 0 to 1, without 1: the lower 23 bits. */
private fun uniform(word: Long): Double = (word and 0x7FFFFFL).toDouble() / 0x800000
