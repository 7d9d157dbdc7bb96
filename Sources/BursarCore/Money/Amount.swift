// Money and rates as people write them: "$1.25", "2 USD", "$0.28/M".

public enum Amount {
    /// Nano-dollars of "$1.25", "1.25" or "2 USD".
    public static func money(_ text: UnsafeBufferPointer<UInt8>) throws(Failure) -> Int64 {
        var number = trimmed(text)
        if number.hasPrefix("$") {
            number = number.dropping(1)
        } else if number.hasSuffix(" USD") {
            number = trimmed(number.prefix(bytes: number.count - 4))
        }
        return try value(
            number, in: text, scale: 9, finest: "finer than a nano-dollar, $0.000000001",
            largest: "above $9,223,372,036.854775807", form: "an amount is written $1.25 or 1.25 USD")
    }

    /// Pico-dollars per token of "$0.28/M" (per million), "$0.28/k" or "$0.00000028/token".
    public static func rate(_ text: UnsafeBufferPointer<UInt8>) throws(Failure) -> Int64 {
        let form: StaticString = "a rate is written $0.28/M, $0.00028/k or $0.00000028/token"
        var number = trimmed(text)
        let scale: Int
        if number.hasSuffix("/M") {
            (number, scale) = (number.prefix(bytes: number.count - 2), 6)
        } else if number.hasSuffix("/k") || number.hasSuffix("/K") {
            (number, scale) = (number.prefix(bytes: number.count - 2), 9)
        } else if number.hasSuffix("/token") {
            (number, scale) = (number.prefix(bytes: number.count - 6), 12)
        } else {
            throw failure(form, at: number.count, in: text)
        }
        number = trimmed(number)
        if number.hasPrefix("$") { number = number.dropping(1) }
        let picos = try value(
            number, in: text, scale: scale, finest: "finer than a pico-dollar per token",
            largest: "above $1,000 per token", form: form)
        guard picos <= Rate.max else { throw failure("above $1,000 per token", at: 0, in: text) }
        return picos
    }

    /// An amount as people read it: "$1.25", "$0.0000042", "-$3.00"; at least two places.
    public static func format(_ nanos: Int64) -> [UInt8] {
        var text: [UInt8] = []
        let amount = nanos.magnitude
        if nanos < 0 { text.append(UInt8(ascii: "-")) }
        text.append(UInt8(ascii: "$"))
        text.append(decimal: Int64(amount / 1_000_000_000))
        text.append(UInt8(ascii: "."))
        var rest = amount % 1_000_000_000
        var unit: UInt64 = 100_000_000
        var places = 0
        while places < 2 || rest != 0 {
            text.append(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest / unit))
            rest %= unit
            unit = max(unit / 10, 1)
            places += 1
        }
        return text
    }

    private static func trimmed(_ text: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8> {
        var text = text
        while text.first == UInt8(ascii: " ") { text = text.dropping(1) }
        while text.last == UInt8(ascii: " ") { text = text.prefix(bytes: text.count - 1) }
        return text
    }

    /// digits [ "." digits ], with "_" between digits.
    private static func value(
        _ number: UnsafeBufferPointer<UInt8>, in text: UnsafeBufferPointer<UInt8>, scale: Int,
        finest: StaticString, largest: StaticString, form: StaticString
    ) throws(Failure) -> Int64 {
        var hasPoint = false
        for i in number.indices {
            let byte = number[i]
            if Decimal.isDigit(byte) { continue }
            let isInside = i > 0 && i + 1 < number.count && Decimal.isDigit(number[i - 1])
                && Decimal.isDigit(number[i + 1])
            let isPoint = byte == UInt8(ascii: ".") && !hasPoint
            guard isInside, isPoint || byte == UInt8(ascii: "_") else {
                throw failure(form, at: i, of: number, in: text)
            }
            if isPoint { hasPoint = true }
        }
        guard !number.isEmpty else { throw failure(form, at: text.count, in: text) }
        guard let (value, isExact) = Decimal.scaled(number, by: scale) else {
            throw failure(largest, at: 0, of: number, in: text)
        }
        guard isExact else { throw failure(finest, at: 0, of: number, in: text) }
        return value
    }

    private static func failure(
        _ sentence: StaticString, at offset: Int, of part: UnsafeBufferPointer<UInt8>? = nil,
        in text: UnsafeBufferPointer<UInt8>
    ) -> Failure {
        var sentenceBytes = [UInt8](text.prefix(64))
        sentenceBytes.append(": ")
        sentenceBytes.append(sentence)
        var failure = Failure(.moneyText, bytes: sentenceBytes)
        var start = 0
        if let inner = part?.baseAddress, let outer = text.baseAddress { start = inner - outer }
        failure.column = Int32(clamping: start + offset + 1)
        return failure
    }
}
