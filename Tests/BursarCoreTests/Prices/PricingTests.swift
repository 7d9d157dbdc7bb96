import Testing
@testable import BursarCore

@Suite struct Pricing {
    @Test func builtIn() throws {
        let book = try PriceBook(unixNow: 1)
        let id = try "gpt-4o".withBytes { name throws(Failure) in try book.find(name) }
        #expect(book.rates(id)?.inputPicos == 2_500_000)
    }
}
extension String {
    func withBytes<R, E: Error>(_ body: (UnsafeBufferPointer<UInt8>) throws(E) -> R) throws(E) -> R {
        let bytes = [UInt8](utf8)
        return try bytes.withUnsafeBufferPointer(body)
    }
}
