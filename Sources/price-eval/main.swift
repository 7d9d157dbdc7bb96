// Prices steps for Tests/prices/oracle.py: a line in, a line out. A tool for
// tests, in full Swift.
//
// In, separated by tabs: model, variant (0 to 3), the eleven token classes of
// `Usage` in their order, extra nano-dollars. Out: nano-dollars, `overflow` or
// `unknown`. With arguments it loads those price files first; their reports go to
// standard error.

import BursarCore
import Glibc

func complain(_ text: String) {
    let bytes = [UInt8](text.utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}

func fail(_ message: String) -> Never {
    complain("price-eval: \(message)\n")
    exit(2)
}

func contents(of path: String) -> [UInt8] {
    guard let file = fopen(path, "rb") else { fail("cannot read \(path)") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { return bytes }
        bytes += buffer[..<count]
    }
}

func price(_ line: String, with book: PriceBook) throws -> String {
    let fields = line.split(separator: "\t")
    let numbers = fields.dropFirst().compactMap { Int64($0) }
    guard numbers.count == 13, let variant = Variant(rawValue: Int32(clamping: numbers[0])) else {
        fail("not fourteen fields: \(line)")
    }
    var usage = Usage()
    usage.inputTokens = numbers[1]
    usage.cacheReadInputTokens = numbers[2]
    usage.cacheWriteInputTokens = numbers[3]
    usage.cacheWrite1hInputTokens = numbers[4]
    usage.outputTokens = numbers[5]
    usage.reasoningOutputTokens = numbers[6]
    usage.audioInputTokens = numbers[7]
    usage.cacheReadAudioInputTokens = numbers[8]
    usage.audioOutputTokens = numbers[9]
    usage.imageInputTokens = numbers[10]
    usage.imageOutputTokens = numbers[11]
    usage.extraNanos = numbers[12]
    let model = try [UInt8](fields[0].utf8).withUnsafeBufferPointer { try book.find($0) }
    guard book.rates(model) != nil else { return "unknown" }
    guard let nanos = try? book.quote(model, variant: variant, usage: usage) else {
        return usage.isValid ? "overflow" : "invalid"
    }
    return String(nanos)
}

do {
    let book = try PriceBook(unixNow: PriceBook.asOfUnix)
    for path in CommandLine.arguments.dropFirst() {
        let report = try contents(of: path).withUnsafeBufferPointer {
            try book.load($0, unixNow: PriceBook.asOfUnix)
        }
        complain("\(path): \(report.models) models\n")
        complain(String(decoding: report.report, as: UTF8.self))
    }
    while let line = readLine() { print(try price(line, with: book)) }
} catch let failure as Failure {
    let place = failure.line > 0 ? " (line \(failure.line), column \(failure.column))" : ""
    fail(String(decoding: failure.sentence, as: UTF8.self) + place)
}
