//go:build system

package main_test

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// What a member may do is taken from it under load, and given back. It goes on by
// itself, and nothing is lost or created twice.
func TestSystemRightsThatAreWithdrawnAndGivenBackLetDeliveryResume(t *testing.T) {
	c := startKafka(t, overSCRAM)
	denied := func(d *delivery, what func(*kadm.ACLBuilder)) (withdraw, giveBack func() error) {
		rule := kadm.NewACLs().Deny("User:" + user).DenyHosts().ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpAll)
		what(rule)
		withdraw = func() error {
			results, err := c.admin.CreateACLs(t.Context(), rule)
			for _, r := range results {
				err = errors.Join(err, r.Err)
			}
			return err
		}
		giveBack = func() error {
			results, err := c.admin.DeleteACLs(t.Context(), rule)
			for _, r := range results {
				err = errors.Join(err, r.Err)
			}
			return err
		}
		return withdraw, giveBack
	}
	for name, rights := range map[string]func(d *delivery) (withdraw, giveBack func() error){
		"the topic": func(d *delivery) (withdraw, giveBack func() error) {
			return denied(d, func(b *kadm.ACLBuilder) { b.Topics(d.topic) })
		},
		"the group": func(d *delivery) (withdraw, giveBack func() error) {
			return denied(d, func(b *kadm.ACLBuilder) { b.Groups(d.group) })
		},
		"the user": func(*delivery) (withdraw, giveBack func() error) {
			alter := func(del []kadm.DeleteSCRAM, upsert []kadm.UpsertSCRAM) error {
				altered, err := c.admin.AlterUserSCRAMs(t.Context(), del, upsert)
				return errors.Join(err, altered.Error())
			}
			return func() error { return alter([]kadm.DeleteSCRAM{{User: user, Mechanism: kadm.ScramSha512}}, nil) },
				func() error {
					return alter(nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password}})
				}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDelivery(t, c, 0, "--latency", "20ms")
			d.marked = true
			m := d.start()
			withdraw, giveBack := rights(d)
			stop := d.load(d.topic, "steady")
			eventually(t, 20*time.Second, "records are delivered", func() bool { return d.delivered("steady") > 100 })
			if err := withdraw(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = giveBack() })
			eventually(t, 20*time.Second, "delivery stops", func() bool {
				before := d.delivered("steady")
				pause(t, 2*time.Second)
				return d.delivered("steady") == before
			})
			before := d.delivered("steady")
			if err := giveBack(); err != nil {
				t.Fatal(err)
			}
			from := time.Now()
			eventually(t, 40*time.Second, "delivery resumes", func() bool { return d.delivered("steady") > before })
			t.Logf("delivery resumed after %s", time.Since(from).Round(100*time.Millisecond))
			ids := stop()
			eventually(t, 30*time.Second, "everything is delivered", func() bool { return d.missing(ids) == 0 })
			d.ends(m)
			d.once(ids)
		})
	}
}
