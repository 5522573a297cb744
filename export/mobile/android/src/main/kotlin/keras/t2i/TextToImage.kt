package keras.t2i

import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.TensorBuffer
import java.io.File
import java.security.MessageDigest
import org.json.JSONObject

/**
 * Draws captions with a LiteRT bundle: a directory that `keras-t2i export MODEL --to litert` has written.
 *
 * Not for several threads at once; off the main thread. The pictures are AI-generated: an app should say so.
 */
class TextToImage(directory: File) : AutoCloseable {
    private val bundle = JSONObject(File(directory, "bundle.json").readText())
    private val generator = prepare(directory, bundle.getJSONObject("generator"))
    private val textEncoder = prepare(directory, bundle.getJSONObject("text_encoder"))
    private val imageSize = shape("generator", "outputs", "images", 1)
    private val latentDim = shape("generator", "inputs", "latents", 1)

    /** SHA-256 of all that decides what the model draws, to be written beside a picture. */
    val model: String = bundle.optString("model")
    val license: String = bundle.optString("license")
    val tokenizer: WordPiece

    init {
        val rules = bundle.getJSONObject("tokenizer")
        val vocabulary = verified(directory, rules.getString("vocabulary")).readText().removeSuffix("\n").split("\n")
        tokenizer = WordPiece(
            vocabulary,
            TokenizerRules(
                sequenceLength = rules.getInt("sequence_length"),
                lowercase = rules.getBoolean("lowercase"),
                stripAccents = rules.getBoolean("strip_accents"),
                splitOnCjk = rules.getBoolean("split_on_cjk"),
                suffixIndicator = rules.getString("suffix_indicator"),
                startTokenId = rules.getInt("start_token_id"),
                endTokenId = rules.getInt("end_token_id"),
                paddingTokenId = rules.getInt("padding_token_id"),
                unknownTokenId = rules.getInt("unknown_token_id"),
            ),
        )
    }

    /** Image [index] of [seed]: what `gan.generate(caption, index + 1, seed, truncation)[index]` is in Python. */
    fun draw(caption: String, seed: Long = 0, index: Long = 0, truncation: Float = 1f): Bitmap {
        val tokens = tokenizer.read(caption)
        val embedding = textEncoder.compute(
            mapOf("token_ids" to tokens.tokenIds, "padding_mask" to tokens.paddingMask),
            "sentence_embeddings",
        )
        val noise = latents(seed, index, latentDim, truncation)
        val image = generator.compute(mapOf("latents" to noise, "sentence_embeddings" to embedding), "images")
        val pixels = IntArray(imageSize * imageSize) {
            OPAQUE or (level(image[3 * it]) shl 16) or (level(image[3 * it + 1]) shl 8) or level(image[3 * it + 2])
        }
        return Bitmap.createBitmap(pixels, imageSize, imageSize, Bitmap.Config.ARGB_8888)
    }

    override fun close() {
        generator.close()
        textEncoder.close()
    }

    private fun shape(network: String, side: String, tensor: String, axis: Int): Int =
        bundle.getJSONObject(network).getJSONObject(side).getJSONObject(tensor).getJSONArray("shape").getInt(axis)

    private fun prepare(directory: File, network: JSONObject): CompiledModel {
        // The CPU gives Python's numbers; a GPU computes in 16 bits unless it is told otherwise.
        val file = verified(directory, network.getString("file"))
        return CompiledModel.create(file.path, CompiledModel.Options(Accelerator.CPU))
    }

    private fun verified(directory: File, name: String): File {
        val file = File(directory, name)
        val digest = MessageDigest.getInstance("SHA-256").digest(file.readBytes())
        val found = digest.joinToString("") { "%02x".format(it) }
        require(found == bundle.getJSONObject("sha256").getString(name)) { "$name is not what bundle.json describes" }
        return file
    }

    private fun CompiledModel.compute(inputs: Map<String, Any>, output: String): FloatArray {
        val buffers = inputs.mapValues { (name, value) ->
            createInputBuffer(name).also { buffer ->
                if (value is IntArray) buffer.writeInt(value) else buffer.writeFloat(value as FloatArray)
            }
        }
        val result: TensorBuffer = createOutputBuffer(output)
        try {
            run(buffers, mapOf(output to result))
            return result.readFloat()
        } finally {
            (buffers.values + result).forEach { it.close() }
        }
    }

    private companion object {
        const val OPAQUE = 0xFF shl 24

        /** A byte of a number in [-1, 1]; halves go to the even side. */
        fun level(value: Float): Int = Math.rint(((value + 1f) * 127.5f).toDouble()).toInt().coerceIn(0, 255)
    }
}
