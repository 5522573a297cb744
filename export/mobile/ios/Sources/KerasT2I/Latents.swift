import Foundation

/// The noise of an image, from its seed and its number alone: TensorFlow's, up to the last bits of a float.
///
/// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011) in counter mode, and Box-Muller.
/// `latents.json` of a bundle has examples.
public func latents(seed: Int64, index: Int64, size: Int, truncation: Float = 1) -> [Float] {
    // As in TensorFlow, the key and the upper half of the counter are themselves a cipher of the seed.
    let (s, i) = (UInt64(bitPattern: seed), UInt64(bitPattern: index))
    let start = [UInt32(truncatingIfNeeded: s), UInt32(s >> 32), UInt32(truncatingIfNeeded: i), UInt32(i >> 32)]
    let mixed = philox(counter: start, key: (0x3EC8_F720, 0x0246_1E29))
    var noise: [Float] = []
    for block in 0..<UInt32((size + 3) / 4) {
        let words = philox(counter: [block, 0, mixed[2], mixed[3]], key: (mixed[0], mixed[1]))
        for pair in [0, 2] {
            let radius = (-2 * log(max(uniform(words[pair]), 1e-7))).squareRoot()
            let angle = 2 * Double.pi * uniform(words[pair + 1])
            noise += [Float(radius * sin(angle)) * truncation, Float(radius * cos(angle)) * truncation]
        }
    }
    return Array(noise.prefix(size))
}

private func philox(counter: [UInt32], key: (UInt32, UInt32)) -> [UInt32] {
    var (a, b, c, d) = (counter[0], counter[1], counter[2], counter[3])
    var (key0, key1) = key
    for _ in 0..<10 {
        let first = a.multipliedFullWidth(by: 0xD251_1F53)
        let second = c.multipliedFullWidth(by: 0xCD9E_8D57)
        (a, b, c, d) = (second.high ^ b ^ key0, second.low, first.high ^ d ^ key1, first.low)
        key0 &+= 0x9E37_79B9
        key1 &+= 0xBB67_AE85
    }
    return [a, b, c, d]
}

/// From 0 to 1, without 1: the lower 23 bits.
private func uniform(_ word: UInt32) -> Double {
    Double(word & 0x7F_FFFF) / Double(0x80_0000)
}
