import Bursar

func triage() throws {
    let runtime = try Runtime()
    try runtime.declare("acme/support", "$500/month alert 50% 80%", owner: "support-platform")
    let session = try runtime.openSession("acme/support/triage", limits: "$0.02", "200 steps")
    do {
        while true {  // an agent that never stops by itself
            let step = try session.reserve("gpt-5-mini", input: 1_200, maxOutput: 1_024)
            // call the provider with step.model and step.maxOutput
            try step.settle(Usage(input: 1_200, output: step.maxOutput / 2))
        }
    } catch .refused(let decision) {
        print(decision)
    }
}
