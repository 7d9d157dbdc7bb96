// Homes from Swift: shared budgets, and sessions that are handed over.

import Bursar
import Glibc
import Testing

/// A home of a test's own, gone with it.
final class Place {
    let folder: String
    let options: Runtime.Options
    var home: String { options.home }

    init() throws {
        func made(_ pattern: String) throws -> String {
            var name = Array(pattern.utf8CString)
            try #require(mkdtemp(&name) != nil)
            return String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        folder = try made("/tmp/bursar-test-XXXXXX")
        var options = Runtime.Options()
        options.home = folder + "/home"
        options.sharedMemoryDirectory = try made("/dev/shm/bursar-test-XXXXXX")
        self.options = options
    }

    deinit {
        for directory in [folder, options.sharedMemoryDirectory] {
            var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("rm"), strdup("-rf"), strdup(directory), nil]
            var pid: pid_t = 0
            if posix_spawnp(&pid, "rm", nil, nil, &arguments, environ) == 0 { waitpid(pid, nil, 0) }
            for argument in arguments { free(argument) }
        }
    }
}

@Suite struct HomeTests {
    @Test func twoRuntimesOnAHomeShareItsBudgets() throws {
        let place = try Place()
        let one = try Runtime(place.options)
        try one.declare("acme", "$1")
        let two = try Runtime(home: place.home)
        let session = try two.openSession("acme/support")
        try session.charge(.cents(75))
        #expect(refusal { () throws(BursarError) in
            try one.openSession("acme/other").charge(.cents(50))
        }?.reason == .limit)
        #expect(try one.declare("acme", "$1").view().spent == .cents(75))
    }

    @Test func anAgentCannotRaise() throws {
        let place = try Place()
        var options = place.options
        options.role = .agent
        let runtime = try Runtime(options)
        let budget = try runtime.declare("acme", "$1")
        #expect(code { () throws(BursarError) in try budget.setLimits("$9") } == .role)
        #expect(code { () throws(BursarError) in
            try runtime.declare("acme/observed", isObserved: true)
        } == .role)
        try budget.kill()
        #expect(code { () throws(BursarError) in try budget.revive() } == .role)
    }

    @Test func aHomeThatCannotBeUsedIsRefusedOrReplacedByNothing() throws {
        #expect(code { () throws(BursarError) in try Runtime(home: "/dev/null/home") } == .home)
        var options = Runtime.Options()
        options.home = "/dev/null/home"
        options.ifUnavailable = .isPrivate
        let session = try Runtime(options).openSession("acme", limits: "$1")
        #expect(refusal { () throws(BursarError) in try session.charge(.dollars(2)) } != nil)
        options.ifUnavailable = .observed
        try Runtime(options).openSession("acme", limits: "$1").charge(.dollars(2))
    }

    @Test func aSessionThatWasHandedOverIsTheSameOne() throws {
        let place = try Place()
        let runtime = try Runtime(place.options)
        try runtime.declare("acme", "$10")
        let session = try runtime.openSession("acme/support", limits: "$0.40")
        do {
            let handed = try Runtime.attach(environment: try session.environment)
            #expect(handed.id == session.id)
            #expect(try Runtime.attach(environment: try session.environment).runtime === handed.runtime)
            try handed.charge(.cents(25))
        }
        #expect(try session.view().spent == .cents(25))
        try session.charge(.cents(15))  // nobody closed it
        let text = try #require(try session.environment["BURSAR_SESSION"])
        try runtime.attach(text).close()
        #expect([.closed, .notFound].contains(code { () throws(BursarError) in try runtime.attach(text) }))
    }

    @Test func whoAttachesIsAnAgentUnlessItSaysOtherwise() throws {
        let place = try Place()
        let runtime = try Runtime(place.options)
        try runtime.declare("acme", "$10")
        let session = try runtime.openSession("acme/support", limits: "$0.40")
        let agent = try Runtime.attach(environment: try session.environment)
        #expect(code { () throws(BursarError) in try agent.setLimits("$9") } == .role)
        let other = try Runtime.attach(environment: try session.environment, role: .operator)
        #expect(other.runtime !== agent.runtime)
        try other.setLimits("$9")
    }

    @Test func attachingMakesNoHome() throws {
        let place = try Place()
        let text = ["BURSAR_HOME": place.home, "BURSAR_SESSION": "0000000300000007"]
        #expect(code { () throws(BursarError) in try Runtime.attach(environment: text) } == .home)
        #expect(access(place.home, F_OK) != 0)
    }

    @Test func sessionsWithoutALimitAreAsTheOptionsSay() throws {
        let place = try Place()
        var options = place.options
        #expect(refusal { () throws(BursarError) in
            try Runtime(options).openSession("acme").charge(.cents(1))
        }?.reason == .undeclared)
        options.undeclared = .allowed
        try Runtime(options).openSession("acme").charge(.cents(1))
        options = Runtime.Options()
        try Runtime(options).openSession("acme").charge(.cents(1))
        options.undeclared = .refused
        #expect(refusal { () throws(BursarError) in
            try Runtime(options).openSession("acme").charge(.cents(1))
        }?.reason == .undeclared)
    }

    @Test func whatIsNoSessionIsTold() throws {
        let place = try Place()
        let runtime = try Runtime(place.options)
        for text in ["", "7", "0000000000000000", "7fffffffffffffff", "FFFFFFFFFFFFFFFF"] {
            #expect(code { () throws(BursarError) in try runtime.attach(text) } != nil)
        }
        #expect(code { () throws(BursarError) in
            try Runtime.attach(environment: ["BURSAR_HOME": place.home])
        } == .notFound)
        let alone = try Runtime().openSession("acme", limits: "$1")
        #expect(code { () throws(BursarError) in try alone.environment } == .unsupported)
    }
}
