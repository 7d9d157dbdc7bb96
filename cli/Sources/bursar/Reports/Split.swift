// What was spent, by class of tokens. The ledger has what a step cost as a whole; its classes
// follow from the prices. A step whose cost is exactly what a price says for its tokens is taken at
// that price. What a provider billed otherwise is split in proportion to the price, and a step
// of a model that no price is known for is not split at all. Parts always add up to the
// step's cost.

import CBursar

/// Steps that have everything in common but their amounts.
struct StepGroup {
    enum Basis: Hashable {
        case priced(Price)  // cost is what the price says
        case billed(Price)  // cost is something else
        case unknown  // nobody knows a price
        case tool, charge  // no model
    }

    let key: [Value]
    let model: String?
    let tool: String?
    let meter: String?
    let variant: String
    let prices: String?
    let basis: Basis
    var steps: Int64 = 0
    var calls: Int64 = 0
    var units: Int64 = 0
    var count: Int64 = 0
    var cost: Int64 = 0
    var extra: Int64 = 0
    var tokens = [Int64](repeating: 0, count: TokenClass.count)

    /// One part of it: a class, or nothing for what has no tokens.
    struct Part {
        let kind: TokenClass?
        let tokens: Int64
        let cost: Int64
        let picos: Int64?
    }

    /// Its cost by class. What is charged per request and for extras has no class.
    func parts() -> [Part] {
        var parts: [Part] = []
        switch basis {
        case .priced(let price), .billed(let price):
            let fixed = Int64(clamping: Int128(price.request) * Int128(steps))
            let free = min(max(0, cost), Int64(clamping: Int128(extra) + Int128(fixed)))
            var weights = zip(price.picos, tokens).map { Int128($0) * Int128($1) }
            if weights.allSatisfy({ $0 == 0 }) { weights = tokens.map { Int128($0) } }
            let isPriced = if case .priced = basis { true } else { false }
            guard let split = apportion(cost - free, by: weights) else {
                return [Part(kind: nil, tokens: 0, cost: cost, picos: nil)]
            }
            for kind in TokenClass.allCases
            where tokens[kind.rawValue] != 0 || split[kind.rawValue] != 0 {
                parts.append(
                    Part(
                        kind: kind, tokens: tokens[kind.rawValue], cost: split[kind.rawValue],
                        picos: isPriced ? price.picos[kind.rawValue] : nil))
            }
            if free != 0 { parts.append(Part(kind: nil, tokens: 0, cost: free, picos: nil)) }
        case .unknown, .tool, .charge:
            parts.append(Part(kind: nil, tokens: tokens.reduce(0, +), cost: cost, picos: nil))
        }
        return parts
    }
}

struct Split {
    private(set) var groups: [StepGroup] = []
    private var found: [Identity: Int] = [:]
    private var known: [String: Price?] = [:]
    private let book: Book

    private struct Identity: Hashable {
        let key: [Value]
        let model: String?
        let tool: String?
        let meter: String?
        let variant: String
        let prices: String?
        let basis: StepGroup.Basis
    }

    init(_ book: Book) { self.book = book }

    /// Reads steps, by what `select` says ("expression, expression, " of `count` columns of v_steps, called `v`).
    mutating func read(
        _ home: Home, select: String, count: Int, _ parameters: [Value],
        where filter: (String, [Value])
    ) throws {
        let sql = """
            SELECT \(select)model, tool, meter, variant, price, count, steps, tool_calls, units, cost_nanos, \
            extra_nanos, \(Usage.columns) FROM v_steps v WHERE \(filter.0)
            """
        try home.ask(sql, parameters + filter.1) { row in
            let usage = Usage(row, at: count + 11)
            var model = row.text(count)
            var variant = row.text(count + 3) ?? "standard"
            let steps = row.int(count + 6)
            let cost = row.int(count + 9)
            let extra = row.int(count + 10)
            let tokens = usage.classes
            var basis = StepGroup.Basis.unknown
            if let name = model {
                basis = try self.basis(
                    name, variant, usage, tokens, steps: steps, rows: row.int(count + 5),
                    cost - extra)
            } else {
                basis = row.text(count + 1) == nil ? .charge : .tool
                (model, variant) = (nil, "standard")
            }
            let identity = Identity(
                key: row.key(count), model: model, tool: row.text(count + 1),
                meter: row.text(count + 2),
                variant: variant, prices: row.text(count + 4), basis: basis)
            let index: Int
            if let there = found[identity] {
                index = there
            } else {
                index = groups.count
                found[identity] = index
                groups.append(
                    StepGroup(
                        key: identity.key, model: model, tool: identity.tool, meter: identity.meter,
                        variant: variant,
                        prices: identity.prices, basis: basis))
            }
            groups[index].count = try sum(groups[index].count, row.int(count + 5))
            groups[index].steps = try sum(groups[index].steps, steps)
            groups[index].calls = try sum(groups[index].calls, row.int(count + 7))
            groups[index].units = try sum(groups[index].units, row.int(count + 8))
            groups[index].cost = try sum(groups[index].cost, cost)
            groups[index].extra = try sum(groups[index].extra, extra)
            for k in tokens.indices {
                groups[index].tokens[k] = try sum(groups[index].tokens[k], tokens[k])
            }
        }
    }

    private mutating func basis(
        _ model: String, _ variant: String, _ usage: Usage, _ tokens: [Int64], steps: Int64,
        rows: Int64, _ cost: Int64
    ) throws -> StepGroup.Basis {
        let number = Book.variant(variant)
        let name = variant + " " + model
        let price: Price?
        if let there = known[name] {
            price = there
        } else {
            price = try book.price(model, number)
            known[name] = .some(price)
        }
        guard let price else { return .unknown }
        // Steps that compaction added up were rounded each.
        let slack = rows > 1 ? rows : 0
        func explains(_ price: Price) -> Bool {
            let expected = divided(price.cost(tokens, requests: steps), by: 1000)
            return (expected - slack...expected + slack).contains(cost)
        }
        if explains(price) { return .priced(price) }
        if rows == 1, usage.input > 10_000 {
            for step: Int64 in [1000, -1000] {
                if let tier = try book.price(model, number, input: usage.input, step: step),
                    explains(tier)
                {
                    return .priced(tier)
                }
            }
        }
        return .billed(price)
    }
}
