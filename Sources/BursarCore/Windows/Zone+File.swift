// Reads a time zone file: TZif versions 1 to 4, RFC 8536 and RFC 9636.
//
//     header  "TZif" version reserved[15] isutcnt isstdcnt leapcnt timecnt typecnt charcnt
//     body    times[timecnt] types[timecnt] infos[typecnt]{utoff dst index} chars leaps isstd isut
//     footer  '\n' TZ text '\n'
//
// All numbers are big-endian. In version 1 there is one header and one body with
// 32-bit times; from version 2 on a second header and body with 64-bit times
// follow, and then the footer. Every count is checked against what is there.

extension Zone {
    /// - Throws: `ZoneError.corrupt`: truncated, contradictory, or not such a file.
    convenience init(name: [UInt8], file: [UInt8]) throws(ZoneError) {
        var reader = FileReader(bytes: file)
        var header = try reader.header()
        var timeBytes = 4
        if header.version >= UInt8(ascii: "2") {
            try reader.skip(header.bodyBytes(timeBytes: 4))
            header = try reader.header()
            timeBytes = 8
        }
        guard header.leaps == 0 else { throw .corrupt("it counts leap seconds") }
        guard header.types > 0 else { throw .corrupt("no local time type") }
        guard header.bodyBytes(timeBytes: timeBytes) <= reader.remaining else {
            throw .corrupt("it is cut off")
        }

        let times = reader.position
        let types = times + header.times * timeBytes
        let infos = types + header.times
        func offset(_ type: Int) throws(ZoneError) -> Int32 {
            guard type < header.types else { throw .corrupt("a transition to no type") }
            let offset = reader.integer(at: infos + type * 6, bytes: 4)
            guard abs(offset) <= Zone.offsetMax else { throw .corrupt("an offset above 26 hours") }
            return Int32(offset)
        }

        var transitions: [Int64] = []
        var offsets = [try offset(0)]  // Before the first transition the first type holds.
        transitions.reserveCapacity(header.times)
        offsets.reserveCapacity(header.times + 1)
        for index in 0..<header.times {
            let time = reader.integer(at: times + index * timeBytes, bytes: timeBytes)
            if let last = transitions.last, time <= last {
                throw .corrupt("transitions out of order")
            }
            transitions.append(time)
            offsets.append(try offset(Int(file[types + index])))
        }

        var rule: ZoneRule?
        if timeBytes == 8 {
            try reader.skip(header.bodyBytes(timeBytes: 8))
            let text = try reader.footer()
            if !text.isEmpty {
                rule = ZoneRule(text)
                if rule == nil { throw .corrupt("a malformed rule for the future") }
            }
        }
        self.init(name: name, transitions: transitions, offsets: offsets, rule: rule)
    }
}

private struct FileReader {
    struct Header {
        var version: UInt8
        var isUT, isStandard, leaps, times, types, characters: Int  // each below 2^32

        func bodyBytes(timeBytes: Int) -> Int {
            times * (timeBytes + 1) + types * 6 + characters + leaps * (timeBytes + 4)
                + isStandard + isUT
        }
    }

    let bytes: [UInt8]
    var position = 0
    var remaining: Int { bytes.count - position }

    /// A signed number; the caller has checked that its bytes are there.
    func integer(at start: Int, bytes count: Int) -> Int64 {
        var value: Int64 = bytes[start] >= 128 ? -1 : 0
        for index in start..<start + count { value = value << 8 | Int64(bytes[index]) }
        return value
    }

    mutating func skip(_ count: Int) throws(ZoneError) {
        guard count <= remaining else { throw .corrupt("it is cut off") }
        position += count
    }

    mutating func header() throws(ZoneError) -> Header {
        let start = position
        try skip(44)
        guard bytes[start] == UInt8(ascii: "T"), bytes[start + 1] == UInt8(ascii: "Z"),
            bytes[start + 2] == UInt8(ascii: "i"), bytes[start + 3] == UInt8(ascii: "f")
        else { throw .corrupt("it is no time zone file") }
        func count(_ index: Int) -> Int {
            Int(integer(at: start + 20 + index * 4, bytes: 4) & 0xFFFF_FFFF)
        }
        return Header(
            version: bytes[start + 4], isUT: count(0), isStandard: count(1), leaps: count(2),
            times: count(3), types: count(4), characters: count(5))
    }

    mutating func footer() throws(ZoneError) -> ArraySlice<UInt8> {
        let newline = UInt8(ascii: "\n")
        guard remaining >= 2, bytes[position] == newline,
            let end = bytes[(position + 1)...].firstIndex(of: newline)
        else { throw .corrupt("its end is cut off") }
        return bytes[position + 1..<end]
    }
}
