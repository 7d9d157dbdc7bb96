// How one model goes by several names. A name is never matched loosely: it is
// shortened, piece by known piece, and each shorter form must be known exactly.
// So a small model is never priced as the large one whose name begins the same.

enum ModelName {
    static let bytesMax = 256

    /// The length of what only says who serves the model, in front of its name; or 0.
    static func providerPrefix(_ name: UnsafeBufferPointer<UInt8>) -> Int {
        var length = 0
        var isSame = true
        for k in 0..<prefixes.utf8CodeUnitCount {
            let byte = prefixes.utf8Start[k]
            if byte == UInt8(ascii: " ") {
                if isSame { return length }
                (length, isSame) = (0, true)
            } else {
                isSame = isSame && length < name.count && name[length] == byte
                length += 1
            }
        }
        return 0
    }

    /// Providers, and where an inference profile of Amazon's serves from; a blank ends
    /// each. Only those whose prices the built-in table has where they are not the maker's own.
    private static var prefixes: StaticString {
        """
        openai/ azure/ anthropic/ gemini/ google/ models/ vertex_ai/ bedrock/ converse/ mistral/ \
        deepseek/ xai/ cohere/ cohere_chat/ dashscope/ litellm_proxy/ global. us. eu. \

        """
    }

    /// How many bytes of `name` are left without the last piece that only says
    /// which version it is; all of them when there is no such piece.
    static func withoutVersion(_ name: UnsafeBufferPointer<UInt8>) -> Int {
        let n = name.count
        if name.hasPrefix("ft:"), let colon = name.dropping(3).firstIndex(of: UInt8(ascii: ":")) {
            return colon + 3
        }
        for suffix in ["-latest", "@latest", "@default"] as [StaticString]
        where name.hasSuffix(suffix) {
            return n - suffix.utf8CodeUnitCount
        }
        if n > 2, Decimal.isDigit(name[n - 1]), name[n - 2] == UInt8(ascii: ":") {
            if n > 5, Decimal.isDigit(name[n - 3]), name[n - 4] == UInt8(ascii: "v"),
                name[n - 5] == UInt8(ascii: "-")
            {
                return n - 5
            }
            return n - 2
        }
        if n > 11, name[n - 11] == UInt8(ascii: "-"), name[n - 6] == UInt8(ascii: "-"),
            name[n - 3] == UInt8(ascii: "-"), isDate(name, n - 10, n - 5, n - 2)
        {
            return n - 11
        }
        if n > 9, name[n - 9] == UInt8(ascii: "-") || name[n - 9] == UInt8(ascii: "@"),
            isDate(name, n - 8, n - 4, n - 2)
        {
            return n - 9
        }
        return n
    }

    private static func isDate(
        _ name: UnsafeBufferPointer<UInt8>, _ year: Int, _ month: Int, _ day: Int
    ) -> Bool {
        guard let y = number(name, year, 4), let m = number(name, month, 2),
            let d = number(name, day, 2)
        else { return false }
        return y >= 2000 && y < 2100 && m >= 1 && m <= 12 && d >= 1 && d <= 31
    }

    private static func number(
        _ name: UnsafeBufferPointer<UInt8>, _ start: Int, _ digits: Int
    ) -> Int? {
        var value = 0
        for i in start..<start + digits {
            guard Decimal.isDigit(name[i]) else { return nil }
            value = value * 10 + Int(name[i] &- UInt8(ascii: "0"))
        }
        return value
    }

    /// Calls `known` with ever shorter forms of `name` until it answers other
    /// than 0: the exact name, then without what serves it; then both without
    /// one version piece, and so on.
    static func resolve(
        _ name: UnsafeBufferPointer<UInt8>, _ known: (UnsafeBufferPointer<UInt8>) -> Int32
    ) -> Int32 {
        var versioned = name
        while true {
            var form = versioned
            while true {
                let model = known(form)
                if model != 0 { return model }
                let prefix = providerPrefix(form)
                if prefix == 0 || prefix == form.count { break }
                form = form.dropping(prefix)
            }
            let left = withoutVersion(versioned)
            if left == versioned.count || left == 0 { return 0 }
            versioned = versioned.prefix(bytes: left)
        }
    }
}
