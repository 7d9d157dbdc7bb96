// SPDX-License-Identifier: Apache-2.0

//go:build cgo && go1.24

// What makes a step free of allocation: the library keeps no pointer and never
// calls back, so arguments may stay on the stack. Older versions of Go do not
// know these directives and allocate instead.

package bursar

/*
#cgo noescape bursar_reserve
#cgo nocallback bursar_reserve
#cgo noescape bursar_begin
#cgo nocallback bursar_begin
#cgo noescape bursar_settle
#cgo nocallback bursar_settle
#cgo noescape bursar_release
#cgo nocallback bursar_release
#cgo noescape bursar_stream
#cgo nocallback bursar_stream
#cgo noescape bursar_charge
#cgo nocallback bursar_charge
#cgo noescape bursar_settle_and_reserve
#cgo nocallback bursar_settle_and_reserve
#cgo noescape bursar_read
#cgo nocallback bursar_read
#cgo noescape bursar_events_poll
#cgo nocallback bursar_events_poll
#include "bursar.h"
*/
import "C"
