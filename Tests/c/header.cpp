// SPDX-License-Identifier: Apache-2.0
//
// The header is C++17, and a program in it links and runs.

#include <bursar.h>

#include <type_traits>

#include "test.h"

static_assert(std::is_standard_layout_v<bursar_decision_t>);
static_assert(std::is_trivially_copyable_v<bursar_event_t>);

test("a step from C++") {
    bursar_runtime_t *rt = nullptr;
    need(bursar_open(nullptr, &rt, nullptr), BURSAR_OK);
    bursar_rates_t rates = BURSAR_RATES_INIT;
    rates.input_picos = rates.output_picos = 1000000;
    need(bursar_price_set(rt, "plain", 5, &rates, nullptr), BURSAR_OK);
    bursar_model_t model = 0;
    need(bursar_model_find(rt, "plain", 5, &model), BURSAR_OK);

    bursar_session_options_t options = BURSAR_SESSION_OPTIONS_INIT;
    options.path = {"acme", 4};
    options.limits = {"$1", 2};
    bursar_id_t session = 0;
    need(bursar_session_open(rt, &options, &session, nullptr), BURSAR_OK);

    bursar_request_t request = BURSAR_REQUEST_INIT;
    request.model = model;
    request.input_tokens = 100;
    request.max_output_tokens = 50;
    bursar_decision_t decision = BURSAR_DECISION_INIT;
    need(bursar_reserve(rt, session, &request, &decision), BURSAR_OK);
    bursar_usage_t usage = BURSAR_USAGE_INIT;
    usage.input_tokens = 100;
    usage.output_tokens = 20;
    bursar_receipt_t receipt = BURSAR_RECEIPT_INIT;
    need(bursar_settle(rt, decision.reservation, &usage, &receipt), BURSAR_OK);
    equal(receipt.cost_nanos, 120000);

    bursar_open_options_t open_options = BURSAR_OPEN_OPTIONS_INIT;
    bursar_budget_options_t budget_options = BURSAR_BUDGET_OPTIONS_INIT;
    bursar_charge_t charge = BURSAR_CHARGE_INIT;
    bursar_view_t view = BURSAR_VIEW_INIT;
    bursar_meter_view_t meter = BURSAR_METER_VIEW_INIT;
    bursar_error_t error = BURSAR_ERROR_INIT;
    check(open_options.size && budget_options.size && charge.size && meter.size && error.size);
    need(bursar_read(rt, session, &view), BURSAR_OK);
    equal(view.spent_nanos, 120000);
    need(bursar_close(rt), BURSAR_OK);
}
