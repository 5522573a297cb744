import Foundation

/// The part `tokenizer` of `bundle.json`.
public struct TokenizerRules: Decodable {
    let vocabulary: String
    let sequenceLength: Int
    let lowercase: Bool
    let stripAccents: Bool
    let splitOnCjk: Bool
    let suffixIndicator: String
    let startTokenId: Int32
    let endTokenId: Int32
    let paddingTokenId: Int32
    let unknownTokenId: Int32
}

public struct Tokens {
    public let tokenIds: [Int32]
    public let paddingMask: [Int32]
    /// Pieces of the caption that did not fit.
    public let numCut: Int
}

/// Captions to token numbers: those of the model's own tokenizer in TensorFlow.
public struct WordPiece {
    // Keys are bytes: to Swift, strings of different code points can be equal, such as "é" and "e" with an accent.
    private let numbers: [[UInt8]: Int32]
    private let rules: TokenizerRules

    /// `vocabulary` is the text of `vocab.txt`: a piece a line.
    public init(vocabulary: String, rules: TokenizerRules) {
        let lines = Array(vocabulary.utf8).split(separator: 0x0A, omittingEmptySubsequences: false)
        numbers = Dictionary(
            zip(lines.map { Array($0) }, lines.indices.map { Int32($0) }), uniquingKeysWith: { first, _ in first })
        self.rules = rules
    }

    public func read(_ caption: String) -> Tokens {
        let pieces = words(of: caption).flatMap { self.pieces(of: $0) }
        let kept = pieces.prefix(rules.sequenceLength - 2)
        let filled = [rules.startTokenId] + kept + [rules.endTokenId]
        let padding = rules.sequenceLength - filled.count
        return Tokens(
            tokenIds: filled + Array(repeating: rules.paddingTokenId, count: padding),
            paddingMask: Array(repeating: 1, count: filled.count) + Array(repeating: 0, count: padding),
            numCut: pieces.count - kept.count)
    }

    /// Words and punctuation marks, without accents and with case folded where the rules say so.
    private func words(of caption: String) -> [[Unicode.Scalar]] {
        var text = caption.unicodeScalars.map { $0.value < 0x20 ? " " : $0 }
        if rules.stripAccents {
            let parts = string(text).decomposedStringWithCanonicalMapping.unicodeScalars
            text = parts.filter { $0.properties.generalCategory != .nonspacingMark }
        }
        var found: [[Unicode.Scalar]] = []
        var word: [Unicode.Scalar] = []
        for scalar in text {
            let alone = isPunctuation(scalar) || (rules.splitOnCjk && cjk.contains { $0.contains(scalar.value) })
            let between = scalar == " " || [.control, .format].contains(scalar.properties.generalCategory)
            if !alone && !between {
                word.append(scalar)
                continue
            }
            found += [folded(word), alone ? folded([scalar]) : []]
            word = []
        }
        return (found + [folded(word)]).filter { !$0.isEmpty }
    }

    /// Unicode's NFKC_Casefold. After splitting: what folds to a mark or a space ("½", "…") is no border.
    private func folded(_ word: [Unicode.Scalar]) -> [Unicode.Scalar] {
        guard rules.lowercase else { return word }
        let visible = word.filter { scalar in !ignorable.contains { $0.contains(scalar.value) } }
        let lower = string(visible).precomposedStringWithCompatibilityMapping.lowercased()
        // Lower case is not folded case in three letters.
        let exceptions: [Unicode.Scalar: String] = ["ß": "ss", "ς": "σ", "և": "եւ"]
        let replaced = lower.unicodeScalars.map { exceptions[$0] ?? String($0) }.joined()
        return Array(replaced.precomposedStringWithCompatibilityMapping.unicodeScalars)
    }

    /// The longest pieces from left to right, or one unknown token.
    private func pieces(of word: [Unicode.Scalar]) -> [Int32] {
        guard bytes(word[...]).count <= maxBytes else { return [rules.unknownTokenId] }
        var found: [Int32] = []
        var start = 0
        while start < word.count {
            let prefix = start > 0 ? Array(rules.suffixIndicator.utf8) : []
            let ends = stride(from: word.count, to: start, by: -1)
            guard let end = ends.first(where: { numbers[prefix + bytes(word[start..<$0])] != nil }) else {
                return [rules.unknownTokenId]
            }
            found.append(numbers[prefix + bytes(word[start..<end])]!)
            start = end
        }
        return found
    }
}

private let maxBytes = 100

private let cjk: [ClosedRange<UInt32>] = [
    0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
    0x2B820...0x2CEAF, 0x2F800...0x2FA1F,
]

/// Without a shape, but no format characters, at which words are split.
private let ignorable: [ClosedRange<UInt32>] = [
    0xAD...0xAD, 0x34F...0x34F, 0x115F...0x1160, 0x2065...0x2065, 0x3164...0x3164, 0xFE00...0xFE0F, 0xFFA0...0xFFA0,
    0xFFF0...0xFFF8, 0xE0000...0xE0FFF,
]

/// As in the first BERT: Unicode's punctuation, and of ASCII all but letters, digits, space and control.
private func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
        .finalPunctuation, .otherPunctuation:
        return true
    default:
        return (0x21...0x7E).contains(scalar.value) && !scalar.properties.isAlphabetic && !("0"..."9").contains(scalar)
    }
}

private func string(_ scalars: [Unicode.Scalar]) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
}

private func bytes(_ scalars: ArraySlice<Unicode.Scalar>) -> [UInt8] {
    scalars.flatMap { Array(String($0).utf8) }
}
