// Meters that a program names, and tools: small tables under the config lock.

extension Runtime {
    func meter(named name: [UInt8]) -> UInt32? {
        meterNames.firstIndex(of: name).map { UInt32($0 + 8) }
    }

    func defineMeter(_ name: [UInt8]) throws(Failure) -> UInt32 {
        if let meter = meter(named: name) { return meter }
        if meterNames.count >= 24 {
            throw Failure(
                .capacity,
                "24 named meters are in use, those of calls(tool) among them; no more are possible")
        }
        meterNames.append(name)
        return UInt32(meterNames.count + 7)
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

    /// A tool's number; tools are numbered from 1 and stay.
    func findTool(_ name: [UInt8]) throws(Failure) -> Int32 {
        try Path.check(name, what: "the tool's name", most: 128)
        if let block = slab.find(name), let tool = toolsByName[block] { return tool }
        if toolCount + 1 >= Int32(Segment.toolsMax) {
            throw Failure(.capacity, "4,095 tools are in use; no more are possible")
        }
        let block = try intern(name)
        toolCount += 1
        toolsByName[block] = toolCount
        core.tool(Int(toolCount)).name.value = block
        return toolCount
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
            core.tool(Int(tool)).price.value = nanos
        }
    }
}
