// A step's tokens by class, none of them counted twice (docs/prices.md), and each class's price.

enum TokenClass: Int, CaseIterable {
    case input, cacheRead, cacheWrite, cacheWrite1h, audioInput, cacheReadAudio, imageInput
    case output, reasoning, audioOutput, imageOutput

    static let count = allCases.count
    var isInput: Bool { rawValue < TokenClass.output.rawValue }

    /// As in docs/prices.md.
    var name: String {
        switch self {
        case .input: "input"
        case .cacheRead: "cache_read"
        case .cacheWrite: "cache_write"
        case .cacheWrite1h: "cache_write_1h"
        case .audioInput: "audio_input"
        case .cacheReadAudio: "cache_read_audio_input"
        case .imageInput: "image_input"
        case .output: "output"
        case .reasoning: "reasoning"
        case .audioOutput: "audio_output"
        case .imageOutput: "image_output"
        }
    }

    /// 1,000 tokens of this class and no other.
    fileprivate var thousand: Usage {
        var usage = Usage()
        if isInput { usage.input = 1000 } else { usage.output = 1000 }
        switch self {
        case .input, .output: break
        case .cacheRead: usage.cacheRead = 1000
        case .cacheWrite: usage.cacheWrite = 1000
        case .cacheWrite1h: (usage.cacheWrite, usage.cacheWrite1h) = (1000, 1000)
        case .audioInput: usage.audioInput = 1000
        case .cacheReadAudio:
            (usage.cacheRead, usage.audioInput, usage.cacheReadAudio) = (1000, 1000, 1000)
        case .imageInput: usage.imageInput = 1000
        case .reasoning: usage.reasoning = 1000
        case .audioOutput: usage.audioOutput = 1000
        case .imageOutput: usage.imageOutput = 1000
        }
        return usage
    }
}

extension Usage {
    /// Tokens by class; they add up to input and output.
    var classes: [Int64] {
        var tokens = [Int64](repeating: 0, count: TokenClass.count)
        tokens[TokenClass.cacheReadAudio.rawValue] = cacheReadAudio
        tokens[TokenClass.cacheRead.rawValue] = cacheRead - cacheReadAudio
        tokens[TokenClass.cacheWrite1h.rawValue] = cacheWrite1h
        tokens[TokenClass.cacheWrite.rawValue] = cacheWrite - cacheWrite1h
        // Where audio and images do not fit beside what is cached, the rest of them is cached.
        var room = input - cacheRead - cacheWrite
        let audio = min(max(0, audioInput - cacheReadAudio), max(0, room))
        room -= audio
        let image = min(imageInput, max(0, room))
        room -= image
        tokens[TokenClass.audioInput.rawValue] = audio
        tokens[TokenClass.imageInput.rawValue] = image
        tokens[TokenClass.input.rawValue] = room
        var left = output
        for (kind, count) in [
            (TokenClass.reasoning, reasoning), (.audioOutput, audioOutput),
            (.imageOutput, imageOutput),
        ] {
            let part = min(count, max(0, left))
            tokens[kind.rawValue] = part
            left -= part
        }
        tokens[TokenClass.output.rawValue] = left
        return tokens
    }
}

/// A model's price: pico-dollars per token by class, and nano-dollars for each request.
struct Price: Hashable {
    var picos: [Int64]
    var request: Int64

    /// What tokens cost, in pico-dollars.
    func cost(_ tokens: [Int64], requests: Int64) -> Int128 {
        zip(picos, tokens).reduce(Int128(request) * Int128(requests) * 1000) {
            $0 + Int128($1.0) * Int128($1.1)
        }
    }
}

extension Book {
    /// The price of the lowest tier: asked of the library with 1,000 tokens of each class, which cost
    /// as many nano-dollars as one costs pico-dollars.
    func price(_ model: String, _ variant: Int32) throws -> Price? {
        guard let request = try quote(model, variant, Usage()) else { return nil }
        var picos: [Int64] = []
        for kind in TokenClass.allCases {
            guard let cost = try quote(model, variant, kind.thousand) else { return nil }
            picos.append(cost - request)
        }
        return Price(picos: picos, request: request)
    }

    /// The price in the tier that `input` tokens fall into: the same, with each thousand in the
    /// place of a thousand others. `step` is +1000 or -1000, to one side of `input`.
    func price(_ model: String, _ variant: Int32, input: Int64, step: Int64) throws -> Price? {
        guard input > 1000, input < 1 << 40, let free = try quote(model, variant, Usage()) else {
            return nil
        }
        var base = Usage()
        base.input = input
        var beside = base
        beside.input += step
        guard let whole = try quote(model, variant, base),
            let other = try quote(model, variant, beside)
        else { return nil }
        let text = step > 0 ? other - whole : whole - other
        var picos: [Int64] = []
        for kind in TokenClass.allCases {
            var usage = kind.thousand
            usage.input = input
            guard let cost = try quote(model, variant, usage) else { return nil }
            picos.append(kind.isInput ? cost - whole + text : cost - whole)
        }
        return Price(picos: picos, request: free)
    }
}
