import CoreGraphics
import CryptoKit
import Foundation
import LiteRT

/// Draws captions with a LiteRT bundle: a directory that `keras-t2i export MODEL --to litert` has written.
///
/// Not for several threads at once; off the main thread. The pictures are AI-generated: an app should say so.
public final class TextToImage {
    public enum Problem: Error {
        case notWhatTheBundleDescribes(file: String)
        case noTextEncoder
        case noImage
    }

    /// SHA-256 of all that decides what the model draws, to be written beside a picture.
    public var model: String { bundle.model }
    public var license: String? { bundle.license }
    public let tokenizer: WordPiece

    private let bundle: Bundle
    private let generator: Network
    private let textEncoder: Network

    public init(directory: URL) throws {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let bundle = try decoder.decode(Bundle.self, from: Data(contentsOf: directory.appending("bundle.json")))
        guard let textEncoder = bundle.textEncoder, let rules = bundle.tokenizer else { throw Problem.noTextEncoder }

        func verified(_ file: String) throws -> URL {
            let url = directory.appending(file)
            let found = SHA256.hash(data: try Data(contentsOf: url)).map { String(format: "%02x", $0) }.joined()
            guard found == bundle.sha256[file] else { throw Problem.notWhatTheBundleDescribes(file: file) }
            return url
        }

        let environment = try Environment()
        self.bundle = bundle
        generator = try Network(file: verified(bundle.generator.file), environment: environment)
        self.textEncoder = try Network(file: verified(textEncoder.file), environment: environment)
        let vocabulary = try String(contentsOf: verified(rules.vocabulary), encoding: .utf8)
        tokenizer = WordPiece(vocabulary: vocabulary, rules: rules)
    }

    /// Image `index` of `seed`: what `gan.generate(caption, index + 1, seed, truncation)[index]` is in Python.
    public func draw(_ caption: String, seed: Int64 = 0, index: Int64 = 0, truncation: Float = 1) throws -> CGImage {
        let tokens = tokenizer.read(caption)
        let embedding = try textEncoder.run([
            "token_ids": { try $0.write(tokens.tokenIds) }, "padding_mask": { try $0.write(tokens.paddingMask) },
        ])
        let noise = latents(seed: seed, index: index, size: bundle.latentDim, truncation: truncation)
        let image = try generator.run([
            "latents": { try $0.write(noise) }, "sentence_embeddings": { try $0.write(embedding) },
        ])
        // Halves go to the even side.
        let levels = image.map { UInt8(min(max((($0 + 1) * 127.5).rounded(.toNearestOrEven), 0), 255)) }
        let size = bundle.imageSize
        guard let provider = CGDataProvider(data: Data(levels) as CFData),
            let space = CGColorSpace(name: CGColorSpace.sRGB),
            let picture = CGImage(
                width: size, height: size, bitsPerComponent: 8, bitsPerPixel: 24, bytesPerRow: 3 * size, space: space,
                bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.none.rawValue), provider: provider, decode: nil,
                shouldInterpolate: true, intent: .defaultIntent)
        else { throw Problem.noImage }
        return picture
    }
}

/// What is read of `bundle.json`.
private struct Bundle: Decodable {
    struct Tensor: Decodable {
        let shape: [Int]
    }

    struct Network: Decodable {
        let file: String
        let inputs: [String: Tensor]
        let outputs: [String: Tensor]
    }

    let model: String
    let license: String?
    let generator: Network
    let textEncoder: Network?
    let tokenizer: TokenizerRules?
    let sha256: [String: String]

    var latentDim: Int { generator.inputs["latents"]?.shape[1] ?? 0 }
    var imageSize: Int { generator.outputs["images"]?.shape[1] ?? 0 }
}

/// A network with one output, on the CPU, which gives Python's numbers.
private struct Network {
    let compiled: CompiledModel

    init(file: URL, environment: Environment) throws {
        let options = try Options()
        try options.setHardwareAccelerators([.cpu])
        compiled = try CompiledModel(filePath: file.path, environment: environment, options: options)
    }

    /// Inputs go by name: their order in a file is not the one in which they were declared.
    func run(_ writers: [String: (TensorBuffer) throws -> Void]) throws -> [Float] {
        let inputs = try compiled.createInputBuffers()
        for (place, buffer) in inputs.enumerated() {
            try writers[compiled.inputName(inputIndex: place)]?(buffer)
        }
        return try compiled.run(inputs: inputs)[0].read()
    }
}

extension URL {
    fileprivate func appending(_ file: String) -> URL { appendingPathComponent(file) }
}
