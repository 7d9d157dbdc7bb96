// The runtime through the module: prices, money, reads, events, and its end.

import Bursar
import Glibc
import Testing

@Suite struct RuntimeTests {
    @Test func moneyAndRatesAreReadExactly() throws {
        #expect(try Money("$1.25") == Money(nanos: 1_250_000_000))
        #expect(try Money("2 USD") == .dollars(2) && Money("0.01") == .cents(1))
        #expect("\(Money(nanos: 1_250_000_001))" == "$1.250000001")
        #expect(try Rate("$0.28/M") == Rate(picosPerToken: 280_000))
        #expect(code { () throws(BursarError) in try Money("€5") } == .moneyText)
        #expect(code { () throws(BursarError) in try Rate("$1/lot") } == .moneyText)
        // The nearest there is, never a trap.
        #expect(Money.dollars(.max) == Money(nanos: .max))
        #expect(Money.dollars(.min) == Money(nanos: .min))
        #expect(Money(nanos: .max) + .cents(1) == Money(nanos: .max))
        #expect(Money(nanos: .min) - .cents(1) == Money(nanos: .min))
        #expect(Money.cents(7) - .cents(10) == Money(nanos: -30_000_000))
    }

    @Test func pricesAreBuiltInSetAndLoaded() throws {
        let runtime = try Runtime()
        let built = try runtime.model("gpt-4o")
        #expect(try runtime.price(of: built) != nil)
        let mine = try runtime.model("my-model")
        #expect(try runtime.price(of: mine) == nil && mine.name == "my-model")
        let usage = Usage(input: 1_000, output: 10)
        #expect(code { () throws(BursarError) in try runtime.quote(usage, on: mine) } == .price)
        let rates = Rates(
            input: try Rate("$0.28/M"), output: try Rate("$0.42/M"),
            cacheRead: try Rate("$0.028/M"))
        try runtime.setPrice(of: "my-model", rates)
        let found = try #require(try runtime.price(of: mine))
        #expect(found.input == rates.input && found.cacheRead == rates.cacheRead)
        #expect(try runtime.quote(usage, on: mine) == Money(nanos: 284_200))
        let book = #"{"loaded": {"litellm_provider": "x", "mode": "chat", "#
            + #""input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}}"#
        #expect(try runtime.loadPrices(book.utf8).models == 1)
        #expect(try runtime.quote(usage, on: runtime.model("loaded")) == Money(nanos: 1_020_000))
        #expect(code { () throws(BursarError) in try runtime.loadPrices("{".utf8) } == .price)
    }

    @Test func anUnknownModelIsRefusedUnderAMoneyLimit() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$1")
        let decision = refusal { () throws(BursarError) in
            try session.reserve("nobody-knows-it", input: 1, maxOutput: 1)
        }
        #expect(decision?.reason == .priceUnknown && decision?.remedy == .price)
        #expect(decision?.description.contains("nobody-knows-it") == true)
        var options = Runtime.Options()
        options.unknownModel = .free
        let free = try Runtime(options).openSession("acme", limits: "$1")
        let step = try free.reserve("nobody-knows-it", input: 1, maxOutput: 1)
        #expect(step.decision.isUnpriced)
        #expect(try step.settle(Usage(input: 1)).isUnpriced)
    }

    @Test func spendIsListedByWorkflowAgentAndModels() throws {
        let runtime = try Runtime()
        let model = try runtime.plainModel()
        for agent in ["searcher", "writer"] {
            let session = try runtime.openSession("acme/support", limits: "$1", agent: agent)
            for _ in 0..<3 {
                try session.reserve(Request(model, input: 10, maxOutput: 10))
                    .settle(Usage(input: 10, output: 5, cacheRead: 0))
            }
        }
        let rows = try runtime.spend()
        #expect(rows.map(\.agent).sorted() == ["searcher", "writer"])
        #expect(rows.allSatisfy { $0.path == "acme/support" && $0.model == model })
        #expect(rows.allSatisfy { $0.steps == 3 && $0.cost == Money(nanos: 45_000) })
        let total = rows.map(\.cost).reduce(.zero, +)
        #expect(try runtime.everything.view().spent == total)
        let health = try runtime.health()
        #expect(health.settledSteps == 6 && health.inFlight == 0)
    }

    @Test func limitTextIsPrintedBackCanonically() throws {
        let runtime = try Runtime()
        #expect(try runtime.canonicalLimits("$5.00 per day", "2000k tokens") == "$5/day, 2M tokens")
        #expect(
            code { () throws(BursarError) in try runtime.canonicalLimits("€5") } == .limitText)
    }

    // MARK: - Events

    @Test func everyStreamHasEveryEventInOrder() async throws {
        let runtime = try Runtime()
        let streams = [runtime.events, runtime.events]
        let budget = try runtime.declare("acme", "$1 alert 50%")
        let session = try runtime.openSession("acme/triage")
        var usage = Usage()
        usage.extra = .cents(60)
        try session.reserve(Request(nil, extra: .cents(60))).settle(usage)
        try runtime.kill("acme", reason: "enough")
        try budget.revive()
        for stream in streams {
            var seen: [Event] = []
            for await event in stream {
                seen.append(event)
                if event.kind == .revive { break }
            }
            let kill = try #require(seen.first { $0.kind == .kill })
            #expect(kill.path == "acme" && kill.text == "enough" && kill.id == budget.id)
            #expect(seen.map(\.sequence) == seen.map(\.sequence).sorted())
        }
    }

    @Test func anAlertIsToldWhenItsShareIsCrossed() async throws {
        let runtime = try Runtime()
        let events = runtime.events
        try runtime.declare("acme", "$1 alert 50%")
        let session = try runtime.openSession("acme/triage")
        var usage = Usage()
        usage.extra = .cents(60)
        try session.reserve(Request(nil, extra: .cents(60))).settle(usage)
        var alert: Event?
        for await event in events where event.kind == .threshold {
            alert = event
            break
        }
        #expect(alert?.path == "acme" && alert?.percent == 50 && alert?.meter == .cost)
        #expect(alert?.limit == Money.dollars(1).nanos)
    }

    @Test func toldAndLostAreAllThatHappened() async throws {
        var options = Runtime.Options()
        options.eventsMax = 8
        let runtime = try Runtime(options)
        var events = runtime.events.makeAsyncIterator()
        let budget = try runtime.declare("acme", "$1")
        for _ in 0..<200 {
            try budget.kill()
            try budget.revive()
        }
        var (told, lost) = (Int64(0), Int64(0))
        while let event = await events.next() {
            if event.kind == .lost { lost += event.amount } else { told += 1 }
            if event.text == "last" {
                // From the first event on, every number was told or is counted as lost.
                #expect(told + lost == event.sequence && lost > 0)
                break
            }
            // Fewer than are read, so that one of them finds room.
            if told % 4 == 0 {
                try budget.kill(reason: "last")
                try budget.revive()
            }
        }
    }

    @Test func streamsEndWhenTheRuntimeCloses() async throws {
        var runtime: Runtime? = try Runtime()
        let events = try #require(runtime?.events)
        let task = Task { await events.reduce(into: 0) { count, _ in count += 1 } }
        try runtime?.declare("acme", "$1")
        try runtime?.kill("acme")
        // A stream does not keep the runtime open.
        runtime = nil
        #expect(await task.value >= 1)
    }

    @Test func aCancelledConsumerEndsItsStreamAlone() async throws {
        let runtime = try Runtime()
        let (one, two) = (runtime.events, runtime.events)
        let waiting = Task { await one.reduce(into: 0) { count, _ in count += 1 } }
        waiting.cancel()
        _ = await waiting.value
        let budget = try runtime.declare("acme", "$1")
        try budget.kill()
        var kinds: [Event.Kind] = []
        for await event in two {
            kinds.append(event.kind)
            break
        }
        #expect(kinds == [.kill])
    }

    // MARK: - The end

    @Test func afterCloseEveryCallSaysSo() throws {
        let runtime = try Runtime()
        let session = try runtime.openSession("acme", limits: "$1")
        let step = try session.reserve(Request(nil, extra: .cents(1)))
        let request = Request(nil, extra: .dollars(2))
        let decision = try #require(
            refusal { () throws(BursarError) in try session.reserve(request) })
        runtime.close()
        runtime.close()
        #expect(code { () throws(BursarError) in try session.reserve(request) } == .closed)
        #expect(code { () throws(BursarError) in try step.settle(Usage()) } == .closed)
        #expect(code { () throws(BursarError) in try step.begin() } == .closed)
        #expect(code { () throws(BursarError) in try step.stream(output: 1) } == .closed)
        #expect(code { () throws(BursarError) in try session.charge(.cents(1)) } == .closed)
        #expect(code { () throws(BursarError) in try session.view() } == .closed)
        #expect(code { () throws(BursarError) in try runtime.declare("a") } == .closed)
        #expect(code { () throws(BursarError) in try runtime.spend() } == .closed)
        #expect(code { () throws(BursarError) in try runtime.health() } == .closed)
        #expect(code { () throws(BursarError) in try runtime.kill("acme") } == .closed)
        #expect("\(decision)" == "halt: limit" && decision.model == nil)
        session.close()
    }

    @Test func closedRuntimesStayHarmlessWhenTheirPagesAreGone() throws {
        let session = try Runtime().openSession("acme", limits: "$1")
        session.runtime.close()
        // The core keeps the last 64 handles that were closed.
        for _ in 0..<70 { try Runtime().close() }
        let request = Request(nil, extra: .cents(1))
        #expect(code { () throws(BursarError) in try session.reserve(request) } == .closed)
    }

    @Test func closingWhileOthersCallIsSafe() throws {
        for _ in 0..<20 {
            let runtime = try Runtime()
            let session = try runtime.openSession("acme", limits: "$100")
            together(threads: 8) { thread in
                if thread == 0 { return runtime.close() }
                for _ in 0..<200 {
                    _ = try? session.reserve(Request(nil, extra: .cents(1))).settle(Usage())
                }
            }
            #expect(code { () throws(BursarError) in try session.view() } == .closed)
        }
    }

    // MARK: - README

    @Test func theReadmesSampleIsTheOneThatRuns() throws {
        func text(_ path: String) throws -> String {
            let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
            let file = try #require(fopen("/\(root)/\(path)", "r"))
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            let count = fread(&bytes, 1, bytes.count, file)
            return String(decoding: bytes[..<count], as: UTF8.self)
        }
        let sample = try text("Tests/BursarTests/ReadmeSample.swift")
        #expect(try text("README.md").contains("```swift\n\(sample)```\n"))
        try triage()
    }
}
