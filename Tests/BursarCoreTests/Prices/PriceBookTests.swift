// Names, numbers, overrides and dates.

import Testing

@testable import BursarCore

@Suite struct PriceBookTests {
    @Test func theBuiltInTableHasTheModelsPeopleUse() throws {
        let book = try PriceBook()
        for name in [
            "gpt-4o", "gpt-4o-mini", "gpt-5", "o3", "claude-opus-4-5", "claude-haiku-4-5",
            "claude-sonnet-4-5", "gemini/gemini-2.5-pro", "gemini-2.5-flash", "deepseek-chat",
            "mistral-large-latest", "mistral/mistral-small-latest", "grok-4.7", "o1", "gpt-4-turbo",
            "command-a-03-2025", "dashscope/qwen3-max",
            "groq/openai/gpt-oss-120b", "us.amazon.nova-pro-v1:0", "text-embedding-3-small",
        ] {
            #expect(try book.set(of: name) != 0, "\(name)")
        }
        #expect(PriceBook.asOfUnix > 1_700_000_000)
    }

    @Test func everyBuiltInModelIsFoundByItsOwnName() throws {
        let book = try PriceBook()
        let added = try book.id("the first name that is not built in")
        #expect(added > 500)
        // Nothing is decoded before it is asked for.
        #expect((1..<added).allSatisfy { book.index.currentSet(model: $0) == 0 })
        for model in 1..<added {
            let name = try #require(book.name(model))
            let found = try name.withUnsafeBufferPointer { try book.find($0) }
            #expect(found == model)
            #expect(book.rates(model) != nil)
            for other in [name + [126], Array(name.dropLast()), [33] + name] where !other.isEmpty {
                let found = try other.withUnsafeBufferPointer { try book.find($0) }
                #expect(found != model && found > 0)
            }
        }
    }

    @Test func aModelNamedAfterPricesChangedHasItsPrice() throws {
        let book = try PriceBook()
        let fresh = try PriceBook()
        let rates = try #require(fresh.rates(try fresh.id("gpt-4o")))
        try book.override("other", Rates(1, 2))
        book.refresh(unixNow: 5)
        #expect(book.rates(try book.id("azure/unknown/gpt-4o")) == nil)
        #expect(book.rates(try book.id("openai/gpt-4o")) == rates)
        #expect(book.rates(try book.id("gpt-4o")) == rates)
        try book.override("gpt-4o", Rates(3, 4))
        #expect(try book.input("openai/gpt-4o") == 3)
    }

    @Test func aNameKeepsItsNumberAndItsSpelling() throws {
        let book = try PriceBook()
        let names = ["gpt-4o", "openai/gpt-4o", "nobody/knows-me", "ünïcode", "gpt-4o-2024-08-06"]
        let ids = try names.map { try book.id($0) }
        #expect(Set(ids).count == names.count)
        try book.override("gpt-4o", Rates(1, 2))
        try book.override("nobody/knows-me", Rates(3, 4))
        for i in 0..<500 { _ = try book.id("model \(i)") }
        #expect(try names.map { try book.id($0) } == ids)
        #expect(ids.map { book.name($0).map { String(decoding: $0, as: UTF8.self) } } == names)
        #expect(book.name(0) == nil && book.name(-1) == nil && book.name(.max) == nil)
    }

    @Test(arguments: [
        ("openai/gpt-4o", "gpt-4o"), ("azure/gpt-4.1-mini", "azure/gpt-4.1-mini"),
        ("gpt-4o-2024-08-06", "gpt-4o"), ("gpt-4o-latest", "gpt-4o"),
        ("gpt-4o@20240806", "gpt-4o"), ("litellm_proxy/openai/gpt-4o-2031-12-31", "gpt-4o"),
        ("ft:gpt-4o-2024-08-06:my-org::7p4lURel", "ft:gpt-4o-2024-08-06"),
        ("anthropic/claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        (
            "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
        ),
    ])
    func aLongerNameMeansTheModelThatItContains(name: String, means: String) throws {
        let book = try PriceBook()
        #expect(try book.set(of: name) != 0)
        let long = try #require(book.rates(try book.id(name)))
        #expect(book.rates(try book.id(means)) == long)
    }

    @Test(arguments: [
        "gpt-40", "gpt-4o-", "gpt-4o-x", "gpt-4o-mini-mini", "my-gpt-4o", "gpt-4o-2024-13-01",
        "gpt-4o-1024-08-06", "gpt-4o-20240832", "GPT-4o", "openai/", "-latest", ":0", "ft:",
        "-v1:0", "x", "openai/openai/", "us.", "gpt-4o-2024-08-06-x", "gpt-4o-v:0",
    ])
    func aNameThatIsOnlyAlikeHasNoPrice(name: String) throws {
        let book = try PriceBook()
        #expect(try book.set(of: name) == 0)
        #expect(throws: Failure.self) {
            try book.quote(try book.id(name), variant: .standard, usage: Usage())
        }
    }

    @Test func aSmallModelIsNotPricedAsTheLargeOne() throws {
        let book = try PriceBook()
        #expect(try #require(try book.input("gpt-4o-mini")) < #require(try book.input("gpt-4o")))
        #expect(try book.input("openai/gpt-4o-mini-2024-07-18") == (try book.input("gpt-4o-mini")))
    }

    @Test func anOverrideHoldsForEveryNameOfTheModelAndNotForStepsReservedBefore() throws {
        let book = try PriceBook()
        let before = try book.set(of: "openai/gpt-4o")
        let old = try #require(book.index.rows(set: before)).first.pointee.input
        try book.override("gpt-4o", Rates(7000, 9000))
        #expect(try book.input("gpt-4o") == 7000)
        #expect(try book.input("openai/gpt-4o-2024-08-06") == 7000)
        #expect(try #require(book.index.rows(set: before)).first.pointee.input == old)
        // A name with a price of its own no longer follows.
        try book.override("openai/gpt-4o", Rates(1, 1))
        try book.override("gpt-4o", Rates(8000, 9000))
        #expect(try book.input("openai/gpt-4o") == 1)
        #expect(try book.input("gpt-4o") == 8000)
        // The same again is no new set.
        let set = try book.set(of: "gpt-4o")
        try book.override("gpt-4o", Rates(8000, 9000))
        #expect(try book.set(of: "gpt-4o") == set)
    }

    @Test func anUnknownNameIsPricedOnceItsModelIs() throws {
        let book = try PriceBook()
        let dated = try book.id("azure/my-model-2026-01-01")
        #expect(book.index.currentSet(model: dated) == 0)
        try book.override("my-model", Rates(5, 6))
        #expect(book.rates(dated)?.inputPicos == 5)
    }

    @Test func wrongRatesAndNamesAreRefusedAndChangeNothing() throws {
        let book = try PriceBook()
        let good = try book.input("gpt-4o")
        var bad: [Rates] = [Rates(-1, 0), Rates(0, -1), Rates(Rate.max + 1, 0), Rates(0, .max)]
        for path in [
            \Rates.cacheReadPicos, \.cacheWritePicos, \.cacheWrite1hPicos, \.reasoningPicos,
        ] {
            var rates = Rates(1, 1)
            rates[keyPath: path] = -2
            bad.append(rates)
            rates[keyPath: path] = .max
            bad.append(rates)
        }
        for rates in bad {
            #expect(throws: Failure.self) { try book.override("gpt-4o", rates) }
        }
        #expect(throws: Failure.self) { try book.id("") }
        #expect(throws: Failure.self) { try book.id(String(repeating: "x", count: 257)) }
        #expect(try book.id(String(repeating: "x", count: 256)) > 0)
        #expect(try book.input("gpt-4o") == good)
    }

    @Test func theDearestSetIsAsDearAsEveryChatModel() throws {
        let book = try PriceBook()
        func dearest() throws -> PriceRow {
            try #require(book.index.rows(set: book.index.dearestSet)).first.pointee
        }
        // The generated one is what the book computes.
        let generated = book.index.dearestSet
        book.refresh(unixNow: 5)
        #expect(book.index.dearestSet == generated)
        let before = try dearest()
        try book.override("dear", Rates(before.input + 1, 1))
        #expect(try dearest().input == before.input + 1)
        #expect(try dearest().output == before.output)
        try book.override("dear", Rates(1, 1))
        #expect(try dearest().input == before.input)
    }

    @Test func datedPricesComeIntoForceWhenTheirDayComes() throws {
        let book = try PriceBook()
        let file = """
            {"format": "bursar-prices-1", "models": {"m": [
              {"from": "2026-01-01", "input": "$1/M", "output": "$1/M", "aliases": ["n"]},
              {"from": "2026-07-01", "input": "$2/M", "output": "$2/M"}],
             "gpt-4o": {"from": "2026-07-01", "input": "$2/M", "output": "$2/M"}}}
            """
        let day: Int64 = 86_400
        let january: Int64 = 1_767_225_600
        let july = january + 181 * day
        let today = try book.input("gpt-4o")
        try book.load(text: file, at: january - 1)
        #expect(try book.input("m") == nil)
        #expect(book.nextEffective == january)
        book.refresh(unixNow: january)
        #expect(try book.input("m") == 1_000_000)
        #expect(try book.input("n") == 1_000_000)
        #expect(book.nextEffective == july)
        #expect(try book.input("gpt-4o") == today)
        book.refresh(unixNow: july + 1)
        #expect(try book.input("openai/n-latest") == 2_000_000)
        #expect(try book.input("gpt-4o") == 2_000_000)
        #expect(book.nextEffective == .max)
        // Again: the same numbers, the same sets.
        let sets = try ["m", "n", "gpt-4o"].map { try book.set(of: $0) }
        try book.load(text: file, at: july + 1)
        #expect(try ["m", "n", "gpt-4o"].map { try book.set(of: $0) } == sets)
        // An override ends the calendar.
        try book.override("m", Rates(5, 5))
        book.refresh(unixNow: 0)
        #expect(try book.input("m") == 5)
    }

    @Test func anIndexReadBesideWritersIsAlwaysWhole() async throws {
        let book = try PriceBook()
        let model = try book.override("hot", Rates(1, 2))
        await withTaskGroup(of: Bool.self) { group in
            for writer in 1...2 {
                group.addTask {
                    for i in 1...200 {
                        let rate = Int64(i * writer)
                        _ = try? book.override("hot", Rates(rate, rate * 2))
                        _ = try? book.id("name \(i) \(writer)")
                    }
                    return true
                }
            }
            for _ in 0..<2 {
                group.addTask {
                    for _ in 0..<20_000 {
                        let set = book.index.currentSet(model: model)
                        guard let row = book.index.rows(set: set)?.first.pointee,
                            row.output == row.input * 2, row.cache_read == row.input
                        else { return false }
                    }
                    return true
                }
            }
            for await isWhole in group { #expect(isWhole) }
        }
    }
}
