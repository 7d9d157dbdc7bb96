// SPDX-License-Identifier: Apache-2.0

// Outcomes from a file, as a CRM exports them: CSV, JSON or JSON lines. What is wrong with a line
// keeps no other out, and the same file again changes nothing.

package bursar

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ImportOptions say how a file is read.
type ImportOptions struct {
	Format        string            // "csv" or "json"; empty = by the file's first character
	By            string            // who says so, where a line does not
	Columns       map[string]string // what the file calls them: {"Deal": "id", "Notes": ""}; "" leaves one out
	Defaults      map[string]string // what a line that is silent means: {"name": "deal_won"}
	IgnoreUnknown bool              // columns that nobody knows are left out
}

// Imported is what became of a file's outcomes.
type Imported struct {
	Stated    int
	Revised   int
	Unchanged int // they were there
	Failed    []FailedLine
}

// FailedLine is a line that was not imported: where, and why.
type FailedLine struct {
	Line   int
	Column string // empty where it is none's
	Reason string
}

func (f FailedLine) Error() string {
	column := ""
	if f.Column != "" {
		column = ", column " + f.Column
	}
	return fmt.Sprintf("line %d%s: %s", f.Line, column, f.Reason)
}

// ImportOutcomes states and revises the outcomes of a file: CSV with a header, a JSON list of
// objects or JSON lines. Columns are name, id (both needed), session, workflow, label
// ("customer=hooli") or label:customer, value, rework ("$5" or "12 min"), state, by, at and reason:
// docs/ledger.md. The same file again changes nothing. What is wrong with a line is in Failed, what
// is wrong with the file is ErrInvalid; any other error says at which line it stopped.
func (rt *Runtime) ImportOutcomes(file io.Reader, options ImportOptions) (Imported, error) {
	im := importer{rt: rt, options: options, usual: texts{}, seen: map[[2]string]statement{}}
	err := im.run(file)
	slices.SortStableFunc(im.done.Failed, func(a, b FailedLine) int { return a.Line - b.Line })
	return im.done, err
}

// texts are a line's texts by column.
type texts map[string]string

// statement is what a line stated first.
type statement struct {
	line int
	said texts
}

type importer struct {
	rt      *Runtime
	options ImportOptions
	columns map[string]string
	usual   texts
	seen    map[[2]string]statement
	waiting []Outcome
	lines   []int
	done    Imported
}

var importColumns = []string{"name", "id", "session", "workflow", "label", "value", "rework", "state", "by", "at", "reason"}

const (
	importCall = 1024
	importAre  = "an import's columns are name, id, session, workflow, label, value, rework, state, by, at, reason and label:<key>"
)

var (
	importStates = []string{"stated", "verified", "disputed", "corrected", "withdrawn"}
	workTime     = regexp.MustCompile(`([0-9]{1,6}(?:\.[0-9]{1,3})?) ?(hours?|h|minutes?|min|m|seconds?|sec|s) ?`)
	cutNumber    = regexp.MustCompile(`^[0-9](?:[.,][0-9]+)?[Ee]\+[0-9]+$`)
	sheetErrors  = []string{"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"}
	timeLayouts  = []string{
		"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04Z0700",
		"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700",
	}
	timeForm = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?` +
		` ?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?)?$`)
	bytePlace = regexp.MustCompile("^column [0-9]+: ")
)

func unusable(line int, format string, a ...any) error {
	e := &Error{Status: ErrInvalid, Message: fmt.Sprintf(format, a...), Line: line}
	if line > 0 {
		e.Message = fmt.Sprintf("line %d: %s", line, e.Message)
	}
	return e
}

func (im *importer) run(file io.Reader) error {
	home, err := im.rt.HomeInfo()
	if err != nil {
		return err
	}
	if home.Flags == 0 {
		return &Error{Status: ErrUnsupported, Message: "a private runtime keeps no outcomes: open one with a home"}
	}
	im.columns = map[string]string{}
	for theirs, ours := range im.options.Columns {
		if ours != "" {
			if ours = ourColumn(ours); ours == "" {
				return unusable(0, "a column of Columns is unknown; %s", importAre)
			}
		}
		im.columns[strings.TrimSpace(theirs)] = ours
	}
	for column, text := range im.options.Defaults {
		ours := ourColumn(column)
		if ours == "" {
			return unusable(0, "%s is unknown; %s", short(column), importAre)
		}
		im.usual[ours] = text
	}
	if im.options.By != "" {
		im.usual["by"] = im.options.By
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	if at := bytes.IndexByte(data, 0); at >= 0 {
		return unusable(1+bytes.Count(data[:at], []byte("\n")),
			"the file has a NUL, so it is neither CSV nor JSON in UTF-8: export it anew")
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	format := im.options.Format
	if format == "" {
		format = "csv"
		if start := strings.TrimSpace(text); strings.HasPrefix(start, "[") || strings.HasPrefix(start, "{") {
			format = "json"
		}
	}
	switch format {
	case "csv":
		err = im.csv(text)
	case "json":
		err = im.json(text)
	default:
		return unusable(0, "an import's format is csv or json, so not %s", short(format))
	}
	if err != nil {
		return err
	}
	return im.say()
}

func (im *importer) fail(line int, column, reason string) {
	im.done.Failed = append(im.done.Failed, FailedLine{line, column, reason})
}

// add takes a line; what waits is handed over when it is enough.
func (im *importer) add(line int, said texts) error {
	o, column, reason := im.outcome(line, said)
	if reason != "" {
		im.fail(line, column, reason)
		return nil
	}
	im.waiting, im.lines = append(im.waiting, o), append(im.lines, line)
	if len(im.waiting) < importCall {
		return nil
	}
	return im.say()
}

// say hands over what waits.
func (im *importer) say() error {
	fresh, wrong, status := abiOutcomes(im.rt.engine(), im.waiting)
	for k, err := range wrong {
		var e *Error
		switch {
		case errors.As(err, &e) && (e.Status == status || e.Status == ErrUnsupported):
			// Nothing more comes in.
			e.Line = im.lines[k]
			e.Message = fmt.Sprintf("line %d: %s; what the lines before it say is in the ledger, and the same file may be imported again",
				e.Line, e.Message)
			return e
		case e != nil:
			column := ""
			if e.Status == ErrMoneyText {
				column = "value"
			}
			im.fail(im.lines[k], column, sentence(e))
		case !fresh[k]:
			im.done.Unchanged++
		case im.waiting[k].State == OutcomeStated:
			im.done.Stated++
		default:
			im.done.Revised++
		}
	}
	im.waiting, im.lines = im.waiting[:0], im.lines[:0]
	if status != OK {
		return im.rt.check(status)
	}
	return nil
}

// outcome reads a line, with the defaults of what it does not say; or what is wrong in a column.
func (im *importer) outcome(line int, said texts) (o Outcome, column, reason string) {
	credited := false
	all := texts{}
	for column, text := range said {
		if text != "" {
			all[column] = text
			credited = credited || credits(column)
		}
	}
	for column, text := range im.usual {
		if _, has := all[column]; !has && !(credited && credits(column)) {
			all[column] = text
		}
	}
	for _, column := range sorted(all) {
		if reason := wrongText(column, all[column]); reason != "" {
			return o, column, reason
		}
	}
	for _, column := range []string{"name", "id"} {
		if all[column] == "" {
			return o, column, "is empty; with a name and an id it can be imported again"
		}
	}
	o = Outcome{Name: all["name"], ID: all["id"], Workflow: all["workflow"], Value: all["value"], By: all["by"],
		Reason: all["reason"], State: OutcomeStated}
	if text := all["state"]; text != "" {
		o.State = OutcomeState(1 + slices.Index(importStates, strings.ToLower(text)))
		if o.State == 0 {
			return o, "state", short(text) + " is none of " + strings.Join(importStates, ", ")
		}
	}
	if text := all["at"]; text != "" {
		if o.At, reason = timeOf(text); reason != "" {
			return o, "at", reason
		}
	} else if o.State != OutcomeStated {
		return o, "at", "is empty; what is not `stated` says when, so that the same file again is not a revision"
	}
	if o.State == OutcomeStated {
		key := [2]string{o.Name, o.ID}
		first, has := im.seen[key]
		if !has {
			im.seen[key] = statement{line, all}
		} else if !maps.Equal(first.said, all) {
			return o, "id", fmt.Sprintf("%s is on line %d too, which says something else of it", short(o.ID), first.line)
		}
	}
	if text := all["session"]; text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return o, "session", short(text) + " is no session's number"
		}
		o.Session = ID(n)
	}
	if text := all["rework"]; text != "" {
		if o.Rework, o.ReworkTime, reason = reworkOf(text); reason != "" {
			return o, "rework", reason
		}
	}
	var labels []string
	for _, column := range sorted(all) {
		if strings.HasPrefix(column, "label") {
			labels = append(labels, column)
			o.Label = all[column]
			if column != "label" {
				o.Label = column[len("label:"):] + "=" + o.Label
			}
		}
	}
	if len(labels) > 1 {
		return o, labels[0], "and " + labels[1] + ": an outcome is credited to one label"
	}
	return o, "", ""
}

// Fields

func credits(column string) bool {
	return column == "session" || column == "workflow" || strings.HasPrefix(column, "label")
}

func sorted(all texts) []string {
	columns := make([]string, 0, len(all))
	for column := range all {
		columns = append(columns, column)
	}
	slices.Sort(columns)
	return columns
}

func wrongText(column, text string) string {
	switch {
	case !utf8.ValidString(text):
		return "is not UTF-8: save the file as UTF-8"
	case text[0] == '=':
		return short(text) + " is a formula: export what it comes to"
	case slices.Contains(sheetErrors, text):
		return text + " is a spreadsheet's error"
	case column == "id" && cutNumber.MatchString(text):
		return text + " was cut by a spreadsheet: format its column as text"
	}
	return ""
}

func plain(text string) string {
	if len(text) > 60 {
		text = text[:57] + "..."
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

func short(text string) string { return "`" + plain(text) + "`" }

// sentence is without the place in an amount's text: the file has columns of its own.
func sentence(e *Error) string { return bytePlace.ReplaceAllString(e.Message, "") }

// reworkOf is money, or somebody's time.
func reworkOf(text string) (Nanos, time.Duration, string) {
	if strings.Contains(text, "$") || strings.Contains(strings.ToUpper(text), "USD") {
		nanos, err := ParseMoney(text)
		var e *Error
		if errors.As(err, &e) {
			return 0, 0, sentence(e)
		}
		return nanos, 0, ""
	}
	lower := strings.ToLower(text)
	var parts strings.Builder
	for _, piece := range workTime.FindAllStringSubmatch(lower, -1) {
		parts.WriteString(piece[1] + piece[2][:1])
	}
	took, err := time.ParseDuration(parts.String())
	if err != nil || workTime.ReplaceAllString(lower, "") != "" {
		return 0, 0, short(text) + " is neither money nor time: `$5` or `12 min`"
	}
	return 0, took, ""
}

// timeOf is a day, or a day and time; UTC where it names no zone.
func timeOf(text string) (time.Time, string) {
	if timeForm.MatchString(text) {
		whole := strings.ToUpper(text)
		if len(whole) > 10 {
			whole = whole[:10] + "T" + strings.ReplaceAll(whole[11:], " ", "")
		}
		for _, layout := range timeLayouts {
			at, err := time.Parse(layout, whole)
			if err == nil && at.Unix() > 0 && at.Year() < 2260 {
				return at, ""
			}
		}
	}
	return time.Time{}, short(text) + " is no time since 1970: `2026-10-31` or `2026-10-31T14:05:00Z`"
}

// Columns

// ourColumn is one of importColumns or label:<key>, or "".
func ourColumn(name string) string {
	if lower := strings.ToLower(name); slices.Contains(importColumns, lower) {
		return lower
	}
	prefix, key, _ := strings.Cut(name, ":")
	key = strings.TrimSpace(key)
	if strings.ToLower(strings.TrimSpace(prefix)) == "label" && key != "" && !strings.Contains(key, "=") {
		return "label:" + key
	}
	return ""
}

// column is ours for theirs: "" when it is left out; false when nobody knows it.
func (im *importer) column(name string) (string, bool) {
	name = strings.TrimSpace(name)
	if ours, has := im.columns[name]; has {
		return ours, true
	}
	ours := ourColumn(name)
	return ours, ours != "" || im.options.IgnoreUnknown || name == ""
}

func (im *importer) csv(text string) error {
	if !strings.Contains(text, "\n") {
		text = strings.ReplaceAll(text, "\r", "\n")
	}
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord = -1
	for _, line := range strings.Split(text, "\n") {
		if strings.Trim(line, " \t,;\"\r") != "" {
			for _, mark := range ";\t" {
				if strings.Count(line, string(mark)) > strings.Count(line, string(r.Comma)) {
					r.Comma = mark
				}
			}
			break
		}
	}
	var header []string
	for {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		var wrong *csv.ParseError
		if errors.As(err, &wrong) {
			if header == nil {
				return unusable(wrong.StartLine, "the header is not CSV: %v", wrong.Err)
			}
			im.fail(wrong.StartLine, "", fmt.Sprintf("a quote is out of place: %v", wrong.Err))
			continue
		}
		if err != nil {
			return err
		}
		line, _ := r.FieldPos(0)
		isEmpty := true
		for k := range record {
			record[k] = strings.TrimSpace(record[k])
			isEmpty = isEmpty && record[k] == ""
		}
		switch {
		case isEmpty:
		case header == nil:
			if header, err = im.header(line, record); err != nil {
				return err
			}
		case len(record) != len(header):
			im.fail(line, "", fmt.Sprintf("has %d fields, and the header has %d", len(record), len(header)))
		default:
			said := texts{}
			for k, column := range header {
				if column != "" {
					said[column] = record[k]
				}
			}
			if err := im.add(line, said); err != nil {
				return err
			}
		}
	}
	if header == nil {
		return unusable(0, "the file is empty: its first line has the columns' names")
	}
	return nil
}

func (im *importer) header(line int, names []string) ([]string, error) {
	var strange []string
	header := make([]string, len(names))
	for k, name := range names {
		ours, known := im.column(name)
		if !known {
			strange = append(strange, short(name))
		} else if ours != "" && slices.Contains(header, ours) {
			return nil, unusable(line, "there are two columns %s", ours)
		}
		header[k] = ours
	}
	if strange != nil {
		return nil, unusable(line, "unknown columns %s; %s; others are left out with IgnoreUnknown, or named in Columns",
			strings.Join(strange, ", "), importAre)
	}
	for _, needed := range []string{"name", "id"} {
		if im.usual[needed] == "" && !slices.Contains(header, needed) {
			return nil, unusable(line, "there is no column %s", needed)
		}
	}
	return header, nil
}

// json reads a list of objects, or an object a line.
func (im *importer) json(text string) error {
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		return im.list(text)
	}
	for k, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		var value json.RawMessage
		if err := json.Unmarshal([]byte(line), &value); err != nil {
			im.fail(k+1, "", fmt.Sprintf("is not JSON: %v", err))
		} else if err := im.object(k+1, value); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) list(text string) error {
	d := json.NewDecoder(strings.NewReader(text))
	line, counted := 1, 0
	_, err := d.Token()
	for err == nil {
		isMore := d.More()
		at := int(d.InputOffset())
		for at < len(text) && strings.IndexByte(" \t\r\n,", text[at]) >= 0 {
			at++
		}
		line += strings.Count(text[counted:at], "\n")
		counted = at
		if !isMore {
			if _, err = d.Token(); err == nil {
				if strings.TrimSpace(text[d.InputOffset():]) == "" {
					return nil
				}
				err = errors.New("the list has ended")
			}
			break
		}
		var value json.RawMessage
		if err = d.Decode(&value); err == nil {
			if err := im.object(line, value); err != nil {
				return err
			}
		}
	}
	im.fail(line, "", fmt.Sprintf("is not JSON, and nothing after it was read: %v", err))
	return nil
}

func (im *importer) object(line int, value json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(value))
	if start, _ := d.Token(); start != json.Delim('{') {
		im.fail(line, "", "is no JSON object")
		return nil
	}
	said := texts{}
	for d.More() {
		key, _ := d.Token()
		var item json.RawMessage
		if err := d.Decode(&item); err != nil {
			im.fail(line, "", fmt.Sprintf("is not JSON: %v", err))
			return nil
		}
		name, _ := key.(string)
		ours, known := im.column(name)
		if !known {
			im.fail(line, plain(name), "is unknown; "+importAre)
			return nil
		}
		if ours == "" {
			continue
		}
		if _, has := said[ours]; has {
			im.fail(line, ours, "is there twice")
			return nil
		}
		text := string(item)
		switch {
		case item[0] == '"' && utf8.Valid(item):
			_ = json.Unmarshal(item, &text)
		case item[0] == '"':
		case text == "null":
			text = ""
		case item[0] != '-' && (item[0] < '0' || item[0] > '9'):
			im.fail(line, ours, "is neither text nor a number")
			return nil
		}
		said[ours] = strings.TrimSpace(text)
	}
	return im.add(line, said)
}
