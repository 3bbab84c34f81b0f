//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What the floor knows of the account.
const (
	activityCode = 320
	bulkPath     = "/v2/ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"
)

// An order is what the floor reads of an event: unlike leadsink it knows when
// it is compiled what it will meet.
type order struct {
	Type       string    `json:"type"`
	OccurredAt time.Time `json:"occurred_at"`
	Lead       struct {
		ID string `json:"id"`
	} `json:"lead"`
	Owner string `json:"owner"`
	Order struct {
		ID       string  `json:"id"`
		Total    float64 `json:"total"`
		Currency string  `json:"currency"`
		Coupon   *string `json:"coupon"`
	} `json:"order"`
}

// A row is what the floor posts of an event.
type row struct {
	Lead   string  `json:"RelatedProspectId"`
	Code   int     `json:"ActivityEvent"`
	Note   string  `json:"ActivityNote"`
	Owner  string  `json:"ActivityOwnerEmail"`
	At     string  `json:"ActivityDateTime"`
	Fields []field `json:"Fields"`
}

type field struct {
	SchemaName string
	Value      string
}

func (o *order) row() row {
	r := row{
		Lead: o.Lead.ID, Code: activityCode, Note: "Order " + o.Order.ID, Owner: o.Owner,
		At: o.OccurredAt.UTC().Format(time.DateTime),
		Fields: []field{
			{"mx_Custom_1", o.Order.ID},
			{"mx_Custom_2", strconv.FormatFloat(o.Order.Total, 'f', -1, 64)},
			{"mx_Custom_3", o.Order.Currency},
		},
	}
	if o.Order.Coupon != nil {
		r.Fields = append(r.Fields, field{"mx_Custom_4", *o.Order.Coupon})
	}
	return r
}

// A floor is the least that any program would have to do: read, decode, put 25
// rows into a call, post. It commits by time whatever became of the rows,
// keeps no order, and knows no verdict but the status of the whole call.
type floor struct {
	api    string
	client *http.Client
	calls  chan []*kgo.Record
	failed context.CancelCauseFunc
}

// runFloor is the process with the floor. It reads until ctx ends.
func runFloor(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(modeFloor, flag.ContinueOnError)
	kafka, api, group := flags.String("kafka", "", ""), flags.String("api", "", ""), flags.String("group", "", "")
	inFlight := flags.Int("in-flight", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(*kafka), kgo.ConsumerGroup(*group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	stopped := ctx
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	f := &floor{
		api:    *api + bulkPath,
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: *inFlight}},
		calls:  make(chan []*kgo.Record),
		failed: failed,
	}
	for range *inFlight {
		go f.post(ctx) // ends with ctx, which ends with this function
	}
	f.read(ctx, client)
	if stopped.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// read cuts what it polls into calls, over the ends of polls.
func (f *floor) read(ctx context.Context, client *kgo.Client) {
	next := make([]*kgo.Record, 0, batch)
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		if err := fetches.Err(); err != nil {
			f.failed(fmt.Errorf("poll: %w", err))
			return
		}
		for records := fetches.RecordIter(); !records.Done(); {
			next = append(next, records.Next())
			if len(next) < batch {
				continue
			}
			select {
			case f.calls <- next:
			case <-ctx.Done():
				return
			}
			next = make([]*kgo.Record, 0, batch)
		}
	}
}

func (f *floor) post(ctx context.Context) {
	for {
		select {
		case records := <-f.calls:
			if err := f.call(ctx, records); err != nil && ctx.Err() == nil {
				f.failed(err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (f *floor) call(ctx context.Context, records []*kgo.Record) error {
	rows := make([]row, 0, batch)
	for _, r := range records {
		var o order
		if err := json.Unmarshal(r.Value, &o); err != nil {
			return fmt.Errorf("decode: %w", err)
		}
		rows = append(rows, o.row())
	}
	body, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.api, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("x-LSQ-AccessKey", accessKey)
	req.Header.Set("x-LSQ-SecretKey", secretKey)
	resp, err := f.client.Do(req)
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("post: %s", resp.Status)
	}
	return nil
}
