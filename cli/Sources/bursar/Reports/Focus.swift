// FOCUS, the FinOps Open Cost and Usage Specification (https://focus.finops.org): its columns of
// 1.2 and 1.3, and a row of them for each class of tokens.
//
// What the specification wants of costs, and what stands here:
//   BilledCost, EffectiveCost   what the ledger has, to the nano-dollar; they add up to it
//   ListCost, ContractedCost    a unit price times PricingQuantity, exactly, to the pico-dollar
// Where a price explains what a step cost, the unit is a token and its price the list's. Where a
// provider billed something else, or nobody knows a price, the row is priced as one charge, and
// ConsumedQuantity has the tokens all the same. No version of FOCUS has columns for tokens yet:
// their direction, cache action and model are in SkuPriceDetails, with the `x_` of custom keys.

struct Focus {
    enum Version: String, CaseIterable {
        case v1_2 = "1.2"
        case v1_3 = "1.3"
    }

    let version: Version
    let account: String
    let provider: String?

    /// The columns of a version in the order of their names, then our own.
    static func columns(_ version: Version) -> [String] {
        let of1_2 = [
            "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName",
            "BillingAccountType",
            "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "CapacityReservationId",
            "CapacityReservationStatus", "ChargeCategory", "ChargeClass", "ChargeDescription",
            "ChargeFrequency",
            "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory",
            "CommitmentDiscountId",
            "CommitmentDiscountName", "CommitmentDiscountQuantity", "CommitmentDiscountStatus",
            "CommitmentDiscountType",
            "CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
            "ContractedUnitPrice",
            "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice",
            "PricingCategory",
            "PricingCurrency", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost",
            "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit", "ProviderName",
            "PublisherName", "RegionId",
            "RegionName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory",
            "ServiceName",
            "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId",
            "SubAccountId", "SubAccountName",
            "SubAccountType", "Tags",
        ]
        let added1_3 = [
            "AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId",
            "AllocatedResourceName",
            "AllocatedTags", "ContractApplied", "HostProviderName", "ServiceProviderName",
        ]
        return (version == .v1_2 ? of1_2 : (of1_2 + added1_3).sorted()) + own
    }

    static let own = [
        "x_Agent", "x_CostCenter", "x_Estimated", "x_ModelAsked", "x_Organisation", "x_Owner",
        "x_PriceSource", "x_Team",
        "x_User", "x_Workflow",
    ]

    /// What rows are grouped by, of v_steps, called `v`; `%` is `day` or `hour`.
    static let select = [
        "v.%", "v.organisation", "v.team", "v.workflow", "v.agent", "v.user", "v.owner",
        "v.cost_center", "v.label_set",
        "v.model_asked", "v.estimated",
    ]

    /// The rows of a group: columns by name; what is not there is null.
    func rows(_ group: StepGroup, tags: [Int64: String]) -> [[String: String]] {
        func text(_ k: Int) -> String? {
            if case .text(let text) = group.key[k] { text } else { nil }
        }
        var common: [String: String] = [:]
        let time = Focus.times(text(0) ?? "")
        common["BillingAccountId"] = account
        common["BillingAccountName"] = account
        common["BillingAccountType"] = "Bursar Home"
        common["BillingCurrency"] = "USD"
        common["BillingPeriodStart"] = time.month
        common["BillingPeriodEnd"] = time.nextMonth
        common["ChargePeriodStart"] = time.start
        common["ChargePeriodEnd"] = time.end
        common["ChargeCategory"] = "Usage"
        common["ChargeFrequency"] = "Usage-Based"
        common["PricingCategory"] = "Standard"
        common["ServiceCategory"] = "AI and Machine Learning"
        common["ServiceSubcategory"] =
            group.model == nil ? "Other (AI and Machine Learning)" : "Generative AI"
        let provider = provider ?? group.model.map(Focus.provider) ?? "Unknown"
        for name in ["InvoiceIssuerName", "ProviderName", "PublisherName"] {
            common[name] = provider
        }
        if version == .v1_3 {
            for name in ["HostProviderName", "ServiceProviderName"] { common[name] = provider }
        }
        common["ServiceName"] =
            group.model != nil ? "\(provider) API" : group.tool ?? group.meter ?? "Charges"
        if let path = text(3) {
            (common["ResourceId"], common["ResourceName"], common["ResourceType"]) = (
                path, path, "Workflow"
            )
        }
        if let organisation = text(1) {
            common["SubAccountId"] = text(2).map { organisation + "/" + $0 } ?? organisation
            common["SubAccountName"] = text(2) ?? organisation
            common["SubAccountType"] = "Team"
        }
        if case .integer(let set) = group.key[8] { common["Tags"] = tags[set] }
        for (name, k) in [
            ("x_Organisation", 1), ("x_Team", 2), ("x_Workflow", 3), ("x_Agent", 4), ("x_User", 5),
            ("x_Owner", 6),
            ("x_CostCenter", 7), ("x_ModelAsked", 9),
        ] { common[name] = text(k) }
        common["x_Estimated"] = group.key[10] == .integer(1) ? "true" : "false"
        common["x_PriceSource"] = group.prices
        return group.parts().filter { $0.tokens != 0 || $0.cost != 0 || group.model == nil }.map {
            part in
            common.merging(amounts(group, part)) { $1 }
        }
    }

    private func amounts(_ group: StepGroup, _ part: StepGroup.Part) -> [String: String] {
        var row: [String: String] = [:]
        let cost = Focus.number(Int128(part.cost), 9)
        (row["BilledCost"], row["EffectiveCost"]) = (cost, cost)
        let isToken = part.kind != nil || (group.model != nil && part.tokens > 0)
        var unit = "Tokens"
        var quantity = part.tokens
        if !isToken {
            if group.model != nil {
                (unit, quantity) = ("Requests", group.steps)
            } else if group.tool != nil {
                (unit, quantity) = ("Calls", group.calls)
            } else if group.meter != nil {
                (unit, quantity) = ("Units", group.units)
            } else {
                (unit, quantity) = ("Charges", group.count)
            }
        }
        let count = Focus.number(Int128(quantity), 0)
        (row["ConsumedQuantity"], row["ConsumedUnit"]) = (count, unit)

        // Priced by the token, or by what is evenly priced; or else as one charge.
        var picos = part.picos.map { Int128($0) }
        if picos == nil, !isToken, quantity > 0, part.cost >= 0,
            Int128(part.cost) * 1000 % Int128(quantity) == 0
        {
            picos = Int128(part.cost) * 1000 / Int128(quantity)
        }
        var list = Int128(part.cost) * 1000
        if let picos {
            let price = Focus.number(picos, 12)
            let product = Focus.number(picos * Int128(quantity), 12)
            (row["PricingQuantity"], row["PricingUnit"]) = (count, unit)
            (row["ListUnitPrice"], row["ContractedUnitPrice"]) = (price, price)
            (row["ListCost"], row["ContractedCost"]) = (product, product)
        } else {
            (row["PricingQuantity"], row["PricingUnit"]) = ("1.0", "Charges")
            (row["ContractedUnitPrice"], row["ContractedCost"]) = (cost, cost)
            if case .billed(let price) = group.basis, let kind = part.kind {
                list = Int128(price.picos[kind.rawValue]) * Int128(part.tokens)
            }
            (row["ListUnitPrice"], row["ListCost"]) = (
                Focus.number(list, 12), Focus.number(list, 12)
            )
        }

        let name = group.model ?? group.tool ?? group.meter ?? "charge"
        row["SkuId"] = name
        guard group.model != nil else {
            row["SkuMeter"] = unit == "Calls" ? "Tool Calls" : unit
            row["SkuPriceId"] = "\(name)/\(unit.lowercased())"
            row["ChargeDescription"] = group.tool == nil ? "Charges" : "Calls of \(name)"
            return row
        }
        let direction = part.kind.map { $0.isInput ? "Input" : "Output" }
        row["SkuMeter"] = direction.map { $0 + " Tokens" } ?? (isToken ? "Tokens" : "Requests")
        let kind = part.kind?.name ?? (isToken ? "tokens" : "requests")
        row["SkuPriceId"] = "\(name)/\(group.variant)/\(kind)"
        row["ChargeDescription"] = "\(name): \(kind.split(separator: "_").joined(separator: " "))"
        var details = [("x_ModelId", name), ("x_Variant", group.variant)]
        if let token = part.kind, let direction {
            let action =
                switch token {
                case .cacheRead, .cacheReadAudio: "Read"
                case .cacheWrite, .cacheWrite1h: "Write"
                default: "None"
                }
            let modality =
                switch token {
                case .audioInput, .cacheReadAudio, .audioOutput: "Audio"
                case .imageInput, .imageOutput: "Image"
                default: "Text"
                }
            details += [
                ("x_TokenDirection", direction), ("x_CacheAction", action),
                ("x_Modality", modality),
            ]
            if token == .reasoning { details.append(("x_Reasoning", "true")) }
        }
        row["SkuPriceDetails"] =
            "{"
            + details.sorted { $0.0 < $1.0 }.map { quoted($0.0) + ": " + quoted($0.1) }.joined(
                separator: ", ") + "}"
        return row
    }

    /// A decimal that has a point, so that a column of whole numbers is taken for decimals too.
    private static func number(_ number: Int128, _ digits: Int) -> String {
        let text = decimal(number, digits)
        return text.contains(".") ? text : text + ".0"
    }

    /// Who sells a model, by its name; the ledger does not know.
    static func provider(_ model: String) -> String {
        var name = model.split(separator: "/").last.map(String.init) ?? model
        if name.hasPrefix("ft:") { name.removeFirst(3) }
        let known = [
            ("gpt-", "OpenAI"), ("chatgpt-", "OpenAI"), ("o1", "OpenAI"), ("o3", "OpenAI"),
            ("o4", "OpenAI"),
            ("text-embedding-", "OpenAI"), ("claude-", "Anthropic"), ("anthropic.", "Anthropic"),
            ("gemini-", "Google"),
            ("deepseek-", "DeepSeek"), ("mistral-", "Mistral AI"), ("codestral-", "Mistral AI"),
            ("grok-", "xAI"),
            ("command-", "Cohere"), ("qwen", "Alibaba Cloud"),
        ]
        return known.first { name.hasPrefix($0.0) }?.1 ?? "Unknown"
    }

    /// The ends of a `2026-10-01` or `2026-10-01 14:00`, and of its month.
    static func times(_ text: String) -> (
        start: String, end: String, month: String, nextMonth: String
    ) {
        let day = String(text.prefix(10))
        let month = (try? Period(String(text.prefix(7)))) ?? Period()
        guard let whole = try? Period(day) else { return ("", "", "", "") }
        let hour = text.count > 10 ? Int64(text.dropFirst(11).prefix(2)) : nil
        let from = whole.from + (hour ?? 0) * 3_600_000_000_000
        return (
            utcTime(from), utcTime(hour == nil ? whole.to : from + 3_600_000_000_000),
            utcTime(month.from),
            utcTime(month.to)
        )
    }
}
