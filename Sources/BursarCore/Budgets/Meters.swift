// Meters that a program names, and tools: small tables in the segment, under the
// config lock.

extension Runtime {
    private static var metersMax: Int { MeterIndex.end - MeterIndex.named }

    /// How many meters have a name.
    var metersNamed: Int { min(Int(core.header(Header.meterCount).value), Runtime.metersMax) }

    private func meterText(_ k: Int) -> Half { core.header(Header.meterNames + k * 4) }

    /// The name of a named meter; nil when the number is none.
    func meterName(_ meter: Int) -> [UInt8]? {
        let k = meter - MeterIndex.named
        return k >= 0 && k < metersNamed ? slab.text(meterText(k).value) : nil
    }

    func meter(named name: [UInt8]) -> UInt32? {
        guard let block = slab.find(name) else { return nil }
        for k in 0..<metersNamed where meterText(k).value == block {
            return UInt32(MeterIndex.named + k)
        }
        return nil
    }

    func defineMeter(_ name: [UInt8]) throws(Failure) -> UInt32 {
        if let meter = meter(named: name) { return meter }
        let k = metersNamed
        if k >= Runtime.metersMax {
            throw Failure(
                .capacity,
                "24 named meters are in use, those of calls(tool) among them; no more are possible")
        }
        edit[meterText(k)] = try intern(name)
        edit[core.header(Header.meterCount)] = UInt32(k + 1)
        return UInt32(MeterIndex.named + k)
    }

    /// The header's bursar_meter_define().
    public func meterDefine(_ name: [UInt8]) throws(Failure) -> Int32 {
        try configuring { () throws(Failure) in
            if !LimitParser.isMeterName(name) {
                throw Failure(
                    .path,
                    "a meter's name is a lower-case letter and up to 31 letters, digits and underscores, and no word of the limit grammar"
                )
            }
            return Int32(try defineMeter(name))
        }
    }

    /// Tools are numbered from 1 and stay.
    var toolCount: Int32 {
        Int32(min(core.header(Header.toolCount).value, Segment.toolsMax - 1))
    }

    func findTool(_ name: [UInt8]) throws(Failure) -> Int32 {
        try Path.check(name, what: "the tool's name", most: 128)
        let count = toolCount
        if let block = slab.find(name) {
            for tool in 0..<Int(count) where core.tool(tool + 1).name.value == block {
                return Int32(tool + 1)
            }
        }
        if count + 1 >= Int32(Segment.toolsMax) {
            throw Failure(.capacity, "4,095 tools are in use; no more are possible")
        }
        edit[core.tool(Int(count) + 1).name] = try intern(name)
        edit[core.header(Header.toolCount)] = UInt32(count + 1)
        return count + 1
    }

    /// The header's bursar_tool_find().
    public func toolFind(_ name: [UInt8]) throws(Failure) -> Int32 {
        try configuring { () throws(Failure) in try findTool(name) }
    }

    /// The header's bursar_tool_price_set().
    public func toolPriceSet(_ tool: Int32, nanos: Int64) throws(Failure) {
        try configuring { () throws(Failure) in
            guard tool > 0, tool <= toolCount else {
                throw Failure(.notFound, "no such tool; bursar_tool_find() gives its number")
            }
            guard nanos >= 0, nanos < Bound.amount else {
                throw Failure(.invalid, "a tool's price is 0 to 9,007,199 dollars")
            }
            let price = core.tool(Int(tool)).price
            if price.value != 0, price.value != nanos,
                let refusal = refusesAgent("change the price of a tool")
            {
                throw refusal
            }
            edit[price] = nanos
        }
    }
}
