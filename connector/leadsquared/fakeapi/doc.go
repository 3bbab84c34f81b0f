// Package fakeapi is a fake LeadSquared: the bulk calls with their shapes,
// statuses, limits and refusals, and with faults, that remembers all it created.
//
// It is a server for tests, for leadsink demo and for users' own CI. What it
// created is the truth that a test compares with what was sent; questions about
// it are answered under /_fake/, and by the methods of Server.
package fakeapi
