package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// onLoopback reports whether only programs of this machine reach the address.
func onLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// guard decides who may ask what, before anything is looked up.
//
// On loopback everybody on the machine may do everything; the danger there is a
// page in the user's browser. It is kept from reading by the Host header, which
// names the page's own site even when that site's DNS answers 127.0.0.1, and
// from acting by Sec-Fetch-Site and Origin. Elsewhere anybody may read, and the
// token, which a page does not have, lets act.
func (s *Server) guard(loopback bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")

		if loopback && !localHost(r.Host) {
			http.Error(w, "this address is for the machine itself; ask it as localhost or 127.0.0.1", http.StatusForbidden)
			return
		}
		if err := s.cross.Check(r); err != nil {
			http.Error(w, "requests that pages of other sites send are refused", http.StatusForbidden)
			return
		}
		if r.Method == http.MethodPost && !loopback && !s.allowed(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// localHost reports whether a Host header names this machine by itself.
func localHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// allowed reports whether the request shows the token, and else answers it.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request) bool {
	token, err := s.settings.Config.Token.Reveal()
	if err != nil {
		s.settings.Log.Error("the admin token cannot be read", "error", err)
		http.Error(w, "the token cannot be read; the connector's log says why", http.StatusInternalServerError)
		return false
	}
	if token == "" {
		http.Error(w, "read-only: without admin.token, pausing, resuming and deciding is for the machine itself, "+
			"at an admin.listen on loopback; set admin.token to do it from elsewhere", http.StatusForbidden)
		return false
	}
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || !same(strings.TrimSpace(shown), token) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="leadsink"`)
		http.Error(w, "pausing, resuming and deciding needs the token of admin.token, as Authorization: Bearer TOKEN", http.StatusUnauthorized)
		return false
	}
	return true
}

// same compares in a time that tells nothing about the token, not even its length.
func same(shown, token string) bool {
	a, b := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
