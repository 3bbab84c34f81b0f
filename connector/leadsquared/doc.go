// Package leadsquared posts batches of activities to LeadSquared: one attempt
// for a batch, one verdict for each row, and never a request sent twice.
//
// It stands on two things. A request goes out on a connection of its own
// (http.Transport.NewClientConn), outside of the transport's pool, because the
// pool may send a request again on another connection, and because a call must
// find its connection dialled. And whether a call may have been applied is
// decided below TLS, by whether a byte of it was handed to the network.
package leadsquared
