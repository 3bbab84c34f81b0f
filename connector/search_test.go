package connector

import (
	"slices"
	"testing"
)

// page is one with so many rows of a total, and markers.
func page(rows, total int, markers ...string) Page {
	return Page{Answer: Answer{Outcome: Judged}, Rows: rows, Total: total, Markers: markers}
}

func TestPagesThatDoNotBelongTogetherAreReadAgain(t *testing.T) {
	for name, test := range map[string]struct {
		pages []Page
		again bool  // from the first page of the present code
		next  []int // the next page of each code that is left
	}{
		"one page of each code":            {[]Page{page(3, 3), page(0, 0)}, false, nil},
		"a full page is followed by one":   {[]Page{page(1000, 1500)}, false, []int{2, 1}},
		"the last page":                    {[]Page{page(1000, 1500), page(500, 1500)}, false, []int{1}},
		"exactly one full page":            {[]Page{page(1000, 1000)}, false, []int{1}},
		"the total has changed":            {[]Page{page(1000, 1500), page(501, 1501)}, true, []int{1, 1}},
		"fewer rows than were said":        {[]Page{page(2, 3)}, true, []int{1, 1}},
		"more rows than were said":         {[]Page{page(3, 2)}, true, []int{1, 1}},
		"a full page where no total is":    {[]Page{page(1000, -1)}, false, []int{2, 1}},
		"the last page where no total is":  {[]Page{page(1000, -1), page(0, -1)}, false, []int{1}},
		"read again, and then they belong": {[]Page{page(1000, 1500), page(499, 1499), page(1000, 1501), page(501, 1501)}, false, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &search{wanted: map[string]bool{}, found: map[string]bool{}, queries: []Query{{Code: 320, Page: 1}, {Code: 321, Page: 1}}}
			belong := true
			for _, p := range test.pages {
				belong = s.take(p)
			}
			var next []int
			for _, q := range s.queries {
				next = append(next, q.Page)
			}
			if belong == test.again || !slices.Equal(next, test.next) {
				t.Errorf("to be read again %t, next pages %v; want %t and %v", !belong, next, test.again, test.next)
			}
		})
	}
}

func TestOnlyWantedMarkersAreKept(t *testing.T) {
	s := &search{wanted: map[string]bool{"a": true, "b": true}, found: map[string]bool{}, queries: []Query{{Code: 320, Page: 1}}}
	s.take(page(3, 3, "a", "other", "another"))
	if len(s.found) != 1 || !s.found["a"] || len(s.queries) != 0 {
		t.Errorf("found %v, %d codes left; want a alone, and none", s.found, len(s.queries))
	}
}
