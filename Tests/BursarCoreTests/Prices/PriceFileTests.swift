// Price files: exact numbers, both formats, what is refused and what is reported.

import Testing

@testable import BursarCore

@Suite struct PriceFileTests {
    @Test(
        arguments: [
            ("0", 12, 0, true), ("1", 12, 1_000_000_000_000, true),
            ("2.5e-06", 12, 2_500_000, true),
            ("2.5E-7", 12, 250_000, true), ("0.00000028", 12, 280_000, true),
            ("1e-12", 12, 1, true),
            ("1e-13", 12, 1, false), ("0.0000029999900000000002", 12, 2_999_991, false),
            ("1.0000000000000000000000", 0, 1, true), ("9223372.036854775807", 12, .max, true),
            ("0e999999999", 12, 0, true), ("0.000e-999999999", 12, 0, true),
            ("1e-999999", 12, 1, false),
            ("00012.50", 1, 125, true), ("1e+2", 0, 100, true),
        ] as [(String, Int, Int64, Bool)])
    func decimalsAreReadExactlyAndRoundedUp(
        text: String, scale: Int, value: Int64, isExact: Bool
    ) throws {
        let read = try #require(text.withBytes { Decimal.scaled($0, by: scale) })
        #expect(read.value == value && read.isExact == isExact)
    }

    @Test(arguments: ["9223372.036854775808", "1e7", "1e999999999", "99999999999999999999"])
    func aDecimalAboveInt64IsNil(text: String) {
        #expect(text.withBytes { Decimal.scaled($0, by: 12) } == nil)
    }

    @Test func theBuiltInTableIsWhatItsSourceSays() throws {
        let book = try PriceBook()
        let bytes = testFile("prices/rates.json")
        #expect(!bytes.isEmpty)
        // Read by the library, the published prices are the very rows that the
        // generator wrote: not one new set.
        let fresh = try book.override("probe", Rates(1, 1))
        let set = book.index.currentSet(model: fresh)
        let models = try bytes.withUnsafeBufferPointer { try book.load($0, unixNow: 0).models }
        #expect(models >= 150)
        #expect(try book.override("probe 2", Rates(2, 2)) == fresh + 1)
        #expect(try book.set(of: "probe 2") == set + 1)
    }

    @Test func loadingIsAllOrNothing() throws {
        let book = try PriceBook()
        let before = try book.input("gpt-4o")
        #expect(throws: Failure.self) {
            try book.load(
                text: #"{"gpt-4o": {"input_cost_per_token": 1, "output_cost_per_token": 1}, "x": {"#
            )
        }
        #expect(try book.input("gpt-4o") == before)
    }

    @Test func liteLLMFieldsBecomeClassesTiersAndVariants() throws {
        let book = try PriceBook()
        let result = try book.load(
            text: #"""
                {"sample_spec": {"input_cost_per_token": "anything"},
                 "openai\/a": {"mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06,
                   "cache_creation_input_token_cost": 0.0, "input_cost_per_token_cache_hit": 1e-07,
                   "cache_read_input_token_cost_above_200k_tokens_batches": 3e-07,
                   "input_cost_per_token_above_200k_tokens": 2e-06, "input_cost_per_token_batches": 5e-07,
                   "output_cost_per_token_batches": 2e-06, "output_cost_per_token_priority": 8e-06,
                   "search_context_cost_per_query": {"search_context_size_low": 0.01},
                   "input_cost_per_token_balanced": 1e-06, "output_cost_per_image": 0,
                   "max_tokens": 100, "supports_vision": true, "x": [null, {"y": []}]},
                 "image": {"mode": "image_generation", "output_cost_per_image": 0.04},
                 "second": {"mode": "audio_transcription", "input_cost_per_token": 0, "output_cost_per_token": 0,
                   "output_cost_per_second": 0.0001},
                 "free": {"mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0},
                 "half": {"mode": "chat", "input_cost_per_token": 1e-06},
                 "embed": {"mode": "embedding", "input_cost_per_token": 1.5e-13},
                 "tiers": {"mode": "chat", "tiered_pricing": [
                   {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "range": [0, 32000.0]},
                   {"range": [32000.0, 1e6], "input_cost_per_token": 3e-06, "output_cost_per_token": 4e-06}]}}
                """#)
        #expect(result.models == 4)
        #expect(
            result.report == """
                openai/a: search_context_cost_per_query is not a price per token
                openai/a: input_cost_per_token_balanced is not a price per token
                image: output_cost_per_image is not a price per token
                image: not loaded: no price per token of input and output
                second: output_cost_per_second is not a price per token
                second: not loaded: its price is not per token
                half: not loaded: no price per token of input and output
                embed: input_cost_per_token was rounded up to a whole pico-dollar

                """)
        func row(_ name: String, _ variant: Variant, _ input: Int64) throws -> PriceRow {
            let set = try book.set(of: name)
            return try #require(book.index.rows(set: set)).row(variant, inputTokens: input).pointee
        }
        let base = try row("openai/a", .standard, 200_000)
        #expect(base.input == 1_000_000 && base.output == 4_000_000 && base.cache_read == 100_000)
        #expect(base.cache_write == 1_000_000 && base.cache_write_1h == 1_000_000)
        let tier = try row("openai/a", .standard, 200_001)
        #expect(tier.input == 2_000_000 && tier.output == 4_000_000 && tier.cache_read == 100_000)
        let batch = try row("openai/a", .batch, 1)
        #expect(batch.input == 500_000 && batch.output == 2_000_000 && batch.cache_read == 100_000)
        let batchTier = try row("openai/a", .batch, 200_001)
        #expect(batchTier.input == 2_000_000 && batchTier.cache_read == 300_000)
        #expect(try row("openai/a", .priority, 1).output == 8_000_000)
        #expect(try row("openai/a", .priority, 1).input == 1_000_000)
        #expect(try row("openai/a", .flex, 1).input == 1_000_000)
        #expect(try book.input("free") == 0)
        #expect(try book.input("embed") == 1)
        #expect(try book.input("half") == nil && book.input("image") == nil)
        #expect(try row("tiers", .standard, 32_000).output == 2_000_000)
        #expect(try row("tiers", .standard, 32_001).output == 4_000_000)
    }

    @Test func theExampleOfTheManualLoads() throws {
        let book = try PriceBook()
        let manual = String(decoding: testFile("../docs/prices.md"), as: UTF8.self)
        let start = try #require(manual.range(of: "```json\n"))
        let end = try #require(manual.range(of: "\n```\n\n- `format`"))
        let text = String(manual[start.upperBound..<end.lowerBound])
        #expect(try book.load(text: text, at: 1_800_000_000).models == 4)
        #expect(try book.input("our-gateway/large") == 1_250_000)
        #expect(try book.input("house-small") == 200_000)
    }

    @Test func theOwnFormatSaysEverything() throws {
        let book = try PriceBook()
        let result = try book.load(
            text: #"""
                {"format": "bursar-prices-1", "as_of": "2026-11-20", "source": "contract",
                 "models": {"house": {
                   "input": "$1/M", "output": "$0.000004/token", "cache_read": "$0.0001/k",
                   "cache_write": "$1.25/M", "cache_write_1h": "$2/M", "reasoning": "$5/M",
                   "audio_input": "$6/M", "cache_read_audio_input": "$0.6/M", "audio_output": "$7/M",
                   "image_input": "$8/M", "image_output": "$9/M", "request": "$0.01",
                   "tiers": [{"above": 200000, "input": "$2/M"}],
                   "batch": {"input": "$0.5/M", "output": "$2/M", "tiers": [{"above": 200000, "input": "$1/M"}]},
                   "aliases": ["hütte", "h\u00fctte 2"]}}}
                """#)
        #expect(result.models == 3 && result.report.isEmpty)
        var usage = Usage()
        usage.inputTokens = 200_001
        #expect(
            try book.quote(try book.id("hütte 2"), variant: .standard, usage: usage)
                == 410_002_000)
        #expect(
            try book.quote(try book.id("hütte"), variant: .batch, usage: usage)
                == 210_001_000)
        usage.inputTokens = 10
        usage.audioInputTokens = 4
        usage.imageInputTokens = 3
        usage.outputTokens = 10
        usage.reasoningOutputTokens = 5
        usage.audioOutputTokens = 2
        usage.imageOutputTokens = 1
        #expect(
            try book.quote(try book.id("house"), variant: .standard, usage: usage)
                == 10_107_000)
        usage.cacheReadInputTokens = 2
        usage.cacheReadAudioInputTokens = 1
        #expect(
            try book.quote(try book.id("house"), variant: .standard, usage: usage)
                == 10_100_700)
    }

    @Test(
        arguments: [
            ("", 1, 1), ("[]", 1, 1), ("{", 1, 2), ("{} x", 1, 4), (#"{"a" 1}"#, 1, 6),
            (#"{"a": {}"#, 1, 9), (#"{"a": {},}"#, 1, 10),
            (#"{"a": {"input_cost_per_token": 01}}"#, 1, 33),
            ("{\"a\":\n {\"input_cost_per_token\": -1}}", 2, 27), (#"{"a": 3}"#, 1, 7),
            (#"{"a": {"x": "\q"}}"#, 1, 14), (#"{"a": {"x": "\ud800"}}"#, 1, 14),
            (#"{"a": {"x": 1.}}"#, 1, 15),
            (#"{"a": {"x": nul}}"#, 1, 13), (#"{"a": {"output_cost_per_token": 1001}}"#, 1, 33),
            (#"{"": {}}"#, 1, 5), ("{\"a\u{1}\": {}}", 1, 4), (#"{"a": {"x": +1}}"#, 1, 13),
            (#"{"models": {}, "format": "bursar-prices-1"}"#, 1, 26),
            (#"{"format": "bursar-prices-2"}"#, 1, 29),
            (#"{"format": "bursar-prices-1", "model": {}}"#, 1, 39),
            (#"{"format": "bursar-prices-1", "models": {"a": {"input": "$1/M"}}}"#, 1, 47),
            (
                #"{"format": "bursar-prices-1", "models": {"a": {"input": 1, "output": "$1/M"}}}"#,
                1, 57
            ),
            (
                #"{"format": "bursar-prices-1", "models": {"a": {"input": "$1", "output": "$1/M"}}}"#,
                1, 58
            ),
            (#"{"format": "bursar-prices-1", "models": {"a": {"inputs": "$1/M"}}}"#, 1, 57),
            (#"{"format": "bursar-prices-1", "models": {"a": {"from": "2026-02-30"}}}"#, 1, 56),
            (#"{"format": "bursar-prices-1", "models": {"a": []}}"#, 1, 49),
        ] as [(String, Int32, Int32)])
    func aMalformedFileIsRefusedWithItsPlace(text: String, line: Int32, column: Int32) throws {
        let book = try PriceBook()
        do {
            try book.load(text: text)
            Issue.record("taken: \(text)")
        } catch {
            #expect(error.status == .price)
            #expect(
                error.line == line && error.column == column,
                "\(text) \(error.line):\(error.column) \(String(decoding: error.sentence, as: UTF8.self))"
            )
        }
    }

    @Test func nestingIsBounded() throws {
        let book = try PriceBook()
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: Failure.self) { try book.load(text: #"{"a": {"x": "# + deep) }
    }

    @Test func noTextMakesTheReaderTrap() throws {
        let book = try PriceBook()
        let seeds = [
            #"{"format": "bursar-prices-1", "models": {"a": [{"from": "2026-01-01", "input": "$1/M", "output": "$1/M", "tiers": [{"above": 5, "input": "$2/M"}], "aliases": ["\u00e9\ud83d\ude00"]}]}}"#,
            #"{"a": {"mode": "chat", "input_cost_per_token": 1.5e-06, "output_cost_per_token_above_200k_tokens_batches": 2, "tiered_pricing": [{"range": [0, 1], "input_cost_per_token": 1}], "x": [true, null, -1.5E+3]}}"#,
        ]
        var dice = Dice(state: 3)
        for _ in 0..<5000 {
            var bytes = [UInt8](seeds[Int(dice.upTo(1))].utf8)
            for _ in 0...dice.upTo(3) {
                let i = Int(dice.upTo(Int64(bytes.count - 1)))
                switch dice.upTo(3) {
                case 0: bytes[i] = UInt8(dice.upTo(255))
                case 1: bytes.remove(at: i)
                case 2: bytes.removeSubrange(i...)
                default: bytes.insert(contentsOf: bytes[..<(i / 2)], at: i)
                }
                if bytes.isEmpty { bytes = [0x7B] }
            }
            _ = bytes.withUnsafeBufferPointer { try? book.load($0, unixNow: 0) }
        }
    }
}
