// The price book: which model a name means, what it costs, and from when.
//
// Models are numbered: the built-in table's first, then every name in order of
// first mention; a number is never given to another name. A model has price sets
// of its own (a chain, by date), or is an alias of one that has, or is resolved
// to one by shortening its name (ModelName.swift), or has no known price.
//
// The built-in table is encoded. A built-in model's rows are decoded, to stay, when
// they first come into force for a name that was asked for; a built-in model that
// nobody named has no rows in the index, and where its price is needed all the same
// (the dearest rates, whether a file changes anything) it is decoded aside.

internal import CPlatform
internal import CPrices

/// Pico-dollars per token; -1 = as the class that it is part of.
public struct Rates: Equatable, Sendable {
    public var inputPicos: Int64 = 0
    public var outputPicos: Int64 = 0
    public var cacheReadPicos: Int64 = -1
    public var cacheWritePicos: Int64 = -1
    public var cacheWrite1hPicos: Int64 = -1
    public var reasoningPicos: Int64 = -1
    /// Nano-dollars per request.
    public var requestNanos: Int64 = 0

    public init() {}
}

/// Any method from any thread. The index it hands out must not be used after
/// the book is gone.
public final class PriceBook: @unchecked Sendable {  // Sendable because of `lock`.
    public let index: PriceIndex
    /// What is learnt of models goes by their numbers here.
    public let estimator: Estimator

    private struct Model {
        var last: Int32 = 0  // its price set with the latest date, 0 = none of its own
        var alias: Int32 = 0  // the model that a price book made it an alias of
        var target: Int32 = 0  // the model that its name was resolved to
    }

    private let lock = StillLock()
    /// Names whose numbers other processes share: set once, before the first call. With
    /// it the config lock is held wherever a name may be new.
    var shared: SharedNames?
    // Guarded by lock:
    private var models: [Model]  // by number; [0] is unused
    private var names = NameTable()  // of models beyond the built-in ones
    private var previous: [Int32]  // by set: the one of an earlier date, 0 = none
    /// Of the shared names, those that have a number here. Guarded by the config lock.
    private var seen = 0
    private var nowUnix: Int64
    private var nextUnix: Int64 = .max
    private let aside: UnsafeMutablePointer<PriceRow>  // room to decode one set
    private var hasChanges = false  // prices were changed and not yet published
    private var hasNewNames = false  // a name without prices of its own got some

    private static var builtIn: Int32 { Int32(bursar__price_models()) }
    /// Whether a set is one of the built-in table's, the dearest included.
    static func isBuiltIn(_ set: Int32) -> Bool { set <= builtIn + 1 }

    /// The day of the built-in table, in Unix seconds.
    public static var asOfUnix: Int64 { bursar__price_as_of() }

    /// A book with the built-in table, of which nothing is decoded yet. `unixNow` in seconds.
    public init(unixNow: Int64 = 0) throws(Failure) {
        guard let tables = bursar__map(PriceIndex.bytes) else {
            throw Failure(.memory, "no memory for the price book")
        }
        do throws(Failure) {
            estimator = try Estimator()
        } catch {
            bursar__unmap(tables, PriceIndex.bytes)
            throw error
        }
        index = PriceIndex(tables: tables)
        let count = Int(PriceBook.builtIn)
        models = [Model](repeating: Model(), count: count + 1)
        previous = [Int32](repeating: 0, count: count + 2)
        nowUnix = unixNow
        aside = .allocate(capacity: BURSAR__PRICE_ROWS_MAX)
        // The built-in models' sets bear their numbers; the dearest is next.
        for model in 1...PriceBook.builtIn { models[Int(model)].last = model }
        let dearest = PriceBook.builtIn + 1
        index.slot(dearest).value = Int64(Int(bitPattern: bursar__price_dearest()))
        index.current(0).storeReleasing(UInt32(dearest))
        index.slot(0).storeReleasing(Int64(count))
    }

    deinit {
        for set in 1..<previous.count where set != Int(PriceBook.builtIn) + 1 {
            UnsafeMutablePointer<PriceRow>(bitPattern: Int(index.slot(Int32(set)).value))?
                .deallocate()
        }
        aside.deallocate()
        bursar__unmap(index.tables, PriceIndex.bytes)
    }

    // MARK: - Names

    /// The number of a model's name, priced or not; it stays the same.
    public func find(_ name: UnsafeBufferPointer<UInt8>) throws(Failure) -> Int32 {
        lock.lock()
        defer { lock.unlock() }
        return try named(name)
    }

    /// A built-in model that another process named: its prices come into force here
    /// too. Whether it has any.
    func know(_ model: Int32) -> Bool {
        guard model > 0, model <= PriceBook.builtIn else { return false }
        lock.lock()
        defer { lock.unlock() }
        publish(model)
        return index.currentSet(model: model) != 0
    }

    /// The name that `find` was given, or nil.
    public func name(_ model: Int32) -> [UInt8]? {
        lock.lock()
        defer { lock.unlock() }
        guard model > 0, model < models.count else { return nil }
        return withName(model) { [UInt8]($0) }
    }

    private func withName<R>(_ model: Int32, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        if model > PriceBook.builtIn {
            return names.withName(Int(model - PriceBook.builtIn), body)
        }
        let capacity = BURSAR__PRICE_NAME_MAX
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: capacity) { text in
            let length = bursar__price_name(UInt32(model), text.baseAddress)
            return body(UnsafeBufferPointer(rebasing: text[..<length]))
        }
    }

    /// A name's number if it was mentioned before, or 0.
    private func known(_ name: UnsafeBufferPointer<UInt8>) -> Int32 {
        var isAlias: Int32 = 0
        let builtIn = bursar__price_find(name.baseAddress, name.count, &isAlias)
        if builtIn != 0, isAlias == 0 { return Int32(builtIn) }
        let number = names.find(name)
        return number == 0 ? 0 : PriceBook.builtIn + Int32(number)
    }

    /// A name's number, to be handed out: its price can be read from the index.
    private func named(_ name: UnsafeBufferPointer<UInt8>) throws(Failure) -> Int32 {
        let model = try number(name)
        if !isPublished(model) { publish(model) }
        return model
    }

    private func number(_ name: UnsafeBufferPointer<UInt8>) throws(Failure) -> Int32 {
        guard !name.isEmpty, name.count <= ModelName.bytesMax else {
            throw Failure(.invalid, "a model's name has 1 to 256 bytes")
        }
        var model = known(name)
        if model != 0 { return model }
        if let shared {
            try addShared()
            model = known(name)
            if model != 0 { return model }
            try shared.append(name)
        }
        return try add(name)
    }

    /// Whether a name has a number here.
    func isKnown(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        return known(name) != 0
    }

    /// Learns the names that other processes have added. Config lock held.
    func learn() {
        guard let shared, shared.count > seen else { return }
        lock.lock()
        defer { lock.unlock() }
        try? addShared()
    }

    private func addShared() throws(Failure) {
        guard let shared else { return }
        while names.count < shared.count {
            var failure: Failure?
            shared.name(names.count).withUnsafeBufferPointer { name in
                do throws(Failure) { _ = try add(name) } catch { failure = error }
            }
            if let failure { throw failure }
        }
        seen = names.count
    }

    private func add(_ name: UnsafeBufferPointer<UInt8>) throws(Failure) -> Int32 {
        guard models.count < PriceIndex.capacity else {
            throw Failure(
                .capacity, "the price book has 1,048,575 model names, and no room for more")
        }
        _ = names.insert(name)
        models.append(Model())
        let new = Int32(models.count - 1)
        resolve(new)
        publish(new)
        index.slot(0).storeReleasing(Int64(new))
        return new
    }

    /// Finds the model whose prices a model without its own has.
    private func resolve(_ model: Int32) {
        models[Int(model)].target = withName(model) { name in
            ModelName.resolve(name) { form in
                let found = known(form)
                if found != 0, found != model,
                    models[Int(found)].last != 0 || models[Int(found)].alias != 0
                {
                    return found
                }
                var isAlias: Int32 = 0
                return Int32(bursar__price_find(form.baseAddress, form.count, &isAlias))
            }
        }
    }

    // MARK: - Prices

    /// Overrides a model's prices, from now on and for every variant.
    @discardableResult
    public func set(
        _ name: UnsafeBufferPointer<UInt8>, rates: Rates
    ) throws(Failure) -> Int32 {
        let picos = [
            rates.cacheReadPicos, rates.cacheWritePicos, rates.cacheWrite1hPicos,
            rates.reasoningPicos,
        ]
        for rate in picos + [rates.inputPicos, rates.outputPicos] where rate > Rate.max {
            throw Failure(.invalid, "a rate is above $1,000 per token")
        }
        for rate in picos where rate < -1 {
            throw Failure(.invalid, "a rate is negative; only -1 means `as its whole`")
        }
        guard rates.inputPicos >= 0, rates.outputPicos >= 0, rates.requestNanos >= 0 else {
            throw Failure(.invalid, "input, output and request prices are 0 or more")
        }
        var draft = PriceDraft()
        draft[.standard, 0, .input] = rates.inputPicos
        draft[.standard, 0, .output] = rates.outputPicos
        draft[.standard, 0, .cacheRead] = rates.cacheReadPicos
        draft[.standard, 0, .cacheWrite] = rates.cacheWritePicos
        draft[.standard, 0, .cacheWrite1h] = rates.cacheWrite1hPicos
        draft[.standard, 0, .reasoning] = rates.reasoningPicos
        draft[.standard, 0, .request] = rates.requestNanos
        lock.lock()
        defer { lock.unlock() }
        let model = try named(name)
        try take([draft.finished()], for: model)
        update()
        return model
    }

    // MARK: - Loading and dates

    /// What a file says of one model: its sets by rising date, or the name it is an alias of.
    struct Entry {
        var name: [UInt8]
        var sets: [[PriceRow]] = []
        var aliasOf: [UInt8] = []
    }

    /// Takes over everything that a file said.
    func take(_ entries: [Entry], unixNow: Int64) throws(Failure) {
        lock.lock()
        defer { lock.unlock() }
        var sets = 0
        for entry in entries { sets += entry.sets.count }
        guard models.count + entries.count * 2 < PriceIndex.capacity,
            previous.count + sets + 1 < PriceIndex.capacity
        else { throw Failure(.capacity, "the price book has no room for this many prices") }
        nowUnix = unixNow
        hasChanges = true  // dates may have come
        for entry in entries {
            let model = try number(bytes: entry.name)
            if entry.aliasOf.isEmpty {
                try take(entry.sets, for: model)
            } else {
                models[Int(model)] = Model(alias: try number(bytes: entry.aliasOf))
                hasNewNames = true
            }
        }
        update()
    }

    private func number(bytes: [UInt8]) throws(Failure) -> Int32 {
        var model: Int32 = 0
        var failure: Failure?
        bytes.withUnsafeBufferPointer { name in
            do throws(Failure) { model = try number(name) } catch { failure = error }
        }
        if let failure { throw failure }
        return model
    }

    /// Makes a model's chain end in `sets`: what is dated before the first of
    /// them stays. A set that is there already keeps its number.
    private func take(_ sets: [[PriceRow]], for model: Int32) throws(Failure) {
        let old = models[Int(model)].last
        var last = old
        while last != 0, from(last) >= sets[0][0].from_unix { last = previous[Int(last)] }
        for rows in sets {
            var same = old
            while same != 0, previous[Int(same)] != last || !equal(same, rows) {
                same = previous[Int(same)]
            }
            last = same != 0 ? same : try add(rows, after: last)
        }
        guard last != old || models[Int(model)].alias != 0 else { return }
        if old == 0 { hasNewNames = true }
        hasChanges = true
        models[Int(model)] = Model(last: last)
    }

    /// Publishes a set; its number.
    private func add(_ rows: [PriceRow], after: Int32) throws(Failure) -> Int32 {
        guard previous.count < PriceIndex.capacity else {
            throw Failure(
                .capacity, "prices were changed 1,048,575 times, and there is no room for more")
        }
        let block = UnsafeMutablePointer<PriceRow>.allocate(capacity: rows.count)
        block.initialize(from: rows, count: rows.count)
        let set = Int32(previous.count)
        previous.append(after)
        index.slot(set).storeReleasing(Int64(Int(bitPattern: block)))
        return set
    }

    /// A set's rows, until the next call; nil for 0.
    private func first(_ set: Int32) -> UnsafePointer<PriceRow>? {
        if let rows = index.rows(set: set) { return rows.first }
        return bursar__price_set(UInt32(set), aside) == 0 ? nil : UnsafePointer(aside)
    }

    /// What is not in the index is built in, and holds always.
    private func from(_ set: Int32) -> Int64 { index.rows(set: set)?.first.pointee.from_unix ?? 0 }

    private func equal(_ set: Int32, _ rows: [PriceRow]) -> Bool {
        guard let first = first(set), Int(first.pointee.rows) == rows.count else { return false }
        return memcmp(rows, first, rows.count * MemoryLayout<PriceRow>.stride) == 0
    }

    /// When the next dated price comes into force, in Unix seconds; Int64.max = none is waiting.
    public var nextEffective: Int64 {
        lock.lock()
        defer { lock.unlock() }
        return nextUnix
    }

    /// Puts prices into force whose date has come. `unixNow` in seconds.
    public func refresh(unixNow: Int64) {
        lock.lock()
        defer { lock.unlock() }
        nowUnix = unixNow
        for model in 1..<Int32(models.count) where isPublished(model) { publish(model) }
        publishDearest()
        scheduleNext()
    }

    /// After any change of prices. Names without prices of their own may mean
    /// other models now.
    private func update() {
        guard hasChanges else { return }
        hasChanges = false
        if hasNewNames {
            for model in 1..<Int32(models.count)
            where models[Int(model)].last == 0 && models[Int(model)].alias == 0 { resolve(model) }
            hasNewNames = false
        }
        for model in 1..<Int32(models.count) where isPublished(model) { publish(model) }
        publishDearest()
        scheduleNext()
    }

    /// The latest of a model's sets whose date has come; 0 = none.
    private func inForce(_ model: Int32) -> Int32 {
        var model = model
        // An alias of an alias is followed, a circle of them is not.
        for _ in 0..<8 where models[Int(model)].last == 0 {
            let next =
                models[Int(model)].alias != 0 ? models[Int(model)].alias : models[Int(model)].target
            if next == 0 { return 0 }
            model = next
        }
        var set = models[Int(model)].last
        while set != 0, from(set) > nowUnix { set = previous[Int(set)] }
        return set
    }

    /// Whether the index tells the model's price: all but a built-in one that nobody named.
    private func isPublished(_ model: Int32) -> Bool {
        model > PriceBook.builtIn || index.current(model).value != 0
    }

    private func publish(_ model: Int32) {
        let set = inForce(model)
        if set != 0, index.slot(set).value == 0 { decode(set) }
        if index.current(model).value != UInt32(set) {
            index.current(model).storeReleasing(UInt32(set))
        }
    }

    /// Decodes a built-in set, to stay.
    private func decode(_ set: Int32) {
        let count = Int(bursar__price_set(UInt32(set), aside))
        let block = UnsafeMutablePointer<PriceRow>.allocate(capacity: count)
        block.initialize(from: aside, count: count)
        index.slot(set).storeReleasing(Int64(Int(bitPattern: block)))
    }

    private func scheduleNext() {
        nextUnix = .max
        for model in models {
            var set = model.last
            while set != 0 {
                let from = from(set)
                if from > nowUnix { nextUnix = min(nextUnix, from) }
                set = previous[Int(set)]
            }
        }
    }

    /// One row at the highest rate of each class over all chat models' standard prices.
    private func publishDearest() {
        var dearest = PriceRow()
        dearest.rows = 1
        dearest.chat = 1
        for model in 1..<Int32(models.count) where models[Int(model)].last != 0 {
            guard var row = first(inForce(model)), row.pointee.chat != 0 else { continue }
            while true {
                RateClass.each { dearest[$0] = max(dearest[$0], row.pointee[$0]) }
                if row.pointee.next_tier == 0 { break }
                row += 1
            }
        }
        if equal(index.dearestSet, [dearest]) { return }
        // When no number is left, the former dearest stays.
        if let set = try? add([dearest], after: 0) { index.current(0).storeReleasing(UInt32(set)) }
    }
}
