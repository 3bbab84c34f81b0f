package connector

import "time"

// A Status is what a connector is doing, at one moment. It is a copy: the
// receiver may keep it. It holds no lead, key, payload or secret, except that
// dead letters carry their reasons.
type Status struct {
	Name    string    `json:"name"`
	State   State     `json:"state"`
	Words   string    `json:"words"` // the state and what is being waited for, for people
	At      time.Time `json:"at"`
	Started time.Time `json:"started"`

	Waiting    []string          `json:"waiting,omitempty"` // what holds rows back now: slot, breaker, backoff, credits, drain, paused, halted, in_flight, commit, receipts, doubt, held, day, schema, position
	Fault      string            `json:"fault,omitempty"`   // why it is halted, every reason since when, and what to do
	Unready    string            `json:"unready,omitempty"` // why records that were read cannot be decoded for now
	Partitions []PartitionStatus `json:"partitions"`

	Lag            int64 `json:"lag"`               // records from the committed positions to the ends, as far as known
	Unsettled      int   `json:"unsettled"`         // records taken in without a fate
	UnsettledBytes int64 `json:"unsettled_bytes"`   // and their bytes
	Waits          int   `json:"waiting_rows"`      // activities in lanes
	Doubtful       int   `json:"doubtful_rows"`     // activities that may have been created, which LeadSquared is or will be asked for
	Held           int   `json:"held_rows"`         // those that wait for an operator
	InFlight       int   `json:"in_flight"`         // calls sent whose outcome is not yet committed
	Stalls         int64 `json:"stalls"`            // times that nothing went on although there was work: a fault of leadsink
	Stalled        bool  `json:"stalled,omitempty"` // that is so now

	Records    RecordCounts   `json:"records"`
	Activities ActivityCounts `json:"activities"`
	Calls      CallCounts     `json:"calls"`
	Reads      int64          `json:"reads"` // pages of activities that were asked for
	Fill       float64        `json:"fill"`  // rows sent / (25 * calls), 0 without calls

	Account CheckResult `json:"account,omitzero"` // how the rules fit the account, as of the last check; absent before the first
	Breaker string      `json:"breaker"`          // closed | open | half_open
	// BreakerSince is when it opened, and BreakerBy by which rule: in_a_row or ratio;
	// absent while it is closed.
	BreakerSince time.Time `json:"breaker_since,omitzero"`
	BreakerBy    string    `json:"breaker_by,omitempty"`
	Trouble      string    `json:"trouble,omitempty"` // the last thing that was wrong with a call, in words
	// TroubledAt is when that was, PausedSince when an operator has paused it; absent otherwise.
	TroubledAt  time.Time `json:"troubled_at,omitzero"`
	PausedSince time.Time `json:"paused_since,omitzero"`
	// Unreached is that LeadSquared has not been reached since the start.
	Unreached bool `json:"unreached,omitempty"`
	// KafkaTrouble is what keeps the member from its work, and since when. Whoever
	// knows Kafka adds it (TellKafkaTrouble); the engine does not.
	KafkaTrouble      string    `json:"kafka_trouble,omitempty"`
	KafkaTroubleSince time.Time `json:"kafka_trouble_since,omitzero"`

	Budget BudgetStatus `json:"budget"`

	// DrainETA is how long the lag takes at the present pace and fill, over pauses and
	// the ends of days, in seconds; -1 if it is unknown. What arrives meanwhile
	// is not in it.
	DrainETA    float64            `json:"drain_eta_seconds"`
	Arrivals    float64            `json:"arrivals_per_second"`    // records written to the partitions, over some minutes
	Capacity    float64            `json:"capacity_per_second"`    // records that the call budget is enough for, 0 without a limit
	Behind      bool               `json:"will_not_catch_up"`      // more arrive than that
	DeadLetters []DeadLetterStatus `json:"dead_letters,omitempty"` // the last ones, newest first, at most 20
	// Losses are records that the brokers deleted before they were read, by topic.
	Losses []LossStatus `json:"losses,omitempty"`

	// Members are those of the group. Whoever knows the group adds them; the engine does not.
	Members []MemberStatus `json:"members,omitempty"`
}

// A State is one word for what a connector does as a whole.
type State string

const (
	Starting State = "starting"    // not yet joined
	StandBy  State = "standing_by" // joined, owns no partition
	Active   State = "active"
	Paused   State = "paused" // by an operator
	Halted   State = "halted" // a fault that people must mend
	Stopping State = "stopping"
)

// A PartitionStatus is one owned partition.
type PartitionStatus struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"` // next offset, -1 if none was committed yet
	End       int64  `json:"end"`
	Lag       int64  `json:"lag"`
	Todo      int64  `json:"todo"` // lag less what is finished
	Unsettled int    `json:"unsettled"`
	Finished  int    `json:"finished_ranges"`
	Draining  bool   `json:"draining,omitempty"`

	DrainETA float64 `json:"drain_eta_seconds"` // as Status has it, if partitions share the calls evenly
}

// RecordCounts are records by fate since the start.
type RecordCounts struct {
	Delivered int64 `json:"delivered"`
	Filtered  int64 `json:"filtered"`
	Dead      int64 `json:"dead"`
}

// ActivityCounts are rows by verdict since the start.
type ActivityCounts struct {
	Created int64 `json:"created"`
	Refused int64 `json:"refused"`
	Again   int64 `json:"again"`
	Unknown int64 `json:"unknown"`
}

// CallCounts are calls by outcome since the start.
type CallCounts struct {
	Total      int64 `json:"total"`
	Judged     int64 `json:"judged"`
	Refused    int64 `json:"refused"`
	Throttled  int64 `json:"throttled"`
	TooLarge   int64 `json:"too_large"`
	Fault      int64 `json:"fault"`
	Unknown    int64 `json:"unknown"`
	NotApplied int64 `json:"not_applied"`
	Missed     int64 `json:"missed"`
}

// A BudgetStatus is the call budget, in calls per second; 0 means no limit.
type BudgetStatus struct {
	Configured float64 `json:"configured"`
	Learned    float64 `json:"learned"`
	Share      float64 `json:"share"` // what this member may use of it
	// PausedUntil is until when nothing is sent because calls were throttled;
	// absent otherwise.
	PausedUntil time.Time `json:"paused_until,omitzero"`

	LearnedLimit string         `json:"learned_limit,omitempty"` // what throttling answers taught, while it is below the configured limits
	Windows      []WindowStatus `json:"windows,omitempty"`       // the sliding limits of bulk calls
	Day          *DayStatus     `json:"day,omitempty"`           // absent without a limit for a day, unless LeadSquared says that one is spent
}

// A WindowStatus is one sliding limit.
type WindowStatus struct {
	Limit string `json:"limit"` // as in the document, CALLS/WINDOW
	Spent int    `json:"spent"` // calls of this member within the last window
}

// A DayStatus is the limit for a day.
type DayStatus struct {
	Starts  time.Time `json:"starts"`
	Ends    time.Time `json:"ends"`
	Calls   int       `json:"calls"`   // of all members together, 0 if the document names no limit for a day
	Part    int       `json:"part"`    // this member's
	Spent   int       `json:"spent"`   // of it, with what was reserved by earlier owners
	Left    int       `json:"left"`    // of it
	Refused bool      `json:"refused"` // LeadSquared says that the day is spent
}

// A DeadLetterStatus is one of the last dead letters.
type DeadLetterStatus struct {
	At        time.Time `json:"at"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Class     string    `json:"class"`
	Rule      string    `json:"rule,omitempty"`
	Message   string    `json:"message"`
}

// A MemberStatus is one member of the group.
type MemberStatus struct {
	ID         string `json:"id"` // that the brokers gave it
	Instance   string `json:"instance_id,omitempty"`
	Host       string `json:"host"` // as the brokers see it
	Partitions int    `json:"partitions"`
	Self       bool   `json:"self,omitempty"` // the one that tells
}
