package trial

import (
	"encoding/xml"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// The JUnit form of results, as CI systems read it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`

		seconds float64
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",cdata"`
	}
)

// WriteJUnit writes the results as JUnit XML: a suite for each file, in order.
func WriteJUnit(w io.Writer, results []Result) error {
	all := junitSuites{Name: "leadsink test", Suites: []junitSuite{}}
	seconds := 0.0
	for _, r := range results {
		if n := len(all.Suites); n == 0 || all.Suites[n-1].Name != r.File {
			all.Suites = append(all.Suites, junitSuite{Name: r.File})
		}
		s := &all.Suites[len(all.Suites)-1]
		c := junitCase{
			Name: r.Name, File: r.File, Line: r.Line, Time: inSeconds(r.seconds),
			Class: strings.TrimSuffix(filepath.Base(r.File), filepath.Ext(r.File)),
		}
		if !r.Passed {
			c.Failure = &junitFailure{
				Message: "what came is not what was expected",
				Text:    fmt.Sprintf("%s:%d\n- expected\n+ came\n\n%s\n", r.File, r.Line, strings.Join(r.Diff, "\n")),
			}
			s.Failures++
			all.Failures++
		}
		s.Cases = append(s.Cases, c)
		s.Tests++
		all.Tests++
		s.seconds += r.seconds
		s.Time = inSeconds(s.seconds)
		seconds += r.seconds
	}
	all.Time = inSeconds(seconds)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func inSeconds(s float64) string { return fmt.Sprintf("%.3f", s) }
