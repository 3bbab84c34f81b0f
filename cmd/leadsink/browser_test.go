//go:build browser

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// A browser is one tab of headless Chromium.
type browser struct {
	*stage
	ctx    context.Context
	folder string // for screenshots

	mu         sync.Mutex // guards complaints, which the tab's reader writes
	complaints []string   // of the page: errors of its script and what its policy has blocked
}

func (s *stage) browse() *browser {
	s.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-dev-shm-usage", true))
	allocated, cancel := chromedp.NewExecAllocator(s.Context(), options...)
	s.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	s.Cleanup(cancel)
	b := &browser{stage: s, ctx: ctx, folder: s.ArtifactDir()}
	s.must(chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *cdplog.EventEntryAdded:
			if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
				b.complaints = append(b.complaints, e.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			b.complaints = append(b.complaints, e.ExceptionDetails.Text)
		}
	}))
	s.must(chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cdplog.Enable, cdp.Empty{})
		return err
	})))
	return b
}

// look opens the page in a window of the width, light or dark, with scripts or
// without.
func (b *browser) look(width int64, scheme string, scripts bool) {
	b.Helper()
	b.must(chromedp.Do(b.ctx,
		chromedp.EmulateViewport(width, 900),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			if _, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts}); err != nil {
				return err
			}
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			return err
		}),
		chromedp.Navigate(b.url),
	))
}

// keep writes a picture of the whole page.
func (b *browser) keep(name string) {
	b.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	b.must(err)
	b.must(os.WriteFile(filepath.Join(b.folder, name+".png"), picture, 0o644))
}

// says returns what an expression has for a value in the page.
func says[T any](b *browser, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	b.must(err)
	return v
}

// text is what a part of the page says, in small letters.
func (b *browser) text(part string) string {
	b.Helper()
	return strings.ToLower(says[string](b, `document.getElementById("`+part+`").innerText`))
}

// faint lists texts whose contrast to what is behind them is less than WCAG's
// 4.5 to 1. A translucent ground counts as what is below it.
const faint = `(() => {
	const parse = c => c.match(/[\d.]+/g).map(Number);
	const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
	const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = walker.nextNode();) {
		const e = n.parentElement;
		if (!n.textContent.trim() || !e.checkVisibility() || e.closest("script, noscript, meter")) continue;
		const a = light(parse(getComputedStyle(e).color).slice(0, 3)), b = light(ground(e).slice(0, 3));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) found.push(n.textContent.trim() + ": " + ratio.toFixed(2));
	}
	return found;
})()`

// unnamed lists what a screen reader would have no name or place for.
const unnamed = `[
	...["header", "main", "footer", "main h2", "h1"].filter(q => !document.querySelector(q)),
	...[...document.querySelectorAll("section")].filter(s => !document.getElementById(s.getAttribute("aria-labelledby"))?.innerText).map(s => s.outerHTML),
	...[...document.querySelectorAll("svg")].filter(s => s.getAttribute("role") !== "img" || !s.getAttribute("aria-label")).map(s => s.outerHTML),
	...[...document.querySelectorAll("meter")].filter(m => m.labels.length === 0).map(m => m.outerHTML),
	...[...document.querySelectorAll("th")].filter(t => !t.scope).map(t => t.outerHTML),
]`

func TestThePageShowsPeopleWhatHappens(t *testing.T) {
	limit, err := budget.ParseLimit("25/5s")
	if err != nil {
		t.Fatal(err)
	}
	day, err := budget.ParseLimit("100000/day")
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, fakeapi.Config{Limits: []budget.Limit{limit, day}, Latency: 100 * time.Millisecond}, func(document string) string {
		return strings.Replace(document, "name: demo", "name: crm-activities", 1)
	})
	s.demo.events, s.demo.seed = 20_000, 1
	s.must(s.demo.produce(t.Context()))
	b := s.browse()
	b.look(1280, "light", true)
	s.until("the charts have lines, and the page knows the members and dead letters", func() bool {
		return says[int](b, `document.querySelectorAll("polyline").length`) == 2 &&
			strings.Contains(b.text("members"), "this one") && strings.Contains(b.text("letters"), "refused")
	})
	s.until("two minutes' worth of line is drawn", func() bool {
		return says[int](b, `document.querySelector("polyline").points.length`) >= 12
	})
	if got := b.text("state"); !strings.Contains(got, "active") {
		t.Errorf("the state is %q, want active", got)
	}
	if got := b.text("now"); !strings.Contains(got, "waiting for the next call slot") || !strings.Contains(got, "records behind") {
		t.Errorf("now says %q, want what it waits for and how far it is behind", got)
	}
	if got := b.text("partitions"); strings.Count(got, "crm.events/") != demoPartitions {
		t.Errorf("partitions say %q, want all %d", got, demoPartitions)
	}
	if got := b.text("budget"); !strings.Contains(got, "of 25 calls spent") || !strings.Contains(got, "of 100,000 calls spent") {
		t.Errorf("the budget says %q, want both limits", got)
	}

	for _, look := range []struct {
		name, scheme string
		width        int64
	}{{"light", "light", 1280}, {"dark", "dark", 1280}, {"phone", "light", 390}, {"phone-dark", "dark", 390}} {
		b.look(look.width, look.scheme, true)
		b.keep(look.name)
		if wide := says[float64](b, "document.documentElement.scrollWidth"); wide > float64(look.width) {
			t.Errorf("%s: the page is %v wide in a window of %d", look.name, wide, look.width)
		}
		for _, text := range says[[]string](b, faint) {
			t.Errorf("%s: too little contrast: %s", look.name, text)
		}
		for _, what := range says[[]string](b, unnamed) {
			t.Errorf("%s: no name or place: %s", look.name, what)
		}
	}

	// The page follows by itself: it is not loaded anew from here on.
	b.look(1280, "light", true)
	says[string](b, `document.body.dataset.loaded = "once"`)
	s.rates(map[fakeapi.Fault]float64{fakeapi.Gateway503: 1})
	s.until("the page says that LeadSquared fails", func() bool {
		return strings.Contains(b.text("now"), "the breaker is open") && strings.Contains(b.text("flow"), "open") &&
			says[string](b, "document.documentElement.dataset.level") == "wait"
	})
	b.keep("breaker")
	s.rates(map[fakeapi.Fault]float64{fakeapi.Denied: 1})
	s.until("the page says that the keys are refused", func() bool {
		return strings.Contains(b.text("state"), "halted") && strings.Contains(b.text("now"), "access_key") &&
			says[string](b, "document.title") == "crm-activities: halted" && says[string](b, "document.documentElement.dataset.level") == "bad"
	})
	b.keep("halted")
	for _, text := range says[[]string](b, faint) {
		t.Errorf("halted: too little contrast: %s", text)
	}
	s.rates(nil)
	if got := says[string](b, "document.body.dataset.loaded"); got != "once" {
		t.Error("the page was loaded anew")
	}

	b.look(1280, "dark", false)
	for part, want := range map[string]string{"state": "halted", "partitions": "crm.events/0", "budget": "calls spent", "letters": "crm.events/"} {
		if got := b.text(part); !strings.Contains(got, want) {
			t.Errorf("without a script %s says %q, want %q", part, got, want)
		}
	}
	if got := says[int](b, `document.querySelectorAll("polyline").length`); got != 2 {
		t.Errorf("%d lines without a script, want both charts", got)
	}
	b.keep("without-script")

	b.look(1280, "light", true)
	b.mu.Lock()
	if len(b.complaints) > 0 {
		t.Errorf("the browser complains: %q", b.complaints)
	}
	b.mu.Unlock()
	s.must(s.stop())
	s.until("the page says that nobody answers", func() bool {
		return strings.Contains(says[string](b, `document.getElementById("stale").innerText`), "does not answer")
	})
	b.keep("gone")
}
